package uplink

import (
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/keeper"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// answerTime is the time in nanoseconds after the last probe in which an answer is valid, at any interval.
const answerTime = 2_000_000_000

// twinTime is the largest time between the answers to two copies of one probe, in nanoseconds. Probes are MinInterval
// apart.
const twinTime = 2_000_000

// arp processes an ARP packet of an uplink port. It stores a gateway's answer for the Prober, answers requests for an
// address of the box or of a tenant behind a group of that network, and drops all other packets.
//
// A gateway's answer is valid if it follows a probe of the last moments and its target is the MAC and address that
// the probe came from. It may be unicast or broadcast (RFC 5227, 2.6). The next hop is the ARP sender's MAC; the
// Ethernet source may differ (a virtual router answers from its own MAC, RFC 9568, 8.1.2). arp stores the time of an
// answer from the MAC in use, and the MAC of an answer from another one, once. The Prober decides about the other
// MAC, after the MAC in use has had time to answer.
func arp(mem []byte, p *frame.Packet, s *fib.Snapshot, st *State, port *fib.Port) {
	a := wire.ARP(mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)])
	sender, senderIP, op := a.SenderMAC(), a.SenderIP(), a.Op()
	if sender == 0 || wire.GroupMAC(sender) {
		p.DropFor(drop.UplinkARPForged)
		return
	}
	if ours(s, sender) { // two ports of the box are in one Ethernet, or there is a loop
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
			p.DropFor(drop.UplinkARPForged) // another station has the box's address
			return
		case senderIP != m.IP || senderIP == 0:
		case op != wire.ARPReply || !answersProbe(p, a, s, g, m, port, st.Now):
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
		answerRequest(mem, p, a, s, port)
	}
}

// answersProbe reports whether an ARP reply answers a probe. All ports of the box in that Ethernet receive a broadcast
// reply, so that its target must be the MAC that this port probes from.
func answersProbe(
	p *frame.Packet, a wire.ARP, s *fib.Snapshot, g *fib.Group, m *fib.Member, port *fib.Port, now int64,
) bool {
	at := m.Live.Probed.Load()
	if at == 0 || now-at > max(answerTime, g.Policy.Interval) || a.TargetIP() != m.Source {
		return false
	}
	to := a.TargetMAC()
	if p.DstMAC == wire.Broadcast {
		return to == mac(s, g, p.Port)
	}
	return to == p.DstMAC && (to == g.MAC || to == port.MAC)
}

// answer stores a valid answer. It returns false if the answer cannot be right: its MAC is not the configured one, or
// is a second one besides the MAC in use.
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

// hint notes that an unsolicited packet names another MAC for a gateway. It makes the Prober send a probe, no more.
func hint(m *fib.Member, from uint64, st *State) {
	if inUse, _ := m.Live.Gateway(); inUse != from && m.Static == 0 {
		m.Live.Hint.Store(st.Now)
	}
}

// answerRequest answers, in place, a request for an address that is behind the uplink's groups in this VLAN.
func answerRequest(mem []byte, p *frame.Packet, a wire.ARP, s *fib.Snapshot, port *fib.Port) {
	target := a.TargetIP()
	for i := range port.Uplink {
		u := &port.Uplink[i]
		if u.VID != p.VID || uint64(u.Group) >= uint64(len(s.Groups)) {
			continue
		}
		g := &s.Groups[u.Group]
		if !has4(g, u, target) && !hosts4(g, s, target) {
			continue
		}
		if !speaks(g, p, func(m *fib.Member) bool { return m.IP == a.SenderIP() }) {
			continue
		}
		from := mac(s, g, p.Port)
		requester := a.SenderMAC()
		a.Set(wire.ARPReply, from, target, requester, a.SenderIP())
		e := wire.Ethernet(p.Bytes(mem)) // the tag, if there is one, stays
		e.SetDst(requester)
		e.SetSrc(from)
		p.SendTo(p.Port)
		return
	}
	p.DropFor(drop.UplinkARPForeign)
}

// speaks reports whether the box answers a question here: a gateway's on its member's own port, anybody else's on the
// active member's. Where two ports are in one Ethernet both hear it, and two answers would give two MACs.
func speaks(g *fib.Group, p *frame.Packet, requester func(*fib.Member) bool) bool {
	known := false
	for i := range g.Members {
		m := &g.Members[i]
		if m.Live == nil || !requester(m) {
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

// ours reports whether mac is the MAC of an uplink port of the box, or of a group.
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
	return ok && loc < fib.GroupLoc(0) || n.RouterIP == ip && ip != 0
}
