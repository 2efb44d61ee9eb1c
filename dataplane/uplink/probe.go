package uplink

import (
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/wire"
)

// How often a gateway is asked by broadcast, in nanoseconds: while its group has nobody else, and otherwise.
const (
	broadcastSoon  = 200_000_000
	broadcastEvery = 1_000_000_000
)

// probeFrames is how many frames a probe takes at most.
const probeFrames = 3

// trialEvery is how often a gateway that answers broadcasts alone is asked by unicast again, in nanoseconds.
const trialEvery = 60_000_000_000

// ways is a set of the ways to ask a gateway.
type ways uint8

// The ways.
const (
	unicast ways = 1 << iota
	broadcast
	both = unicast | broadcast
)

// jammedRetry is when a probe is tried again for which the transmit ring had no room, in nanoseconds.
const jammedRetry = 1_000_000

// prober asks one member's gateway.
type prober struct {
	live        *fib.MemberLive // nil = no member
	known, up   bool            // its port
	open        bool            // its port likewise: gateways can be asked
	asked       bool            // a probe is out
	grace       bool            // its answer has been given more time, since the timer was late
	hinted      int64           // fib.MemberLive.Hint, when last looked at
	askedAt     int64           // time of that probe
	judged      int64           // time of the last verdict: what was heard since counts for the next
	pending     int64           // when the time of the probe was up, while the verdict waits for Clean; 0 = it does not
	due         int64           // on the probes' clock: when the next probe is due
	jammed      int64           // for how long there has been no room for it and nothing has moved, on the probes' clock
	taken       uint32          // frames that the kernel had taken from the port's ring when that began
	broadcastAt int64           // when it may be asked by broadcast
	conflictAt  int64           // when another MAC that answers is told of again
	excused     uint32          // misses in a row that data made not count
	silent      uint32          // probes in a row that the MAC in use left unanswered, excused or not

	usual   ways   // how the gateway is asked as long as it answers; 0 = unicast
	how     ways   // how it was asked last
	trial   bool   // … which was a trial of unicast: no answer is no miss
	trialAt int64  // when the next trial is due
	lone    bool   // a probe in the usual way alone has not been answered
	turns   uint32 // how often one in both ways was answered after such a one
	twin    int64  // fib.MemberLive.Twin, when last looked at

	rtt timing
}

// way is how the gateway is asked as long as it answers.
func (p *prober) way() ways { return max(p.usual, unicast) }

// asks reports whether the member's gateway is asked, and judged by what it answers.
func (p *prober) asks() bool { return p.live != nil && p.up && p.open }

// conflictEvery is how often control is told that two stations have a gateway's IP, in nanoseconds.
const conflictEvery = 10_000_000_000

// most is how many members are dealt with in one turn.
const most = 32

// probe judges and asks the members whose time has come.
func (k *Keeper) probe(now int64) {
	left := most
	for _, g := range k.groups {
		if g == nil {
			continue
		}
		touched := false
		for slot := range g.members {
			p := &g.members[slot]
			if !p.asks() || left == 0 {
				continue
			}
			switch {
			case p.pending != 0:
				if !k.Clean(p.pending) {
					continue
				}
				p.pending = 0
				k.judge(now, g, uint32(slot))
			case k.clock < p.due:
				continue
			default:
				if k.late {
					p.live.Late.Add(1)
					if p.asked && !p.grace { // the answer may have arrived, but not been received yet
						p.grace, p.due = true, k.clock+slack
						continue
					}
				}
				if p.asked { // what has arrived by now must have been looked at before it is a miss
					p.pending = now
					continue
				}
			}
			touched = true
			left--
			if p.asks() { // the verdict cannot change that, but a port's fault may have come between
				k.ask(now, g, uint32(slot))
			}
		}
		if touched {
			k.show(g)
		}
	}
	k.schedule()
}

// judge gives the verdict on the last probe of a member.
func (k *Keeper) judge(now int64, g *group, slot uint32) {
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
				k.tell(now, g, gateway.Event{Kind: gateway.MACConflict, Member: slot, MAC: other, OldMAC: inUse})
			}
		case inUse != 0 && p.silent == 0 && g.machine.Health(slot) == gateway.Up:
			// One lost answer is not enough: the next probe asks everybody. Whatever data comes does not matter.
		default:
			l.Other.Store(0)
			k.learn(now, g, slot, other)
			answered = true
		}
	}
	if answered {
		k.answered(now, g, slot)
		return
	}
	k.unanswered(now, g, slot)
}

