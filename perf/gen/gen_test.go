package gen

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/traffic"
)

func TestMain(m *testing.M) { xsktest.Main(m) }

func program(t testing.TB, name string, o traffic.Options) *traffic.Program {
	t.Helper()
	p, err := traffic.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Program(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func small(t testing.TB) *traffic.Program { return program(t, "size-64", traffic.Options{}) }

// oneWay sends 64-octet frames from a to b.
func oneWay(t testing.TB) Config {
	return Config{Ports: []Port{{Interface: "a", Program: small(t)}, {Interface: "b"}}}
}

// open opens a generator and closes it with the test.
func open(t testing.TB, c Config) *Engine {
	t.Helper()
	e, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func run(t testing.TB, e *Engine, l Load) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := e.Run(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Directions) != len(l.Rates) || len(r.Ports) != len(e.ports) || ctx.Err() != nil {
		t.Fatalf("report %+v, want %d directions and %d ports in time", r, len(l.Rates), len(e.ports))
	}
	for i := range r.Directions {
		d := &r.Directions[i]
		if d.Stuck != 0 {
			t.Errorf("%d frames are stuck", d.Stuck)
		}
		if (d.Latency.HDR != "") != (d.Received > 0) {
			t.Errorf("received %d, histogram %q", d.Received, d.Latency.HDR)
		}
		d.Latency.HDR = "" // else messages become long
	}
	return r
}

func end(t testing.TB, name string) xsktest.End {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return xsktest.End{Name: name, Index: i.Index}
}

// kernelSays reads the kernel's counters of an interface, from the text that people read.
func kernelSays(t testing.TB, name string) (c Counters) {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/dev") // the namespace is the thread's
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		dev, rest, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(dev) != name {
			continue
		}
		var n [16]uint64
		for i, f := range strings.Fields(rest) {
			if n[i], err = strconv.ParseUint(f, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		return Counters{
			RxFrames: n[1], RxErrors: n[2], RxDropped: n[3], TxFrames: n[9], TxErrors: n[10], TxDropped: n[11],
		}
	}
	t.Fatalf("no interface %s in %s", name, text)
	return c
}

// TestCounts: over a wire that loses nothing everything that was asked for is sent and received, once and in order, and
// the kernel's counters say the same to the frame.
func TestCounts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config func(*Config)
		load   Load
		want   uint64
	}{
		{"count", nil, Load{Rates: []float64{50_000}, Count: 7777}, 7777},
		{"count before duration", nil, Load{Rates: []float64{10_000}, Duration: time.Hour, Count: 10}, 10},
		{"one frame", nil, Load{Rates: []float64{5}, Count: 1}, 1},
		{"bursts", func(c *Config) { c.Burst = 64 }, Load{Rates: []float64{50_000}, Count: 1000}, 1000},
		{"generic", func(c *Config) { c.XDP = steer.Generic }, Load{Rates: []float64{20_000}, Count: 5000}, 5000},
		{"two queues", func(c *Config) { c.Queues = 2 }, Load{Rates: []float64{20_000}, Count: 5001}, 5001},
		{"small rings", func(c *Config) { c.Ring = 1024 }, Load{Rates: []float64{20_000}, Count: 1000}, 1000},
		{"without stamps", func(c *Config) { c.noStamp = true }, Load{Rates: []float64{20_000}, Count: 2000}, 2000},
		{
			"imix", func(c *Config) { c.Ports[0].Program = program(t, "size-imix", traffic.Options{}) },
			Load{Rates: []float64{20_000}, Count: 5000}, 5000,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			xsktest.Namespace(t)
			xsktest.Veth(t, "a", "b", xsktest.VethConfig{Queues: 2})
			c := oneWay(t)
			if tc.config != nil {
				tc.config(&c)
			}
			e := open(t, c)
			for again := range uint64(2) {
				r := run(t, e, tc.load)
				d := &r.Directions[0]
				if d.Sent != tc.want || d.Frames != tc.want || d.Received != tc.want ||
					d.Lost != 0 || d.Duplicates != 0 || d.Reordered != 0 || d.TooLate != 0 {
					t.Errorf("want %d frames: %+v", tc.want, d)
				}
				if d.Latency.Frames != int64(tc.want) || d.Latency.Min <= 0 ||
					d.Latency.P50 < d.Latency.Min || d.Latency.Max < d.Latency.P999 {
					t.Errorf("latency %+v, want %d frames, values above 0 and in order", d.Latency, tc.want)
				}
				if clock := map[bool]string{false: "xdp", true: "receiver"}[c.noStamp]; d.Latency.Clock != clock {
					t.Errorf("arrival by the clock of %q, want %q", d.Latency.Clock, clock)
				}
				for i, name := range []string{"a", "b"} {
					p, k := &r.Ports[i], kernelSays(t, name)
					if p.Foreign != 0 || p.Looped != 0 || p.Stale != 0 || p.Overrun != 0 {
						t.Errorf("port %s: %+v, want no frame but those of the run", name, p)
					}
					total := (again + 1) * tc.want
					if want := [2]Counters{{TxFrames: total}, {RxFrames: total}}[i]; k != want {
						t.Errorf("the kernel of %s: %+v, want %+v", name, k, want)
					}
					if want := [2]Counters{{TxFrames: tc.want}, {RxFrames: tc.want}}[i]; p.Counters != want {
						t.Errorf("reported of %s: %+v, want %+v", name, p.Counters, want)
					}
				}
				var sum Stream
				for _, s := range d.Streams {
					sum.Sent, sum.Received = sum.Sent+s.Sent, sum.Received+s.Received
					if s.Sent != s.Received {
						t.Errorf("stream %+v, want everything received that was sent", s)
					}
				}
				if tc.name == "imix" && (len(d.Streams) != 3 || sum.Sent != tc.want) {
					t.Errorf("streams %+v, want 3 with %d frames in all", d.Streams, tc.want)
				}
			}
		})
	}
}

