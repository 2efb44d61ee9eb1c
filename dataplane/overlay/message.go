package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/resolve"
	"penstock/dataplane/wire"
)

// The UDP ports of the boxes' messages to each other (PROTOCOL.md#binding-messages, PROTOCOL.md#directors).
const (
	portBinding  = 7471
	portDirector = 7473
)

// broadcast takes a binding message which a box has broadcast: EtherType 0x88B5 in the control VLAN, or without tag if
// the switch removes it. Its source is the MAC of the sender's edge switch, any unicast MAC for all this box knows.
func (st *State) broadcast(mem []byte, p *frame.Packet) {
	s := st.Snap
	f := &s.Ports[st.Port].Fabric
	if s.ControlVID == 0 {
		return
	}
	l3 := uint16(ethLen)
	if p.Has(frame.FlagTagged) {
		l3 += tagLen
	}
	switch {
	case p.VID != 0 && p.VID != s.ControlVID:
		// Boxes broadcast a HELLO in each path VLAN for the switches on the way, which may bring it to boxes, too.
		p.DropFor(drop.MessageVLAN)
		payload := mem[p.Off+uint32(l3) : p.Off+uint32(p.Len)]
		if op, _, why := resolve.Check(payload, true, f.HostMask); why == drop.None && op == resolve.OpHello {
			p.DropFor(drop.MessageChirp)
		}
	case !p.Has(frame.FlagGroup) && p.DstMAC != f.OwnMAC:
		p.DropFor(drop.FabricOwnMAC)
	default:
		payload := mem[p.Off+uint32(l3) : p.Off+uint32(p.Len)]
		op, n, why := resolve.Check(payload, true, f.HostMask)
		if op >= resolve.OpProbe {
			why = drop.MessageOpcode
		}
		if why != drop.None {
			p.DropFor(why)
			return
		}
		st.tell(p, op, &resolve.Arrival{Port: p.Port, Broadcast: true, MAC: p.SrcMAC, Payload: payload[:n]})
	}
}

// tell hands a message to control.
func (st *State) tell(p *frame.Packet, op uint8, a *resolve.Arrival) {
	if st.Messages == nil || !st.Messages.Put(op, a) {
		p.DropFor(drop.MessageFull)
		return
	}
	p.Next = frame.NextTaken
}

// toBox takes a message of another box to the box address: ip begins with its IPv4 header. Its source is a box address
// by the addressing scheme.
func (st *State) toBox(p *frame.Packet, ip []byte, src uint32, f *fib.Fabric) {
	total := int(binary.BigEndian.Uint16(ip[2:4]))
	switch {
	case p.Has(frame.FlagFragment):
		p.DropFor(drop.FabricFragment)
		return
	case ip[0] != 0x45:
		p.DropFor(drop.FabricOptions)
		return
	case src&f.HostMask != 1 || !special(src, f.HostMask):
		p.DropFor(drop.FabricAddress)
		return
	case total < ipLen+wire.UDPLen || total > len(ip):
		p.DropFor(drop.FabricProtocol)
		return
	}
	udp := ip[ipLen:total]
	switch binary.BigEndian.Uint16(udp[2:]) {
	case portBinding:
		st.unicast(p, udp, src, f)
	case portDirector:
		p.Next, p.Drop, p.Kind = frame.NextPunt, drop.FabricProtocol, uint8(punt.Director)
	default:
		p.DropFor(drop.FabricProtocol)
	}
}

// unicast takes a binding message of the box with address from. A probe or its echo goes to Probe.
func (st *State) unicast(p *frame.Packet, udp []byte, from uint32, f *fib.Fabric) {
	n := int(binary.BigEndian.Uint16(udp[4:]))
	if n < wire.UDPLen || n > len(udp) {
		p.DropFor(drop.FabricProtocol)
		return
	}
	payload := udp[wire.UDPLen:n]
	op, n, why := resolve.Check(payload, false, f.HostMask)
	switch {
	case why != drop.None:
		p.DropFor(why)
	case op >= resolve.OpProbe && st.Probe == nil:
		p.DropFor(drop.PuntUnwanted)
	case op >= resolve.OpProbe:
		st.Probe(p, payload)
	default:
		st.tell(p, op, &resolve.Arrival{
			Port: p.Port, From: from, Source: binary.BigEndian.Uint16(udp), MAC: p.SrcMAC, Payload: payload[:n],
		})
	}
}
