package uplink

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/keeper"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// Bounds of one step of the announcements: frames sent, at least and at most as many as the rate gives from one step
// to the next, and addresses looked up.
const (
	stepFrames  = 8
	mostFrames  = 64
	stepLookups = 128
)

// never is the time of an event that does not occur.
const never = keeper.Never

// stepEvery is the time from one step to the next at least, in nanoseconds.
const stepEvery = 1_000_000

// again is the time between the first rounds after a switch, in nanoseconds; then Policy.AnnounceInterval applies.
var again = [...]int64{1_000_000_000, 2_000_000_000}

// announcer announces the addresses behind a group to the network of the active member: they are at the virtual MAC,
// behind this port. It sends:
//
//	RARP for the virtual MAC: for the switches
//	gratuitous ARP for the box's addresses: the group's, and the source of the probes
//	gratuitous ARP, in segments of which the group is a station, for every address that has a binding; unsolicited
//	neighbour advertisements for IPv6 addresses of VIFs of this box (those of other boxes cannot be found by going
//	through a /64)
type announcer struct {
	next   int64 // when the next step is due
	round  int   // of the burst
	count  uint64
	stage  int // stage of the round
	subnet int
	addr   uint32
	vif    int
}

// The stages of a round.
const (
	stageOwn = iota
	stageSubnets
	stageVIFs
	stageEnd
)

// start begins a burst, after a switch to a member.
func (a *announcer) start(now int64, active uint32) {
	*a = announcer{next: now}
	if active == gateway.None {
		a.next = never
	}
}

// announce takes one step of the present round.
func (r *Prober) announce(now int64, g *group) {
	a := &g.round
	active, _, _ := g.machine.Active()
	if active == gateway.None {
		a.next = never
		return
	}
	m := &g.table.Members[active]
	room := r.keeper.Room(m.Port) - probeFrames // probes go first
	if room < stepFrames {
		a.next = now + keeper.Retry
		return
	}
	rate := max(int64(g.table.Policy.AnnounceRate), 1)
	most := int(min(max((rate*stepEvery+999_999_999)/1_000_000_000, stepFrames), mostFrames, int64(room)))
	sent := 0
	switch a.stage {
	case stageOwn:
		sent = r.announceOwn(g, m)
		a.stage, a.subnet, a.addr = stageSubnets, 0, 0
	case stageSubnets:
		sent = r.announceSubnets(g, m, most)
	case stageVIFs:
		sent = r.announceVIFs(g, m, most)
	}
	a.count += uint64(sent)
	g.live.Announced.Add(uint64(sent))
	if a.stage < stageEnd {
		a.next = now + max(int64(sent)*1_000_000_000/rate, stepEvery)
		return
	}
	if a.round == 0 {
		r.emit(now, g, gateway.Event{Kind: gateway.AnnounceFinish, Member: active, Count: a.count})
	}
	pause := g.table.Policy.AnnounceInterval
	if a.round < len(again) {
		pause = again[a.round]
	}
	a.round, a.stage, a.count, a.vif = a.round+1, stageOwn, 0, 0
	a.next = never
	if pause > 0 {
		a.next = now + pause
	}
}

func (r *Prober) announceOwn(g *group, m *fib.Member) (sent int) {
	t := g.table
	r.keeper.Send(m.Port, r.msg.rarp(t.MAC, m.VID))
	sent++
	if m.Source != 0 {
		r.keeper.Send(m.Port, r.msg.announce(t.MAC, m.VID, m.Source))
		sent++
	}
	if t.IP4 != 0 && t.IP4 != m.Source {
		r.keeper.Send(m.Port, r.msg.announce(t.MAC, m.VID, t.IP4))
		sent++
	}
	for _, ip := range [...][2]uint64{m.Source6, t.IP6} {
		if !wire.Unspecified6(ip) {
			r.keeper.Send(m.Port, r.msg.advertise(t.MAC, m.VID, ip))
			sent++
		}
	}
	return sent
}

// announceSubnets continues with the IPv4 subnets of segments of which the group is a station.
func (r *Prober) announceSubnets(g *group, m *fib.Member, most int) (sent int) {
	a, t, s := &g.round, g.table, r.snap
	for lookups := 0; lookups < stepLookups && sent < most; lookups++ {
		if a.subnet >= len(t.Subnets4) {
			a.stage = stageVIFs
			break
		}
		n := &t.Subnets4[a.subnet]
		ip := max(a.addr, n.Start)
		if ip > n.End || s.Segments[n.Seg].Gateway != g.index {
			a.subnet++
			continue
		}
		if a.addr = ip + 1; ip == n.End {
			a.subnet++
		}
		if _, loc, ok := table.FindIP4(s.Bindings, s.Delta, n.Seg, ip); ok && loc < fib.GroupLoc(0) {
			r.keeper.Send(m.Port, r.msg.announce(t.MAC, m.VID, ip))
			sent++
		}
	}
	return sent
}

// announceVIFs continues with the IPv6 addresses of this box's VIFs in segments of which the group is a station.
func (r *Prober) announceVIFs(g *group, m *fib.Member, most int) (sent int) {
	a, s := &g.round, r.snap
	for lookups := 0; lookups < stepLookups && sent < most; lookups++ {
		if a.vif >= len(s.VIFs) {
			a.stage = stageEnd
			break
		}
		v := &s.VIFs[a.vif]
		a.vif++
		if uint64(v.Seg) >= uint64(len(s.Segments)) || s.Segments[v.Seg].Gateway != g.index {
			continue
		}
		for _, ip := range v.IP6 {
			if n := fib.FindSubnet6(g.table.Subnets6, ip); n == nil || n.Seg != v.Seg {
				continue // link-local, or an address whose frames go to another tenant
			}
			r.keeper.Send(m.Port, r.msg.advertise(g.table.MAC, m.VID, ip))
			sent++
		}
	}
	return sent
}
