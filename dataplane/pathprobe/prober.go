package pathprobe

import (
	"math/rand/v2"
	"sync/atomic"

	"penstock/dataplane/fib"
	"penstock/dataplane/keeper"
	"penstock/dataplane/liveness"
)

// Prober probes all paths. It belongs to the first worker's thread, but Set, SetBoxes and Events.
type Prober struct {
	Events *Events
	// Traffic returns the packets that were sent by a path so far, of all workers.
	Traffic func(stat uint32) uint64
	// Clock is the time on the engine's clock, within a turn too. It is the sequence of probes.
	Clock func() int64
	// Echo is the first worker's receiving side; its Seal signs probes.
	Echo *Echo

	keeper  *keeper.Keeper
	shared  *keeper.Shared
	queue   *keeper.Queue // a target's id, and a timer's, is the path's index in Snapshot.Probes
	setting atomic.Pointer[Setting]
	boxes   atomic.Pointer[Boxes]

	snap    *fib.Snapshot
	paths   []path // by index in Snapshot.Probes
	groups  []group
	used    Setting // of the setting, what is in use
	policy  liveness.Policy
	adopted *Boxes
	stretch float64 // factor by which intervals are longer; ≥ 1
	rand    *rand.Rand
	msg     message
}

// path is a configured path.
type path struct {
	live    *fib.PathLive // nil = none
	group   int
	runs    bool // it is probed
	target  liveness.Target
	slot    int    // target of the last probe
	next    int    // of the next one
	bad     uint32 // probes in a row that were not answered
	waits   bool   // it would be down, but no other path has shown yet that the box lives
	judged  [fib.Targets]int64
	missed  [fib.Targets]int64 // sequence of the first probe since the last answer that was not answered; 0 = none
	traffic uint64             // when it was last looked at
}

// group is the paths to an edge switch.
type group struct {
	mac    uint64
	paths  []uint32
	boxes  [fib.Targets]box
	usedAt int64 // when data was last seen to go there
	used   bool
	silent bool
	waits  int // paths that wait
}

// box is a box that is probed.
type box struct {
	number   uint8 // 0 = none
	dead     bool
	answered int64  // sequence of the latest probe, over any path, that it has answered; 0 = never
	run      uint32 // probes in a row, over all paths, that it has not answered
	first    int64  // sequence of the first of them
	tryAt    int64  // when a dead box is probed again
}

