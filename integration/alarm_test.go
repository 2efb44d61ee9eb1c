package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/client"
	"penstock/ctrl/event"
)

// receiver is a webhook in a namespace: it keeps the notices that it receives.
type receiver struct {
	mu      sync.Mutex
	notices []alarm.Notice
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	var n alarm.Notice
	if err := json.NewDecoder(req.Body).Decode(&n); err != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices = append(r.notices, n)
}

// first returns every notice once, as formatted by format, in the order of first arrival, and fails the test if that is
// not the order of their numbers.
func (r *receiver) first(t *testing.T) (out []string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	seen, last := map[string]bool{}, uint64(0)
	for _, n := range r.notices {
		if seen[n.ID] {
			continue
		}
		seen[n.ID] = true
		if n.Sequence <= last {
			t.Errorf("notice %d after %d", n.Sequence, last)
		}
		last = n.Sequence
		out = append(out, format(n.Action, &n.Alarm))
	}
	return out
}

func format(action alarm.Action, a *alarm.Alarm) string {
	return fmt.Sprintf("%d %s %s", a.ID, action, a.Object)
}

// serve answers on an address inside a namespace until the test ends.
func (f *fabric) serve(t *testing.T, namespace, address string, h http.Handler) {
	t.Helper()
	var ln net.Listener
	must(t, f.lab.Do(namespace, func() (err error) { ln, err = net.Listen("tcp", address); return err }))
	srv := &http.Server{Handler: h}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
}

// promises collects the alarms that the event stream of a box publishes, over its restarts.
type promises struct {
	mu        sync.Mutex
	published []string
}

func (p *promises) follow(socket string) (done chan error) {
	done = make(chan error, 1)
	go func() {
		c := client.New(socket)
		defer c.Close()
		zero := uint64(0)
		done <- c.Watch(context.Background(), client.WatchOptions{Since: &zero, Types: []string{event.TypeAlarm}},
			func(e client.Event) error {
				var a alarm.Event
				if e.Type != event.TypeAlarm {
					return nil
				}
				if err := json.Unmarshal(e.Data, &a); err != nil {
					return err
				}
				if a.Action != alarm.ActionRepeat {
					p.mu.Lock()
					p.published = append(p.published, format(a.Action, &a.Alarm))
					p.mu.Unlock()
				}
				return nil
			})
	}()
	return done
}

