package health

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/event"
	"penstock/ctrl/health/station"
)

// bench is a Checker on a clock of the test's, whose servers answer as the test says.
type bench struct {
	*Checker
	t      *testing.T
	now    int64
	fails  map[string]bool // servers whose checks fail
	checks map[string]int
	alarms map[string]string // active ones: kind and object → text
	raises int
	events []event.Server
	got    map[string]Verdict
}

func newBench(t *testing.T, saved States) *bench {
	b := &bench{t: t, now: int64(time.Hour), fails: map[string]bool{}, checks: map[string]int{},
		alarms: map[string]string{}, got: map[string]Verdict{}}
	b.Checker = New(Config{Alarms: b, Events: b, Saved: saved, Now: func() int64 { return b.now },
		Verdicts: func(m map[string]Verdict) { maps.Copy(b.got, m) }})
	return b
}

func (b *bench) Raise(r alarm.Report) {
	b.alarms[string(r.Kind)+" "+r.Object] = r.Text
	b.raises++
}
func (b *bench) Clear(kind alarm.Kind, object string) { delete(b.alarms, string(kind)+" "+object) }
func (b *bench) Update(kind alarm.Kind, object, text string) {
	b.alarms[string(kind)+" "+object] = text
}
func (b *bench) Publish(d event.Data) { b.events = append(b.events, d.(event.Server)) }

var errBad = errors.New("connection refused")

// run lets time pass.
func (b *bench) run(d time.Duration) {
	for end := b.now + int64(d); b.now < end; b.now += int64(10 * time.Millisecond) {
		b.mu.Lock()
		for {
			p, _ := b.schedule.take(b.now)
			if p == nil {
				break
			}
			target := p.any()
			b.checks[target.Key]++
			var err error
			if b.fails[target.Key] {
				err = errBad
			}
			p.busy = true
			b.result(p, target, b.now, err, false)
		}
		if b.now%int64(tick) == 0 {
			b.ticks(b.now)
		}
		maps.Copy(b.got, b.pending)
		clear(b.pending)
		b.mu.Unlock()
	}
}

func (b *bench) states() map[string]string {
	m := map[string]string{}
	for key, s := range b.Status() {
		m[key] = s.State
	}
	return m
}

func (b *bench) want(state string, keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		s := b.states()[key]
		if s != state || b.got[key].Up != (state == Up) {
			b.t.Errorf("%s is %q, its verdict %+v; want it %s", key, s, b.got[key], state)
		}
	}
}

// target returns a server of service red/http, with an address of its own.
func target(name string, n int) Target {
	return Target{Key: "red/http/" + name, Service: "red/http", VIP: "red/www", Found: true, Enabled: true, Weight: 1,
		Panic: 25, To: netip.MustParseAddrPort("10.10.1.100:80"),
		Station: station.Key{Segment: station.Segment{Tenant: 100, ID: 1}, Address: netip.MustParseAddr("10.10.1.101")},
		Path:    station.Path{MAC: 0x020000000100 + uint64(n), Port: 8080},
		Check:   Check{Type: TCP, Interval: 2 * time.Second, Timeout: time.Second, Fall: 3, Rise: 2}}
}

// TestStates: one success brings a new server up, three failures in a row take it down, two successes bring it back;
// fewer change nothing.
func TestStates(t *testing.T) {
	b := newBench(t, States{})
	b.Set([]Target{target("web1", 1), target("web2", 2)})
	const web1, web2 = "red/http/web1", "red/http/web2"
	if s := b.states()[web1]; s != Init {
		t.Errorf("before its first check %s is %q, want init", web1, s)
	}
	b.fails[web2] = true
	b.run(500 * time.Millisecond)
	b.want(Up, web1)
	b.run(8 * time.Second)
	b.want(Down, web2)
	if text := b.alarms["server_down server red/http/web2"]; !strings.Contains(text, "connection refused") {
		t.Errorf("the alarm is %q, want it to say \"connection refused\"", text)
	}
	check := func(key string, fail bool) { // until its next check
		b.fails[key] = fail
		for n := b.checks[key]; b.checks[key] == n; {
			b.run(10 * time.Millisecond)
		}
	}
	for _, fail := range []bool{true, true, false, true, true} {
		check(web1, fail)
		b.want(Up, web1)
	}
	check(web1, true)
	b.want(Down, web1)
	check(web2, false)
	b.want(Down, web2)
	check(web2, false)
	b.want(Up, web2)
	b.run(2 * tick)
	if text, ok := b.alarms["server_down server red/http/web2"]; ok {
		t.Errorf("the alarm is still there: %s", text)
	}
	if n := len(b.events); n != 4 || b.events[0].From != Init {
		t.Errorf("%d events, %+v; want four: up, down, down, up", n, b.events)
	}
}

