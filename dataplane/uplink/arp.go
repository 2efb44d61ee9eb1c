package uplink

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// answerTime is how long after the last probe an answer is still taken for one, in nanoseconds, whatever the interval.
const answerTime = 2_000_000_000

// twinTime is how far apart the answers to two copies of one probe may be, in nanoseconds. Probes are MinInterval apart.
const twinTime = 2_000_000

// arp takes an ARP packet of an uplink port. A gateway's answer is noted for the Prober; who asks for an address of the
// box or of a tenant behind a group of that network gets an answer; everything else is dropped.
//
// An answer counts only if it is one: to a question of the last moment, from the box's MAC and address. It may be addressed
// to that MAC or broadcast (RFC 5227, 2.6). The next hop is the ARP sender's MAC; the Ethernet source may be another one
// (a virtual router answers from its own MAC, RFC 9568, 8.1.2). Then it is noted in the member's words: of the MAC that is
// in use the time, of any other MAC the MAC, once. What becomes of another MAC the Prober decides, after the one in use has
// had its time to answer.
func arp(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port) {
	a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	sender, senderIP, op := a.SenderMAC(), a.SenderIP(), a.Op()
	if sender == 0 || wire.GroupMAC(sender) {
		p.DropFor(drop.UplinkARPForged)
		return
	}
	if ours(s, sender) { // two of our ports are in one Ethernet, or a loop
		p.DropFor(drop.UplinkLoop)
		return
	}
	why := drop.UplinkARPUnasked
	for i := range port.Uplink {
		u := &port.Uplink[i]
		if u.VID != p.VID || uint64(u.Group) >= uint64(len(s.Groups)) {
			continue
		}
		g := &s.Groups[u.Group]
		if uint64(u.Slot) >= uint64(len(g.Members)) || g.Members[u.Slot].Live == nil {
			continue
		}
		m := &g.Members[u.Slot]
		switch {
		case senderIP != 0 && (senderIP == m.Source || senderIP == g.IP4):
			p.DropFor(drop.UplinkARPForged) // another station has our address
			return
		case senderIP != m.IP || senderIP == 0:
		case op != wire.ARPReply || !asked(p, a, s, g, m, port, st.Now):
			hint(m, sender, st)
		case answer(m, sender, st): // one gateway may be a member of several groups
			p.Next = frame.NextTaken
		default:
			why = drop.UplinkARPForged
		}
	}
	switch {
	case p.Next == frame.NextTaken:
	case op != wire.ARPRequest || a.TargetIP() == senderIP:
		p.DropFor(why)
	default:
		question(mem, p, a, s, port)
	}
}

// asked reports whether an ARP reply answers a probe. One to all is heard by all our ports in that Ethernet, so it has to
// name the very MAC that asks by this one.
func asked(p *frame.Packet, a wire.ARP, s *fib.Snapshot, g *fib.Group, m *fib.Member, port *fib.Port, now int64) bool {
	at := m.Live.Asked.Load()
	if at == 0 || now-at > max(answerTime, g.Policy.Interval) || a.TargetIP() != m.Source {
		return false
	}
	to := a.TargetMAC()
	if p.DstMAC == wire.Broadcast {
		return to == mac(s, g, p.Port)
	}
	return to == p.DstMAC && (to == g.MAC || to == port.MAC)
}

// answer notes a valid answer. It returns false if that cannot be: another MAC than the configured one, or a second one
// besides the one in use.
func answer(m *fib.Member, from uint64, st *State) bool {
	l := m.Live
	inUse, _ := l.Gateway()
	switch {
	case inUse == from:
		now := st.Clock()
		if before := l.Answered.Load(); before != 0 && now-before < twinTime {
			l.Twin.Store(before)
		}
		l.Answered.Store(now)
		if l.Eager() {
			st.Shared.Notify(keeper.Gateways)
		}
	case m.Static != 0 || !l.Other.CompareAndSwap(0, from):
		return false
	case inUse == 0:
		st.Shared.Notify(keeper.Gateways)
	}
	return true
}

// hint notes that somebody says, unasked, that a gateway has another MAC: worth a question, no more.
func hint(m *fib.Member, from uint64, st *State) {
	if inUse, _ := m.Live.Gateway(); inUse != from && m.Static == 0 {
		m.Live.Hint.Store(st.Now)
	}
}

// question answers, in place, who asks for an address that is behind the uplink's groups in this VLAN.
func question(mem []byte, p *frame.Packet, a wire.ARP, s *fib.Snapshot, port *fib.Port) {
	target := a.TargetIP()
	for i := range port.Uplink {
		u := &port.Uplink[i]
		if u.VID != p.VID || uint64(u.Group) >= uint64(len(s.Groups)) {
			continue
		}
		g := &s.Groups[u.Group]
		if !has4(g, u, target) && !hosts4(g, s, target) || !speaks(g, p, func(m *fib.Member) bool { return m.IP == a.SenderIP() }) {
			continue
		}
		from := mac(s, g, p.Port)
		asker := a.SenderMAC()
		a.Set(wire.ARPReply, from, target, asker, a.SenderIP())
		e := wire.Ethernet(p.Bytes(mem)) // the tag, if there is one, stays
		e.SetDst(asker)
		e.SetSrc(from)
		p.SendTo(p.Port)
		return
	}
	p.DropFor(drop.UplinkARPForeign)
}

// speaks reports whether the box answers a question here: a gateway's on its member's own port, anybody else's on the
// active member's. Where two ports are in one Ethernet both hear it, and two answers would give two MACs.
func speaks(g *fib.Group, p *frame.Packet, asker func(*fib.Member) bool) bool {
	known := false
	for i := range g.Members {
		m := &g.Members[i]
		if m.Live == nil || !asker(m) {
			continue
		}
		if m.Port == p.Port && m.VID == p.VID {
			return true
		}
		known = true
	}
	a := g.Live.Active.Load()
	return !known && (uint64(a) >= uint64(len(g.Members)) || g.Members[a].Port == p.Port)
}

// ours reports whether mac is an uplink's own, or a group's.
func ours(s *fib.Snapshot, mac uint64) bool {
	for i := range s.Ports {
		if s.Ports[i].Role == fib.RoleUplink && s.Ports[i].MAC == mac {
			return true
		}
	}
	for i := range s.Groups {
		if s.Groups[i].MAC == mac && s.Groups[i].Live != nil {
			return true
		}
	}
	return false
}

// has4 reports whether ip is an address of the group itself.
func has4(g *fib.Group, u *fib.UplinkMember, ip uint32) bool {
	return ip != 0 && (ip == g.IP4 || uint64(u.Slot) < uint64(len(g.Members)) && ip == g.Members[u.Slot].Source)
}

// hosts4 reports whether ip is the address of a tenant's VIF, or router, behind the group.
func hosts4(g *fib.Group, s *fib.Snapshot, ip uint32) bool {
	n := fib.FindSubnet4(g.Subnets4, ip)
	if n == nil {
		return false
	}
	_, loc, ok := table.FindIP4(s.Bindings, s.Delta, n.Seg, ip)
	return ok && loc < fib.GatewayLoc(0) || n.RouterIP == ip && ip != 0
}
