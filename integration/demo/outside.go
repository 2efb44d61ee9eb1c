package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// outside is a steady flow of datagrams from a VM to a host behind the gateways. Every gateway is that host (an anycast
// address), so that whichever is active receives them; what is lost is the time for which the way was blocked.
type outside struct {
	from     *lab.VM
	gateways []*lab.Gateway
	sent     atomic.Uint64
	got      []atomic.Uint64 // by gateway
	stop     func()
	wg       sync.WaitGroup
}

const (
	outsidePort = 5002
	outsideRate = 1000 // datagrams per second: one that is lost is a millisecond
)

// ready waits until a gateway carries traffic.
func (d *demo) ready(ctx context.Context) error {
	return retry(ctx, 10*time.Second, func() error {
		g, _, err := d.gateways(ctx)
		if err == nil && g.Active == "" {
			err = fmt.Errorf("no gateway of %s is healthy", g.Name)
		}
		return err
	})
}

func startOutside(l *lab.Lab, from *lab.VM, gateways []*lab.Gateway) (*outside, error) {
	o := &outside{from: from, gateways: gateways, got: make([]atomic.Uint64, len(gateways))}
	ctx, cancel := context.WithCancel(context.Background())
	var open []net.Conn
	o.stop = func() {
		cancel()
		for _, c := range open {
			_ = c.Close()
		}
		o.wg.Wait()
	}
	for i, g := range gateways {
		var in *net.UDPConn
		if err := l.Do(g.Name, func() (err error) {
			in, err = net.ListenUDP("udp4", &net.UDPAddr{Port: outsidePort})
			return err
		}); err != nil {
			o.stop()
			return nil, fmt.Errorf("listen in %s: %w", g.Name, err)
		}
		open = append(open, in)
		o.wg.Go(func() {
			buf := make([]byte, 64)
			for {
				if _, err := in.Read(buf); err != nil {
					return
				}
				o.got[i].Add(1)
			}
		})
	}
	var out net.Conn
	if err := l.Do(from.Namespace, func() (err error) {
		out, err = net.Dial("udp4", netip.AddrPortFrom(lab.OutsideAddress, outsidePort).String())
		return err
	}); err != nil {
		o.stop()
		return nil, err
	}
	open = append(open, out)
	o.wg.Go(func() {
		tick := time.NewTicker(time.Second / outsideRate)
		defer tick.Stop()
		buf := make([]byte, 18)
		began := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// What a busy machine delays is made up for: the rate holds.
			for due := uint64(time.Since(began) * outsideRate / time.Second); o.sent.Load() < due; {
				if _, err := out.Write(buf); err != nil {
					break
				}
				o.sent.Add(1)
			}
		}
	})
	return o, nil
}

func (o *outside) received() (n uint64) {
	for i := range o.got {
		n += o.got[i].Load()
	}
	return n
}

// lost is what was sent so far and not received.
func (o *outside) lost() uint64 {
	// before what was sent: what is under way counts as lost for a moment, and not the other way round
	got := o.received()
	return o.sent.Load() - got
}

// failure is a gateway that fails in the demo.
type failure struct {
	What    string // "isp1 loses its link"
	Gateway string
	At      time.Duration
	before  uint64 // lost before
	after   uint64 // lost when the next act began
	done    bool
	Took    string // the member that took over
	Alarm   string // the box's alarm about it
}

// blocked is for how long the way to the outside was blocked.
func (f *failure) blocked(lostNow uint64) time.Duration {
	after := lostNow
	if f.done {
		after = f.after
	}
	return time.Duration(after-f.before) * time.Second / outsideRate
}

// fail has something happen to a gateway and notes what was lost before.
func (d *demo) fail(gateway, what string, do func() error) error {
	d.settleFailure()
	d.failures = append(d.failures, &failure{What: what, Gateway: gateway, At: time.Since(d.started),
		before: d.outside.lost()})
	return do()
}

