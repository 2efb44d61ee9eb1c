package agent

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// Claim is what an ARP or neighbour discovery message says of virtual addresses.
type Claim uint8

// The claims.
const (
	ClaimNone    Claim = iota // nothing
	ClaimAsks                 // a server asks for another station, from a VIP that it has (Linux does)
	ClaimServer               // a server states or probes a VIP that it has: clients must not hear of it
	ClaimForeign              // a stranger states a VIP
)

// Claims judges the parsed ARP or neighbour discovery message p, which VIF v has sent. v is nil for a station that is
// no VIF: such a station is no server. Only directors state a VIP, and what control sends for them does not come here.
func Claims(mem []byte, p *frame.Packet, v *fib.VIF, s *fib.Snapshot) Claim {
	var a fib.Agent
	if v != nil && v.Agent != nil {
		a = *v.Agent
	}
	f := mem[p.Off : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagARP) {
		return claimsARP(wire.ARP(f[p.L3:]), p.Seg, &a, s)
	}
	return claimsND(f[p.L4:], wire.IPv6(f[p.L3:]).Src(), p.Seg, &a, s)
}

func claimsARP(h wire.ARP, seg uint32, a *fib.Agent, s *fib.Snapshot) Claim {
	sender, target := h.SenderIP(), h.TargetIP()
	if sender == 0 {
		if _, own := fib.FindVIP4(a.VIPs4, target); own {
			return ClaimServer // a probe (RFC 5227, 2.1.1)
		}
		return ClaimNone
	}
	if _, own := fib.FindVIP4(a.VIPs4, sender); own {
		if h.Op() == wire.ARPRequest && target != sender {
			return ClaimAsks
		}
		return ClaimServer
	}
	if _, ok := s.VIP4(seg, sender); ok {
		return ClaimForeign
	}
	return ClaimNone
}

func claimsND(m []byte, source [2]uint64, seg uint32, a *fib.Agent, s *fib.Snapshot) Claim {
	_, own := fib.FindVIP6(a.VIPs6, source)
	_, vip := s.VIP6(seg, source)
	var target [2]uint64
	t := wire.ICMPv6(m).Type()
	switch t {
	case wire.ICMPv6NeighborSolicit, wire.ICMPv6NeighborAdvert, wire.ICMPv6Redirect:
		target = wire.NeighborSolicit(m).Target() // the parser has checked the length
	}
	_, ownTarget := fib.FindVIP6(a.VIPs6, target)
	if t == wire.ICMPv6NeighborSolicit {
		switch {
		case wire.Unspecified6(source) && ownTarget, own && target == source:
			return ClaimServer
		case own:
			return ClaimAsks
		case vip:
			return ClaimForeign
		}
		return ClaimNone // to ask for a VIP is no claim
	}
	_, vipTarget := s.VIP6(seg, target)
	switch {
	case own || ownTarget:
		return ClaimServer
	case vip || vipTarget:
		return ClaimForeign
	}
	return ClaimNone
}

// Forged reports whether the parsed ARP or neighbour discovery message p, which came over the fabric, states a VIP with
// another MAC than the VIP's. Only the VIP's director states it there.
func Forged(mem []byte, p *frame.Packet, s *fib.Snapshot) bool {
	f := mem[p.Off : p.Off+uint32(p.Len)]
	if p.Has(frame.FlagARP) {
		h := wire.ARP(f[p.L3:])
		vip, ok := s.VIP4(p.Seg, h.SenderIP())
		return ok && !isMAC(s, vip, p.SrcMAC, h.SenderMAC())
	}
	m := f[p.L4:]
	source := wire.IPv6(f[p.L3:]).Src()
	switch wire.ICMPv6(m).Type() {
	case wire.ICMPv6RouterSolicit:
		return forged6(s, p, source, m[wire.RouterSolicitLen:], wire.NDOptionSourceAddr)
	case wire.ICMPv6RouterAdvert:
		return forged6(s, p, source, m[wire.RouterAdvertLen:], wire.NDOptionSourceAddr)
	case wire.ICMPv6NeighborSolicit:
		return forged6(s, p, source, m[wire.NeighborLen:], wire.NDOptionSourceAddr)
	case wire.ICMPv6NeighborAdvert:
		options := m[wire.NeighborLen:]
		return forged6(s, p, source, options, wire.NDOptionTargetAddr) ||
			forged6(s, p, wire.NeighborAdvert(m).Target(), options, wire.NDOptionTargetAddr)
	}
	_, ok := s.VIP6(p.Seg, wire.NeighborSolicit(m).Target()) // a redirect; no director sends one
	return ok
}

// forged6 reports whether ip is a VIP and p states another MAC for it: as source, or in an option of this kind.
func forged6(s *fib.Snapshot, p *frame.Packet, ip [2]uint64, options []byte, kind uint8) bool {
	vip, ok := s.VIP6(p.Seg, ip)
	if !ok {
		return false
	}
	for o := options; len(o) >= 8 && o[1] != 0 && int(o[1])*8 <= len(o); o = o[int(o[1])*8:] {
		if o[0] == kind && !isMAC(s, vip, p.SrcMAC, wire.MAC(o[2:])) {
			return true
		}
	}
	return !isMAC(s, vip, p.SrcMAC, p.SrcMAC)
}

func isMAC(s *fib.Snapshot, vip uint32, source, stated uint64) bool {
	return s.VIPs[vip].MAC == source && s.VIPs[vip].MAC == stated
}
