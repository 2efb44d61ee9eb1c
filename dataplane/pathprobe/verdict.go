package pathprobe

import "penstock/dataplane/liveness"

// Judge gives the verdict on the last probe of a path.
//
// A probe that is not answered says that the path or the box is dead. A path is taken for dead only if the box that was
// silent on it has answered a later probe over another path. So a box that dies, one that does not know probes, and a
// machine that stands still take no path down.
func (r *Prober) Judge(now int64, id uint32) {
	p := &r.paths[id]
	g := &r.groups[p.group]
	if g.boxes[p.slot].number == 0 {
		return // taken away meanwhile
	}
	lost := p.live.Lost.Load() << 1
	dead := g.boxes[p.slot].dead // what it does not answer says nothing about the path
	if at := p.live.Asked[p.slot].Answered.Load(); at > p.judged[p.slot] {
		p.judged[p.slot] = at
		p.live.Lost.Store(lost)
		p.live.Answers.Add(1)
		r.answered(now, id, at)
		return
	}
	if !dead {
		p.live.Lost.Store(lost | 1)
		p.live.Missed.Add(1)
		r.unanswered(now, id)
	}
}

// answered is the verdict that the box in the path's slot has answered its probe with sequence at.
func (r *Prober) answered(now int64, id uint32, at int64) {
	p := &r.paths[id]
	g := &r.groups[p.group]
	b := &g.boxes[p.slot]
	b.answered, b.run = max(b.answered, at), 0
	if b.dead {
		b.dead = false
		r.Events.Put(Event{Kind: BoxAlive, Time: now, Switch: g.mac, Number: b.number})
	}
	r.heard(now, g)
	p.bad, p.missed = 0, [len(p.missed)]int64{}
	r.settle(g, p)
	r.tell(now, id, p.target.Answer(now, &r.policy))
	if g.waits == 0 {
		return
	}
	for _, other := range g.paths {
		if q := &r.paths[other]; q.waits && r.proved(q) && !q.heard() {
			r.settle(g, q)
			r.tell(now, other, q.target.Miss(now, &r.policy))
		}
	}
}

// unanswered is the verdict that the last probe of a path was not answered.
func (r *Prober) unanswered(now int64, id uint32) {
	p := &r.paths[id]
	g := &r.groups[p.group]
	b := &g.boxes[p.slot]
	seq := p.live.Asked[p.slot].Sent.Load()
	if b.run == 0 {
		b.first = seq
	}
	b.run++
	if r.dies(now, g, p.slot) {
		return
	}
	p.bad++
	if p.missed[p.slot] == 0 {
		p.missed[p.slot] = seq
	}
	switch {
	case p.bad < r.policy.Misses, p.target.Health() == liveness.Down, r.proved(p):
		r.settle(g, p)
		r.tell(now, id, p.target.Miss(now, &r.policy))
	case !p.waits:
		p.waits = true
		g.waits++
	}
}

// settle ends a path's wait for a sign of life of the box.
func (r *Prober) settle(g *group, p *path) {
	if p.waits {
		p.waits = false
		g.waits--
	}
}

// proved reports whether a box that is silent on the path has answered a later probe over another one.
func (r *Prober) proved(p *path) bool {
	for i := range p.missed {
		if p.missed[i] != 0 && r.groups[p.group].boxes[i].answered > p.missed[i] {
			return true
		}
	}
	return false
}

// heard reports whether an answer has come on which there is no verdict yet.
func (p *path) heard() bool {
	for i := range p.judged {
		if p.live.Asked[i].Answered.Load() > p.judged[i] {
			return true
		}
	}
	return false
}

// all is how many probes in a row a box leaves unanswered if it is silent on all paths of the group.
func (r *Prober) all(g *group) uint32 {
	n := uint32(0)
	for _, id := range g.paths {
		if r.paths[id].runs {
			n++
		}
	}
	return max(n, 1) * r.policy.Misses
}

// dies decides on a box that has not answered: silent on all paths, it is dead if the other box has answered since;
// otherwise the switch is silent. It reports whether the box is dead.
func (r *Prober) dies(now int64, g *group, slot int) bool {
	b, other := &g.boxes[slot], &g.boxes[1-slot]
	all, both := r.all(g), other.number != 0 && !other.dead
	if b.run < all {
		return false
	}
	if both && other.run == 0 && other.answered > b.first {
		b.dead, b.tryAt = true, now+idleEvery
		for _, id := range g.paths { // what was held against the paths was the box's
			r.paths[id].missed[slot] = 0
		}
		r.Events.Put(Event{Kind: BoxDead, Time: now, Switch: g.mac, Number: b.number})
		return true
	}
	if both && other.run < all {
		return false
	}
	if !g.silent && (b.answered != 0 || other.answered != 0) {
		g.silent = true
		r.Events.Put(Event{Kind: SwitchSilent, Time: now, Switch: g.mac, Number: b.number, Both: both})
	}
	return false
}

// heard ends the silence of a switch.
func (r *Prober) heard(now int64, g *group) {
	if g.silent {
		g.silent = false
		r.Events.Put(Event{Kind: SwitchHeard, Time: now, Switch: g.mac})
	}
}

// publish shows a path's state to everybody, and sets its timer.
func (r *Prober) publish(id uint32) {
	p := &r.paths[id]
	since, why, held, fails := p.target.Detail()
	p.live.State.Store(uint32(p.target.State()))
	p.live.Since.Store(since)
	p.live.Why.Store(uint32(why))
	p.live.Held.Store(held)
	p.live.Fails.Store(fails)
	p.live.Down.Store(p.target.Health() == liveness.Down)
	r.queue.SetTimer(id, p.target.Next())
}

// tell publishes a path's state, and tells control what has changed for those who use it.
func (r *Prober) tell(now int64, id uint32, c liveness.Change) {
	r.publish(id)
	if c.Why == liveness.None || c.From == liveness.Suspect && c.To == liveness.Up || c.To == liveness.Suspect {
		return
	}
	if (c.From == liveness.Down) != (c.To == liveness.Down) {
		r.pace(now)
	}
	p := &r.paths[id]
	r.Events.Put(Event{
		Kind: PathChanged, Time: now, Path: p.live, From: c.From, To: c.To, Why: c.Why, Switch: r.groups[p.group].mac,
	})
}
