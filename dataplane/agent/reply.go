package agent

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Reply processes the parsed packet p that VIF v has sent from one of its VIPs, whose index is vip. It puts the
// service's port into what a rule covers, and returns drop.None. Of the rest, a strict VIF may send ICMP errors, echo
// replies and fragments behind the first one; other policies let all of it pass.
//
// The checksum of p must be complete: a sum that is left to hardware would not be known as such afterwards.
func (st *State) Reply(p *frame.Packet, v *fib.VIF, vip uint32) drop.Reason {
	a := v.Agent
	if !p.Has(frame.FlagL4) {
		if !v.Strict() || p.Has(frame.FlagFragment) && laterFragment(a, vip, p.Proto) {
			return drop.None
		}
		return drop.VIPSource
	}
	switch {
	case p.Proto == wire.ProtoTCP || p.Proto == wire.ProtoUDP:
		l4 := st.Mem[p.Off+uint32(p.L4) : p.Off+uint32(p.Len)]
		port := binary.BigEndian.Uint16(l4)
		r := find(a.Rules, vip, p.Proto, port)
		if r == nil {
			break
		}
		if r.Shared {
			if r = st.noted(p, a, r, l4); r == nil {
				return drop.ReplyUnknown
			}
		}
		st.rewrite(p, l4, port, r)
		return drop.None
	case allowedICMP(st.Mem, p):
		st.Quote(p, a)
		return drop.None
	}
	if v.Strict() {
		return drop.VIPSource
	}
	return drop.None
}

// rewrite puts the service's port into the reply, and counts it.
func (st *State) rewrite(p *frame.Packet, l4 []byte, port uint16, r *fib.ReplyRule) {
	to := r.To + (port - r.First)
	p.Flags |= frame.FlagReply
	p.OldPort = port
	if to != port {
		checksum.SetPort(l4, p.Proto, checksum.SrcPort, to)
	}
	n := p.Len
	if p.Has(frame.FlagTagged) {
		n -= wire.VLANTagLen
	}
	if r.Server != fib.None {
		st.Servers.AddPacket(int(r.Server)*stats.ServerLen+stats.ServerOut, n)
	}
	if r.Service != fib.None {
		st.Services.AddPacket(int(r.Service)*stats.ServiceLen+stats.ServiceOut, n)
	}
}

// laterFragment reports whether a VIF may send a fragment that has no ports from the VIP: fragments of ICMP, and of
// protocols for which it has a rule. Behind an IPv6 fragment header there may be another extension header than the
// protocol's.
func laterFragment(a *fib.Agent, vip uint32, proto uint8) bool {
	switch proto {
	case wire.ProtoICMP, wire.ProtoICMPv6:
		return true
	case wire.ProtoTCP, wire.ProtoUDP:
		return covers(a.Rules, vip, proto)
	case wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoDestOptions, wire.ProtoAH:
		return covers(a.Rules, vip, wire.ProtoTCP) || covers(a.Rules, vip, wire.ProtoUDP)
	}
	return false
}

// allowedICMP reports whether p is an ICMP error or an echo reply, which a server may send from a VIP.
func allowedICMP(mem []byte, p *frame.Packet) bool {
	t := mem[p.Off+uint32(p.L4)]
	if p.Has(frame.FlagIPv4) {
		return p.Proto == wire.ProtoICMP && (t == wire.ICMPv4EchoReply || error4(t))
	}
	return p.Proto == wire.ProtoICMPv6 && (t == wire.ICMPv6EchoReply || error6(t))
}

// order is the key that the rules are sorted by.
func order(vip uint32, proto uint8, port uint16) uint64 {
	return uint64(vip)<<24 | uint64(proto)<<16 | uint64(port)
}

// after returns the index of the first rule that is behind the key.
func after(rules []fib.ReplyRule, key uint64) int {
	lo, hi := 0, len(rules)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if r := &rules[mid]; order(r.VIP, r.Proto, r.First) <= key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// find returns the rule for replies from the VIP's port; of several that services share, the last one.
func find(rules []fib.ReplyRule, vip uint32, proto uint8, port uint16) *fib.ReplyRule {
	if i := after(rules, order(vip, proto, port)); i > 0 {
		if r := &rules[i-1]; r.VIP == vip && r.Proto == proto && port <= r.Last {
			return r
		}
	}
	return nil
}

// covers reports whether there is a rule for replies of the protocol from the VIP.
func covers(rules []fib.ReplyRule, vip uint32, proto uint8) bool {
	i := after(rules, order(vip, proto, 0xffff))
	return i > 0 && rules[i-1].VIP == vip && rules[i-1].Proto == proto
}
