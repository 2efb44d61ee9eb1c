package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/mss"
	"penstock/dataplane/stats"
)

// Deliver sends each frame at NextDeliver to the attachment of its destination VIF. Answers that the box made
// (FlagGenerated) go back to the attachment that the request came from. It is a stage (stage.Func).
func (st *State) Deliver(b *frame.Batch) (todo uint32) {
	s := st.Snap
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextDeliver {
			continue
		}
		vif, at, n := p.Loc&^fib.LocLocal, p.Attach, p.Len
		if p.Flags&frame.FlagGenerated == 0 {
			at = s.VIFs[vif].Attach
			if a := s.VIFs[vif].Agent; a != nil && a.Shared {
				if why := st.Agent.Note(p, a, vif); why != drop.None {
					p.DropFor(why)
					todo |= 1 << frame.NextDrop
					continue
				}
				n = p.Len
			}
		}
		st.toAttachment(p, at)
		if p.Next != frame.NextDrop && p.Flags&frame.FlagGenerated == 0 {
			st.VIFs.AddPacket(int(vif)*stats.RxTxLen+stats.Tx, n)
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// toAttachment adds the attachment's tag to the untagged frame p and sends p to the attachment's access port.
func (st *State) toAttachment(p *frame.Packet, at uint32) {
	s := st.Snap
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
		st.TooBig(p, port.MTU, drop.AccessMTU)
		return
	}
	if p.Flags&(frame.FlagL4|frame.FlagGenerated) == frame.FlagL4 && p.Proto == protoTCP {
		st.clampDelivered(p, port)
	}
	if a.VID != 0 {
		p.Push(tagLen)
		f := p.Bytes(st.Mem)
		copy(f[0:12], f[4:16])
		binary.BigEndian.PutUint32(f[12:], 0x81000000|uint32(p.PCP)<<13|uint32(a.VID))
	}
	st.Send(p, a.Port)
}

// clampDelivered lowers the MSS of a TCP SYN to a VIF of this box. It does nothing if sender and receiver are behind
// access ports of the same MTU: then both hosts use that MTU already.
func (st *State) clampDelivered(p *frame.Packet, to *fib.Port) {
	if from := &st.Snap.Ports[p.Port]; from.ClampMSS && (from.MTU != to.MTU || p.Has(frame.FlagFromUplink)) {
		st.clamp(p, min(from.MTU, to.MTU))
	}
}

// clamp lowers the MSS of a TCP SYN to what fits an IP packet of mtu octets. mtu is the smaller MTU of the link that
// the SYN came from and of the link ahead, since the segments of the other host cross both.
func (st *State) clamp(p *frame.Packet, mtu uint16) {
	if mss.Clamp(st.Mem, p, mtu) {
		st.Events.MSSClamped++
	}
}
