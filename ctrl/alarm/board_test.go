package alarm

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/event"
)

// newBoard opens a board at path; "" is a new file.
func newBoard(t *testing.T, path string, change func(*Config)) (*Board, *event.Log) {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "alarms.db")
	}
	c := Config{Path: path, Box: "box1", Agent: "penstock/test", Events: event.New(event.Config{}), NoSync: true}
	if change != nil {
		change(&c)
	}
	b, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, c.Events
}

func down(port string) Report {
	return Report{Kind: PortDown, Object: "port " + port, Text: "Port " + port + " has no carrier: check its cable."}
}

// published returns the alarm events so far, as "action object count".
func published(t *testing.T, l *event.Log) (out []string) {
	t.Helper()
	r := l.After(0)
	for r.Ready() {
		evs, err := r.Next(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range evs {
			if a, ok := e.Data.(Event); ok && e.Type == event.TypeAlarm {
				out = append(out, string(a.Action)+" "+a.Alarm.Object)
			}
		}
	}
	return out
}

func TestLife(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	var logged strings.Builder
	b, events := newBoard(t, "", func(c *Config) {
		c.Now = func() time.Time { now = now.Add(time.Second); return now }
		c.Log = slog.New(slog.NewTextHandler(&logged, nil))
	})
	b.Raise(down("up0"))
	b.Raise(Report{Kind: GatewayAllDown, Object: "gateway_group out", Text: "x"})
	b.Raise(down("up0"))
	b.Raise(down("up1"))
	active := b.Active()
	if len(active) != 3 || active[0].Kind != GatewayAllDown || active[1].Object != "port up1" ||
		active[2].Object != "port up0" {
		t.Fatalf("active alarms %+v, want the most urgent first", active)
	}
	a := active[2]
	if a.Count != 2 || a.Severity != Major || !a.Last.After(a.Raised) || a.Cleared != nil || a.ID != 1 {
		t.Errorf("the same alarm raised twice: %+v, want one with count 2", a)
	}
	if got, err := b.Acknowledge(a.ID, "alice", "ticket 4711"); err != nil || got.Acknowledged == nil ||
		got.Acknowledged.By != "alice" || got.Acknowledged.Comment != "ticket 4711" {
		t.Errorf("acknowledged alarm %+v, error %v, want it by alice with her comment", got, err)
	}
	if got, err := b.Acknowledge(a.ID, "bob", ""); err != nil || got.Acknowledged.By != "alice" {
		t.Errorf("acknowledged twice: %+v, error %v, want the first acknowledgement", got, err)
	}
	b.Clear(PortDown, "port up0")
	b.Clear(PortDown, "port up0")
	b.Clear(PortDown, "port none")
	if got, err := b.Acknowledge(a.ID, "bob", ""); !errors.Is(err, ErrCleared) || got.Cleared == nil {
		t.Errorf("acknowledge a cleared alarm: %+v, error %v, want ErrCleared", got, err)
	}
	if _, err := b.Acknowledge(99, "bob", ""); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if c := b.Cleared(10); len(c) != 1 || c[0].ID != 1 || c[0].Cleared == nil || !c[0].Cleared.After(c[0].Last) ||
		c[0].Acknowledged == nil {
		t.Errorf("cleared alarms %+v, want alarm 1 alone, acknowledged", c)
	}
	b.Raise(down("up0")) // a new one
	if got := b.Active(); got[1].ID != 4 || got[1].Count != 1 || got[1].Acknowledged != nil {
		t.Errorf("active alarms %+v, want a new alarm 4 as the second", got)
	}
	r := down("up1")
	r.Severity = Critical
	b.Raise(r)
	b.Retain(func(object string) bool { return object == "port up0" }, PortDown)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	want := []string{"raise port up0", "raise gateway_group out", "repeat port up0", "raise port up1",
		"acknowledge port up0", "clear port up0", "raise port up0",
		"severity port up1", "clear port up1"}
	if got := published(t, events); !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
	for _, w := range []string{
		"level=ERROR msg=alarm action=raise id=1 kind=port_down severity=major object=\"port up0\"",
		"action=clear id=1"} {
		if !strings.Contains(logged.String(), w) {
			t.Errorf("want %q in the log:\n%s", w, logged.String())
		}
	}
	if tot := b.Totals(); tot.Raised[Major] != 3 || tot.Raised[Critical] != 1 || tot.Refused != 0 {
		t.Errorf("totals %+v, want 3 major, 1 critical, none refused", tot)
	}
}

// An alarm of a manual kind is cleared by its acknowledgement.
func TestManual(t *testing.T) {
	b, events := newBoard(t, "", nil)
	b.Raise(Report{Kind: GatewayMAC, Object: "gateway out/a", Text: "x"})
	if a, err := b.Acknowledge(1, "alice", ""); err != nil || a.Cleared == nil || len(b.Active()) != 0 {
		t.Errorf("acknowledged alarm %+v, error %v, want it cleared and none active", a, err)
	}
	if got := published(t, events); !slices.Equal(got,
		[]string{"raise gateway out/a", "acknowledge gateway out/a", "clear gateway out/a"}) {
		t.Errorf("events %q, want raise, acknowledge and clear", got)
	}
}

func TestBounds(t *testing.T) {
	b, _ := newBoard(t, "", func(c *Config) { c.History = 5 })
	for i := range maxActive + 10 {
		b.Raise(Report{Kind: PortDown, Object: "port " + strings.Repeat("x", i%7) + time.Duration(i).String(),
			Text: strings.Repeat("ä", 5000)})
	}
	if n := len(b.Active()); n != maxActive || b.Totals().Refused != 10 {
		t.Errorf("%d active, totals %+v, want the rest refused", n, b.Totals())
	}
	if a := b.Active()[0]; len(a.Text) > maxText+4 || !strings.HasSuffix(a.Text, "ä…") {
		t.Errorf("a text of %d octets, want it shortened to the limit", len(a.Text))
	}
	b.Retain(func(string) bool { return false }, PortDown)
	if len(b.Active()) != 0 || len(b.Cleared(100)) != 5 {
		t.Errorf("%d active, %d cleared, want none active and the last ones kept", len(b.Active()), len(b.Cleared(100)))
	}
}

func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	b, _ := newBoard(t, path, nil)
	for _, p := range []string{"a", "b", "c"} {
		b.Raise(down(p))
	}
	b.Raise(down("b"))
	b.Clear(PortDown, "port c")
	if _, err := b.Acknowledge(1, "alice", "mine"); err != nil {
		t.Fatal(err)
	}
	before, cleared := b.Active(), b.Cleared(9)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, _ = newBoard(t, path, nil)
	equal := func(x, y Alarm) bool { return string(encode(x)) == string(encode(y)) }
	if got := b.Active(); !slices.EqualFunc(got, before, equal) || len(got) != 2 {
		t.Errorf("active alarms after a restart %+v, want %+v", got, before)
	}
	if got := b.Cleared(9); !slices.EqualFunc(got, cleared, equal) || len(got) != 1 {
		t.Errorf("cleared alarms after a restart %+v, want %+v", got, cleared)
	}
	b.Raise(down("a"))
	b.Raise(down("c"))
	if got := b.Active(); got[0].ID != 4 || got[0].Object != "port c" || got[2].Count != 2 {
		t.Errorf("active alarms %+v, want the new alarm 4 first and the third with count 2", got)
	}
}

