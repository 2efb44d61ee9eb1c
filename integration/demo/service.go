package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// The service of the demo: a virtual address on port 80, with three web servers on ports of their own on two boxes, and
// a fourth that is added. The first box directs it; the servers answer the client past it.
var (
	virtual  = netip.MustParseAddr("10.0.0.100")
	director = netip.MustParseAddr("10.0.0.101")
)

const (
	servicePort    = 80
	serviceRate    = 100 // new connections a second
	keptConnection = 8
	drained        = "web2"
	added          = "web4"
	killed         = "web3"
	// noticeTime is how long a dead server may get connections: two checks that fail, and some patience.
	noticeTime = 2 * time.Second
)

// webVMs are the guests of the servers, of the first tenant.
func webVMs(tenant string) []lab.VMSpec {
	var vms []lab.VMSpec
	for i, box := range []string{"box1", "box2", "box2", "box1"} {
		vms = append(vms, lab.VMSpec{
			Tenant: tenant, Segment: "web", Name: fmt.Sprintf("web%d", i+1), Box: box,
			MAC:       0x020000000021 + model.MAC(i),
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(21 + i)}), 24)},
			Virtual:   []netip.Prefix{netip.PrefixFrom(virtual, 32)},
		})
	}
	return vms
}

// webPort is the port of a guest's web server.
func webPort(vm string) uint16 { return 8080 + uint16(vm[len(vm)-1]-'0') }

// serviceTables puts the virtual address, its service and all servers but the one to be added into the options.
func serviceTables(o *lab.FabricOptions, tenant string) {
	o.VIPs = []model.VIP{{Tenant: tenant, Name: "www", Segment: "web", Address: virtual,
		Directors: []model.Director{{Box: "box1", Address: director}}}}
	fall := uint16(2)
	o.Services = []model.Service{{Tenant: tenant, Name: "http", VIP: "www", ID: 7, Port: servicePort,
		Check: &model.Check{Type: "tcp", Interval: model.Duration(300 * time.Millisecond),
			Timeout: model.Duration(200 * time.Millisecond), Fall: &fall}}}
	for _, vm := range webVMs(tenant) {
		if vm.Name != added {
			o.Servers = append(o.Servers, webServer(vm))
		}
	}
}

func webServer(vm lab.VMSpec) model.Server {
	return model.Server{Tenant: vm.Tenant, Service: "http", Name: vm.Name, Address: vm.Addresses[0].Addr(),
		Port: webPort(vm.Name)}
}

// phase is what happened to the service last, and what came of it.
type phase struct {
	What   string
	At     time.Duration
	asked  atomic.Uint64 // requests begun in it
	failed atomic.Uint64 // of them
	late   atomic.Uint64 // of them, those begun later than noticeTime
}

// web is the clients and servers of the service.
type web struct {
	lab     *lab.Lab
	from    *lab.VM
	servers map[string]*lab.Nginx
	got     map[string]*atomic.Uint64 // answers to new connections, by server
	started time.Time
	stop    func()
	wg      sync.WaitGroup

	now    atomic.Pointer[phase]
	mu     sync.Mutex
	phases []*phase
	first  error
	state  map[string]string // of the servers, for the picture
}

// startWeb starts the servers, and waits until the service answers.
func startWeb(ctx context.Context, l *lab.Lab, from *lab.VM, vms []*lab.VM) (*web, error) {
	w := &web{lab: l, from: from, servers: map[string]*lab.Nginx{}, got: map[string]*atomic.Uint64{},
		state: map[string]string{}, stop: func() {}}
	for _, vm := range vms {
		n, err := l.Nginx(vm.Namespace, vm.Name, netip.AddrPortFrom(virtual, webPort(vm.Name)))
		if err != nil {
			return nil, err
		}
		w.servers[vm.Name], w.got[vm.Name] = n, &atomic.Uint64{}
		if w.state[vm.Name] = "up"; vm.Name == added {
			w.state[vm.Name] = "to come"
		}
	}
	return w, retry(ctx, 15*time.Second, func() error {
		seen := map[string]bool{}
		for range 12 {
			who, err := w.ask(w.client(false))
			if err != nil {
				return fmt.Errorf("from %s to %v:%d: %w", from.Name, virtual, servicePort, err)
			}
			seen[who] = true
		}
		if len(seen) < 3 {
			return fmt.Errorf("of the service's three servers only %v answer", seen)
		}
		return nil
	})
}