// NewProber returns a Prober that probes nothing yet, served by k.
func NewProber(k *keeper.Keeper, shared *keeper.Shared) *Prober {
	r := &Prober{Events: NewEvents(), keeper: k, shared: shared, stretch: 1,
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	r.setting.Store(&Setting{})
	r.boxes.Store(&Boxes{})
	r.adopted = r.boxes.Load()
	r.queue = k.Serve(keeper.Paths, r)
	return r
}

// Set changes how paths are probed. Any thread may call it.
func (r *Prober) Set(s Setting) {
	r.setting.Store(&s)
	r.shared.Notify(keeper.Paths)
}

// SetBoxes changes which boxes are probed. Any thread may call it; b is not changed any more.
func (r *Prober) SetBoxes(b Boxes) {
	r.boxes.Store(&b)
	r.shared.Notify(keeper.Paths)
}

// Follow adopts new tables. It allocates only when the configured paths change.
func (r *Prober) Follow(now int64, s *fib.Snapshot) {
	old := r.snap
	r.snap = s
	if old != nil && len(old.Probes) == len(s.Probes) && (len(s.Probes) == 0 || &old.Probes[0] == &s.Probes[0]) {
		return
	}
	r.queue.Grow(len(s.Probes), len(s.Probes))
	for i := range r.paths {
		if i >= len(s.Probes) || r.paths[i].live != s.Probes[i].Live {
			r.stop(uint32(i))
			r.queue.SetTimer(uint32(i), keeper.Never)
			r.paths[i] = path{}
		}
	}
	if n := len(s.Probes) - len(r.paths); n > 0 {
		r.paths = append(r.paths, make([]path, n)...)
	}
	r.paths = r.paths[:len(s.Probes)]
	r.regroup(now)
	r.place()
	r.start(now)
}

// regroup puts the paths into groups by edge switch. What is known of a switch stays.
func (r *Prober) regroup(now int64) {
	known := map[uint64]*group{}
	for i := range r.groups {
		known[r.groups[i].mac] = &r.groups[i]
	}
	index := map[uint64]int{}
	var groups []group
	for i := range r.paths {
		x, p := &r.snap.Probes[i], &r.paths[i]
		if x.Live == nil {
			continue
		}
		at, ok := index[x.DstMAC]
		if !ok {
			at = len(groups)
			index[x.DstMAC] = at
			g := group{mac: x.DstMAC, usedAt: -usedFor}
			if old := known[x.DstMAC]; old != nil {
				g.boxes, g.usedAt, g.used, g.silent = old.boxes, old.usedAt, old.used, old.silent
			}
			groups = append(groups, g)
		}
		groups[at].paths = append(groups[at].paths, uint32(i))
		if p.live == nil {
			*p = path{live: x.Live, traffic: r.Traffic(uint32(i))}
			p.target, _ = liveness.New(now, true, false)
			r.publish(uint32(i))
		}
		if p.group = at; p.waits {
			groups[at].waits++
		}
	}
	for mac, g := range known {
		if _, stays := index[mac]; !stays && g.silent {
			r.Events.Put(Event{Kind: SwitchHeard, Time: now, Switch: mac})
		}
	}
	r.groups = groups
}

// place gives every group the boxes that are to be probed. A box that stays keeps what is known of it.
func (r *Prober) place() {
	for i := range r.groups {
		g := &r.groups[i]
		want, old := (*r.adopted)[g.mac], g.boxes
		for s := range want {
			g.boxes[s] = box{number: want[s]}
			for _, b := range old {
				if b.number == want[s] {
					g.boxes[s] = b
				}
			}
		}
		if g.boxes == old {
			continue
		}
		for _, id := range g.paths {
			p := &r.paths[id]
			p.missed = [fib.Targets]int64{}
			for s := range g.boxes {
				a := &p.live.Asked[s]
				if to := r.address(id, s); a.Address.Load() != to {
					a.Address.Store(0) // echoes of the box before count no more
					a.Sent.Store(0)
					a.Answered.Store(0)
					p.judged[s] = 0
				}
			}
		}
	}
}

// address is the box address of a target, 0 = none.
func (r *Prober) address(id uint32, slot int) uint32 {
	b := &r.groups[r.paths[id].group].boxes[slot]
	if b.number == 0 {
		return 0
	}
	return address(&r.snap.Probes[id], b.number)
}

// Ports starts and stops paths by the state of their ports.
func (r *Prober) Ports(now int64) { r.start(now) }

// News adopts what Set and SetBoxes have left.
func (r *Prober) News(now int64) {
	if s := *r.setting.Load(); s != r.used {
		shorter := s.Interval < r.used.Interval
		r.used, r.policy = s, s.policy()
		for i := range r.paths {
			if shorter && r.paths[i].runs {
				r.queue.Hasten(uint32(i), r.queue.Now()+s.Interval)
			}
		}
	}
	if b := r.boxes.Load(); b != r.adopted {
		r.adopted = b
		r.place()
	}
	r.start(now)
}

// start starts and stops the probing of every path, by what is known of ports, boxes and settings. The first probes are
// spread over an interval.
func (r *Prober) start(now int64) {
	for i := range r.paths {
		p, id := &r.paths[i], uint32(i)
		if p.live == nil {
			continue
		}
		port := r.snap.Probes[i].Port
		g := &r.groups[p.group]
		wanted := r.used.Interval > 0 && r.keeper.Up(port) && r.keeper.Open(port) &&
			(g.boxes[0].number != 0 || g.boxes[1].number != 0)
		switch {
		case wanted && !p.runs:
			p.runs, p.bad, p.missed = true, 0, [fib.Targets]int64{}
			r.settle(g, p)
			r.queue.Start(id, r.queue.Now()+r.rand.Int64N(r.used.Interval))
		case p.runs && !wanted:
			r.stop(id)
		}
	}
	if r.used.Interval == 0 {
		r.forget(now)
	}
	r.pace(now)
}

// stop ends the probing of a path. What is known of it stays.
func (r *Prober) stop(id uint32) {
	p := &r.paths[id]
	r.queue.Stop(id)
	p.runs = false
}

// forget makes all paths unknown, hence usable: they are not probed any more.
func (r *Prober) forget(now int64) {
	for i := range r.paths {
		p := &r.paths[i]
		if p.live == nil || p.target.Health() == liveness.Init {
			continue
		}
		from := p.target.Health()
		p.target, _ = liveness.New(now, true, false)
		r.tell(now, uint32(i), liveness.Change{From: from, To: liveness.Init, Why: liveness.Added})
	}
	for i := range r.groups {
		r.heard(now, &r.groups[i])
	}
}

// pace works out the factor by which intervals stretch, so that no more than maxRate probes a second are sent.
func (r *Prober) pace(now int64) {
	if r.used.Interval <= 0 {
		return
	}
	fast, slow := 0, 0
	for i := range r.paths {
		if p := &r.paths[i]; p.runs && r.fast(p) {
			fast++
		} else if p.runs {
			slow++
		}
	}
	rate := (float64(fast)/float64(r.used.Interval) + float64(slow)/float64(max(idleEvery, r.used.Interval))) * second
	was := r.stretch > 1
	r.stretch = max(1, rate/maxRate)
	switch is := r.stretch > 1; {
	case is && !was:
		r.Events.Put(Event{Kind: Overload, Time: now, Rate: uint64(rate)})
	case was && !is:
		r.Events.Put(Event{Kind: OverloadEnd, Time: now})
	}
}

// fast reports whether a path is probed at the configured interval.
func (r *Prober) fast(p *path) bool {
	return r.groups[p.group].used || p.target.Health() == liveness.Down
}

// interval returns the time from a path's probe to its next: 10 % more or less, so that paths do not stay in step.
func (r *Prober) interval(p *path) int64 {
	n := r.used.Interval
	if !r.fast(p) {
		n = max(n, idleEvery)
	}
	n = int64(float64(n) * r.stretch)
	return n - n/10 + r.rand.Int64N(n/5+1)
}

// watch looks whether data goes to a path's switch. If it begins, all paths to the switch are probed at once.
func (r *Prober) watch(now int64, id uint32, p *path) {
	g := &r.groups[p.group]
	if n := r.Traffic(id); n != p.traffic {
		p.traffic, g.usedAt = n, now
	}
	used := now-g.usedAt < usedFor
	if used == g.used {
		return
	}
	g.used = used
	if used {
		for i, other := range g.paths {
			spread := r.used.Interval * int64(i) / int64(len(g.paths))
			r.queue.Hasten(other, r.queue.Now()+spread)
		}
	}
	r.pace(now)
}

// choose returns the target of a path's next probe: the boxes in turn, a dead one every 3 s only. ok is false if there
// is none.
func (r *Prober) choose(now int64, p *path) (slot int, ok bool) {
	g := &r.groups[p.group]
	for i := range fib.Targets {
		slot = (p.next + i) % fib.Targets
		b := &g.boxes[slot]
		switch {
		case b.number == 0:
		case !b.dead:
			return slot, true
		case now >= b.tryAt:
			b.tryAt = now + idleEvery
			return slot, true
		}
	}
	return 0, false
}

// Ask sends the next probe of a path.
func (r *Prober) Ask(now int64, id uint32) {
	p := &r.paths[id]
	r.watch(now, id, p)
	x := &r.snap.Probes[id]
	if r.queue.Admit(id, x.Port, 1, r.interval(p)) != keeper.Admitted {
		return // a ring that is full says nothing about the path
	}
	slot, ok := r.choose(now, p)
	if !ok {
		return
	}
	p.slot, p.next = slot, (slot+1)%fib.Targets
	seq := max(r.Clock(), 1)
	a := &p.live.Asked[slot]
	a.Address.Store(r.address(id, slot))
	a.Sent.Store(seq)
	r.keeper.Send(x.Port, r.msg.probe(x, id, r.groups[p.group].boxes[slot].number, seq, r.Echo.seal.Load()))
	r.queue.Sent(id)
	p.live.Probes.Add(1)
}

// Late counts a probe whose timer ran late.
func (r *Prober) Late(id uint32) { r.paths[id].live.Late.Add(1) }

// Timer ends a path's hold time.
func (r *Prober) Timer(now int64, id uint32) {
	p := &r.paths[id]
	if p.live != nil {
		r.tell(now, id, p.target.Tick(now, &r.policy))
	}
}
