package neigh

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// Box answers the edge switch's ARP requests for the box address, in place, out of the fabric port they came from
// (PROTOCOL.md#addressing). Nobody but the switch gets an answer. What came encapsulated is for
// tenants: see pass.go.
//
// It is a stage (stage.Func).
func (st *State) Box(b *frame.Batch) (todo uint32) {
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextNeigh {
			continue
		}
		if p.Has(frame.FlagFromFabric) {
			arrived(st.Mem, p, st.Snap)
		} else {
			box(st.Mem, p, &st.Snap.Ports[st.Port])
		}
		todo |= p.Next.Bit()
	}
	return todo
}

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
	address(mem, p, sender, f.OwnMAC)
	p.SendTo(p.Port)
}
