package overlay

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
)

// Station parses the frames that control sends as a station of a segment, whose index is in Loc, and sets Next: to
// flood or lookup. A frame from a mark is a request that control has rewritten as the director does.
//
// It is a stage (stage.Func).
func (st *State) Station(b *frame.Batch) (todo uint32) {
	mem := st.Mem
	st.pending = 0
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		seg := p.Loc
		if parse.Access(mem, p) {
			p.Seg, p.Loc = seg, 0
			p.Flags |= frame.FlagInjected
			if fib.Marked(p.SrcMAC) {
				p.Flags |= frame.FlagBalanced
			}
			if p.Has(frame.FlagGroup) {
				p.Next = frame.NextFlood
			} else {
				p.Next = frame.NextLookup
				st.queueLookup(i, p.Seg, p.DstMAC, st.Snap)
			}
		}
		todo |= p.Next.Bit()
	}
	return todo
}
