package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// balanced is a world with the tables for virtual services: tenants red and blue, red's segment web, VIPs.
func balanced(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	file := filepath.Join(t.TempDir(), "tables.toml")
	if err := os.WriteFile(file, []byte(`
tenants = [{ name = "red", id = 100 }, { name = "blue", id = 200 }]
segments = [{ tenant = "red", name = "web", id = 1 }]
subnets = [
  { tenant = "red", name = "web4", segment = "web", prefix = "10.10.1.0/24" },
  { tenant = "red", name = "web6", segment = "web", prefix = "fd00:10::/64" },
]
vips = [{ tenant = "red", name = "www", segment = "web", address = "10.10.1.100",
          directors = [{ box = "box1", address = "10.10.1.101" }] }]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.ok("apply", "-f", file)
	return w
}

// object reads an object of the world as JSON, without its status.
func (w *world) object(kind model.Kind, key string) string {
	w.t.Helper()
	var m map[string]any
	if err := w.client.Object(w.t.Context(), kind, key, &m); err != nil {
		w.t.Fatalf("reading %s %s: %v", kind, key, err)
	}
	delete(m, "status")
	text, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// TestServiceAdd: services and servers by the command line.
func TestServiceAdd(t *testing.T) {
	w := balanced(t)
	out := w.ok("service", "add", "red/http", "10.10.1.100:80", "--check", "http", "--set", "check.path=/health",
		"--server", "web1=10.10.1.20:8080,weight=2", "--server", "web2=10.10.1.21:8080,backup", "--id", "7")
	if want := "create service red/http"; !strings.Contains(out, want) || !strings.Contains(out, "3 changes") {
		t.Errorf("service add printed %q, want %q and 3 changes", out, want)
	}
	w.ok("service", "add", "red/dns", "[fd00:10::100]:53", "--udp", "--scheduler", "lc", "--director",
		"box1=fd00:10::101")
	w.ok("service", "add", "red/rtp", "www:8000-8099", "--udp", "--set", "one_packet=true")
	w.ok("service", "add", "red/http", "--server", "web4=10.10.1.23")
	for _, tc := range []struct {
		kind      model.Kind
		key, want string
	}{
		{model.KindService, "red/http", `{"check":{"path":"/health","type":"http"},"id":7,"name":"http","port":80,` +
			`"tenant":"red","vip":"www"}`},
		{model.KindServer, "red/http/web1", `{"address":"10.10.1.20","name":"web1","port":8080,"service":"http",` +
			`"tenant":"red","weight":2}`},
		{model.KindServer, "red/http/web2", `{"address":"10.10.1.21","backup":true,"name":"web2","port":8080,` +
			`"service":"http","tenant":"red"}`},
		{model.KindServer, "red/http/web4", `{"address":"10.10.1.23","name":"web4","service":"http","tenant":"red"}`},
		{model.KindVIP, "red/fd00-10--100", `{"address":"fd00:10::100","directors":[{"address":"fd00:10::101",` +
			`"box":"box1"}],"name":"fd00-10--100","segment":"web","tenant":"red"}`},
		{model.KindService, "red/dns", `{"id":6599366,"name":"dns","port":53,"protocol":"udp","scheduler":"lc",` +
			`"tenant":"red","vip":"fd00-10--100"}`},
	} {
		if got := w.object(tc.kind, tc.key); got != tc.want {
			t.Errorf("%s: got %s\nwant %s", tc.key, got, tc.want)
		}
	}
	got := w.object(model.KindService, "red/rtp")
	if !strings.Contains(got, `"one_packet":true,"port":8000,"port_end":8099`) {
		t.Errorf("service rtp: got %s, want ports 8000 to 8099, one_packet", got)
	}
}

// TestServiceChange: set, drain and rm.
func TestServiceChange(t *testing.T) {
	w := balanced(t)
	w.ok("service", "add", "red/http", "www:80", "--server", "web1=10.10.1.20:8080", "--server", "web2=10.10.1.21:8080")
	w.ok("service", "set", "red/http", "scheduler=rr", "check.type=tcp", "check.interval=3s", "panic=10")
	w.ok("service", "set", "red/http", "web2", "weight=3")
	got := w.object(model.KindService, "red/http")
	if !strings.Contains(got, `"check":{"interval":"3s","type":"tcp"}`) ||
		!strings.Contains(got, `"panic":10`) || !strings.Contains(got, `"scheduler":"rr"`) {
		t.Errorf("after set: got %s, want the three changes", got)
	}
	w.ok("service", "set", "red/http", "scheduler=", "check.interval=")
	if got := w.object(model.KindService, "red/http"); strings.Contains(got, "scheduler") ||
		!strings.Contains(got, `"check":{"type":"tcp"}`) {
		t.Errorf("after set with empty values: got %s, want the defaults", got)
	}
	r := decode[core.Result](t, w.ok("service", "drain", "red/http", "web2", "--dry-run", "-o", "json"))
	if len(r.Changes) != 1 || !r.DryRun {
		t.Errorf("dry run of drain: got %+v, want one change, none made", r)
	}
	if got := w.object(model.KindServer, "red/http/web2"); strings.Contains(got, "draining") {
		t.Errorf("after a dry run: got %s, want no change", got)
	}
	w.ok("service", "drain", "red/http", "web1", "web2")
	if got := w.object(model.KindServer, "red/http/web2"); !strings.Contains(got, `"state":"draining"`) ||
		!strings.Contains(got, `"weight":3`) {
		t.Errorf("after drain: got %s, want it draining with its weight", got)
	}
	if out := w.ok("service", "list", "red"); !strings.Contains(out, "web2") || !strings.Contains(out, "red/http") {
		t.Errorf("service list printed\n%s\nwant the service and its servers", out)
	}
	w.ok("service", "rm", "red/http", "web1")
	if out := w.ok("service", "list", "red/http"); strings.Contains(out, "web1") || !strings.Contains(out, "web2") {
		t.Errorf("after rm of web1 list printed\n%s\nwant web2 alone", out)
	}
	w.ok("service", "rm", "red/http")
	if a := w.run("service", "list"); a.code != exitOK || a.err != "(none)\n" {
		t.Errorf("after rm of the service: got %+v, want none", a)
	}
}

const ipvsTable = `-A -t 10.10.1.100:80 -s wrr -p 300
-a -t 10.10.1.100:80 -r 10.10.1.20:8080 -g -w 2
-A -u [fd00:10::100]:53 -s mh -b mh-port
-a -u [fd00:10::100]:53 -r [fd00:10::20]:5300 -i -w 1
-A -f 1 -s rr
-a -t 10.10.1.100:80 -r 10.10.1.21:80 -m -w 1
-a -t 10.10.1.99:80 -r 10.10.1.21:80 -g
`

// TestServiceImport: the output of ipvsadm -Sn. Faults change nothing, warnings hold nothing up, and the second time
// there is nothing to do.
func TestServiceImport(t *testing.T) {
	w := balanced(t)
	args := []string{"service", "import", "red", "--director", "box1=fd00:10::101", "--socket", w.socket}
	before := w.ok("show", "services", "-o", "json")
	a := command(t, ipvsTable, args...)
	if a.code != exitRefused {
		t.Errorf("with faults: exit code %d, want %d", a.code, exitRefused)
	}
	for _, want := range []string{"line 5: service of firewall mark 1",
		"line 6: server 10.10.1.21:80 is behind masquerading",
		"line 7: there is no service tcp 10.10.1.99:80", "warning: line 1: persistence", "warning: line 4: tunnelling",
		"nothing was changed"} {
		if !strings.Contains(a.err, want) {
			t.Errorf("with faults: want %q in\n%s", want, a.err)
		}
	}
	if after := w.ok("show", "services", "-o", "json"); after != before {
		t.Errorf("with faults: services were %s and are %s, want no change", before, after)
	}
	right := strings.Join(strings.SplitAfter(ipvsTable, "\n")[:4], "")
	a = command(t, right, append(args, "--dry-run")...)
	if a.code != exitOK || !strings.Contains(a.out, "5 changes, none made (dry run)") {
		t.Errorf("dry run: got %+v, want 5 changes", a)
	}
	a = command(t, right, args...)
	if a.code != exitOK || !strings.Contains(a.out, "5 changes") || strings.Count(a.err, "warning") != 2 {
		t.Errorf("without faults: got %+v, want 5 changes and 2 warnings", a)
	}
	if got := w.object(model.KindService, "red/10.10.1.100-tcp-80"); !strings.Contains(got, `"hash":"client"`) {
		t.Errorf("imported service: got %s, want hash client", got)
	}
	a = command(t, right, append(args[:3:3], "--socket", w.socket)...)
	if a.code != exitOK || !strings.HasPrefix(a.out, "0 changes") {
		t.Errorf("the second time: got %+v, want 0 changes", a)
	}
	for _, other := range [][]string{ // the tenant is the only one with VIPs, or is named by its flag
		{"service", "import"}, {"service", "import", "-"}, {"service", "import", "--tenant", "red"},
		{"service", "import", "--tenant", "red", "-"},
	} {
		a := command(t, right, append(other, "--socket", w.socket)...)
		if a.code != exitOK || !strings.HasPrefix(a.out, "0 changes") {
			t.Errorf("%v: got %+v, want 0 changes", other, a)
		}
	}
	a = command(t, ipvsTable, append(args, "-o", "json")...)
	got := decode[struct {
		Faults, Warnings []struct{ Line int }
	}](t, a.out)
	if a.code != exitRefused || len(got.Faults) != 3 || got.Faults[2].Line != 7 || len(got.Warnings) != 2 {
		t.Errorf("as JSON: got %+v of %+v, want 3 faults and 2 warnings", got, a)
	}
	file := filepath.Join(t.TempDir(), "keepalived.conf")
	text, err := os.ReadFile("../ctrl/ipvs/testdata/keepalived.conf")
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out := w.ok("service", "import", "red", file); !strings.Contains(out, "create service red/10.10.1.53-udp-53") {
		t.Errorf("keepalived.conf: got %s, want a service of the group", out)
	}
	if out := w.ok("service", "import", "red", file); !strings.HasPrefix(out, "0 changes") {
		t.Errorf("keepalived.conf the second time: got %s, want 0 changes", out)
	}
}

// TestServiceWrong: what is wrong with a command line, and what the box refuses.
func TestServiceWrong(t *testing.T) {
	w := balanced(t)
	w.ok("service", "add", "red/http", "www:80", "--server", "web1=10.10.1.20:8080")
	for _, tc := range []struct {
		code int
		want string
		args string
	}{
		{exitUsage, "an action is missing", "service"},
		{exitUsage, "unknown action \"remove\"", "service remove"},
		{exitUsage, "\"http\" is no service", "service drain http web1"},
		{exitUsage, "is no VIP and port", "service add red/x 10.10.1.100"},
		{exitUsage, "is no VIP and port", "service add red/x 10.10.1.100:90-80"},
		{exitUsage, "is no VIP and port", "service add red/x fd00::1:80"},
		{exitUsage, "VIP:PORT of a new service is missing", "service add red/http"},
		{exitUsage, "--udp is for a new service", "service add red/http --udp --server a=10.10.1.2"},
		{exitUsage, "want NAME=ADDRESS", "service add red/http --server 10.10.1.2"},
		{exitUsage, "unknown key \"colour\"", "service add red/http --server a=10.10.1.2,colour=red"},
		{exitUsage, "\"much\" is no number", "service set red/http web1 weight=much"},
		{exitUsage, "what to set is missing", "service set red/http web1"},
		{exitUsage, "is set twice", "service set red/http panic=1 panic=2"},
		{exitUsage, "want BOX=ADDRESS", "service add red/x 10.10.1.3:80 --director box1"},
		{exitUsage, "--format x", "service import red --format x"},
		{exitUsage, "want text or json", "service rm red/http -o yaml"},
		{exitUsage, "--wait does not go with --dry-run", "service drain red/http web1 --wait --dry-run"},
		{exitUsage, "--timeout -1s", "service drain red/http web1 --timeout=-1s"},
		{exitFailure, "cannot be read", "service import red /does/not/exist"},
		{exitRefused, "there is no service red/https; there are red/http", "service drain red/https web1"},
		{exitRefused, "there is no server of red/http web7; there are web1", "service drain red/http web7"},
		{exitRefused, "there is no server of red/http web7", "service rm red/http web7"},
		{exitRefused, "service red/http exists", "service add red/http www:81"},
		{exitRefused, "server red/http/web1 exists", "service add red/http --server web1=10.10.1.2"},
		{exitRefused, "tenant red has no VIP fd00:10::9", "service add red/x [fd00:10::9]:80"},
		{exitRefused, "neither a VIP 10.9.9.9 nor a subnet", "service add red/x 10.9.9.9:80"},
		{exitRefused, "there is no VIP of tenant red of the name mail; there are www (10.10.1.100)",
			"service add red/x mail:80"},
		{exitUsage, "green: one file is read", "service import green -f /dev/null"},
		{exitUsage, "y: one file is read", "service import --tenant red x y"},
		{exitRefused, "there is no tenant green; there are blue, red", "service import green /dev/null"},
		{exitRefused, "there is no tenant green; there are blue, red", "service import --tenant green"},
		{exitRefused, "panic", "service set red/http panic=101"},
	} {
		words := strings.Fields(tc.args)
		if len(words) > 2 {
			words = append(words, "--socket", w.socket)
		}
		a := command(t, "", words...)
		if a.code != tc.code || !strings.Contains(a.err, tc.want) {
			t.Errorf("%s: got exit code %d and %q, want %d and %q", tc.args, a.code, a.err, tc.code, tc.want)
		}
	}
}

// TestServiceCompletion: services, servers and keys.
func TestServiceCompletion(t *testing.T) {
	w := balanced(t)
	w.ok("service", "add", "red/http", "www:80", "--server", "web1=10.10.1.20:8080", "--server", "web2=10.10.1.21")
	for _, tc := range []struct{ args, want string }{
		{"drain ", "red/http"}, {"drain red/http w", "web1 web2"}, {"drain red/http web1 w", "web2"},
		{"set red/http sch", "scheduler="}, {"set red/http web1 w", "weight="}, {"rm r", "red/http"},
		{"import ", "blue red"}, {"list r", "red/http"},
	} {
		words := append([]string{"__complete", "service"}, strings.Split(tc.args, " ")...)
		words = append(words[:3:3], append([]string{"--socket", w.socket}, words[3:]...)...)
		got := strings.Fields(strings.Split(command(t, "", words...).out, ":")[0])
		if strings.Join(got, " ") != tc.want {
			t.Errorf("completion of %q: got %v, want %s", tc.args, got, tc.want)
		}
	}
}