// TestRandomAgainstModel: states follow the rules, whatever the checks say. The interval is so long that nothing is
// damped.
func TestRandomAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		b := newBench(t, States{})
		x := target("web1", 1)
		x.Check.Interval, x.Check.Timeout = time.Minute, time.Second
		x.Check.Fall, x.Check.Rise = uint16(1+r.IntN(4)), uint16(1+r.IntN(4))
		b.Set([]Target{x})
		state, good, bad := Init, 0, 0
		var history []bool
		for range 60 {
			fail := r.IntN(2) == 0
			if len(history) > 0 && r.IntN(2) == 0 {
				fail = history[len(history)-1]
			}
			history = append(history, fail)
			if fail {
				good, bad = 0, bad+1
			} else {
				good, bad = good+1, 0
			}
			switch {
			case state == Init && !fail, state == Down && good >= int(x.Check.Rise):
				state = Up
			case bad >= int(x.Check.Fall):
				state = Down
			}
			b.fails[x.Key] = fail
			for n := b.checks[x.Key]; b.checks[x.Key] == n; {
				b.run(time.Second / 2)
			}
			if got := b.states()[x.Key]; got != state {
				t.Fatalf("fall %d, rise %d, failures %v: the server is %s, want %s", x.Check.Fall, x.Check.Rise,
					history, got, state)
			}
		}
	}
}

// TestDamping: the third failure within a minute holds the server down for 10 s although its checks succeed, the next
// one for 20 s, and never for more than 10 min.
func TestDamping(t *testing.T) {
	b := newBench(t, States{})
	x := target("web1", 1)
	x.Check.Interval, x.Check.Fall, x.Check.Rise = 100*time.Millisecond, 1, 1
	b.Set([]Target{x, target("web2", 2)})
	b.run(time.Second)
	var downs []time.Duration
	for range 10 {
		b.fails[x.Key] = true
		b.run(400 * time.Millisecond)
		b.want(Down, x.Key)
		b.fails[x.Key] = false
		at := b.now
		for b.states()[x.Key] == Down {
			b.run(100 * time.Millisecond)
			if s := b.Status()[x.Key]; b.now-at > int64(time.Second) && s.State == Down &&
				!strings.Contains(s.Reason, "held down for another") {
				t.Fatalf("the reason is %q, want it to say for how long", s.Reason)
			}
		}
		downs = append(downs, time.Duration(b.now-at).Round(time.Second))
		b.run(time.Second)
	}
	want := "[0s 0s 10s 20s 40s 1m20s 2m40s 5m20s 10m0s 10m0s]"
	if got := fmt.Sprint(downs); got != want {
		t.Errorf("it was down for %s, want %s", got, want)
	}
}

// TestEqualChecksAreOne: servers that are checked alike, over one path, are checked once, and share the verdict.
func TestEqualChecksAreOne(t *testing.T) {
	b := newBench(t, States{})
	x, y := target("a", 1), target("b", 1)
	z := target("c", 2)
	ping := func(t Target, service string, port uint16) Target {
		t.Key, t.Service = "red/"+service+"/ping", "red/"+service
		t.Check.Type, t.Path.Port, t.Path.Source = ICMP, port, uint64(port)
		t.To = netip.AddrPortFrom(t.To.Addr(), port)
		return t
	}
	b.Set([]Target{x, y, z, ping(x, "p80", 80), ping(x, "p81", 81)})
	b.run(10 * time.Second)
	sum := 0
	for _, n := range b.checks {
		sum += n
	}
	if len(b.probes) != 3 || sum > 3*7 {
		t.Errorf("%d checks of %d probes for five servers, want three probes", sum, len(b.probes))
	}
	b.want(Up, x.Key, y.Key, z.Key, "red/p80/ping", "red/p81/ping")
	b.fails[x.Key], b.fails[y.Key] = true, true
	b.run(10 * time.Second)
	b.want(Down, x.Key, y.Key)
	b.want(Up, z.Key, "red/p80/ping")
	b.Set([]Target{y})
	b.run(time.Second)
	if len(b.probes) != 1 || len(b.servers) != 1 {
		t.Errorf("%d probes and %d servers are left, want one", len(b.probes), len(b.servers))
	}
	b.want(Down, y.Key)
}