// TestDevice: a device that loses, repeats and reorders frames, and adds some of its own, by rules and by an account of
// its own. Everything agrees to the frame.
func TestDevice(t *testing.T) {
	const count = 6000
	var held [][]byte
	foreign := 0
	dev := newDevice(t, func(n int, f []byte, send func([]byte)) {
		switch {
		case n%7 == 3:
			return // lost
		case n%11 == 5:
			held = append(held, f) // overtaken by some
			return
		case n%13 == 4:
			send(f)
		case n%100 == 50:
			send(xsktest.Frame(1, 60))
			foreign++
		}
		send(f)
		if n%5 == 0 || n == count-1 {
			for _, h := range held {
				send(h)
			}
			held = nil
		}
		if n == count-1 {
			send(f) // a duplicate at the very end
		}
	})
	e := open(t, oneWay(t))
	r := run(t, e, Load{Rates: []float64{20_000}, Count: count})
	dev.end()
	d := &r.Directions[0]
	if d.Sent != count || len(dev.came) != count {
		t.Fatalf("sent %d, the device saw %d, want %d", d.Sent, len(dev.came), count)
	}
	for i, s := range dev.came {
		if s.seq != uint64(i) {
			t.Fatalf("frame %d is number %d", i, s.seq)
		}
	}
	want := dev.expected()
	if want.duplicates == 0 || want.reordered == 0 || want.received == count || foreign == 0 {
		t.Fatalf("the device did nothing: %+v", want)
	}
	got := expected{d.Received, d.Duplicates, d.Reordered, d.Behind, d.Extent}
	if got != want || d.Lost != count-want.received {
		t.Errorf("got %+v and %d lost, want %+v and %d", got, d.Lost, want, count-want.received)
	}
	if r.Ports[1].Foreign != uint64(foreign) || r.Ports[1].Looped != 0 || r.Ports[1].Stale != 0 {
		t.Errorf("%+v, want %d foreign", r.Ports[1], foreign)
	}
	if k := kernelSays(t, "b"); k.RxFrames != want.received+want.duplicates+uint64(foreign) {
		t.Errorf("the kernel says %d frames arrived", k.RxFrames)
	}
}

// TestStale: frames of an earlier run that arrive in a later one belong to neither.
func TestStale(t *testing.T) {
	var held [][]byte
	dev := newDevice(t, func(n int, f []byte, send func([]byte)) {
		if n < 100 && n%10 == 0 {
			held = append(held, f)
			return
		}
		if n == 150 {
			for _, h := range held {
				send(h)
			}
		}
		send(f)
	})
	e := open(t, oneWay(t))
	if d := run(t, e, Load{Rates: []float64{10_000}, Count: 100}).Directions[0]; d.Lost != 10 {
		t.Errorf("direction %+v, want 10 frames lost", d)
	}
	r := run(t, e, Load{Rates: []float64{10_000}, Count: 100})
	if d := r.Directions[0]; d.Lost != 0 || d.Received != 100 || d.Duplicates != 0 || d.Reordered != 0 ||
		r.Ports[1].Stale != 10 {
		t.Errorf("%+v\n%+v", d, r.Ports)
	}
	dev.end()
}

// TestBothWays: two ports that send to each other, at different rates, through a device; and the two directions are
// told apart when frames come back where they came from.
func TestBothWays(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, Config{Ports: []Port{{Interface: "a", Program: small(t)}, {Interface: "b", Program: small(t)}}})
	r := run(t, e, Load{Rates: []float64{20_000, 10_000}, Count: 3000})
	const want = 3000
	for i := range r.Directions {
		d := &r.Directions[i]
		if d.Sent != want || d.Received != want || d.Lost != 0 || d.Duplicates != 0 || d.Reordered != 0 ||
			d.From == d.To {
			t.Errorf("direction %+v, want %d frames sent and received, in order, by the other port", d, want)
		}
		if k := kernelSays(t, d.To); k.RxFrames != want {
			t.Errorf("the kernel of %s: %+v", d.To, k)
		}
		if p := r.Ports[i]; p.Foreign != 0 || p.Looped != 0 || p.Stale != 0 {
			t.Errorf("port %s: %+v, want no frame but those of the run", d.To, p)
		}
	}
}

