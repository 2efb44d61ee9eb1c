package gen

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/traffic"
)

// TestRefused: what makes no sense is refused, with what to do, before anything is touched.
func TestRefused(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{MTU: 1400, Queues: 2})
	for want, change := range map[string]func(*Config){
		"0 ports":                 func(c *Config) { c.Ports = nil },
		"3 ports":                 func(c *Config) { c.Ports = make([]Port, 3) },
		"both ports are a":        func(c *Config) { c.Ports[1].Interface = "a" },
		"leave one of them out":   func(c *Config) { c.Reflect = true },
		"no port sends":           func(c *Config) { c.Ports[0].Program = nil },
		"-1 queues":               func(c *Config) { c.Queues = -1 },
		"33 queues: want 1 to 32": func(c *Config) { c.Queues = 33 },
		"`ethtool -l a`":          func(c *Config) { c.Queues = 3 },
		"bursts of 65":            func(c *Config) { c.Burst = 65 },
		"rings of 100":            func(c *Config) { c.Ring = 100 },
		"generic mode":            func(c *Config) { c.Socket = xsk.ModeGeneric },
		"choose one of them":      func(c *Config) { c.Socket, c.XDP = xsk.ModeZeroCopy, steer.Generic },
		"no multi-buffer":         func(c *Config) { c.Ports[0].Program = program(t, "size-9000", traffic.Options{}) },
		"ip link set dev a mtu 1500": func(c *Config) {
			c.Ports[0].Program = program(t, "size-1518", traffic.Options{})
		},
		"1 CPUs for 2 threads": func(c *Config) { c.CPUs = []int{0} },
		"CPU 4000":             func(c *Config) { c.CPUs = []int{0, 4000} },
		"CPU -1":               func(c *Config) { c.CPUs = []int{0, -1} },
		"CPU 0 is named twice": func(c *Config) { c.CPUs = []int{0, 0} },
	} {
		c := oneWay(t)
		change(&c)
		e, err := Open(t.Context(), c)
		if err == nil {
			e.Close()
		}
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "refused") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c := oneWay(t)
	c.Ports[1].Interface = "nowhere"
	if _, err := Open(t.Context(), c); !errors.Is(err, ErrNoInterface) ||
		!strings.Contains(err.Error(), "port nowhere: ") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"a", "b"} {
		if id := xsktest.XDP(t, name); id != 0 {
			t.Errorf("program %d is attached to %s", id, name)
		}
	}
	e := open(t, oneWay(t))
	for want, l := range map[string]Load{
		"2 rates for 1":   {Rates: []float64{1, 1}, Count: 1},
		"never end":       {Rates: []float64{1}},
		"duration of -1s": {Rates: []float64{1}, Duration: -time.Second},
		"rate of -1":      {Rates: []float64{-1}, Count: 1},
		"rate of 1e+10":   {Rates: []float64{1e10}, Count: 1},
		"not one frame":   {Rates: []float64{1}, Duration: time.Millisecond},
	} {
		if _, err := e.Run(t.Context(), l); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestGuard: an interface that carries something of this machine's own is not taken, unless it is said.
func TestGuard(t *testing.T) {
	address := func(t *testing.T, name, prefix string) {
		t.Helper()
		ip, n, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		if err := netlink.AddrAdd(linkOf(t, name), &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		make func(t *testing.T)
		want string
	}{
		"nothing": {func(*testing.T) {}, ""},
		"IPv4":    {func(t *testing.T) { address(t, "b", "192.0.2.1/24") }, "port b: it carries 192.0.2.1/24: "},
		"default route": {func(t *testing.T) {
			err := netlink.RouteAdd(&netlink.Route{
				LinkIndex: end(t, "b").Index, Scope: netlink.SCOPE_LINK,
				Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}, "port b: it carries a default route: "},
		"bridge": {func(t *testing.T) {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "br0"
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				t.Fatal(err)
			}
			if err := netlink.LinkSetMaster(linkOf(t, "b"), linkOf(t, "br0")); err != nil {
				t.Fatal(err)
			}
			address(t, "br0", "192.0.2.1/24")
		}, "port b: br0, which stands on it, carries 192.0.2.1/24: "},
		"macvlan": {func(t *testing.T) {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.ParentIndex = "mv0", end(t, "b").Index
			err := netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PRIVATE})
			if err != nil {
				t.Fatal(err)
			}
			address(t, "mv0", "192.0.2.1/24")
		}, "port b: mv0, which stands on it, carries 192.0.2.1/24: "},
		"the other end": {func(t *testing.T) { address(t, "c", "192.0.2.1/24") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			xsktest.Namespace(t)
			xsktest.Veth(t, "a", "d", xsktest.VethConfig{})
			xsktest.Veth(t, "b", "c", xsktest.VethConfig{})
			tc.make(t)
			e, err := Open(t.Context(), oneWay(t))
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrManagement) || !errors.Is(err, ErrRefused) ||
				!strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "--force") {
				t.Errorf("%v, want %q", err, tc.want)
			}
			c := oneWay(t)
			c.Force = true
			if e, err = Open(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	xsktest.Namespace(t)
	c := oneWay(t)
	c.Ports[0].Interface = "lo"
	if _, err := Open(t.Context(), c); !errors.Is(err, ErrManagement) || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("%v", err)
	}
}

func linkOf(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestOwned: a port that somebody else has stays his, and the error says how to get it.
func TestOwned(t *testing.T) {
	xsktest.Namespace(t)
	_, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p, err := steer.Attach(steer.Options{Ifindex: b.Index, Queues: 1})
	if err != nil {
		t.Fatal(err)
	}
	id := xsktest.XDP(t, "b")
	if _, err := Open(t.Context(), oneWay(t)); !errors.Is(err, steer.ErrOccupied) || errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "port b: ") || !strings.Contains(err.Error(), "bpftool") {
		t.Errorf("%v", err)
	}
	if xsktest.XDP(t, "b") != id || xsktest.XDP(t, "a") != 0 {
		t.Error("the programs are not as they were")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	u, err := xsk.NewUmem(xsk.UmemConfig{Frames: 64, FrameSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	s, err := u.Open(xsk.SocketConfig{
		Ifindex: b.Index, RxSize: 64, TxSize: 64, FillSize: 64, CompSize: 64, Mode: xsk.ModeCopy,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), oneWay(t)); !errors.Is(err, unix.EBUSY) ||
		!strings.Contains(err.Error(), "port b: ") || !strings.Contains(err.Error(), "ss -f xdp -p") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(s.Close(), u.Close()); err != nil {
		t.Fatal(err)
	}
	e := open(t, oneWay(t))
	if r := run(t, e, Load{Rates: []float64{10_000}, Count: 100}); r.Directions[0].Received != 100 {
		t.Errorf("report %+v, want 100 frames received", r)
	}
}

// TestNoPermission: without capabilities the error says which are needed.
func TestNoPermission(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	c := oneWay(t)
	xsktest.WithoutCapabilities(t, func() {
		_, err := Open(t.Context(), c)
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "root") ||
			!strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("%v", err)
		}
	})
}

// TestPutBack: after a run, successful or not, ports are as before it, and a port that was down is up meanwhile.
func TestPutBack(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{Down: true})
	state := func() (s [2]netlink.LinkAttrs) {
		for i, name := range []string{"a", "b"} {
			a := linkOf(t, name).Attrs()
			s[i] = netlink.LinkAttrs{
				RawFlags: a.RawFlags &^ (unix.IFF_LOWER_UP | unix.IFF_RUNNING), MTU: a.MTU, Promisc: a.Promisc,
			}
			if x := a.Xdp; x != nil && x.Attached {
				s[i].Alias = "XDP"
			}
		}
		return s
	}
	same := func(x, y [2]netlink.LinkAttrs) bool {
		for i := range x {
			if x[i].RawFlags != y[i].RawFlags || x[i].MTU != y[i].MTU || x[i].Promisc != y[i].Promisc ||
				x[i].Alias != y[i].Alias {
				return false
			}
		}
		return true
	}
	before := state()
	e, err := Open(t.Context(), oneWay(t))
	if err != nil {
		t.Fatal(err)
	}
	if now := state(); same(before, now) || now[1].Promisc == 0 || now[0].Alias != "XDP" || now[1].Alias != "XDP" {
		t.Errorf("open: %+v", now)
	}
	infos := e.Ports()
	for i, want := range []PortInfo{
		{
			Interface: "a", Driver: "veth", SpeedMbps: 10_000, MTU: 1500,
			XDP: "native", Socket: "copy", Queues: 1, Sends: true,
		},
		{
			Interface: "b", Driver: "veth", SpeedMbps: 10_000, MTU: 1500,
			XDP: "native", Socket: "copy", Queues: 1, Receives: true,
		},
	} {
		got := infos[i]
		if len(got.CPUs) != 0 || got.Interface != want.Interface || got.Driver != want.Driver ||
			got.SpeedMbps != want.SpeedMbps || got.MTU != want.MTU ||
			got.XDP != want.XDP || got.Socket != want.Socket || got.Queues != want.Queues || got.Sends != want.Sends ||
			got.Receives != want.Receives {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if now := state(); !same(before, now) {
		t.Errorf("closed: %+v, want %+v", now, before)
	}
	// The second port cannot be opened: the first is restored.
	c := oneWay(t)
	c.Ports[1].Interface = "nowhere"
	if _, err := Open(t.Context(), c); err == nil {
		t.Error("no error")
	}
	if now := state(); !same(before, now) {
		t.Errorf("after an error: %+v, want %+v", now, before)
	}
}

// TestGone: an interface that is deleted under way ends the run, with an error and what was until then.
func TestGone(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e, err := Open(t.Context(), oneWay(t))
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		r   *Report
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := e.Run(t.Context(), Load{Rates: []float64{5000}, Duration: time.Hour})
		done <- outcome{r, err}
	}()
	w := e.Watch()
	for received := false; !received; time.Sleep(time.Millisecond) {
		select {
		case o := <-done:
			t.Fatalf("it ended before anything arrived: %v, %+v", o.err, o.r)
		default:
			l, ok := w.Look()
			received = ok && l.Directions[0].Received > 50
		}
	}
	xsktest.Delete(t, "a")
	o := <-done
	if !errors.Is(o.err, unix.ENXIO) || !strings.Contains(o.err.Error(), "port a: ") || o.r == nil ||
		o.r.Stopped != StoppedError || o.r.Directions[0].Received <= 50 {
		t.Errorf("error %v, report %+v, want %v at port a, and the frames until then", o.err, o.r, unix.ENXIO)
	}
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestLinkDown: a port that is set down and up again under way is an event. What could not go out waits or is lost, and
// the counts still add up.
func TestLinkDown(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	done := make(chan *Report, 1)
	go func() {
		r, err := e.Run(t.Context(), Load{Rates: []float64{5000}, Duration: 2 * time.Second})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	w := e.Watch()
	received := uint64(0)
	until := func(n uint64) {
		t.Helper()
		for received < n {
			select {
			case r := <-done:
				t.Fatalf("it ended before %d frames arrived: %+v", n, r)
			case <-time.After(time.Millisecond):
			}
			if l, ok := w.Look(); ok {
				received = l.Directions[0].Received
			}
		}
	}
	until(100)
	xsktest.Down(t, "a")
	time.Sleep(100 * time.Millisecond)
	xsktest.Up(t, "a")
	until(received + 200)
	r := <-done
	d := &r.Directions[0]
	if d.Sent < 200 || d.Received+d.Lost != d.Sent || d.Duplicates != 0 || d.Gap.Length < int64(90*time.Millisecond) {
		t.Errorf("direction %+v, want 200 frames or more, each received or lost, and a gap of 90ms or more", d)
	}
}