// TestAlarms pulls a cable again and again while one receiver answers, one is away, one hangs, and the box is killed in
// between: each receiver gets all events of the stream, in order, once it is reachable. PENSTOCK_ALARM_AWAY=3m keeps
// the unreachable receiver away for longer.
func TestAlarms(t *testing.T) {
	away := time.Second
	if v := os.Getenv("PENSTOCK_ALARM_AWAY"); v != "" {
		d, err := time.ParseDuration(v)
		must(t, err)
		away = d
	}
	f := startFabric(t, rawPair())
	box, vm := f.Node("box1"), f.VM("red-vm1")
	var good, late, slow receiver
	hung := make(chan struct{})
	f.serve(t, box.Namespace, "127.0.0.1:8001", &good)
	f.serve(t, box.Namespace, "127.0.0.1:8003", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hung:
			slow.ServeHTTP(w, r)
		default:
			<-r.Context().Done()
		}
	}))
	toml := box.TOML
	for i, name := range []string{"good", "late", "slow"} {
		toml += fmt.Sprintf(`
[[alarm.webhook]]
name = %q
url = "http://127.0.0.1:800%d/x"
timeout = "500ms"
retry_max = "1s"
failing_after = "1s"
`, name, i+1)
	}
	must(t, box.SetTOML(toml))
	must(t, f.procs["box1"].Signal(unix.SIGHUP))
	f.eventually(t, "the receivers are taken over", func() bool { return len(f.webhooks("box1")) == 3 })

	var p promises
	watch := p.follow(box.Socket)
	toggle := func() {
		t.Helper()
		must(t, f.lab.SetDown(vm.Namespace, vm.Interface))
		f.eventually(t, "an alarm", func() bool { return f.active("box1", alarm.PortDown) == 1 })
		must(t, f.lab.SetUp(vm.Namespace, vm.Interface))
		f.eventually(t, "its end", func() bool { return f.active("box1", alarm.PortDown) == 0 })
		time.Sleep(away / 200) // so that a long run does not fill the spool
	}
	began := time.Now()
	for n := 0; n < 3 || time.Since(began) < away/2; n++ {
		toggle()
	}
	must(t, f.lab.SetDown(vm.Namespace, vm.Interface))
	f.eventually(t, "an alarm", func() bool { return f.active("box1", alarm.PortDown) == 1 })
	f.procs["box1"].Kill()
	if err := <-watch; err == nil {
		t.Log("the event stream ended without an error")
	}
	must(t, f.lab.SetUp(vm.Namespace, vm.Interface)) // the alarm clears while no receiver is reachable
	f.start("box1")
	f.waitReady("box1")
	watch = p.follow(box.Socket)
	f.eventually(t, "the alarm of before the crash ends", func() bool { return f.active("box1", alarm.PortDown) == 0 })
	for n := 0; n < 2 || time.Since(began) < away; n++ {
		toggle()
	}
	f.eventually(t, "alarms about the two that take nothing",
		func() bool { return f.active("box1", alarm.WebhookFailing) == 2 })
	out, err := exec.Command(program, "alarm", "acknowledge", f.alarm("box1", alarm.WebhookFailing), "--comment",
		"CHG1", "-s", box.Socket, "-o", "json").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"comment": "CHG1"`) {
		t.Errorf("acknowledge: %v\n%s", err, out)
	}

	f.serve(t, box.Namespace, "127.0.0.1:8002", &late)
	close(hung)
	f.eventually(t, "everything is delivered, and no alarm left", func() bool {
		return f.active("box1", "") == 0 && !slices.ContainsFunc(f.webhooks("box1"),
			func(r alarm.ReceiverStatus) bool { return r.Waiting > 0 || r.Since != nil })
	})
	must(t, f.procs["box1"].Stop(5*time.Second))
	delete(f.procs, "box1")
	<-watch
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.published) < 15 {
		t.Errorf("the event stream published only %q", p.published)
	}
	for name, r := range map[string]*receiver{"good": &good, "late": &late, "slow": &slow} {
		got, at := r.first(t), 0
		for _, g := range got {
			if at < len(p.published) && g == p.published[at] {
				at++
			}
		}
		if at < len(p.published) {
			t.Errorf("%s never received %q (%d of %d), in order; it got %q", name, p.published[at], at,
				len(p.published), got)
		}
		t.Logf("%s: %d events published, %d notices, %d of them twice", name, len(p.published), len(got),
			len(r.notices)-len(got))
	}
}

// webhooks returns the state of the delivery of a node's alarms.
func (f *fabric) webhooks(node string) []alarm.ReceiverStatus {
	f.t.Helper()
	var l struct{ Items []alarm.ReceiverStatus }
	f.get(node, "/v1/stats/webhooks", &l)
	return l.Items
}

// alarms returns a node's active alarms of a kind; "" means all kinds.
func (f *fabric) alarms(node string, kind alarm.Kind) []alarm.Alarm {
	f.t.Helper()
	var l api.AlarmList
	f.get(node, "/v1/alarms", &l)
	return slices.DeleteFunc(l.Items, func(a alarm.Alarm) bool { return kind != "" && a.Kind != kind })
}

func (f *fabric) active(node string, kind alarm.Kind) int {
	f.t.Helper()
	return len(f.alarms(node, kind))
}

// alarm returns the ID of an active alarm of a kind.
func (f *fabric) alarm(node string, kind alarm.Kind) string {
	f.t.Helper()
	l := f.alarms(node, kind)
	if len(l) == 0 {
		f.t.Fatalf("%s: no alarm %s", node, kind)
	}
	return fmt.Sprint(l[0].ID)
}

// eventually waits for a condition.
func (f *fabric) eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(errors.New("in vain: " + what))
		}
	}
}