// TestPushAndRestartKeepStates: a server whose check, weight or place changes keeps its state, and so does every server
// over a restart; a new one begins with init.
func TestPushAndRestartKeepStates(t *testing.T) {
	b := newBench(t, States{})
	x, y := target("web1", 1), target("web2", 2)
	b.fails[y.Key] = true
	b.Set([]Target{x, y})
	b.run(8 * time.Second)
	b.want(Up, x.Key)
	b.want(Down, y.Key)
	x.Path.MAC, y.Check.Type = 0x02000000ff00, HTTP
	b.Set([]Target{x, y, target("web3", 3)})
	b.want(Up, x.Key)
	b.want(Down, y.Key)
	if s := b.states()["red/http/web3"]; s != Init {
		t.Errorf("the new server is %q, want init", s)
	}
	b.cfg.Path = filepath.Join(t.TempDir(), "servers.json")
	b.save()
	saved, err := Load(b.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	again := newBench(t, saved)
	again.Set([]Target{x, y, target("web3", 3)})
	maps.Copy(again.got, again.pending)
	again.want(Up, x.Key)
	again.want(Down, y.Key)
	if s := again.Status()[y.Key]; s.Reason != "connection refused" {
		t.Errorf("the reason is %q, want the last error", s.Reason)
	}
	if s := again.states()["red/http/web3"]; s != Init {
		t.Errorf("a server without saved state is %q, want init", s)
	}
}

// TestDamagedStates: a damaged file is an error that names it, and no states.
func TestDamagedStates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers.json")
	if s, err := Load(path); err != nil || len(s.Servers) != 0 {
		t.Errorf("%v, %v without a file, want nothing", s, err)
	}
	for _, text := range []string{"", "{", `{"servers":[]}`, "\x00\x01", `{"servers":{"a":{"state":7}}}`} {
		write(t, path, text)
		if s, err := Load(path); err == nil || len(s.Servers) != 0 || !strings.Contains(err.Error(), "first check") {
			t.Errorf("%q: %v, %v; want no states and an error that says what follows", text, s, err)
		}
	}
	write(t, path, `{"servers":{"red/http/web1":{"state":"flying"}}}`)
	s, err := Load(path)
	b := newBench(t, s)
	b.Set([]Target{target("web1", 1)})
	if got := b.states()["red/http/web1"]; err != nil || got != Init {
		t.Errorf("an unknown state becomes %q, %v; want init", got, err)
	}
}

// TestBusyIsNotDown: checks that this box was too busy for say nothing.
func TestBusyIsNotDown(t *testing.T) {
	b := newBench(t, States{})
	x := target("web1", 1)
	b.Set([]Target{x})
	b.run(3 * time.Second)
	p := b.servers[x.Key].probe
	late := &errLate{"answer to the connection", time.Second}
	for range 5 {
		b.mu.Lock()
		b.result(p, &x, b.now, late, true)
		b.mu.Unlock()
		b.schedule.remove(p)
		p.slot.in = true
	}
	b.want(Up, x.Key)
	if b.counters.Void != 5 || b.counters.Bad != 0 {
		t.Errorf("%+v, want five checks that say nothing", b.counters)
	}
	// A refusal is an answer, however late.
	for range 3 {
		b.mu.Lock()
		b.result(p, &x, b.now, errBad, true)
		b.mu.Unlock()
		b.schedule.remove(p)
		p.slot.in = true
	}
	if s := b.states()[x.Key]; s != Down {
		t.Errorf("after three refusals the server is %s, want down", s)
	}
}
