package balance

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/parse"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire"
)

// kind is what of a packet belongs to a flow, and is rewritten.
type kind uint8

const (
	whole kind = iota // a packet with ports, or the first fragment of one
	later             // another fragment: it has no ports
	about             // an ICMP error about a packet of the flow
)

// key is the flow of w, as the flow table knows it.
func (w *work) key(s *fib.Snapshot) *flow.Key {
	return &flow.Key{
		Client: w.client, VIP: s.VIPs[w.vip].Ref, ClientPort: w.clientPort, Port: w.port, Proto: w.proto, V6: w.v6,
	}
}

// classify finds virtual address, flow and service of p. It returns false if p has no flow here: it has answered or
// dropped p, or p goes to control or to another worker, or waits.
func (st *State) classify(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	if p.Flags&(frame.FlagIPv4|frame.FlagIPv6|frame.FlagFromFabric) == frame.FlagFromFabric {
		if why := parse.Inner(mem, p); why != drop.None {
			p.DropFor(why)
			return false
		}
	}
	w.vip = fib.LocVIPIndex(p.Loc)
	if uint(w.vip) >= uint(len(s.VIPs)) || !s.VIPs[w.vip].Here {
		p.DropFor(drop.NoService)
		return false
	}
	v := &s.VIPs[w.vip]
	if fib.Marked(p.SrcMAC) {
		p.DropFor(drop.MarkSpoof)
		return false
	}
	if !addressed(mem, p, v, w) {
		p.DropFor(drop.VIPProtocol)
		return false
	}
	if v.Own {
		st.own(mem, p, s, w)
		return false
	}
	switch {
	case p.Has(frame.FlagFragment):
		return st.fragment(mem, p, s, w)
	case !p.Has(frame.FlagL4):
		p.DropFor(drop.VIPProtocol)
		return false
	case p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP:
		if errorMessage(mem, p) {
			return st.embedded(mem, p, s, w)
		}
		st.ping(mem, p, s, w)
		return false
	}
	w.kind = whole
	w.ports(mem, p)
	return !st.elsewhere(mem, p, s, w, p.Hash, flowHop) && st.service(mem, p, s, w)
}

// ports stores the ports of p, which has a TCP or UDP header.
func (w *work) ports(mem []byte, p *frame.Packet) {
	ports := binary.BigEndian.Uint32(mem[p.Off+uint32(p.L4):])
	w.clientPort, w.port = uint16(ports>>16), uint16(ports)
}

// addressed reports whether p is an IP packet to the virtual address v, and stores client and protocol.
func addressed(mem []byte, p *frame.Packet, v *fib.VIP, w *work) bool {
	w.v6, w.proto = v.V6, p.Proto
	if !v.V6 {
		if p.Flags&frame.FlagIPv4 == 0 {
			return false
		}
		addrs := binary.BigEndian.Uint64((*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])[12:20])
		w.client = [2]uint64{0, addrs >> 32}
		return uint32(addrs) == v.IP4
	}
	if p.Flags&frame.FlagIPv6 == 0 {
		return false
	}
	h := wire.IPv6((*[wire.IPv6Len]byte)(mem[p.Off+uint32(p.L3):])[:])
	w.client = h.Src()
	return h.Dst() == v.IP6
}

// service finds the service of a flow. Without one it refuses p and returns false.
func (st *State) service(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) bool {
	if service, ok := s.VIPs[w.vip].Service(w.proto, w.port); ok && uint(service) < uint(len(s.Services)) {
		w.service = service
		return true
	}
	st.refuse(mem, p, s, w, drop.NoService)
	return false
}

// own processes a packet to a director's own address: it answers echo requests, and gives all else to control, whose
// health checks leave from that address.
func (st *State) own(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) {
	if p.Has(frame.FlagFragment) && mayFollow(p) && icmpProto(p) {
		st.fragment(mem, p, s, w)
		return
	}
	if st.echo(mem, p, s, w) {
		return
	}
	p.Next, p.Kind = frame.NextPunt, uint8(punt.Check)
}

// ping answers echo requests to a virtual address as its Ping says, and drops all else.
func (st *State) ping(mem []byte, p *frame.Packet, s *fib.Snapshot, w *work) {
	if !s.VIPs[w.vip].Pings() || !st.echo(mem, p, s, w) {
		p.DropFor(drop.VIPProtocol)
	}
}

// errorMessage reports whether p, which has an ICMP header, is an ICMP error.
func errorMessage(mem []byte, p *frame.Packet) bool {
	switch t := mem[p.Off+uint32(p.L4)]; {
	case p.Proto == wire.ProtoICMP && p.Has(frame.FlagIPv4):
		return t == wire.ICMPv4Unreachable || t == wire.ICMPv4TimeExceeded || t == wire.ICMPv4Parameter
	case p.Proto == wire.ProtoICMPv6 && p.Has(frame.FlagIPv6):
		return t < wire.ICMPv6Echo // RFC 4443, 2.1
	}
	return false
}

// host reports whether the client of w may be one: its address is that of a host, and not the virtual address.
func (w *work) host(v *fib.VIP) bool {
	if !w.v6 {
		return icmp.Host4(uint32(w.client[1])) && uint32(w.client[1]) != v.IP4
	}
	return !wire.Multicast6(w.client) && !wire.Unspecified6(w.client) && !wire.Loopback6(w.client) && w.client != v.IP6
}
