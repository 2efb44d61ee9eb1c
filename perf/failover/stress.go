package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"penstock/ctrl/status"
)

// StressOptions of a search for switches without a fault.
type StressOptions struct {
	Binary   string
	Duration time.Duration
	Interval time.Duration // of the probes
	Hogs     int           // processes that do nothing but spin; 0: one for each CPU
	Bindings int           // pushed again and again
	GOGC     int           // of the box: the lower, the more often the collector runs
	Rate     int           // datagrams per second
	Peers    []Device      // that are under the same stress, beside the box: keepalived
	Progress io.Writer
}

// StressResult is what the box did meanwhile. Probes and their outcome are sums over both gateways.
type StressResult struct {
	Duration time.Duration
	Switches uint64 // of the active member; every one is false
	Failures uint64 // of members, the standby included; every one is false
	Probes   status.Probes
	Pushes   int
	Loss
	// Real is the blocked time when the active gateway does fall silent afterwards, still under stress: a device that
	// reports no false fault must report this one.
	Real time.Duration
	Back bool

	Takeovers []int // of each peer: how often its second gateway became the master though the first was there
}

// most datagrams of a stream; a long stress has one after the other.
const streamLength = time.Minute

// Stress loads the box with all that could delay probes and their answers while both gateways are healthy: spinning
// processes on all CPUs, pushes of all bindings, a garbage collector that runs all the time, and traffic. At the end
// the active gateway does fall silent. Stress needs root.
func Stress(ctx context.Context, o StressOptions) (res StressResult, err error) {
	if o.Duration <= 0 || o.Bindings < 1 || o.Bindings > 1_000_000 || o.GOGC < 1 || o.Rate < 100 || o.Hogs < 0 {
		return res, errors.New("failover: stress: want a duration above 0, 1 to 1,000,000 bindings, " +
			"GOGC of 1 or more, 100 datagrams per second or more, 0 hogs or more")
	}
	d, err := newBox("stress", o.Binary, o.Interval, fmt.Sprintf("GOGC=%d", o.GOGC))
	if err != nil {
		return res, err
	}
	x := d.(*box)
	defer func() { err = errors.Join(err, x.shut()) }()
	lines, err := bindingLines(o.Bindings)
	if err != nil {
		return res, err
	}
	settling, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	peers, err := openPeers(settling, o.Peers)
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.shut())
		}
	}()
	if err == nil {
		err = x.settle(settling)
	}
	if err != nil {
		return res, err
	}
	before, err := x.group(ctx)
	if err != nil {
		return res, err
	}
	for range max(o.Hogs, one(o.Hogs == 0)*runtime.NumCPU()) {
		if _, err := x.Start(hostNS, "hog", "sh", "-c", "while :; do :; done"); err != nil {
			return res, err
		}
	}
	pushing, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer func() { stop(); tasks.Wait() }()
	var pushErr error
	tasks.Go(func() {
		for pushing.Err() == nil {
			if err := x.bulk(pushing, lines); err != nil {
				if pushing.Err() == nil {
					pushErr = err
				}
				return
			}
			res.Pushes++
		}
	})
	var quiet []int
	for _, p := range peers {
		quiet = append(quiet, p.takeovers())
	}
	began := time.Now()
	for left := o.Duration; left > 0; left = o.Duration - time.Since(began) {
		l, err := x.load(ctx, &o, min(left, streamLength))
		if err != nil {
			return res, err
		}
		res.add(l)
		after, err := x.group(ctx)
		if err != nil {
			return res, err
		}
		res.compare(&before, &after)
		fmt.Fprintf(o.Progress,
			"%v: %d switches, %d failures, probes: %d sent, %d missed, %d late; %d of %d datagrams lost\n",
			time.Since(began).Round(time.Second),
			res.Switches, res.Failures, res.Probes.Sent, res.Probes.Missed, res.Probes.Late, res.Lost, res.Offered)
	}
	res.Duration = time.Since(began)
	for i, p := range peers {
		res.Takeovers = append(res.Takeovers, p.takeovers()-quiet[i])
	}
	if err := x.real(ctx, &o, &res); err != nil {
		return res, err
	}
	stop()
	tasks.Wait()
	return res, pushErr
}

// openPeers brings peers up; those that are up come back also with an error.
func openPeers(ctx context.Context, list []Device) (peers []*keepalived, err error) {
	for i, p := range list {
		if !p.Keepalived {
			return peers, fmt.Errorf("failover: stress: %s is no peer: want keepalived:INTERVAL", p.Name)
		}
		d, err := p.open(fmt.Sprintf("peer%d", i), "")
		if err != nil {
			return peers, fmt.Errorf("failover: stress: %s: %w", p.Name, err)
		}
		peers = append(peers, d.(*keepalived))
		if err := d.settle(ctx); err != nil {
			return peers, fmt.Errorf("failover: stress: %s: %w", p.Name, err)
		}
	}
	return peers, nil
}

