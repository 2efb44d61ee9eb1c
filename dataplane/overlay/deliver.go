package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// Deliver looks up the destinations that are not known yet (Touch went before), and sends each frame to where its destination hangs: to an
// attachment of this box, or encapsulated to another. Answers made by the box go back to the attachment that asked.
// It reports whether frames are left to be flooded.
func Deliver(mem []byte, b *frame.Batch, s *fib.Snapshot, st *State) (flood bool) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next == frame.NextLookup {
			st.resolve(i, p, s)
		}
		if p.Next != frame.NextDeliver {
			flood = flood || p.Next == frame.NextFlood
			continue
		}
		switch {
		case p.Has(frame.FlagGenerated):
			toAttachment(mem, p, s, st, p.Attach)
		case p.Loc&fib.LocLocal != 0:
			vif, n := p.Loc&^fib.LocLocal, p.Len
			toAttachment(mem, p, s, st, s.VIFs[vif].Attach)
			if p.Next == frame.NextTx {
				st.VIFs.AddPacket(int(vif)*stats.VIFStride+stats.VIFTxPackets, n)
			}
		case p.Has(frame.FlagFromFabric):
			p.DropFor(drop.FabricRelay)
		default:
			encapsulate(mem, p, s, st, p.Loc)
		}
	}
	return flood
}

// toAttachment sends the untagged frame p out of an access port, with the attachment's tag.
func toAttachment(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, at uint32) {
	if uint(at) >= uint(len(s.Attachments)) {
		p.DropFor(drop.NoRole)
		return
	}
	a := &s.Attachments[at]
	port := &s.Ports[a.Port]
	if !port.Up {
		p.DropFor(drop.TxPortDown)
		return
	}
	if uint32(p.Len) > uint32(port.MTU)+ethLen {
		p.DropFor(drop.AccessMTU)
		return
	}
	if a.VID != 0 {
		p.Push(tagLen)
		f := p.Bytes(mem)
		copy(f[0:12], f[4:16])
		binary.BigEndian.PutUint32(f[12:], 0x81000000|uint32(p.PCP)<<13|uint32(a.VID))
	}
	p.SendTo(a.Port)
}
