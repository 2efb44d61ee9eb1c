package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
)

// Deliver sends each frame at NextDeliver out of the attachment where its destination hangs. Answers made by the box go
// back to the attachment that asked. It is a stage (stage.Func).
func (st *State) Deliver(b *frame.Batch) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextDeliver {
			continue
		}
		vif, at, n := p.Loc&^fib.LocLocal, p.Attach, p.Len
		if p.Flags&frame.FlagGenerated == 0 {
			at = s.VIFs[vif].Attach
		}
		toAttachment(mem, p, s, st, at)
		if p.Next != frame.NextDrop && p.Flags&frame.FlagGenerated == 0 {
			st.VIFs.AddPacket(int(vif)*stats.VIFStride+stats.VIFTxPackets, n)
		}
		todo |= p.Next.Bit()
	}
	return todo
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
	st.Send(p, a.Port)
}
