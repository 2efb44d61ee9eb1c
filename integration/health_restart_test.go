package integration

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/health"
	"penstock/integration/lab"
)

// TestHealthAlarms takes the servers away one after the other under new connections, and says how long after the
// verdict the last connection went to the server. The alarms stay over a restart and over SIGKILL, and are cleared
// afterwards by what has changed meanwhile. A reload takes the key of the balancer; a change of flows is refused whole.
func TestHealthAlarms(t *testing.T) {
	o := healthFabric()
	client := web("red", "client", "d", 10)
	client.Virtual = nil
	o.VMs = append(o.VMs, client)
	o.Balancer = "key = \"000102030405060708090a0b0c0d0e0f\"\nflows = 65536"
	f := startFabric(t, o)
	names := []string{"web1", "web2", "web3"}
	f.guests(t, names...)
	at := netip.AddrPortFrom(hVIP, 8080)
	servers := map[string]*lab.Nginx{}
	for _, name := range names {
		servers[name] = f.nginx(t, name, name, at)
	}
	for _, name := range names {
		f.untilHealth(t, "red/http/"+name, health.Up)
	}
	for _, name := range names[:2] {
		refused, tried := f.connectUntilDown(t, name, servers[name])
		verdict := f.serverHealth("red/http/" + name).Since
		t.Logf("%s: %d connections, the last that was refused began %v after the verdict", name, tried,
			refused.Sub(verdict).Round(time.Microsecond))
		if late := refused.Sub(verdict); late > 2*time.Second {
			t.Errorf("%s: a connection went to it %v after the verdict, want none after some ms", name, late)
		}
	}
	must(t, servers["web3"].Stop(2*time.Second))
	f.untilHealth(t, "red/http/web3", health.Down)
	f.eventually(t, "service_down of red/http, and server_down of its servers", func() bool {
		return f.raised(alarm.ServiceDown, "service red/http") && f.raised(alarm.ServerDown, "server red/http/web1") &&
			f.raised(alarm.ServerDown, "server red/http/web2") && f.raised(alarm.ServerDown, "server red/http/web3")
	})
	before := f.alarmIDs()
	p := f.procs["d"]
	must(t, p.Signal(syscall.SIGTERM))
	must(t, p.Wait(20*time.Second))
	f.start("d")
	f.waitReady("d")
	f.sameAlarms(t, before, "a restart")
	p = f.procs["d"]
	p.Kill()
	servers["web2"] = f.nginx(t, "web2", "web2b", at) // it comes back while the director is away
	f.start("d")
	f.waitReady("d")
	f.sameAlarms(t, before, "SIGKILL")
	f.untilHealth(t, "red/http/web2", health.Up)
	f.eventually(t, "no service_down, and no server_down of web2", func() bool {
		return !f.raised(alarm.ServiceDown, "service red/http") && !f.raised(alarm.ServerDown, "server red/http/web2")
	})
	if !f.raised(alarm.ServerDown, "server red/http/web1") {
		t.Error("server_down of web1, which is down, is gone")
	}
	gone := serverOf("red", "http", "web3", 22)
	must(t, f.call("d", http.MethodDelete, "/v1/servers/"+gone.Key(), nil, nil))
	f.eventually(t, "no server_down of a server that was removed", func() bool {
		return !f.raised(alarm.ServerDown, "server "+gone.Key())
	})
	f.reloadBalancer(t)
}

// connectUntilDown connects again and again while a server's program ends, until the server is down and all goes
// elsewhere. It returns when the last connection began that was refused.
func (f *fabric) connectUntilDown(t *testing.T, name string, n *lab.Nginx) (refused time.Time, tried int) {
	t.Helper()
	down := make(chan struct{})
	go func() {
		defer close(down)
		_ = n.Stop(2 * time.Second) // the connections tell
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if f.serverHealth("red/http/"+name).State == health.Down {
				time.Sleep(200 * time.Millisecond)
				return
			}
		}
	}()
	for {
		select {
		case <-down:
			if refused.IsZero() {
				t.Fatalf("%s: none of %d connections was refused, want some before it is down", name, tried)
			}
			return refused, tried
		default:
		}
		tried++
		began := time.Now()
		err := f.lab.Do(f.VM("client").Namespace, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(hVIP, 80).String())
			if err == nil {
				_ = c.(*net.TCPConn).SetLinger(0) // so many connections need no TIME-WAIT
				err = c.Close()
			}
			return err
		})
		if err != nil {
			refused = began
		}
		time.Sleep(time.Millisecond)
	}
}

func (f *fabric) raised(kind alarm.Kind, object string) bool {
	for _, a := range f.alarms("d", kind) {
		if a.Object == object {
			return true
		}
	}
	return false
}

// alarmIDs are the active alarms of servers and services of d: the time that each was raised, by its ID.
func (f *fabric) alarmIDs() map[uint64]time.Time {
	got := map[uint64]time.Time{}
	for _, kind := range health.AlarmKinds() {
		for _, a := range f.alarms("d", kind) {
			got[a.ID] = a.Raised
		}
	}
	return got
}

func (f *fabric) sameAlarms(t *testing.T, before map[uint64]time.Time, after string) {
	t.Helper()
	now := f.alarmIDs()
	for id, at := range before {
		if got, ok := now[id]; !ok || !got.Equal(at) {
			t.Errorf("alarm %d after %s: raised %v, active %v; want it active since %v", id, after, got, ok, at)
		}
	}
	if len(now) != len(before) {
		t.Errorf("alarms after %s: got %v, want %v", after, now, before)
	}
}

// reloadBalancer changes the keys of [balancer] in d's file.
func (f *fabric) reloadBalancer(t *testing.T) {
	t.Helper()
	n := f.Node("d")
	reload := func(text string) error {
		must(t, os.WriteFile(n.Config, []byte(text), 0o600))
		return f.call("d", http.MethodPost, "/v1/reload", nil, nil)
	}
	table := func() (text string) {
		var v any
		f.get("d", "/v1/services/red/http/table", &v)
		b, err := json.Marshal(v)
		must(t, err)
		return string(b)
	}
	was := table()
	more := strings.Replace(n.TOML, "flows = 65536", "flows = 131072", 1)
	key := strings.Replace(n.TOML, "0c0d0e0f", "0c0d0e10", 1)
	both := strings.Replace(more, "0c0d0e0f", "0c0d0e10", 1)
	for _, text := range []string{more, both} {
		err := reload(text)
		if err == nil || !strings.Contains(err.Error(), "balancer.flows") || !strings.Contains(err.Error(), "restart") {
			t.Errorf("reload of other flows: got %v, want an error that names balancer.flows and a restart", err)
		}
		if table() != was {
			t.Error("the table of the service has changed by a reload that was refused")
		}
	}
	must(t, reload(key))
	must(t, f.call("d", http.MethodPost, "/v1/reload", nil, nil))
	if log := f.procs["d"].Log(); !strings.Contains(log, "reloaded changes=1") {
		t.Errorf("the log says nothing of the reload of balancer.key\n%s", log)
	}
	if s := f.serverHealth("red/http/web2"); s.State != health.Up {
		t.Errorf("web2 after the reload: got %+v, want it up", s)
	}
}
