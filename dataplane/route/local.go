package route

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/wire"
)

// local takes a packet to one of the router's own addresses: a ping is answered, TCP and UDP find no open port, and
// anything else is dropped.
func local(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, r *fib.Router) {
	if icmp.Echo(mem, p, r.MAC) {
		p.Next = frame.NextDeliver
		st.Counters.EchoReplies++
		return
	}
	if p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP || !p.Has(frame.FlagL4) {
		p.DropFor(drop.RouterProtocol)
		return
	}
	// The answer comes from the address that was asked (RFC 1122, 3.2.2).
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagIPv4) {
		send(mem, p, st, s, icmp.PortUnreachable, r.MAC, wire.IPv4(l3).Dst(), [2]uint64{})
		return
	}
	send(mem, p, st, s, icmp.PortUnreachable, r.MAC, 0, wire.IPv6(l3).Dst())
}

// refuse answers p with the ICMP error e, from the router's address in the subnet that p came from; a router without
// an address there drops p for reason r.
func refuse(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, e icmp.Error, r drop.Reason) {
	g := &s.Segments[p.Seg]
	mac := s.Routers[g.Router].MAC
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagIPv4) {
		src := fib.RouterIP4(g.Subnets4, wire.IPv4(l3).Src())
		if src == 0 {
			p.DropFor(r)
			return
		}
		send(mem, p, st, s, e, mac, src, [2]uint64{})
		return
	}
	src := fib.RouterIP6(g.Subnets6, wire.IPv6(l3).Src())
	if wire.Unspecified6(src) {
		p.DropFor(r)
		return
	}
	send(mem, p, st, s, e, mac, 0, src)
}

// send sends the error e about p, within the limit of errors.
func send(mem []byte, p *frame.Packet, st *State, s *fib.Snapshot, e icmp.Error, mac uint64, src4 uint32, src6 [2]uint64) {
	if why := icmp.Answer(mem, p, s, st.Now, e, 0, src4, src6, mac); why != drop.None {
		p.DropFor(why)
		return
	}
	p.Next = frame.NextDeliver
	if e == icmp.TimeExceeded {
		st.Counters.TimeExceeded++
	} else {
		st.Counters.Unreachable++
	}
}
