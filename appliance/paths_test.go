package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leafSpine is a topology of leaves and spines, as a person writes it.
func leafSpine(leaves, spines int) string {
	var b strings.Builder
	for i := range spines {
		fmt.Fprintf(&b, "[[switch]]\nname = \"spine%d\"\n", i)
	}
	for i := range leaves {
		fmt.Fprintf(&b, "[[switch]]\nname = \"leaf%d\"\nmac = \"02:00:00:00:00:%02x\"\n", i, i+1)
		for j := range spines {
			fmt.Fprintf(&b, "[[link]]\na = \"leaf%d\"\nb = \"spine%d\"\n", i, j)
		}
	}
	return b.String()
}

func writeTopology(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "topology.toml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// planned runs penstock paths plan, and expects success.
func planned(t *testing.T, args ...string) string {
	t.Helper()
	a := command(t, "", append([]string{"paths", "plan"}, args...)...)
	if a.code != exitOK {
		t.Fatalf("penstock paths plan %v: exit code %d: %s", args, a.code, a.err)
	}
	return a.out
}

// TestPathsPlan: what the planner writes is what apply takes, twice the same, and the picture is one.
func TestPathsPlan(t *testing.T) {
	w := newWorld(t, nil)
	top := writeTopology(t, leafSpine(4, 3))
	dir := t.TempDir()
	tables, svg := filepath.Join(dir, "paths.toml"), filepath.Join(dir, "fabric.svg")
	out := planned(t, top, "-o", tables, "--svg", svg)
	for _, want := range []string{"switches        7, 4 of them edge switches", "VLANs           3, by",
		"paths per pair  at least 3", "leaf0 – spine0: "} {
		if !strings.Contains(out, want) {
			t.Errorf("report: got\n%s\nwant %q in it", out, want)
		}
	}
	first, err := os.ReadFile(tables)
	if err != nil {
		t.Fatal(err)
	}
	planned(t, top, "-o", tables)
	if again, _ := os.ReadFile(tables); string(again) != string(first) {
		t.Error("the same topology gave another table")
	}
	for _, want := range []string{"6 changes", "0 changes"} {
		if text := w.ok("apply", "-f", tables); !strings.Contains(text, want) {
			t.Errorf("apply of the table: got %q, want %q", text, want)
		}
	}
	if picture, err := os.ReadFile(svg); err != nil || strings.Count(string(picture), "<circle") != 7 {
		t.Errorf("picture: %v, want seven switches", err)
	}
}

// TestPathsFaults: all faults at once, with their lines, and no file.
func TestPathsFaults(t *testing.T) {
	tables := filepath.Join(t.TempDir(), "paths.toml")
	for name, c := range map[string]struct {
		text string
		args []string
		want []string
	}{
		"names and links": {"[[switch]]\nname = \"a\"\nmac = \"02:00:00:00:00:01\"\n[[switch]]\nname = \"a\"\n" +
			"mac = \"02:00:00:00:00:01\"\n[[link]]\na = \"a\"\nb = \"a\"\n[[link]]\na = \"a\"\nb = \"x\"\n", nil,
			[]string{`:5: switch[1].name: "a" is the name of switch 0 already`, `:6: switch[1].mac: `,
				`link[0]: the link leads from "a" to itself`, `link[1].b: there is no switch "x"`}},
		"forms": {"switch = 3\nlinks = []\n[[link]]\na = 1\ncosts = 2\ncost = 0\n", nil,
			[]string{"found 3, want an array of tables", "unknown key; did you mean link?",
				"link[0].a: found 1, want a string",
				"did you mean cost?", "link[0].cost: found 0"}},
		"two groups": {leafSpine(2, 1) + "[[switch]]\nname = \"lonely\"\n", nil, []string{"lonely"}},
		"VLANs": {leafSpine(4, 3), []string{"--vlans", "100-101"},
			[]string{"3 VLANs are needed, and --vlans has 2"}},
		"a name of two lines": {"[[switch]]\nname = \"a\\nb\"\n", nil,
			[]string{`switch[0].name: "a\nb" has characters that cannot be printed`}},
		"no TOML": {"[[switch", nil, []string{":1:"}},
	} {
		a := command(t, "", append([]string{"paths", "plan", writeTopology(t, c.text), "-o", tables}, c.args...)...)
		if a.code != exitRefused {
			t.Errorf("%s: got exit code %d, want %d: %s", name, a.code, exitRefused, a.err)
		}
		for _, want := range c.want {
			if !strings.Contains(a.err, want) {
				t.Errorf("%s: got\n%s\nwant %q in it", name, a.err, want)
			}
		}
		if _, err := os.Stat(tables); err == nil {
			t.Fatalf("%s: a file was written", name)
		}
	}
	for _, args := range [][]string{{"--paths", "0"}, {"--slack", "-1"}, {"--vlans", "0-5"}, {"--vlans", "x"},
		{"extra"}} {
		line := append([]string{"paths", "plan", writeTopology(t, leafSpine(2, 1))}, args...)
		if a := command(t, "", line...); a.code != exitUsage {
			t.Errorf("%v: got exit code %d, want %d: %s", args, a.code, exitUsage, a.err)
		}
	}
	if a := command(t, "", "paths", "plan", filepath.Join(t.TempDir(), "none.toml")); a.code != exitFailure {
		t.Errorf("no file: got exit code %d, want %d", a.code, exitFailure)
	}
}
