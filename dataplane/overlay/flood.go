package overlay

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
)

// Flood sends broadcast, multicast and unknown unicast to every attachment of the segment on this box and, as unicast
// copies, to every other box that holds a VIF of it; frames that came from the fabric go to attachments only. The last
// receiver gets the original. What goes to other boxes is at NextEncap afterwards.
//
// It is a stage (stage.Func).
func (st *State) Flood(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextFlood {
			continue
		}
		if st.mayFlood(p, s) {
			st.floodOne(mem, p, s)
		} else {
			p.DropFor(drop.FloodLimit)
		}
		todo |= p.Next.Bit()
	}
	st.Emit(copied)
	return todo
}

// copied is the Next values of copies.
const copied = 1<<frame.NextEncap | 1<<frame.NextDrop | 1<<frame.NextTx

// floodOne sends p to each of its receivers.
func (st *State) floodOne(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	seg := &s.Segments[p.Seg]
	n := len(seg.Local)
	if p.Flags&frame.FlagFromFabric == 0 {
		n += len(seg.Remote)
	}
	last := n - 1
	for last >= 0 && last < len(seg.Local) && seg.Local[last] == p.Attach {
		last--
	}
	if last < 0 {
		p.DropFor(drop.FloodEmpty)
		return
	}
	for k := 0; k <= last; k++ {
		if k < len(seg.Local) && seg.Local[k] == p.Attach {
			continue
		}
		q := p
		if k != last {
			if st.Copies.N == frame.BatchSize {
				st.Emit(copied)
			}
			if q = st.Copy(p); q == nil {
				p.DropFor(drop.FloodNoFrame)
				return
			}
		}
		if k < len(seg.Local) {
			toAttachment(mem, q, s, st, seg.Local[k])
		} else {
			q.Loc, q.Next = seg.Remote[k-len(seg.Local)], frame.NextEncap
		}
	}
}

// mayFlood applies the sender's limit. Frames from the fabric were limited where they began. Senders on an open
// attachment that are no VIF share one limit, apart from those of VIFs.
func (st *State) mayFlood(p *frame.Packet, s *fib.Snapshot) bool {
	if p.Has(frame.FlagFromFabric) || s.FloodRate == 0 {
		return true
	}
	buckets, i := st.buckets, p.VIF
	if i == frame.NoIndex {
		buckets, i = st.strangers, p.Attach
	}
	return buckets[uint(i)%uint(len(buckets))].take(st.Now, s.FloodRate, s.FloodBurst)
}
