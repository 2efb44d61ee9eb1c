// Package demo is the main job live: two tenants with the same IPs and MACs talk across a fabric of two boxes and two
// edge switches, all of them processes of the real binary in network namespaces, while one of two paths is taken away
// and brought back; and one tenant talks to the outside through two gateways, of which first one and then the other
// fails.
//
// demo.go is the scenario, node.go a process of it, traffic.go the tenants' traffic, outside.go what goes through the
// gateways, picture.go the live picture, summary.go the summary.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// Options of a run.
type Options struct {
	Binary   string    // the penstock binary that every node runs
	Out      io.Writer // where the picture goes
	Live     bool      // Out is a terminal of Columns by Lines or more: redraw in place
	Colour   bool      // paint the tenants, in the live picture
	Keep     bool      // leave the lab up until the context ends
	Duration time.Duration
	Rate     int // octets per second and tenant; 0 = 2.5 MB/s (20 Mbit/s)
}

const (
	redraw      = 500 * time.Millisecond
	pathAway    = 0 // index of the path that is taken away
	defaultRate = 2_500_000
)

// Run runs the demo. The error lists the failed checks; nil means that all checks of the summary passed.
func Run(ctx context.Context, o Options) (err error) {
	if o.Rate == 0 {
		o.Rate = defaultRate
	}
	if o.Duration == 0 {
		o.Duration = 24 * time.Second
	}
	d := &demo{Options: o, picture: picture{w: o.Out, live: o.Live, colour: o.Colour}, last: map[string]uint64{}}
	defer func() { err = errors.Join(err, d.close()) }()
	for _, step := range []func(context.Context) error{d.build, d.boot, d.push, d.isolation, d.traffic, d.watch} {
		if err := step(ctx); err != nil {
			d.leave()
			return d.explain(err)
		}
	}
	d.leave()
	if err := d.summary(ctx); err != nil {
		return err
	}
	if o.Keep {
		d.explore()
		<-ctx.Done()
	}
	return nil
}

type demo struct {
	Options
	picture
	lab      *lab.Lab
	top      *lab.Topology
	nodes    []*node
	streams  []*stream
	pings    []*pinger
	outside  *outside
	failures []*failure
	started  time.Time
	away     [2]time.Duration  // when the path was taken away and brought back
	last     map[string]uint64 // counters at the previous view
	lastAt   time.Time
}

func (d *demo) build(context.Context) error {
	d.printf("Building a lab in network namespaces: four VMs in two tenants with the same IPs and MACs,")
	d.printf("two boxes, two edge switches, two VLAN paths (101 and 102), two gateways to the outside …")
	var err error
	if d.lab, err = lab.New("demo"); err != nil {
		return err
	}
	tenants := lab.DemoTenants()
	tenants[0].Gateway = lab.GatewayGroup
	d.top, err = lab.Fabric(d.lab, lab.FabricOptions{
		Tenants: tenants, Gateways: []lab.GatewaySpec{{Box: "box1", Name: "isp1"}, {Box: "box1", Name: "isp2"}},
		Group:     "probe_interval = \"10ms\"",
		Dataplane: lab.DataplaneOptions{Workers: 1, RingSize: 512, Frames: 16384, Bindings: 10_000},
	})
	return err
}

func (d *demo) boot(ctx context.Context) error {
	for _, n := range append(append([]*lab.Node{}, d.top.Switches...), d.top.Boxes...) {
		p, err := d.lab.Start(n.Namespace, n.Name, d.Binary, "run", "--config", n.Config)
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, newNode(n, p))
	}
	for _, n := range d.nodes {
		if err := n.waitReady(ctx); err != nil {
			return err
		}
	}
	d.printf("Running %d processes of %s, each with its own TOML file and socket.", len(d.nodes), d.Binary)
	return nil
}

func (d *demo) push(ctx context.Context) error {
	for _, n := range d.nodes {
		if len(n.Documents.Tenants) == 0 {
			continue
		}
		start := time.Now()
		rev, err := n.push(ctx, n.Documents.Operations())
		if err != nil {
			return fmt.Errorf("push the tables to %s: %w", n.Name, err)
		}
		d.printf("Pushed %d objects to %s in one transaction: revision %d, durable and live in %.1f ms.",
			len(n.Documents.Operations()), n.Name, rev, float64(time.Since(start).Microseconds())/1000)
	}
	return nil
}

// pair returns the two VMs of a tenant.
func (d *demo) pair(tenant string) (from, to *lab.VM) {
	for _, vm := range d.top.VMs {
		if vm.Tenant != tenant {
			continue
		}
		if from == nil {
			from = vm
		} else if to == nil {
			to = vm
		}
	}
	return from, to
}

