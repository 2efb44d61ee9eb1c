package load_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock/dataplane/xsk/xsktest"
	"penstock/perf/load"
)

func TestMain(m *testing.M) { xsktest.Main(m) }

func udp(t testing.TB, size, flows int) load.Template {
	t.Helper()
	f, err := load.UDP(size, flows, 0x020100fffffe, 0x02000000cc01,
		[4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}, 65530, 9)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// expect is the template's frames: EtherType to destination address, and the destination port.
func expect(t testing.TB, f load.Template) load.Expect {
	t.Helper()
	e := load.Expect{Size: len(f.Frame)}
	for _, part := range [][2]int{{12, 22}, {36, len(f.Frame[36:min(200, len(f.Frame))])}} {
		octets, err := f.Constant(part[0], part[1])
		if err != nil {
			t.Fatal(err)
		}
		e.Values = append(e.Values, load.Value{Offset: part[0], Octets: octets})
	}
	return e
}

// counter reads one of the kernel's counters of an interface of the test's namespace.
func counter(t testing.TB, name, which string) uint64 {
	t.Helper()
	// /proc/thread-self: the namespace is the thread's. Fields: interface: 8 of reception, 8 of transmission.
	text, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	field := map[string]int{"rx_packets": 1, "rx_dropped": 3, "tx_packets": 9, "tx_dropped": 11}[which]
	for line := range strings.Lines(string(text)) {
		if dev, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(dev) == name {
			n, err := strconv.ParseUint(strings.Fields(rest)[field], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no interface %s in %s", name, text)
	return 0
}

func open(t testing.TB, f load.Template, e load.Expect) (*load.Source, *load.Sink) {
	t.Helper()
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	sink, err := load.OpenSink(b.Index, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	src, err := load.OpenSource(load.SourceConfig{Ifindex: a.Index, Template: f, CPU: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	return src, sink
}

func counts(t testing.TB, s *load.Sink) load.Counts {
	t.Helper()
	c, err := s.Counts()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// arrived waits until no more frames arrive.
func arrived(t testing.TB, s *load.Sink) load.Counts {
	t.Helper()
	for c := counts(t, s); ; {
		time.Sleep(20 * time.Millisecond)
		now := counts(t, s)
		if now == c {
			return c
		}
		c = now
	}
}

func run(t testing.TB, s *load.Source, rate float64, d time.Duration) {
	t.Helper()
	if err := s.Start(rate); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

// TestPaced: at a rate that the kernel keeps, every frame sent is received, and everybody's counters agree.
func TestPaced(t *testing.T) {
	for _, size := range []int{load.MinSize, 61, 1400} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			f := udp(t, size, 1000)
			src, sink := open(t, f, expect(t, f))
			const rate, d = 20_000, 300 * time.Millisecond
			start := time.Now()
			run(t, src, rate, d)
			took := time.Since(start)
			sent, got := src.Sent(), arrived(t, sink)
			if got.Expected != sent || got.Other != 0 {
				t.Errorf("sent %d, received %+v", sent, got)
			}
			// Never more than the rate allows; less only if the machine is too busy.
			if most := rate * took.Seconds(); float64(sent) > most || float64(sent) < most/10 {
				t.Errorf("sent %d frames in %v at %d a second", sent, took, rate)
			}
			for _, c := range []struct {
				dev, which string
				want       uint64
			}{{"a", "tx_packets", sent}, {"b", "rx_packets", sent}, {"a", "tx_dropped", 0}, {"b", "rx_dropped", 0}} {
				if n := counter(t, c.dev, c.which); n != c.want {
					t.Errorf("%s of %s: %d, want %d", c.which, c.dev, n, c.want)
				}
			}
		})
	}
}

// TestFullSpeed: the kernel counts the frames for which it had no room, and all others are received.
func TestFullSpeed(t *testing.T) {
	f := udp(t, load.MinSize, 1)
	src, sink := open(t, f, expect(t, f))
	for range 3 {
		run(t, src, 0, 50*time.Millisecond)
		sent, got := src.Sent(), arrived(t, sink)
		if n := counter(t, "b", "rx_packets"); n != got.Expected || got.Other != 0 {
			t.Errorf("received %+v, the kernel says %d", got, n)
		}
		if dropped := counter(t, "a", "tx_dropped"); sent == 0 || got.Expected+dropped != sent {
			t.Errorf("sent %d, received %d, dropped by the kernel %d", sent, got.Expected, dropped)
		}
	}
}

// TestOther: frames of another size, or that differ in one octet, are counted apart.
func TestOther(t *testing.T) {
	f := udp(t, 64, 10)
	good := expect(t, f)
	wrong := func(change func(*load.Expect)) load.Expect {
		e := load.Expect{Size: good.Size}
		for _, v := range good.Values {
			e.Values = append(e.Values, load.Value{Offset: v.Offset, Octets: bytes.Clone(v.Octets)})
		}
		change(&e)
		return e
	}
	others := map[string]load.Expect{"longer": {Size: 65}, "shorter": {Size: 63}}
	// Seven and 22 octets: comparisons of every width.
	for i, at := range []int{0, 3, 4, 5, 6} {
		others["seven "+strconv.Itoa(at)] = wrong(func(e *load.Expect) {
			e.Values[1].Octets = e.Values[1].Octets[:7]
			e.Values[1].Octets[at] ^= 0x80 >> i
		})
	}
	for _, at := range []int{0, 7, 8, 15, 16, 21} {
		others["22 "+strconv.Itoa(at)] = wrong(func(e *load.Expect) { e.Values[0].Octets[at] ^= 0x81 })
	}
	for name, e := range others {
		t.Run(name, func(t *testing.T) {
			src, sink := open(t, f, e)
			run(t, src, 10_000, 20*time.Millisecond)
			if c, sent := arrived(t, sink), src.Sent(); sent == 0 || c.Other != sent || c.Expected != 0 {
				t.Errorf("sent %d, received %+v: want all of them other", sent, c)
			}
		})
	}
}

// TestFlows looks at the frames themselves: all flows come, and what varies is all that varies.
func TestFlows(t *testing.T) {
	const flows = 10
	f := udp(t, 100, flows)
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := xsktest.Packet(t, b)
	src, err := load.OpenSource(load.SourceConfig{Ifindex: a.Index, Template: f, CPU: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	run(t, src, 20_000, 50*time.Millisecond)
	seen := map[uint32]int{}
	e := expect(t, f)
	for range src.Sent() {
		got := p.Receive(time.Second)
		if got == nil {
			break
		}
		k := binary.BigEndian.Uint32(got[2:]) - 0x00fffffe
		want := bytes.Clone(f.Frame)
		binary.BigEndian.PutUint32(want[2:], 0x00fffffe+k)
		binary.BigEndian.PutUint16(want[34:], uint16(65530+k)) // wraps
		if k >= flows || !bytes.Equal(got, want) {
			t.Fatalf("flow %d: got\n%x, want\n%x", k, got, want)
		}
		if !e.Match(got) {
			t.Fatalf("%x does not match %+v", got, e)
		}
		seen[k]++
	}
	total := 0
	for _, n := range seen {
		total += n
	}
	if len(seen) != flows || total != int(src.Sent()) {
		t.Errorf("sent %d, received %d of %d flows", src.Sent(), total, len(seen))
	}
}

// TestMatch: Match is what the program does; here it is held to a naive comparison.
func TestMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := udp(t, 80, 1)
	e := expect(t, f)
	for range 1000 {
		g := bytes.Clone(f.Frame)
		at := rng.IntN(len(g))
		g[at] ^= byte(1 + rng.IntN(255))
		want := !slices.ContainsFunc(e.Values, func(v load.Value) bool {
			return at >= v.Offset && at < v.Offset+len(v.Octets)
		})
		if e.Match(g) != want {
			t.Fatalf("octet %d changed: Match says %v", at, !want)
		}
	}
	if e.Match(f.Frame[:79]) || e.Match(append(bytes.Clone(f.Frame), 0)) {
		t.Error("another size matches")
	}
}

func TestErrors(t *testing.T) {
	f := udp(t, 60, 1)
	for name, c := range map[string]load.SourceConfig{
		"short":   {Ifindex: 1, Template: load.Template{Frame: make([]byte, 59), Flows: 1}},
		"long":    {Ifindex: 1, Template: load.Template{Frame: make([]byte, load.MaxSize+1), Flows: 1}},
		"no flow": {Ifindex: 1, Template: load.Template{Frame: f.Frame}},
		"field outside": {
			Ifindex:  1,
			Template: load.Template{Frame: f.Frame, Flows: 1, Vary: []load.Field{{Offset: 57, Width: 4}}},
		},
		"odd field": {
			Ifindex:  1,
			Template: load.Template{Frame: f.Frame, Flows: 1, Vary: []load.Field{{Offset: 0, Width: 3}}},
		},
	} {
		if s, err := load.OpenSource(c); err == nil || !strings.HasPrefix(err.Error(), "load: ") {
			t.Errorf("%s: source %v, error %v, want an error of package load", name, s, err)
		}
	}
	for name, e := range map[string]load.Expect{
		"short":    {Size: 10},
		"outside":  {Size: 60, Values: []load.Value{{Offset: 59, Octets: []byte{1, 2}}}},
		"too many": {Size: 1000, Values: []load.Value{{Octets: make([]byte, 257)}}},
	} {
		if s, err := load.OpenSink(1, e); err == nil || !strings.HasPrefix(err.Error(), "load: ") {
			t.Errorf("%s: sink %v, error %v, want an error of package load", name, s, err)
		}
	}
	if _, err := f.Constant(30, 10); err == nil {
		t.Error("a field that varies is called constant")
	}
	if _, err := f.Constant(50, 11); err == nil {
		t.Error("octets behind the end are called constant")
	}
	for _, size := range []int{-1, 59, load.MaxSize + 1} {
		if _, err := load.UDP(size, 1, 1, 2, [4]byte{}, [4]byte{}, 1, 2); err == nil {
			t.Errorf("UDP frame of %d octets: no error", size)
		}
	}
}

// TestGone: an interface that goes away ends sending with an error.
func TestGone(t *testing.T) {
	f := udp(t, 60, 1)
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	src, err := load.OpenSource(load.SourceConfig{Ifindex: a.Index, Template: f, CPU: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := src.Stop(); err == nil {
		t.Error("stopped before it was started")
	}
	if err := src.Start(0); err != nil {
		t.Fatal(err)
	}
	if err := src.Start(0); err == nil {
		t.Error("started twice")
	}
	xsktest.Delete(t, "a")
	time.Sleep(20 * time.Millisecond)
	if err := src.Stop(); err == nil {
		t.Error("the interface is gone: no error")
	}
}