// With a damaged file the box starts, without the file's content.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alarms.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _ := newBoard(t, path, nil)
	b.Raise(down("a"))
	if err := b.Flush(); err != nil || len(b.Active()) != 1 {
		t.Error(err)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("two boxes with one file: error %v, want ErrLocked", err)
	}
}

func TestKinds(t *testing.T) {
	seen := map[Kind]bool{}
	for _, k := range Kinds() {
		if seen[k.Kind] || k.Severity.Rank() < 0 || k.Doc == "" || k.Clears == "" ||
			k.Object == "" || k.Kind.Info() != k {
			t.Errorf("kind %+v, want it once, with severity, object and texts", k)
		}
		seen[k.Kind] = true
	}
	if Severity("fatal").Rank() != -1 || Critical.Rank() <= Warning.Rank() {
		t.Error("the ranks of severities are not in their order")
	}
}

var update = flag.Bool("update", false, "rewrite the table of kinds in README.md")

// TestReadme holds the documentation to the code. `go test ./ctrl/alarm -run Readme -update` rewrites it.
func TestReadme(t *testing.T) {
	const begin, end = "<!-- kinds: begin -->\n", "<!-- kinds: end -->\n"
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	table, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has no table of kinds")
	}
	want := "| kind | severity | object | raised when | cleared when |\n|---|---|---|---|---|\n"
	for _, k := range Kinds() {
		want += fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", k.Kind, k.Severity, k.Object, k.Doc, k.Clears)
	}
	if table == want {
		return
	}
	if !*update {
		t.Fatal("the table of kinds in README.md is not that of the code: go test ./ctrl/alarm -run Readme -update")
	}
	if err := os.WriteFile("README.md", []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOutside: what an alarm says holds nothing that a terminal obeys or that forges a line, in the same words on all
// ways, and clearing finds it by the same object.
func TestOutside(t *testing.T) {
	w, _ := newBoard(t, "", nil)
	evil := "port \x1b[2J\n\u202e\u009b\x9b"
	w.Raise(Report{Kind: LLDPNoPlace, Object: evil, Text: evil + strings.Repeat("\x1b", 2000)})
	a := w.Active()
	if want := `port \x1b[2J\x0a\u202e\x9b\x9b`; len(a) != 1 || a[0].Object != want ||
		!strings.HasPrefix(a[0].Text, want) || len(a[0].Text) > maxText+len("…") {
		t.Errorf("got %+v, want the object %q and a text of at most %d octets", a, want, maxText)
	}
	w.Clear(LLDPNoPlace, evil)
	if a := w.Active(); len(a) != 0 {
		t.Errorf("%d alarms are active, want none", len(a))
	}
}
