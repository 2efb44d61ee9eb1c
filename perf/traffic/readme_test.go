package traffic_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"penstock/perf/traffic"
)

var update = flag.Bool("update", false, "rewrite the tables in perf/profiles/README.md")

func keyTable() string {
	var b strings.Builder
	b.WriteString("| table | key | value | default | |\n|---|---|---|---|---|\n")
	for _, k := range traffic.Keys() {
		table := map[string]string{"": "", "stream": "`[[stream]]`", "vlan": "`[[stream.vlan]]`"}[k.Table]
		if table == "" && k.Table != "" {
			table = "`[stream." + k.Table + "]`"
		}
		want := strings.ReplaceAll(k.Want, "|", "\\|")
		if k.Varies {
			want += "; varies"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", table, k.Name, want, k.Default, k.Doc)
	}
	return b.String()
}

func kindTable() string {
	var b strings.Builder
	b.WriteString("| kind | what is wrong |\n|---|---|\n")
	for _, k := range traffic.Kinds() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k.Name, k.Doc)
	}
	return b.String()
}

func mixTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| profile | what it is | TRex | kernel pktgen | DPDK Pktgen |\n|---|---|---|---|---|\n")
	for _, name := range traffic.Names() {
		p, err := traffic.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| [%s](%s.toml) | %s |", name, name, p.Title)
		for _, k := range traffic.ExportKinds() {
			file := filepath.Join(k.Dir, traffic.ExportName(name, k.Kind))
			if _, err := os.Stat(filepath.Join(profilesDir, file)); err == nil {
				fmt.Fprintf(&b, " [yes](%s) |", filepath.ToSlash(file))
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestReadme holds the tables of the documentation to the code. `go test ./perf/traffic -run Readme -update` rewrites
// them.
func TestReadme(t *testing.T) {
	path := filepath.Join(profilesDir, "README.md")
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(have)
	for name, table := range map[string]string{"mixes": mixTable(t), "keys": keyTable(), "kinds": kindTable()} {
		begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
		head, rest, ok := strings.Cut(text, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("README.md has no %s … %s", begin, end)
		}
		text = head + begin + table + end + tail
	}
	if text == string(have) {
		return
	}
	if !*update {
		t.Fatal("the tables in perf/profiles/README.md are not those of the code: " +
			"go test ./perf/traffic -run Readme -update")
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReadmeProfile: the example of the documentation is a good profile.
func TestReadmeProfile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(profilesDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```toml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	g := program(t, example)
	var names []string
	for _, s := range g.Streams() {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"web/64", "web/1518", "ping"}) {
		t.Errorf("streams %v", names)
	}
	for _, f := range frames(g, 1000) {
		checkSums(t, f)
	}
}