// run has the clients ask until stop is called.
func (w *web) run() {
	w.started = time.Now()
	w.begin("all is well")
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = func() { cancel(); w.wg.Wait() }
	const workers = 4
	for i := range workers {
		w.wg.Go(func() {
			tick := time.NewTicker(time.Second * workers / serviceRate)
			defer tick.Stop()
			time.Sleep(time.Second * time.Duration(i) / serviceRate)
			for c := w.client(false); ctx.Err() == nil; <-tick.C {
				w.count(c, true)
			}
		})
	}
	for range keptConnection {
		w.wg.Go(func() {
			c := w.client(true)
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				w.count(c, false)
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// begin begins a phase.
func (w *web) begin(what string) {
	p := &phase{What: what, At: time.Since(w.started)}
	w.mu.Lock()
	w.phases = append(w.phases, p)
	w.mu.Unlock()
	w.now.Store(p)
}

// count asks once, and enters what came of it. A connection that a server breaks or refuses counts where it did so: on
// a busy machine a request that was begun just before a server was killed reaches it afterwards.
func (w *web) count(c *http.Client, fresh bool) {
	p, begun := w.now.Load(), time.Since(w.started)
	p.asked.Add(1)
	who, err := w.ask(c)
	switch {
	case err != nil:
		if slices.ContainsFunc([]error{syscall.ECONNRESET, syscall.ECONNREFUSED, io.EOF, io.ErrUnexpectedEOF},
			func(x error) bool { return errors.Is(err, x) }) {
			p = w.now.Load()
		}
		p.failed.Add(1)
		if begun-p.At > noticeTime {
			p.late.Add(1)
		}
		w.mu.Lock()
		if w.first == nil {
			w.first = fmt.Errorf("begun at %.2f s, failed at %.2f s: %w", begun.Seconds(),
				time.Since(w.started).Seconds(), err)
		}
		w.mu.Unlock()
	case fresh && w.got[who] != nil:
		w.got[who].Add(1)
	}
}

func (w *web) client(keep bool) *http.Client {
	return &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: !keep, MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = w.lab.Do(w.from.Namespace, func() error {
				c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}}
}

// ask gets the page, which is the server's name.
func (w *web) ask(c *http.Client) (who string, err error) {
	resp, err := c.Get(fmt.Sprintf("http://%v:%d/", virtual, servicePort))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return strings.TrimSpace(string(text)), err
}

// drain, add and kill are what happens to the servers. All boxes get the same tables.
func (d *demo) drain(ctx context.Context) error {
	d.web.begin(drained + " drained")
	d.web.state[drained] = model.StateDraining
	s := webServer(d.top.VM(drained).VMSpec)
	s.State = model.StateDraining
	return d.pushAll(ctx, s)
}

func (d *demo) add(ctx context.Context) error {
	d.web.begin(added + " added")
	d.web.state[added] = "up"
	return d.pushAll(ctx, webServer(d.top.VM(added).VMSpec))
}

func (d *demo) kill(context.Context) error {
	d.web.begin(killed + " killed")
	d.web.state[killed] = "killed"
	d.web.servers[killed].Kill()
	return nil
}

// revive starts the killed server again.
func (d *demo) revive() error {
	for _, vm := range d.webs() {
		if vm.Name != killed {
			continue
		}
		n, err := d.lab.Nginx(vm.Namespace, vm.Name, netip.AddrPortFrom(virtual, webPort(vm.Name)))
		if err != nil {
			return err
		}
		d.web.servers[killed], d.web.state[killed] = n, "up"
	}
	return nil
}

// pushAll puts objects on all boxes.
func (d *demo) pushAll(ctx context.Context, objects ...model.Object) error {
	var ops []lab.Operation
	for _, o := range objects {
		ops = append(ops, lab.Operation{Op: "put", Kind: o.Kind(), Key: o.Key(), Value: o})
	}
	for _, n := range d.nodes {
		if len(n.Documents.Tenants) == 0 {
			continue
		}
		if _, err := n.push(ctx, ops); err != nil {
			return fmt.Errorf("push to %s: %w", n.Name, err)
		}
	}
	return nil
}

// serviceView is the service at one moment.
type serviceView struct {
	From, Address string
	Servers       []serverView
	Failed        uint64
}

type serverView struct {
	Name  string
	Port  uint16
	State string
	Rate  float64 // new connections a second that it answers
}

func (d *demo) lookService(rate func(key string, n uint64) float64) serviceView {
	v := serviceView{From: d.web.from.Name, Address: fmt.Sprintf("%v:%d", virtual, servicePort)}
	for _, vm := range webVMs("") {
		v.Servers = append(v.Servers, serverView{Name: vm.Name, Port: webPort(vm.Name), State: d.web.state[vm.Name],
			Rate: rate("server "+vm.Name, d.web.got[vm.Name].Load())})
	}
	d.web.mu.Lock()
	defer d.web.mu.Unlock()
	for _, p := range d.web.phases {
		v.Failed += p.failed.Load()
	}
	return v
}

// write draws the service: two servers a line.
func (v *serviceView) write(b *strings.Builder) {
	if len(v.Servers) == 0 {
		return
	}
	lead := fmt.Sprintf("  %-8s → %-13s ", v.From, v.Address)
	b.WriteString("\n")
	for i, s := range v.Servers {
		if i%2 == 0 {
			b.WriteString(lead)
			lead = strings.Repeat(" ", len([]rune(lead)))
		}
		fmt.Fprintf(b, "→ %s:%d %-9s %4.0f/s", s.Name, s.Port, s.State, s.Rate)
		if i%2 == 0 && i+1 < len(v.Servers) {
			b.WriteString("  ")
		} else {
			if i == 1 {
				fmt.Fprintf(b, "  failed %d", v.Failed)
			}
			b.WriteString("\n")
		}
	}
}

// rates are the servers' rates for a line.
func (v *serviceView) rates() string {
	var list []string
	for _, s := range v.Servers {
		list = append(list, fmt.Sprintf("%.0f", s.Rate))
	}
	return strings.Join(list, "/")
}

// summaryService prints what came of the requests in each phase, and returns the failed checks.
func (d *demo) summaryService() (bad []string) {
	w := d.web
	w.stop()
	d.printf("\n  SERVICE %v:%d        REQUESTS  FAILED", virtual, servicePort)
	for _, p := range w.phases {
		note := ""
		if p.What == killed+" killed" {
			note = "  until the health checks noticed, and on connections that it had"
		}
		d.printf("  %-27s %8d  %6d%s", fmt.Sprintf("%s (%.1f s)", p.What, p.At.Seconds()), p.asked.Load(),
			p.failed.Load(), note)
		failed := p.failed.Load()
		if note != "" {
			failed = p.late.Load()
		}
		if failed > 0 {
			bad = append(bad, fmt.Sprintf("%s: %d of %d requests failed: %v", p.What, failed, p.asked.Load(), w.first))
		}
	}
	for _, vm := range webVMs("") {
		if w.got[vm.Name].Load() == 0 {
			bad = append(bad, vm.Name+" never answered")
		}
	}
	return bad
}