// isolation connects within each tenant, to the same address in both, and checks which VM answers.
func (d *demo) isolation(ctx context.Context) error {
	for _, t := range d.top.Options.Tenants {
		from, to := d.pair(t.Name)
		if err := retry(ctx, 10*time.Second, func() error {
			s, err := startStream(d.lab, from, to, d.Rate)
			if err == nil {
				d.streams = append(d.streams, s)
			}
			return err
		}); err != nil {
			return fmt.Errorf("tenant %s: no TCP across the fabric: %w", t.Name, err)
		}
		s := d.streams[len(d.streams)-1]
		if s.greeting != to.Name {
			return fmt.Errorf(
				"tenant %s: %s connected to %v and got an answer from %q, want %q: the tenants are not isolated",
				t.Name,
				from.Name, address(to), s.greeting, to.Name)
		}
		d.printf("%-8s (%v, %v) connects to %v: answered by %s.", from.Name, address(from), from.MAC, address(to),
			s.greeting)
	}
	return nil
}

func (d *demo) traffic(ctx context.Context) error {
	for _, t := range d.top.Options.Tenants {
		from, to := d.pair(t.Name)
		p, err := startPing(d.lab, from, to)
		if err != nil {
			return err
		}
		d.pings = append(d.pings, p)
	}
	from, _ := d.pair(d.top.Options.Tenants[0].Name)
	err := d.ready(ctx)
	if err != nil {
		return err
	}
	if d.outside, err = startOutside(d.lab, from, d.top.Gateways); err != nil {
		return err
	}
	if err := retry(ctx, 10*time.Second, func() error {
		if d.outside.received() == 0 {
			return fmt.Errorf("nothing gets from %s to %v", from.Name, lab.OutsideAddress)
		}
		return nil
	}); err != nil {
		return err
	}
	d.printf("%-8s sends %d packets a second to %v outside: they leave through %s.", from.Name, outsideRate,
		lab.OutsideAddress,
		d.top.Gateways[0].Name)
	d.started = time.Now()
	d.lastAt = d.started
	return nil
}

// watch draws until the time is over. A sixth of it each: all is well, a path is away, all is well, a gateway without
// its link, all is well, the other gateway hung.
func (d *demo) watch(ctx context.Context) error {
	trunks := d.top.Options.Trunks
	var left []uint16
	for i, vid := range trunks {
		if i != pathAway {
			left = append(left, vid)
		}
	}
	acts := []struct {
		at   time.Duration
		text string
		do   func() error
	}{
		{d.Duration / 6, fmt.Sprintf("%d taken away", trunks[pathAway]), func() error { return d.takeAway(ctx, left) }},
		{d.Duration * 2 / 6, "both paths", func() error { return d.bringBack(ctx, trunks) }},
		{d.Duration * 3 / 6, "isp1: link cut", func() error {
			return d.fail("isp1", "isp1 lost its link", func() error { return d.top.Cut("isp1", true) })
		}},
		{d.Duration * 4 / 6, "isp1: link back", func() error { d.settleFailure(); return d.top.Cut("isp1", false) }},
		{d.Duration * 5 / 6, "isp2: hung", func() error {
			return d.fail("isp2", "isp2 hung", func() error { return d.top.Hang("isp2", true) })
		}},
	}
	act := "all is well"
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for time.Since(d.started) < d.Duration || len(acts) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if len(acts) > 0 && time.Since(d.started) >= acts[0].at {
			if err := acts[0].do(); err != nil {
				return err
			}
			act, acts = acts[0].text, acts[1:]
		}
		v, err := d.sample(ctx, act)
		if err != nil {
			return err
		}
		d.draw(v)
		for _, s := range d.streams {
			if err := s.failed(); err != nil {
				return fmt.Errorf("tenant %s: TCP broke: %w", s.Tenant, err)
			}
		}
	}
	if err := d.noticed(ctx); err != nil {
		return err
	}
	if err := d.top.Hang("isp2", false); err != nil {
		return err
	}
	return d.heal(ctx)
}

// takeAway withdraws a path at both boxes and then cuts its trunk.
func (d *demo) takeAway(ctx context.Context, left []uint16) error {
	d.away[0] = time.Since(d.started)
	if err := d.pushPaths(ctx, left); err != nil {
		return err
	}
	t := d.top.Trunks[pathAway]
	return d.lab.SetDown(t.NamespaceA, t.PortA)
}