// load is steady traffic for a time.
func (x *box) load(ctx context.Context, o *StressOptions, length time.Duration) (l Loss, err error) {
	udp, err := startDatagrams(ctx, x.Lab, hostNS, outsideNS, outsideAddress.Addr(), o.Rate, length+time.Second)
	if err != nil {
		return l, err
	}
	mark := time.Now().UnixNano()
	err = errors.Join(sleep(ctx, length), udp.stop(underWay))
	l = account(o.Rate, udp.sent, udp.arrived, mark, mark, false)
	l.Duplicates = udp.doubles
	return l, err
}

// real lets the active gateway fall silent.
func (x *box) real(ctx context.Context, o *StressOptions, res *StressResult) error {
	g, err := x.group(ctx)
	if err != nil {
		return err
	}
	active := one(g.Active == x.gateways[1].ns)
	udp, err := startDatagrams(ctx, x.Lab, hostNS, outsideNS, outsideAddress.Addr(), o.Rate, longestRun)
	if err != nil {
		return err
	}
	err = sleep(ctx, lead)
	mark := time.Now().UnixNano()
	err = errors.Join(err, x.gateways[active].cut.Set(silent))
	limit, cancel := context.WithTimeout(ctx, longestRun/4)
	defer cancel()
	err = errors.Join(err, until(limit, func() error {
		if g, err := x.group(limit); err != nil || g.Active == x.gateways[active].ns {
			return errors.Join(err, errors.New("the box has not switched away from a silent gateway"))
		}
		return nil
	}), sleep(ctx, lead))
	switched := time.Now().UnixNano()
	err = errors.Join(err, sleep(ctx, lead), udp.stop(underWay))
	res.Real = account(o.Rate, udp.sent, udp.arrived, mark, mark, false).Blocked
	res.Back = udp.latest.Load() > switched
	return err
}

func (s *StressResult) add(l Loss) {
	s.Offered, s.Lost, s.Duplicates = s.Offered+l.Offered, s.Lost+l.Lost+l.Early, s.Duplicates+l.Duplicates
	s.Blocked, s.Gap, s.Late = s.Blocked+l.Blocked, max(s.Gap, l.Gap), max(s.Late, l.Late)
}

// compare takes what has happened since before.
func (s *StressResult) compare(before, after *status.GatewayGroup) {
	s.Switches, s.Failures, s.Probes = after.Switches-before.Switches, 0, status.Probes{}
	for i := range after.Members {
		b, a := &before.Members[i], &after.Members[i]
		s.Failures += a.Failures - b.Failures
		p := &s.Probes
		p.Sent += a.Probes.Sent - b.Probes.Sent
		p.Answered += a.Probes.Answered - b.Probes.Answered
		p.Missed += a.Probes.Missed - b.Probes.Missed
		p.Excused, p.Late = p.Excused+a.Probes.Excused-b.Probes.Excused, p.Late+a.Probes.Late-b.Probes.Late
	}
}

// Report writes the result.
func (s *StressResult) Report(w io.Writer, o *StressOptions) {
	p := &s.Probes
	fmt.Fprintf(w, "\n%v of stress, probes every %v × %d: %d false switches, %d false failures of a gateway\n",
		s.Duration.Round(time.Second), o.Interval, boxMisses, s.Switches, s.Failures)
	fmt.Fprintf(w,
		"probes: %d sent, %d answered, %d missed, %d excused by data; "+
			"%d timers ran late (%.2f %% of the probes), none of which counts as a miss\n",
		p.Sent, p.Answered, p.Missed, p.Excused, p.Late, 100*float64(p.Late)/float64(max(p.Sent, 1)))
	fmt.Fprintf(w,
		"meanwhile: %d pushes of %d bindings, GOGC=%d; %d of %d datagrams lost, longest gap %s ms, "+
			"sender at most %s ms late\n",
		s.Pushes, o.Bindings, o.GOGC, s.Lost, s.Offered, ms(s.Gap), ms(s.Late))
	for i, n := range s.Takeovers {
		fmt.Fprintf(w, "%s under the same stress: the second gateway took over %d times from a master that was there\n",
			o.Peers[i].Name, n)
	}
	fmt.Fprintf(w, "a gateway that did fall silent, under the same stress: traffic back %t, blocked for %s ms\n",
		s.Back, ms(s.Real))
}

// Err says what must not be.
func (s *StressResult) Err() error {
	switch {
	case s.Switches > 0:
		return fmt.Errorf("the box has switched %d times without a fault", s.Switches)
	case s.Failures > 0:
		return fmt.Errorf("the box has taken a gateway for failed %d times without a fault", s.Failures)
	case s.Probes.Sent == 0:
		return errors.New("the box has sent no probe: nothing is proved")
	case !s.Back:
		return errors.New("traffic did not come back when a gateway fell silent")
	}
	return nil
}