// unanswered is the verdict on a probe without an answer: a miss, unless data makes up for it.
func (k *Keeper) unanswered(now int64, g *group, slot uint32) {
	p, policy := &g.members[slot], &g.table.Policy
	l := p.live
	if p.trial && p.asked {
		p.trial, p.asked, p.judged = false, false, now
		return
	}
	if p.asked { // otherwise the ring was jammed
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
	p.judged, p.asked = max(now, data), false
}

// answered is the verdict that a member's gateway is there.
func (k *Keeper) answered(now int64, g *group, slot uint32) {
	p := &g.members[slot]
	at := p.live.Answered.Load()
	p.rtt.measure(p.live, p.askedAt, max(g.table.Policy.Interval, gateway.MinInterval))
	p.learnWay(now)
	p.live.Answers.Add(1)
	p.silent, p.trial = 0, false
	p.excused, p.judged, p.asked, p.pending = 0, max(now, at), false, 0
	g.machine.Answer(now, slot)
}

// eager gives a verdict that cannot wait: the gateway has answered, and nothing else carries the group's traffic.
func (k *Keeper) eager(now int64, g *group, slot uint32) {
	p := &g.members[slot]
	if !p.asks() || !p.live.Eager() {
		return
	}
	if mac, _ := p.live.Gateway(); mac == 0 {
		other := p.live.Other.Swap(0)
		if other == 0 {
			return
		}
		k.learn(now, g, slot, other)
		p.live.Answered.Store(now)
	} else if p.live.Answered.Load() <= p.judged {
		return
	}
	k.answered(now, g, slot)
}

// learn takes over a gateway's MAC.
func (k *Keeper) learn(now int64, g *group, slot uint32, mac uint64) {
	l := g.members[slot].live
	old, _ := l.Gateway()
	l.SetGateway(mac, g.machine.Health(slot) != gateway.Down, l.Eager())
	kind := gateway.MACChanged
	if old == 0 {
		kind = gateway.MACLearned
	}
	k.tell(now, g, gateway.Event{Kind: kind, Member: slot, MAC: mac, OldMAC: old})
	me := &g.table.Members[slot]
	for i := range g.table.Members {
		m := &g.table.Members[i]
		if m.Live == nil || m.Live == l || m.Port != me.Port || m.VID != me.VID {
			continue
		}
		if of, _ := m.Live.Gateway(); of == mac {
			k.tell(now, g, gateway.Event{Kind: gateway.MACShared, Member: slot, Other: uint32(i), MAC: mac})
		}
	}
}

func (k *Keeper) tell(now int64, g *group, e gateway.Event) {
	e.Time, e.Group, e.Old = now, g.index, gateway.None
	if e.Kind != gateway.MACShared {
		e.Other = gateway.None
	}
	k.Events.Put(e)
}

// ask sends the next probe to a member's gateway: to its MAC, and, while that is not known or does not answer, now and
// then to everybody.
func (k *Keeper) ask(now int64, g *group, slot uint32) {
	p, m := &g.members[slot], &g.table.Members[slot]
	interval := max(g.table.Policy.Interval, gateway.MinInterval)
	if k.Room(m.Port) < probeFrames {
		// A full ring is the box's fault, and no probe is no miss; unless nothing moves for a whole interval.
		p.due = k.clock + jammedRetry
		var stuck bool
		if stuck, p.taken = k.Stuck(m.Port, p.taken); !stuck {
			p.jammed = 0
		} else if p.jammed += jammedRetry; p.jammed >= interval {
			p.jammed = 0
			k.unanswered(now, g, slot)
		}
		return
	}
	p.jammed = 0
	p.due += interval
	if p.due <= k.clock { // no probe is made up for
		p.due = k.clock + interval
	}
	from := mac(k.snap, g.table, m.Port)
	to, _ := p.live.Gateway()
	how := k.ways(now, g, slot)
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
		k.Send(m.Port, k.msg.arpRequest(dst, from, m.VID, m.Source, m.IP))
		if twice {
			k.Send(m.Port, k.msg.arpRequest(dst, from, m.VID, m.Source, m.IP))
		}
	}
	p.how, p.asked, p.askedAt, p.grace = how, true, now, false
	p.live.Asked.Store(now)
	p.live.Probes.Add(1)
}

// ways decides how a member's gateway is asked now: in the way that it answers; in both, while it is in doubt; by broadcast,
// which everybody hears, no more often than it must. 0 = not at all: it is not resolved, and everybody has just been asked.
func (k *Keeper) ways(now int64, g *group, slot uint32) ways {
	p, m := &g.members[slot], &g.table.Members[slot]
	to, _ := p.live.Gateway()
	hinted := p.live.Hint.Load() != p.hinted
	doubt := p.silent > 0 || g.machine.Health(slot) == gateway.Down
	usual := p.way()
	loud := now >= p.broadcastAt || to != 0 && p.silent <= g.table.Policy.Misses && (p.silent > 0 || usual == broadcast)
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

// learnWay draws from an answer in which way the gateway answers: if twice a probe in the usual way alone was lost and one in
// both ways answered, once, and none in the usual way alone was for certain in between, the other way is the usual one from
// then on. An answer may be a late one to an earlier probe; that is not certain.
func (p *prober) learnWay(now int64) {
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
