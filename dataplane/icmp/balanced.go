package icmp

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Restore undoes what the director has changed in the IP packet of p, a request from a mark, so that an ICMP error
// quotes the packet as the client sent it: service's port, TTL, checksums. It returns the virtual address, or nil if
// the tables do not have the mark's service any more.
func Restore(mem []byte, p *frame.Packet, s *fib.Snapshot) *fib.VIP {
	service, mark := markOf(mem, p, s)
	if service == fib.None || uint(s.Services[service].VIP) >= uint(len(s.VIPs)) {
		return nil
	}
	svc := &s.Services[service]
	v := &s.VIPs[svc.VIP]
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	if v.V6 {
		if !p.Has(frame.FlagIPv6) || wire.IPv6(l3).Dst() != v.IP6 {
			return nil
		}
		h := wire.IPv6(l3)
		h.SetHopLimit(h.HopLimit() + 1)
	} else {
		if !p.Has(frame.FlagIPv4) || wire.IPv4(l3).Dst() != v.IP4 {
			return nil
		}
		h := wire.IPv4(l3)
		h.SetChecksum(checksum.Update16(h.Checksum(), 0, 0x0100))
		h.SetTTL(h.TTL() + 1)
	}
	if p.Has(frame.FlagL4) && (p.Proto == wire.ProtoTCP || p.Proto == wire.ProtoUDP) {
		l4 := l3[p.L4-p.L3:]
		old := p.OldPort
		if !p.Has(frame.FlagBalanced) || p.Has(frame.FlagInjected) {
			old = servicePort(s, service, mark, binary.BigEndian.Uint16(l4[checksum.DstPort:]))
		}
		checksum.SetPort(l4, p.Proto, checksum.DstPort, old)
	}
	return v
}

// markOf returns the service that the source MAC of p's frame is the mark of, None without one, and the destination
// MAC.
func markOf(mem []byte, p *frame.Packet, s *fib.Snapshot) (service uint32, server uint64) {
	e := (*[wire.EthernetLen]byte)(mem[p.Off:])
	mark := wire.MAC(e[wire.MACLen:])
	if !fib.Marked(mark) || uint(p.Seg) >= uint(len(s.Segments)) {
		return fib.None, 0
	}
	for i := range s.Services {
		if c := &s.Services[i]; c.Ref != 0 && c.ID == uint32(mark&0xffffff) && c.Tenant == s.Segments[p.Seg].Tenant {
			return uint32(i), wire.MAC(e[:])
		}
	}
	return fib.None, 0
}

// servicePort returns the port that the client has sent of a request to this port of a server. Only a range of ports
// needs the server.
func servicePort(s *fib.Snapshot, service uint32, mac uint64, port uint16) uint16 {
	c := &s.Services[service]
	switch {
	case c.Port == 0:
		return port
	case c.Port == c.PortEnd:
		return c.Port
	}
	for i := range s.Servers {
		v := &s.Servers[i]
		if v.Ref != 0 && v.Service == service && v.MAC == mac && v.Port != 0 && port-v.Port <= c.PortEnd-c.Port {
			return c.Port + port - v.Port
		}
	}
	return port
}

// Origin finds the way back to the client that has sent p to the virtual address v, and the source MAC of an answer:
// the virtual address's own in its segment, elsewhere the router's. It sets the source MAC of p to that of the next
// hop. If the client is behind the attachment of p, the location is None.
func Origin(mem []byte, p *frame.Packet, s *fib.Snapshot, v *fib.VIP) (to Return, mac uint64, ok bool) {
	to.Seg, to.Loc = v.Seg, fib.None
	switch {
	case p.Has(frame.FlagFromUplink):
		g := s.Segments[v.Seg].Gateway
		if r := s.RouterOf(v.Seg); g == 0 && r != nil {
			g = r.Gateway
		}
		to.Loc, ok = fib.GroupLoc(g), g != 0
	case uint(p.Attach) < uint(len(s.Attachments)):
		to.Seg, ok = s.Attachments[p.Attach].Seg, true
	case !p.Has(frame.FlagInjected): // from the fabric
		if to, ok = station(mem, p, s, v); !ok {
			p.Seg = v.Seg
			to, ok = ReturnTo(mem, p, s)
		}
		if ok && to.MAC != 0 {
			p.SrcMAC = to.MAC
		}
		ok = ok && (to.Loc&fib.LocLocal == 0 || to.Loc&fib.LocVIP == 0 || to.Loc&fib.LocGateway != 0)
	}
	mac = v.MAC
	if to.Seg != v.Seg {
		if r := s.RouterOf(to.Seg); r != nil {
			mac = r.MAC
		}
	}
	return to, mac, ok
}

// station finds the sender of a request from a mark in the segment of the virtual address, by its address.
func station(mem []byte, p *frame.Packet, s *fib.Snapshot, v *fib.VIP) (to Return, ok bool) {
	if !fib.Marked(p.SrcMAC) {
		return to, false
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	to.Seg = v.Seg
	if v.V6 {
		src := wire.IPv6(l3).Src()
		to.MAC, to.Loc, ok = table.FindIP6(s.Bindings, s.Delta, v.Seg, src[0], src[1])
	} else {
		to.MAC, to.Loc, ok = table.FindIP4(s.Bindings, s.Delta, v.Seg, wire.IPv4(l3).Src())
	}
	return to, ok
}

// Back sends the answer that p has become to where Origin says.
func Back(p *frame.Packet, s *fib.Snapshot, to Return) {
	p.Flags &^= frame.FlagFromFabric
	switch {
	case to.Loc == fib.None: // to the attachment
		p.Next = frame.NextDeliver
	case to.Loc&fib.LocLocal == 0:
		p.Seg, p.Loc, p.Next = to.Seg, to.Loc, frame.NextEncap
	case to.Loc&fib.LocGateway != 0:
		p.Seg, p.Loc, p.Next = to.Seg, to.Loc, frame.NextUplink
	default:
		vif := to.Loc &^ fib.LocLocal
		if uint(vif) >= uint(len(s.VIFs)) {
			p.DropFor(drop.Unresolved)
			return
		}
		p.Seg, p.Loc, p.Attach, p.Next = to.Seg, to.Loc, s.VIFs[vif].Attach, frame.NextDeliver
	}
}