// settleFailure ends the count of the last failure.
func (d *demo) settleFailure() {
	if n := len(d.failures); n > 0 && !d.failures[n-1].done {
		f := d.failures[n-1]
		f.after, f.done = max(d.outside.lost(), f.before), true
	}
}

// noticed waits until the box has switched away from the gateway that failed last, and has raised the alarm.
func (d *demo) noticed(ctx context.Context) error {
	f := d.failures[len(d.failures)-1]
	err := retry(ctx, 10*time.Second, func() error {
		if _, err := d.lookOutside(ctx, func(string, uint64) float64 { return 0 }); err != nil {
			return err
		}
		if f.Took == "" || f.Alarm == "" {
			return fmt.Errorf("%s, and the box does not notice", f.What)
		}
		return nil
	})
	d.settleFailure()
	return err
}

// heal waits until all gateways are up again and the box has nothing to complain of.
func (d *demo) heal(ctx context.Context) error {
	return retry(ctx, 10*time.Second, func() error {
		g, alarms, err := d.gateways(ctx)
		if err != nil {
			return err
		}
		for _, m := range g.Members {
			if m.State != "up" {
				return fmt.Errorf("gateway %s is %s", m.Name, m.State)
			}
		}
		if len(alarms) > 0 {
			return fmt.Errorf("there is an alarm left: %s", alarms[0].Text)
		}
		return nil
	})
}

// gateways reads the gateways' state from their box.
func (d *demo) gateways(ctx context.Context) (g status.GatewayGroup, alarms []alarm.Alarm, err error) {
	var l api.AlarmList
	n := d.gatewayNode()
	if err = n.client.Get(ctx, "/v1/gateways/"+lab.GatewayGroup, &g); err == nil {
		err = n.client.Get(ctx, "/v1/alarms", &l)
	}
	return g, l.Items, err
}

func (d *demo) gatewayNode() *node {
	for _, n := range d.nodes {
		if n.Name == d.top.Gateways[0].Box {
			return n
		}
	}
	return nil
}

// outsideView is the way to the outside at one moment.
type outsideView struct {
	From, Box string
	Target    string
	Gateways  []gatewayView
	Last      string // what happened last, and the gap
	Alarms    []string
}

type gatewayView struct {
	Name   string
	State  string
	Active bool
	Rate   float64 // datagrams per second that arrive there
}

func (d *demo) lookOutside(ctx context.Context, rate func(key string, n uint64) float64) (v outsideView, err error) {
	g, alarms, err := d.gateways(ctx)
	if err != nil {
		return v, err
	}
	v = outsideView{From: d.outside.from.Name, Box: d.outside.from.Box, Target: lab.OutsideAddress.String()}
	for i, m := range g.Members {
		v.Gateways = append(v.Gateways, gatewayView{Name: m.Name, State: m.State, Active: m.Active,
			Rate: rate("gateway "+m.Name, d.outside.got[i].Load())})
	}
	for _, a := range alarms {
		v.Alarms = append(v.Alarms, fmt.Sprintf("%s: %s", strings.ToUpper(string(a.Severity)), a.Text))
	}
	if n := len(d.failures); n > 0 {
		f := d.failures[n-1]
		if f.Took == "" && g.Active != f.Gateway {
			f.Took = g.Active
		}
		for _, a := range alarms {
			if !f.done && a.Kind == alarm.GatewayDown && a.Object == "gateway "+lab.GatewayGroup+"/"+f.Gateway {
				f.Alarm = a.Text
			}
		}
		v.Last = f.text(d.outside.lost())
	}
	return v, nil
}

// text names the failure, the member that took over, and the time without traffic.
func (f *failure) text(lostNow uint64) string {
	if f.Took == "" {
		return f.What + " …"
	}
	return fmt.Sprintf("%s, %s took over: blocked for %d ms", f.What, f.Took, f.blocked(lostNow).Milliseconds())
}
