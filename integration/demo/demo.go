// Package demo is the main job live: two tenants with the same IPs and MACs talk across a fabric of two boxes and two
// edge switches, all of them processes of the real binary in network namespaces, while one of two paths is taken away
// and brought back; one tenant talks to the outside through two gateways, of which first one and then the other
// fails; clients of a virtual address are balanced over web servers, of which one is drained, one added and one
// killed; and a VM moves to the other box.
//
// demo.go is the scenario, acts.go what happens in it, node.go a process of it, traffic.go the tenants' traffic,
// outside.go what goes through the gateways, service.go the balanced service, move.go the VM that moves, picture.go the
// live picture, summary.go the summary.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
		o.Duration = 30 * time.Second
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
	web      *web
	failures []*failure
	mover    move
	started  time.Time
	away     [2]time.Duration  // when the path was taken away and brought back
	last     map[string]uint64 // counters at the previous view
	lastAt   time.Time
}

func (d *demo) build(context.Context) error {
	d.printf("Building a lab in network namespaces: four VMs in two tenants with the same IPs and MACs,")
	d.printf("two boxes, two edge switches, two VLAN paths (101 and 102), two gateways to the outside, and a")
	d.printf("service on a virtual address, with web servers on ports of their own. The boxes are told neither where")
	d.printf("they are plugged in nor where the others' VMs are: they find out by LLDP and from each other …")
	var err error
	if d.lab, err = lab.New("demo"); err != nil {
		return err
	}
	tenants := lab.DemoTenants()
	tenants[0].Gateway = lab.GatewayGroup
	o := lab.FabricOptions{
		NoPlaces: true, ControlVLAN: 4000,
		Tenants: tenants, VMs: slices.Concat(lab.DemoVMs(), webVMs(tenants[0].Name), moverVMs(tenants[0].Name)),
		Gateways:  []lab.GatewaySpec{{Box: "box1", Name: "isp1"}, {Box: "box1", Name: "isp2"}},
		Group:     "probe_interval = \"10ms\"",
		Probe:     "interval = \"300ms\"",
		Dataplane: lab.DataplaneOptions{Workers: 1, RingSize: 512, Frames: 16384, Bindings: 10_000},
	}
	serviceTables(&o, tenants[0].Name)
	if d.top, err = lab.Fabric(d.lab, o); err != nil {
		return err
	}
	return d.mover.await(d)
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
		p, err := startPing(d.lab, from, to, pingEvery)
		if err != nil {
			return err
		}
		d.pings = append(d.pings, p)
	}
	from, _ := d.pair(d.top.Options.Tenants[0].Name)
	err := d.mover.start(d)
	if err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
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
	if d.web, err = startWeb(ctx, d.lab, from, d.webs()); err != nil {
		return err
	}
	d.web.run()
	d.printf("%-8s opens %d connections a second to %v:%d: web1:8081, web2:8082 and web3:8083 answer.", from.Name,
		serviceRate, virtual, servicePort)
	d.printf("%-8s sends %d packets a second to %v outside: they leave through %s.", from.Name, outsideRate,
		lab.OutsideAddress,
		d.top.Gateways[0].Name)
	d.started = time.Now()
	d.lastAt = d.started
	return nil
}

// webs are the guests of the service's servers.
func (d *demo) webs() (vms []*lab.VM) {
	for _, vm := range webVMs("") {
		vms = append(vms, d.top.VM(vm.Name))
	}
	return vms
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
	v.Service = d.lookService(rate)
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
	if d.web != nil {
		d.web.stop()
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
