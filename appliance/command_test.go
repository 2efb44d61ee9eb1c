package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/alarm"
	"penstock/ctrl/client"
)

var clientOptions client.WriteOptions

// TestUsage: an invalid command line ends with 64, and its message names the valid form.
func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"chek":             "unknown command \"chek\"",
		"--foo":            "unknown flag: --foo (see penstock --help)",
		"show ports --foo": "unknown flag: --foo (see penstock show ports --help)",
		"show foo": "want one of box, ports, workers, drops, paths, neighbors, boxes, gateways, alarms, " +
			"webhooks, flows, tenants, ",
		"show ports a b":                        "accepts at most 1 arg(s)",
		"show box a":                            "unknown command \"a\"",
		"show ports -o yaml":                    "want table or json",
		"show ports -o json --rate 1s":          "take two samples",
		"show ports --rate soon":                "invalid argument \"soon\"",
		"show ports --rate -1s":                 "want a time above 0",
		"show tenants --rate 1s":                "unknown flag: --rate",
		"gateway":                               "an action is missing: penstock gateway switch, disable or enable",
		"gateway kill":                          "the actions are switch, disable, enable",
		"gateway switch":                        "accepts between 1 and 2 arg(s)",
		"gateway disable out":                   "accepts between 2 and 2 arg(s)",
		"gateway enable out isp1 x":             "accepts between 2 and 2 arg(s)",
		"gateway switch out -o xml":             "want text or json",
		"gateway switch out --force":            "unknown flag: --force",
		"alarm":                                 "an action is missing: penstock alarm acknowledge ID",
		"alarm clear":                           "the only action is acknowledge",
		"alarm acknowledge":                     "accepts 1 arg(s)",
		"alarm acknowledge up0":                 "\"up0\" is not the ID of an alarm",
		"binding":                               "an action is missing: penstock binding clear TENANT/SEGMENT/MAC",
		"binding hold":                          "the only action is clear",
		"binding clear":                         "accepts 1 arg(s)",
		"binding clear red/web":                 "red/web",
		"alarm acknowledge 1 -o xml":            "want text or json",
		"apply":                                 "penstock apply -f FILE",
		"apply -f x -o yaml":                    "want text or json",
		"apply -f x --bulk vifs":                "want bindings or paths",
		"apply -f x --bulk paths --mode upsert": "want merge or replace",
		"apply -f x --mode replace":             "--mode is for --bulk",
		"apply -f x --bulk paths --mode replace --prune": "use --mode replace",
		"watch -o xml":           "want text or json",
		"watch --type foo":       "--type foo: unknown type of events; want one of started, reload, change",
		"watch --since last":     "invalid argument \"last\"",
		"apply -f x --exit-code": "--exit-code is for --dry-run",
		"show p":                 "penstock show: \"p\" stands for more than one: paths, ports",
		"sh se":                  "penstock show: \"se\" stands for more than one: segments, servers, services",
		"show a":                 "penstock show: \"a\" is too short for alarms: write 2 letters or more",
		"delete vif":             "want a kind and a key",
		"delete foo red/vm1":     "\"foo\" is no kind of objects; want one of tenants, ",
		"delete s red/web":       "KIND: \"s\" stands for more than one: segments, servers, services, subnets",
		"delete vif red":         "the form is TENANT/NAME",
		"export a b":             "accepts at most 1 arg(s)",
		"export -o xml":          "want toml or json",
		"check a b":              "accepts at most 1 arg(s)",
		"run x":                  "unknown command \"x\"",
		"reload x":               "unknown command \"x\"",
		"demo --duration 1ms":    "want 1s or more",
	} {
		if os.Getuid() != 0 && strings.HasPrefix(args, "demo") {
			continue
		}
		a := command(t, "", strings.Fields(args)...)
		if a.code != exitUsage || a.out != "" || !strings.Contains(a.err, want) ||
			!strings.HasPrefix(a.err, "penstock: ") {
			t.Errorf("penstock %s: %+v\nwant %d and %q", args, a, exitUsage, want)
		}
	}
}

// TestNoBox: without a box every command fails at once, and its message names the remedy.
func TestNoBox(t *testing.T) {
	tables := filepath.Join(t.TempDir(), "t.json")
	if err := os.WriteFile(tables, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"show", "show ports", "show vifs -o json", "reload", "watch", "show alarms",
		"alarm acknowledge 1", "show gateways", "gateway switch out", "apply -f " + tables, "apply --prune -f " +
			tables, "apply --bulk paths -f " + tables} {
		start := time.Now()
		a := command(t, "", append(strings.Fields(args), "-s", "/nowhere/c.sock")...)
		if a.code != exitFailure || a.out != "" ||
			a.err != "penstock: control socket /nowhere/c.sock: no box answers on it: is penstock running?\n" {
			t.Errorf("penstock %s: got %+v, want exit code %d and \"no box answers on it\"", args, a, exitFailure)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("penstock %s took %v", args, d)
		}
	}
	if a := command(t, "", "apply", "-f", "/nowhere/t.toml"); a.code != exitFailure ||
		!strings.Contains(a.err, "/nowhere/t.toml") {
		t.Errorf("a file that does not exist: got %+v, want exit code %d and the file's name", a, exitFailure)
	}
}

