package route

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/wire"
)

// local processes a packet to one of the router's own addresses. It answers echo requests, answers TCP and UDP with
// "port unreachable", and drops all other packets.
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
	// The source of the answer is the destination of the request (RFC 1122, 3.2.2).
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagIPv4) {
		sendError(mem, p, st, s, icmp.PortUnreachable, r.MAC, wire.IPv4(l3).Dst(), [2]uint64{})
		return
	}
	sendError(mem, p, st, s, icmp.PortUnreachable, r.MAC, 0, wire.IPv6(l3).Dst())
}

// refuse answers p with the ICMP error e. The source of the error is the router's address in the segment of p. If the
// router has no address there, refuse drops p for reason r.
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
		sendError(mem, p, st, s, e, mac, src, [2]uint64{})
		return
	}
	src := fib.RouterIP6(g.Subnets6, wire.IPv6(l3).Src())
	if wire.Unspecified6(src) {
		p.DropFor(r)
		return
	}
	sendError(mem, p, st, s, e, mac, 0, src)
}

// sendError answers p with the ICMP error e from the given addresses, within the rate limit of errors.
func sendError(
	mem []byte, p *frame.Packet, st *State, s *fib.Snapshot, e icmp.Error, mac uint64, src4 uint32, src6 [2]uint64,
) {
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