// TestLooped: what comes back by the port it left by is neither received nor foreign.
func TestLooped(t *testing.T) {
	dev := newDevice(t, nil)
	loops := 0
	dev.treat = func(n int, f []byte, send func([]byte)) {
		if n%4 == 0 {
			loops++
			if err := dev.in.TrySend(f); err != nil {
				t.Error(err)
			}
		}
		send(f)
	}
	e := open(t, Config{Ports: []Port{{Interface: "a", Program: small(t)}, {Interface: "b", Program: small(t)}}})
	r := run(t, e, Load{Rates: []float64{5000, 5000}, Count: 1000})
	dev.end()
	if a := r.Directions[0]; a.Received != 1000 || a.Lost != 0 || a.Duplicates != 0 {
		t.Errorf("direction %+v, want 1000 frames received, each once", a)
	}
	if b := r.Directions[1]; b.Sent != 1000 || b.Received != 0 || b.Lost != 1000 {
		t.Errorf("the device forwards one way only: %+v", b)
	}
	if p := r.Ports[0]; loops != 250 || p.Looped != 250 || p.Foreign != 0 {
		t.Errorf("%d loops: %+v", loops, p)
	}
}

// TestRate: a run of some duration sends just as many frames as rate and time make, never faster than the rate allows.
// On a busy machine the rate may be missed: then the report must say so, with correct figures.
func TestRate(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	for _, rate := range []float64{100, 3333.3, 20_000} {
		reached := false
		for try := 0; !reached && try < 20; try++ {
			const length = 300 * time.Millisecond
			r := run(t, e, Load{Rates: []float64{rate}, Duration: length})
			d := &r.Directions[0]
			want := uint64(rate*length.Seconds() + 0.5)
			if d.Frames != want || d.Sent > want || d.Received != d.Sent || d.TxRate > rate*1.000001 {
				t.Fatalf("want at most %d: %+v", want, d)
			}
			if least := float64(d.Sent-1) / rate * 1e9; float64(r.Took) < least-1 {
				t.Fatalf("sent %d frames in %d ns, want %.0f at least", d.Sent, r.Took, least)
			}
			s := &d.Sender
			if reached = s.Reached; reached {
				if d.Sent != want || s.Limit != "" || d.TxRate < rate*0.98 {
					t.Errorf("reached: %+v", d)
				}
			} else if s.Limit == "" || s.Why == "" || s.Lag == 0 {
				t.Errorf("not reached, and why is not said: %+v", s)
			}
		}
		if !reached {
			t.Errorf("%v frames per second: not reached once", rate)
		}
	}
}

// TestMax: without a rate limit, for a time. The kernel's counters agree, and the report names the limit.
func TestMax(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	for range 2 {
		before := kernelSays(t, "b")
		r := run(t, e, Load{Rates: []float64{0}, Duration: 200 * time.Millisecond})
		d, k := &r.Directions[0], kernelSays(t, "b").minus(before)
		if d.Sent == 0 || d.Frames != 0 || d.Sender.Limit == "" || d.Sender.Why == "" || d.Reordered != 0 ||
			d.Duplicates != 0 {
			t.Errorf("direction %+v, want frames sent without a limit, in order, and what limits the sender", d)
		}
		// Frames without room in the receiver's ring are not lost by the wire, and are counted apart.
		over := r.Ports[1].Overrun
		if d.Lost != over+r.Ports[0].Counters.TxDropped || d.Received+d.Lost != d.Sent ||
			k.RxFrames != d.Received+over {
			t.Errorf("%+v\n%+v\nkernel %+v", d, r.Ports, k)
		}
	}
}

// TestInterrupted: a run that is ended early reports what was until then, all of it.
func TestInterrupted(t *testing.T) {
	xsktest.Namespace(t)
	xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	e := open(t, oneWay(t))
	ctx, cancel := context.WithCancel(t.Context())
	w := e.Watch()
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if l, ok := w.Look(); ok && l.Directions[0].Received > 100 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	r, err := e.Run(ctx, Load{Rates: []float64{5000}, Duration: time.Hour})
	if err != nil || r.Stopped != StoppedInterrupted {
		t.Fatalf("error %v, report %+v, want no error and an interrupted run", err, r)
	}
	if d := &r.Directions[0]; d.Sent < 100 || d.Received != d.Sent || d.Lost != 0 {
		t.Errorf("direction %+v, want 100 frames or more, all received", d)
	}
	if _, ok := w.Look(); ok {
		t.Error("a run is under way")
	}
}
