package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// Box answers the edge switch's ARP requests for the box address (PROTOCOL.md#addressing). It makes the answer in
// place and sends it out of the fabric port that received the request. Only the edge switch gets an answer. Messages
// that came encapsulated are for tenants: see forward.go.
//
// It is a stage (stage.Func).
func (st *State) Box(b *frame.Batch) (todo uint32) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextNeigh {
			continue
		}
		switch tunnel := st.Snap.FromVTEP(st.Port); {
		case p.Has(frame.FlagFromFabric) && tunnel:
			st.fromVTEP(st.Mem, p, st.Snap)
		case p.Has(frame.FlagFromFabric):
			fromFabric(st.Mem, p, st.Snap)
		case tunnel:
			underlay(st.Mem, p, &st.Snap.Ports[st.Port])
		default:
			box(st.Mem, p, &st.Snap.Ports[st.Port])
		}
		todo |= p.Next.Bit()
	}
	return todo
}

// box answers or drops an ARP packet that came unencapsulated on a fabric port.
func box(mem []byte, p *frame.Packet, port *fib.Port) {
	if !p.Has(frame.FlagARP) {
		p.DropFor(drop.ARPForeign)
		return
	}
	f := &port.Fabric
	a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	sender := a.SenderMAC()
	if p.SrcMAC != f.SwitchMAC || sender != f.SwitchMAC {
		p.DropFor(drop.FabricSwitchMAC)
		return
	}
	forUs := p.Has(frame.FlagGroup) || p.DstMAC == f.OwnMAC
	if a.Op() != wire.ARPRequest || !forUs || f.BoxIP == 0 || a.TargetIP() != f.BoxIP || a.SenderIP() == f.BoxIP {
		p.DropFor(drop.ARPForeign)
		return
	}
	a.Set(wire.ARPReply, f.OwnMAC, f.BoxIP, sender, a.SenderIP())
	readdress(mem, p, sender, f.OwnMAC)
	p.SendTo(p.Port)
}
