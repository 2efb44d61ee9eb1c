package uplink

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/icmp"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// echo answers a tenant's ping to the group's own address; nothing else is offered there.
func echo(mem []byte, p *frame.Packet, s *fib.Snapshot) {
	if !icmp.Echo(mem, p, p.DstMAC) {
		p.DropFor(drop.RouterProtocol)
		return
	}
	toTenant(p, s)
}

// toTenant sends an answer back to the tenant from which p came: to the attachment, or to the box.
func toTenant(p *frame.Packet, s *fib.Snapshot) {
	if p.Attach != frame.NoIndex {
		p.Next = frame.NextDeliver
		return
	}
	loc, ok := table.FindMACHash(s.Bindings, s.Delta, s.Bindings.HashMAC(p.Seg, p.DstMAC), p.Seg, p.DstMAC)
	if !ok || loc&fib.LocLocal != 0 {
		p.DropFor(drop.Unresolved)
		return
	}
	p.Loc, p.Next = loc, frame.NextEncap
}

// tooBig answers a tenant's packet that does not fit the uplink (RFC 1191, RFC 8201), from the address that it was sent
// by way of.
func tooBig(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, to *way) {
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	v4 := p.Has(frame.FlagIPv4)
	if v4 && wire.IPv4(l3).FlagsFragment()&wire.IPv4DF == 0 {
		p.DropFor(drop.UplinkMTU)
		return
	}
	src4, src6 := to.g.IP4, to.g.IP6
	if n := &s.Segments[p.Seg]; p.DstMAC != to.g.MAC { // by way of the virtual router
		src4, src6 = 0, [2]uint64{}
		if len(n.Subnets4) > 0 {
			src4 = n.Subnets4[0].RouterIP
		}
		if len(n.Subnets6) > 0 {
			src6 = n.Subnets6[0].RouterIP
		}
	}
	if v4 && src4 == 0 {
		src4 = binary.BigEndian.Uint32(l3[16:20])
	} else if !v4 && wire.Unspecified6(src6) {
		src6 = wire.IPv6(l3).Dst()
	}
	if refuse(mem, p, s, st, icmp.TooBig, to.mtu, src4, src6, p.DstMAC) {
		toTenant(p, s)
	}
}

// refuse turns p into the ICMP error e about itself, if it may be answered, within the limit of errors; otherwise p is
// dropped.
func refuse(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, e icmp.Error, mtu uint16, src4 uint32, src6 [2]uint64, srcMAC uint64) bool {
	why := icmp.Answer(mem, p, s, st.Now, e, mtu, src4, src6, srcMAC)
	if why != drop.None {
		p.DropFor(why)
	}
	return why == drop.None
}
