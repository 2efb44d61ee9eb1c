package uplink

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/keeper"
	"penstock/dataplane/wire"
)

// How often a gateway is probed by broadcast, in nanoseconds: while its group has no other member, and otherwise.
const (
	broadcastSoon  = 200_000_000
	broadcastEvery = 1_000_000_000
)

// probeFrames is the number of frames of a probe at most.
const probeFrames = 3

// trialEvery is how often a gateway that answers broadcasts alone is probed by unicast again, in nanoseconds.
const trialEvery = 60_000_000_000

// ways is a set of the ways to probe a gateway.
type ways uint8

// The ways.
const (
	unicast ways = 1 << iota
	broadcast
	both = unicast | broadcast
)

// member is one member of a group, whose gateway is probed.
type member struct {
	live        *fib.MemberLive // nil = no member
	known, up   bool            // its port
	hinted      int64           // fib.MemberLive.Hint, when last checked
	probedAt    int64           // time of that probe
	judged      int64           // time of the last verdict: what arrived since counts for the next
	broadcastAt int64           // when it may be probed by broadcast
	conflictAt  int64           // when another MAC that answers is reported again
	excused     uint32          // misses in a row that data made not count
	silent      uint32          // probes in a row that the MAC in use left unanswered, excused or not

	usual   ways   // how the gateway is probed as long as it answers; 0 = unicast
	how     ways   // how it was probed last
	trial   bool   // … which was a trial of unicast: no answer is no miss
	trialAt int64  // when the next trial is due
	lone    bool   // a probe in the usual way alone has not been answered
	turns   uint32 // how often one in both ways was answered after such a one
	twin    int64  // fib.MemberLive.Twin, when last checked

	rtt timing
}

// way is how the gateway is probed as long as it answers.
func (p *member) way() ways { return max(p.usual, unicast) }

// conflictEvery is how often the event that two stations have a gateway's IP is emitted, in nanoseconds.
const conflictEvery = 10_000_000_000

// Late counts a probe whose timer ran late.
func (r *Prober) Late(id uint32) {
	g, slot := r.target(id)
	g.members[slot].live.Late.Add(1)
}

// Judge gives the verdict on the last probe of a member.
func (r *Prober) Judge(now int64, id uint32) {
	g, slot := r.target(id)
	r.judge(now, g, slot)
	r.show(g)
}

// target returns the group and the slot of a target that is probed: there is a member in it.
func (r *Prober) target(id uint32) (g *group, slot uint32) {
	return r.groups[id/gateway.MaxMembers], id % gateway.MaxMembers
}

func (r *Prober) judge(now int64, g *group, slot uint32) {
	p := &g.members[slot]
	l := p.live
	answered := l.Answered.Load() > p.judged
	if other := l.Other.Load(); other != 0 {
		inUse, _ := l.Gateway()
		switch {
		case inUse != 0 && answered:
			l.Other.Store(0)
			if now >= p.conflictAt {
				p.conflictAt = now + conflictEvery
				r.emit(now, g, gateway.Event{Kind: gateway.MACConflict, Member: slot, MAC: other, OldMAC: inUse})
			}
		case inUse != 0 && p.silent == 0 && g.machine.Health(slot) == gateway.Up:
			// One lost answer is not enough: the next probe is a broadcast as well. Data does not count here.
		default:
			l.Other.Store(0)
			r.learn(now, g, slot, other)
			answered = true
		}
	}
	if answered {
		r.answered(now, g, slot)
		return
	}
	r.unanswered(now, g, slot, true)
}

// unanswered is the verdict on a probe without an answer: a miss, unless data excuses it. sent is false if the
// transmit ring had no room for the probe.
func (r *Prober) unanswered(now int64, g *group, slot uint32, sent bool) {
	p, policy := &g.members[slot], &g.table.Policy
	l := p.live
	if p.trial && sent {
		p.trial, p.judged = false, now
		return
	}
	if sent {
		p.silent++
		p.lone = p.lone || p.how == p.way()
		p.rtt.unsure = true
	}
	data := l.Data.Load()
	if policy.DataLiveness && data > p.judged && (policy.DataMax == 0 || p.excused < policy.DataMax) {
		p.excused++
		l.Excused.Add(1)
		g.machine.Data(now, slot)
	} else {
		l.Missed.Add(1)
		g.machine.Miss(now, slot)
	}
	p.judged = max(now, data)
}

// answered is the verdict that a member's gateway has answered.
func (r *Prober) answered(now int64, g *group, slot uint32) {
	p := &g.members[slot]
	at := p.live.Answered.Load()
	p.rtt.measure(p.live, p.probedAt, max(g.table.Policy.Interval, gateway.MinInterval))
	p.learnWay(now)
	p.live.Answers.Add(1)
	p.silent, p.trial = 0, false
	p.excused, p.judged = 0, max(now, at)
	r.queue.Settle(g.id(slot))
	g.machine.Answer(now, slot)
}

// hasten gives the urgent verdicts, and reports whether there was one.
func (r *Prober) hasten(now int64, g *group) (any bool) {
	for slot := range g.members {
		any = r.eager(now, g, uint32(slot)) || any
	}
	return any
}

