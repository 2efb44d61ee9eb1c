package health

import (
	"context"
	"errors"
	"net"
	"time"

	"penstock/ctrl/event"
	"penstock/ctrl/health/station"
	"penstock/dataplane/liveness"
)

const (
	// maxRunning is how many checks may be under way at once: some 100 MiB where nobody answers.
	maxRunning = 8192
	// tick is how often times that are no checks are looked at: holds, slow starts, alarms.
	tick = 100 * time.Millisecond
	// lag is by how much a wake-up may be late before checks that failed meanwhile say nothing.
	lag = 100 * time.Millisecond
	// maxVoid is how many checks in a row may say nothing. The next one counts.
	maxVoid = 10

	saveEvery = 10 * time.Second
)

// Run checks until ctx is done, and saves the states at the end.
func (c *Checker) Run(ctx context.Context) {
	told := make(chan struct{})
	go func() { c.hand(ctx); close(told) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var delay lagging
	var saved time.Time
	var ticked int64
	for ctx.Err() == nil {
		c.mu.Lock()
		now := c.cfg.Now()
		delay.note(now)
		next := c.begin(ctx, now, &delay)
		if now-ticked >= int64(tick) {
			ticked = now
			c.ticks(now)
		}
		save := c.changed && time.Since(saved) >= saveEvery
		c.mu.Unlock()
		if save {
			saved = time.Now()
			c.save()
		}
		// Never longer than a tick while checks are under way: their lateness is measured by this loop's.
		wait := min(max(time.Duration(next-c.cfg.Now()), time.Millisecond), tick)
		timer.Reset(wait)
		delay.expect(c.cfg.Now() + int64(wait))
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
	<-told
	c.save()
}

// lagging knows how late the loop was lately, in all.
type lagging struct {
	due int64
	sum time.Duration
}

func (l *lagging) expect(at int64) { l.due = at }

func (l *lagging) note(now int64) {
	if late := time.Duration(now - l.due); l.due != 0 && late > lag/2 {
		l.sum += late
	}
}

func (c *Checker) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// begin starts the checks that are due, and returns when the next one is.
func (c *Checker) begin(ctx context.Context, now int64, delay *lagging) (next int64) {
	for c.running < maxRunning {
		p, at := c.schedule.take(now)
		if p == nil {
			return at
		}
		t := p.any()
		if t == nil {
			continue
		}
		c.running++
		p.busy = true
		before, lost := delay.sum, c.lost()
		go func() {
			err := c.cfg.Probe(ctx, t)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.running--
			if ctx.Err() == nil {
				took := time.Duration(c.cfg.Now() - now)
				busy := delay.sum-before > lag || c.lost() != lost || took > t.Check.Timeout+lag
				c.result(p, t, now, err, busy)
			}
		}()
	}
	return now + int64(tick)
}

// any returns one of the probe's servers: it is checked for all.
func (p *probe) any() *Target {
	for _, s := range p.servers {
		if s.Found && s.Enabled {
			t := s.Target
			return &t
		}
	}
	return nil
}

func (c *Checker) lost() uint64 {
	if c.cfg.Stack == nil {
		return 0
	}
	return c.cfg.Stack.Lost()
}

// result judges a check that began at start. busy says that this box may have been too busy for it.
func (c *Checker) result(p *probe, t *Target, start int64, err error, busy bool) {
	now := c.cfg.Now()
	p.busy = false
	if len(p.servers) == 0 {
		return
	}
	var late *errLate
	if err != nil && busy && errors.As(err, &late) && p.void < maxVoid || errors.Is(err, station.ErrNoPort) {
		p.void++
		c.counters.Void++
		c.schedule.again(p, now+int64(p.key.check.Interval)/20)
		return
	}
	p.void = 0
	p.last, p.took, p.failed = time.Now(), time.Duration(now-start), ""
	was := p.state()
	var change liveness.Change
	if err == nil {
		c.counters.Good++
		change = p.machine.Answer(now, &p.policy)
	} else {
		c.counters.Bad++
		p.failed, p.error = err.Error(), err.Error()
		change = p.machine.Miss(now, &p.policy)
	}
	c.schedule.done(p, start, err != nil)
	c.follow(p, was, change, now)
}

// follow does what follows from a change of a probe's machine.
func (c *Checker) follow(p *probe, was string, change liveness.Change, now int64) {
	if change.Why == liveness.Hold {
		c.changed = true
	}
	if p.state() == was {
		return
	}
	for _, s := range p.servers {
		c.counters.Changes++
		s.since = time.Now()
		if was != Init || p.state() == Down { // servers of a new service come up together
			c.storm.note(s.Key, now)
		}
		c.touch(s)
		if s.Enabled && c.cfg.Events != nil {
			c.cfg.Events.Publish(event.Server{Server: s.Key, From: was, To: p.state(), Reason: p.reason(now)})
		}
	}
	c.changed = true
	c.settle(now)
}

// ticks does what time alone brings: the end of a hold, steps of slow starts, alarms.
func (c *Checker) ticks(now int64) {
	for _, p := range c.probes {
		if p.machine.Next() <= now {
			was := p.state()
			c.follow(p, was, p.machine.Tick(now, &p.policy), now)
		}
	}
	c.settle(now)
}

// reason says why the server is in its state.
func (p *probe) reason(now int64) string {
	_, why, held, fails := p.machine.Detail()
	switch {
	case p.key.check.Type == None:
		return "it is not checked"
	case p.machine.State() == liveness.Init && p.last.IsZero():
		return "not checked yet"
	case why == liveness.Hold:
		return "failed " + plural(fails, "time") + ", held down for another " +
			time.Duration(max(held-now, 0)).Round(time.Second).String()
	case p.failed != "":
		return p.failed
	case p.machine.State() == liveness.Down && p.error != "":
		return p.error
	case p.machine.State() == liveness.Down:
		return "it was down when this box started"
	}
	return "checks succeed"
}

// hand hands verdicts on, all that have changed at once, until ctx is done.
func (c *Checker) hand(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.tell:
		}
		c.Flush()
	}
}

// Flush hands on the verdicts that have changed, and returns when they are taken.
func (c *Checker) Flush() {
	c.handing.Lock()
	defer c.handing.Unlock()
	c.mu.Lock()
	list := c.pending
	c.pending = map[string]Verdict{}
	c.mu.Unlock()
	if len(list) > 0 {
		c.cfg.Verdicts(list)
	}
}

// way is the Dialer of a target.
type way struct {
	st *station.Station
	t  *Target
}

func (w way) TCP(ctx context.Context) (net.Conn, error) { return w.st.DialTCP(ctx, w.t.To, &w.t.Path) }
func (w way) UDP() (net.Conn, error)                    { return w.st.DialUDP(w.t.To, &w.t.Path) }
func (w way) Ping(ctx context.Context) error            { return w.st.Ping(ctx, w.t.To.Addr(), &w.t.Path) }
func (w way) Resolve(ctx context.Context) error         { return w.st.Resolve(ctx, w.t.Address, &w.t.Path) }

func (c *Checker) probe(ctx context.Context, t *Target) error {
	st, err := c.cfg.Stack.Station(t.Station, t.MAC)
	if err != nil {
		return err
	}
	return Probe(ctx, way{st, t}, &t.Check)
}