// bringBack mends the trunk first and then offers the path again.
func (d *demo) bringBack(ctx context.Context, all []uint16) error {
	t := d.top.Trunks[pathAway]
	if err := d.lab.SetUp(t.NamespaceA, t.PortA); err != nil {
		return err
	}
	if err := d.lab.WaitUp(t.NamespaceB, t.PortB); err != nil {
		return err
	}
	// The switches' processes see the same link event; their ports are up before a path over them is offered.
	if err := retry(ctx, 5*time.Second, func() error { return d.portsUp(ctx) }); err != nil {
		return err
	}
	d.away[1] = time.Since(d.started)
	return d.pushPaths(ctx, all)
}

func (d *demo) portsUp(ctx context.Context) error {
	for _, n := range d.nodes {
		ports, err := n.ports(ctx)
		if err != nil {
			return err
		}
		for _, p := range ports {
			if !p.Up || !p.Open {
				return fmt.Errorf("port %s of %s is not up", p.Name, n.Name)
			}
		}
	}
	return nil
}

func (d *demo) pushPaths(ctx context.Context, vlans []uint16) error {
	var ops []lab.Operation
	for _, p := range d.top.Paths(vlans) {
		ops = append(ops, lab.Operation{Op: "put", Kind: model.KindPath, Key: p.A.String() + "/" + p.B.String(),
			Value: p})
	}
	for _, n := range d.nodes {
		if len(n.Documents.Tenants) == 0 {
			continue
		}
		if _, err := n.push(ctx, ops); err != nil {
			return fmt.Errorf("push the paths to %s: %w", n.Name, err)
		}
	}
	return nil
}

// sample takes the present counters and turns them into a view with rates since the last one.
func (d *demo) sample(ctx context.Context, act string) (*view, error) {
	now := time.Now()
	dt := now.Sub(d.lastAt).Seconds()
	d.lastAt = now
	v := &view{At: now.Sub(d.started), Of: d.Duration, Act: act, Drops: map[string]uint64{}}
	rate := func(key string, n uint64) float64 {
		if n < d.last[key] { // a path that was withdrawn has no counters until it is back
			return 0
		}
		r := float64(n-d.last[key]) / dt
		d.last[key] = n
		return r
	}
	for i, s := range d.streams {
		from, to := d.pair(s.Tenant)
		fromBox, toBox := d.top.Node(from.Box), d.top.Node(to.Box)
		v.Tenants = append(v.Tenants, tenantView{
			Name: s.Tenant, From: from.Name, To: to.Name, FromIP: address(from).String(), ToIP: address(to).String(),
			FromBox: fromBox.Name, FromSwitch: fromBox.Switch, ToBox: toBox.Name, ToSwitch: toBox.Switch,
			BitRate: 8 * rate("octets "+s.Tenant, s.octets.Load()), Ping: d.pings[i].read(),
		})
	}
	byVID := map[uint16]*pathView{}
	for _, vid := range d.top.Options.Trunks {
		v.Paths = append(v.Paths, pathView{VID: vid})
	}
	for i := range v.Paths {
		byVID[v.Paths[i].VID] = &v.Paths[i]
	}
	for _, n := range d.nodes {
		drops, err := n.drops(ctx)
		if err != nil {
			return nil, err
		}
		for r, c := range drops.Total {
			v.Drops[n.Name+" "+r] = c
		}
		paths, err := n.paths(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if pv := byVID[p.VID]; pv != nil && p.Switch != n.SwitchMAC.String() {
				pv.Live = pv.Live || p.Live
				pv.Packets += p.Packets
			}
		}
	}
	var err error
	if v.Outside, err = d.lookOutside(ctx, rate); err != nil {
		return nil, err
	}
	for i := range v.Paths {
		v.Paths[i].Rate = rate(fmt.Sprint("path ", v.Paths[i].VID), v.Paths[i].Packets)
	}
	return v, nil
}

// explain adds the end of the log of every node that has died.
func (d *demo) explain(err error) error {
	for _, n := range d.nodes {
		if !n.process.Running() {
			lines := strings.Split(strings.TrimSpace(n.process.Log()), "\n")
			err = fmt.Errorf("%w\n%s has ended; its last output:\n  %s", err, n.Name,
				strings.Join(lines[max(0, len(lines)-5):], "\n  "))
		}
	}
	return err
}

func (d *demo) close() error {
	for _, s := range d.streams {
		s.stop()
	}
	if d.outside != nil {
		d.outside.stop()
	}
	if d.lab == nil {
		return nil
	}
	return d.lab.Close()
}

// retry calls fn until it succeeds or the time is over, and returns its last error.
func retry(ctx context.Context, limit time.Duration, fn func() error) error {
	end := time.Now().Add(limit)
	for {
		err := fn()
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