// eager gives an urgent verdict: the gateway has answered, and no other member carries the group's traffic.
func (r *Prober) eager(now int64, g *group, slot uint32) bool {
	p := &g.members[slot]
	if p.live == nil || !p.live.Eager() || !r.queue.Runs(g.id(slot)) {
		return false
	}
	if mac, _ := p.live.Gateway(); mac == 0 {
		other := p.live.Other.Swap(0)
		if other == 0 {
			return false
		}
		r.learn(now, g, slot, other)
		p.live.Answered.Store(now)
	} else if p.live.Answered.Load() <= p.judged {
		return false
	}
	r.answered(now, g, slot)
	return true
}

// learn adopts a gateway's MAC.
func (r *Prober) learn(now int64, g *group, slot uint32, mac uint64) {
	l := g.members[slot].live
	old, _ := l.Gateway()
	l.SetGateway(mac, g.machine.Health(slot) != gateway.Down, l.Eager())
	kind := gateway.MACChanged
	if old == 0 {
		kind = gateway.MACLearned
	}
	r.emit(now, g, gateway.Event{Kind: kind, Member: slot, MAC: mac, OldMAC: old})
	me := &g.table.Members[slot]
	for i := range g.table.Members {
		m := &g.table.Members[i]
		if m.Live == nil || m.Live == l || m.Port != me.Port || m.VID != me.VID {
			continue
		}
		if of, _ := m.Live.Gateway(); of == mac {
			r.emit(now, g, gateway.Event{Kind: gateway.MACShared, Member: slot, Other: uint32(i), MAC: mac})
		}
	}
}

// emit completes an event and puts it into the ring for control.
func (r *Prober) emit(now int64, g *group, e gateway.Event) {
	e.Time, e.Group, e.Old = now, g.index, gateway.None
	if e.Kind != gateway.MACShared {
		e.Other = gateway.None
	}
	r.Events.Put(e)
}

// Ask sends the next probe to a member's gateway: to its MAC, and, while that is not known or does not answer, now and
// then by broadcast.
func (r *Prober) Ask(now int64, id uint32) {
	g, slot := r.target(id)
	p, m := &g.members[slot], &g.table.Members[slot]
	switch r.queue.Admit(id, m.Port, probeFrames, max(g.table.Policy.Interval, gateway.MinInterval)) {
	case keeper.Stuck:
		r.unanswered(now, g, slot, false)
		r.show(g)
		return
	case keeper.Delayed:
		return
	}
	from := mac(r.snap, g.table, m.Port)
	to, _ := p.live.Gateway()
	how := r.ways(now, g, slot)
	if how == 0 {
		return
	}
	twice := p.rtt.pair(now, how == both)
	for _, way := range [...]ways{unicast, broadcast} {
		dst := to
		if way == broadcast {
			dst = wire.Broadcast
		}
		if how&way == 0 {
			continue
		}
		r.keeper.Send(m.Port, r.msg.arpRequest(dst, from, m.VID, m.Source, m.IP))
		if twice {
			r.keeper.Send(m.Port, r.msg.arpRequest(dst, from, m.VID, m.Source, m.IP))
		}
	}
	p.how, p.probedAt = how, now
	r.queue.Sent(id)
	p.live.Probed.Store(now)
	p.live.Probes.Add(1)
}

// ways decides how a member's gateway is probed now: in the way that it answers; in both, while it is in doubt; by
// broadcast, which every station receives, no more often than it must. 0 = not at all: it is not resolved, and a
// broadcast has just been sent.
func (r *Prober) ways(now int64, g *group, slot uint32) ways {
	p, m := &g.members[slot], &g.table.Members[slot]
	to, _ := p.live.Gateway()
	hinted := p.live.Hint.Load() != p.hinted
	doubt := p.silent > 0 || g.machine.Health(slot) == gateway.Down
	usual := p.way()
	loud := now >= p.broadcastAt ||
		to != 0 && p.silent <= g.table.Policy.Misses && (p.silent > 0 || usual == broadcast)
	how := unicast
	switch {
	case to == 0:
		how = broadcast
	case doubt || hinted:
		how = both
	case usual == broadcast && now >= p.trialAt && !p.rtt.unsure:
		p.trial, p.trialAt = true, now+trialEvery
	default:
		how = usual
	}
	if m.Static != 0 || !loud {
		how &= unicast
	}
	if how&broadcast != 0 {
		p.hinted = p.live.Hint.Load()
		p.broadcastAt = now + broadcastEvery
		if active, _, _ := g.machine.Active(); active == gateway.None || active == slot {
			p.broadcastAt = now + broadcastSoon
		}
	}
	return how
}

// learnWay derives from an answer the way in which the gateway answers: if twice a probe in the usual way alone was
// lost and one in both ways answered, once, and none in the usual way alone was for certain in between, the other way
// is the usual one from then on. An answer may be a late one to an earlier probe; that is not certain.
func (p *member) learnWay(now int64) {
	twin := p.live.Twin.Load()
	twice := twin != p.twin && now-p.rtt.paired > answerTime // to a probe that was sent in both ways
	p.twin = twin
	switch {
	case p.trial:
		p.usual = unicast
	case twice, p.how == p.way() && (!p.rtt.unsure || now-p.rtt.twice > answerTime):
		p.turns, p.lone = 0, false
	case p.how == both && p.lone:
		p.lone = false
		if p.turns++; p.turns >= 2 {
			p.usual, p.turns, p.trialAt = both&^p.way(), 0, now+trialEvery
		}
	}
}