func TestCheck(t *testing.T) {
	if a := command(t, "", "check", "--file-only", "../conf/example/penstock.toml"); a.code != exitOK ||
		a.out != "../conf/example/penstock.toml: in order\n" || a.err != "" {
		t.Errorf("penstock check of the example: got %+v, want exit code 0 and \"in order\"", a)
	}
	bad := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(bad, []byte("[box]\nname = 7\n[dataplane]\nring_size = 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", bad}, {"check", "--file-only", bad}, {"run", "--config", bad}} {
		a := command(t, "", args...)
		got := strings.Split(strings.TrimSpace(a.err), "\n")
		if a.code != exitConfig || a.out != "" || len(got) < 3 {
			t.Errorf("%q: got %+v, want exit code %d and 3 errors or more", args, a, exitConfig)
		}
		for _, l := range got {
			if !strings.HasPrefix(l, bad+":") {
				t.Errorf("%q: line %q does not begin with the file", args, l)
			}
		}
	}
	for _, args := range [][]string{{"check", "/nowhere/x.toml"}, {"run", "-c", "/nowhere/x.toml"}} {
		if a := command(t, "", args...); a.code != exitConfig || !strings.Contains(a.err, "/nowhere/x.toml") {
			t.Errorf("%q: got %+v, want exit code %d and the file's name", args, a, exitConfig)
		}
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.ok("reload"); got != "reloaded\n" {
		t.Errorf("penstock reload: got %q, want \"reloaded\"", got)
	}
	w.info.refusal = errors.New("dataplane.workers: 1 → 2 (needs a restart)")
	if a := w.run("reload"); a.code != exitRefused ||
		!strings.Contains(a.err, "dataplane.workers: 1 → 2 (needs a restart)") ||
		!strings.Contains(a.err, "old configuration stays") {
		t.Errorf("a reload that is refused: got %+v, want exit code %d, the reason and the state", a, exitRefused)
	}
}

func TestApply(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.ok("apply", "-f", "../conf/example/tables.toml", "--dry-run"); !strings.HasPrefix(got,
		"create tenant red\n") ||
		!strings.HasSuffix(got, fmt.Sprintf("%d changes, none made (dry run)\n", strings.Count(got, "create "))) {
		t.Errorf("dry run: want a line for every object, and their number:\n%s", got)
	}
	if got := w.ok("show", "tenants"); strings.Contains(got, "red") {
		t.Errorf("a dry run changed something:\n%s", got)
	}
	w.example()
	stdin := func(text string, args ...string) answer {
		t.Helper()
		return command(t, text, append(append([]string{"apply", "-f", "-"}, args...), "-s", w.socket)...)
	}
	if a := stdin(`{"tenants":[{"name":"green","id":9}]}`); a.code != exitOK ||
		a.out != "create tenant green\n1 change, revision 2\n" {
		t.Errorf("apply of JSON: got %+v, want exit code 0, tenant green created, revision 2", a)
	}
	if a := stdin(`{"tenants":[{"name":"green","id":10}]}`, "-o", "json"); a.code != exitOK ||
		decode[struct{ Revision int }](t, a.out).Revision != 3 {
		t.Errorf("apply -o json: got %+v, want exit code 0 and revision 3", a)
	}
	// The reply names objects that are stored and not live.
	self := `{"bindings":[{"tenant":"red","segment":"web","mac":"02:00:00:00:09:09",` +
		`"switch_mac":"02:00:00:00:00:0a","switch_port":7}]}`
	want := "create binding red/web/02:00:00:00:09:09; " +
		"not live: the location is this box, which has no VIF with this MAC\n" +
		"1 change, 1 of them not live, revision 4\n"
	if a := stdin(self); a.code != exitOK || a.out != want {
		t.Errorf("a binding that leads to the box itself: %+v, want %q", a, want)
	}
	// Both faults of the file are named, with the object and not with an index of the request.
	a := stdin(`[[vifs]]
tenant = "red"
name = "x"
segment = "web"
mac = "02:00:00:00:00:09"
addresses = ["10.9.9.9"]
port = "acc9"
`)
	if a.code != exitRefused || strings.Count(a.err, "standard input: ") != 2 ||
		!strings.Contains(a.err, "VIF red/x: there is no port \"acc9\"") || strings.Contains(a.err, "operations[") {
		t.Errorf("apply refused by the box: got %+v, want exit code %d and two faults with their objects", a,
			exitRefused)
	}
	if a := stdin(`[[vifs]]
prt = 1
[[tenants]]
id = "7"
`); a.code != exitRefused || !strings.Contains(a.err, `vifs[0].prt: unknown member "prt" (did you mean "port"?)`) ||
		!strings.Contains(a.err, "tenants[0].id") {
		t.Errorf("apply of unknown members: got %+v, want exit code %d and every fault", a, exitRefused)
	}
	if a := stdin(`{"tenants":[`); a.code != exitRefused || !strings.Contains(a.err, "standard input: ") {
		t.Errorf("apply of broken JSON: got %+v, want exit code %d and the file's name", a, exitRefused)
	}
	if a := stdin(`{"tenants":[]}`, "--prune"); a.code != exitRefused || !strings.Contains(a.err, "is in use by") {
		t.Errorf("pruning an object in use: got %+v, want exit code %d and the user of the object", a, exitRefused)
	}
	if got := w.ok("show", "tenants", "green"); !strings.Contains(got, " 10 ") {
		t.Errorf("after all that:\n%s", got)
	}
}

func TestApplyBulk(t *testing.T) {
	w := newWorld(t, nil).example()
	stdin := func(text string, args ...string) answer {
		t.Helper()
		return command(t, text, append(append([]string{"apply", "-f", "-", "--bulk", "bindings"}, args...), "-s",
			w.socket)...)
	}
	line := `{"tenant":"red","segment":"db","mac":"02:00:00:00:01:01",` +
		`"switch_mac":"02:00:00:00:00:0b","switch_port":4}` + "\n"
	if a := stdin(line); a.code != exitOK ||
		a.out != "1 line: 1 created, 0 updated, 0 unchanged, 0 deleted; revision 2\n" {
		t.Errorf("bulk merge: got %+v, want exit code 0 and 1 created, revision 2", a)
	}
	if a := stdin(line, "--mode", "replace", "--dry-run"); a.code != exitOK ||
		a.out != "1 line: 0 created, 0 updated, 1 unchanged, 2 deleted; none made (dry run)\n" {
		t.Errorf("bulk replace, dry run: got %+v, want exit code 0 and 2 deleted, none made", a)
	}
	if a := stdin(line, "--mode", "replace", "-o", "json"); a.code != exitOK ||
		decode[struct{ Deleted int }](t, a.out).Deleted != 2 {
		t.Errorf("bulk replace: got %+v, want exit code 0 and 2 deleted", a)
	}
	if a := stdin(line + strings.Replace(line, "db", "dx", 1)); a.code != exitRefused ||
		!strings.Contains(a.err, "line[2].segment: ") {
		t.Errorf("bulk with an unknown segment: got %+v, want exit code %d and the fault's line", a, exitRefused)
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t, nil).example()
	out := w.ok("watch", "--since", "0", "--once")
	if !strings.Contains(out, "  change     revision 1; tenants 2 created (red blue); segments 3 created (") {
		t.Errorf("text:\n%s", out)
	}
	e := decode[client.Event](t, strings.SplitN(w.ok("watch", "--since", "0", "--once", "-o", "json"), "\n", 2)[0])
	if e.Seq != 1 || e.Type != "change" {
		t.Errorf("first event: got %+v, want number 1, a change", e)
	}
	if got := w.ok("watch", "--since", "0", "--once", "--type", "port"); got != "" {
		t.Errorf("other types: %s", got)
	}
	for data, want := range map[string]string{
		`{"state":"up","port":"acc0"}`:                      "port=acc0 state=up",
		`{"ok":false,"error":"a b","changes":2,"empty":""}`: `changes=2 empty="" error="a b" ok=false`,
		`[1]`: "[1]",
	} {
		if got := describe(client.Event{Type: "x", Data: []byte(data)}); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
	for data, want := range map[string]string{
		`{"from":3,"to":9,"reason":"overrun"}`:        "events 3 to 9 are no longer remembered",
		`{"from":3,"to":33554432,"reason":"restart"}`: "the box restarted; events before 33554433 are gone",
		`{"from":0,"to":9,"reason":"unknown"}`:        "this box never had the requested events; its own begin with 10",
		`{"from":3,"to":9}`:                           "events 3 to 9 are no longer remembered", // of an older box
	} {
		if got := describe(client.Event{Type: "gap", Data: []byte(data)}); got != want {
			t.Errorf("gap %s is described as %q, want %q", data, got, want)
		}
	}
}

// commands calls fn for every command that does something, but for cobra's own.
func commands(c *cobra.Command, fn func(*cobra.Command)) {
	if c.Name() == "completion" || c.Name() == "help" {
		return
	}
	fn(c)
	for _, sub := range c.Commands() {
		commands(sub, fn)
	}
}

// TestHelp: every command has examples, and every example is a command line that this binary takes.
func TestHelp(t *testing.T) {
	root := rootCommand()
	seen := 0
	commands(root, func(c *cobra.Command) {
		seen++
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if a := command(t, "", args...); a.code != exitOK || a.err != "" || !strings.Contains(a.out, "Examples:\n") ||
			!strings.Contains(a.out, c.Short) && !strings.Contains(a.out, c.Long) {
			t.Errorf("penstock %s: got %+v, want exit code 0, the help text and examples", strings.Join(args, " "), a)
		}
		for line := range strings.Lines(c.Example) {
			_, arguments, ok := strings.Cut(line, "penstock ")
			if !ok && strings.TrimSpace(line) != "penstock show" && strings.TrimSpace(line) != "sudo penstock demo" {
				t.Errorf("%s: the example %q does not call penstock", c.CommandPath(), line)
				continue
			}
			sub, rest, err := rootCommand().Find(strings.Fields(arguments))
			if err == nil {
				err = sub.ParseFlags(rest)
			}
			if err == nil {
				err = sub.ValidateArgs(sub.Flags().Args())
			}
			if err != nil || !sub.Runnable() {
				t.Errorf("%s: the example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
	})
	if seen < 18 {
		t.Errorf("%d commands only", seen)
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		if a := command(t, "", arg); a.code != exitOK || a.out != "penstock dev (unknown)\n" {
			t.Errorf("penstock %s: got %+v, want exit code 0 and \"penstock dev (unknown)\"", arg, a)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if a := command(t, "", "completion", shell); a.code != exitOK || !strings.Contains(a.out, "penstock") {
			t.Errorf("completion %s: got exit code %d, %s; want 0 and a script", shell, a.code, a.err)
		}
	}
	w := newWorld(t, nil).example()
	w.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: "port acc0", Text: "x"})
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"show", "ten"}, []string{"tenants"}},
		{[]string{"show", "vifs", "-s", w.socket, "red/"}, []string{"red/db1", "red/web1"}},
		{[]string{"show", "bindings", "-s", w.socket, "blue"}, []string{"blue/web/02:00:00:00:00:03"}},
		{[]string{"show", "ports", "-s", w.socket, ""}, []string{"acc0", "fab0"}},
		{[]string{"show", "drops", "-s", w.socket, "f"}, []string{"fab0"}},
		{[]string{"show", "paths", "-s", w.socket, ""}, []string{"02:00:00:00:00:0a", "02:00:00:00:00:0b"}},
		{[]string{"show", "workers", "-s", w.socket, ""}, []string{"0", "1"}},
		{[]string{"show", "ports", "-s", "/nowhere/c.sock", ""}, nil},
		{[]string{"show", "ports", "-s", w.socket, "acc0", ""}, nil},
		{[]string{"show", "gateways", "-s", w.socket, "o"}, []string{"out"}},
		{[]string{"gateway", "switch", "-s", w.socket, ""}, []string{"out", "spare"}},
		{[]string{"gateway", "disable", "-s", w.socket, "out", ""}, []string{"isp1", "isp2"}},
		{[]string{"show", "alarms", "a"}, []string{"active", "all"}},
		{[]string{"show", "webhooks", "-s", w.socket, "s"}, []string{"sms"}},
		{[]string{"alarm", "acknowledge", "-s", w.socket, ""}, []string{"1"}},
		{[]string{"show", "-o", ""}, []string{"table", "json"}},
		{[]string{"apply", "--bulk", ""}, []string{"bindings", "paths"}},
	} {
		a := command(t, "", append([]string{"__completeNoDesc"}, tc.args...)...)
		var got []string
		for l := range strings.Lines(a.out) {
			if l = strings.TrimSpace(l); !strings.HasPrefix(l, ":") {
				got = append(got, l)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%q: %q, want %q", tc.args, got, tc.want)
		}
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	r, stop := progress(&slow{text: strings.Repeat("x", 3_000_000)}, &out, time.Millisecond)
	buf := make([]byte, 1<<20)
	n := 0
	for {
		m, err := r.Read(buf)
		if n += m; err != nil {
			break
		}
	}
	stop()
	if n != 3_000_000 || !strings.Contains(out.String(), " MB sent") || !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Errorf("%d octets, %q", n, out.String())
	}
	if isTerminal(&out) {
		t.Error("a buffer is no terminal")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("/dev/null is no terminal")
	}
}

// slow is a reader that takes its time.
type slow struct{ text string }

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	if s.text == "" {
		return 0, errors.New("the end")
	}
	n := copy(p, s.text)
	s.text = s.text[n:]
	return n, nil
}
