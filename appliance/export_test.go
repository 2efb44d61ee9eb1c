package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock/conf"
	"penstock/ctrl/core"
)

// tempFile writes a file into a directory of the test, and returns its name.
func tempFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// trouble is a table with all that names and values may be.
func trouble(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "[[tenants]]\nname = \"t-%d_.%s\"\nid = %d\n", i, strings.Repeat("x", 40), 1000+i)
		fmt.Fprintf(&b, "[[segments]]\ntenant = \"t-%d_.%s\"\nname = \"web\"\nid = 1\n", i, strings.Repeat("x", 40))
	}
	return tempFile(t, "trouble.toml", b.String())
}

// TestExport: what is exported applies to the same box without a change, and makes another box equal.
func TestExport(t *testing.T) {
	for _, form := range []string{"toml", "json"} {
		a, b := newWorld(t, nil).example(), newWorld(t, nil)
		a.ok("apply", "-f", trouble(t))
		text := a.ok("export", "-o", form)
		if again := a.ok("export", "-o", form); again != text {
			t.Errorf("%s: two exports of one revision differ:\n%s\n%s", form, text, again)
		}
		f := tempFile(t, "t", text)
		got := a.ok("apply", "-f", f, "--prune", "--dry-run", "--exit-code")
		if got != "0 changes, none made (dry run)\n" {
			t.Errorf("%s: applied to the same box it makes %q, want 0 changes", form, got)
		}
		if got := b.run("apply", "-f", f, "--dry-run", "--exit-code"); got.code != exitNo || got.err != "" {
			t.Errorf("%s: --exit-code before another box is equal: %+v, want %d and no message", form, got, exitNo)
		}
		b.ok("apply", "-f", f)
		if got := b.ok("export", "-o", form); withoutHeader(got) != withoutHeader(text) {
			t.Errorf("%s: the other box exports\n%s\nwant\n%s", form, got, text)
		}
	}
}

func withoutHeader(s string) string {
	if strings.HasPrefix(s, "#") {
		_, s, _ = strings.Cut(s, "\n")
	}
	return s
}

// TestExportPrunes: a whole export of an empty box empties another one.
func TestExportPrunes(t *testing.T) {
	f := tempFile(t, "t.toml", newWorld(t, nil).ok("export"))
	w := newWorld(t, nil).example()
	w.ok("apply", "-f", f, "--prune")
	if got := w.ok("export"); strings.Contains(got, "[[") {
		t.Errorf("after an empty export was applied with --prune there is\n%s\nwant nothing", got)
	}
}

// TestExportTenant: an export of a tenant has nothing of another.
func TestExportTenant(t *testing.T) {
	w := newWorld(t, nil).example()
	text := w.ok("export", "red")
	if !strings.Contains(text, "[[vifs]]") || strings.Contains(text, "blue") || strings.Contains(text, "paths") {
		t.Errorf("penstock export red prints\n%s\nwant the objects of red alone", text)
	}
	if got := w.ok("apply", "-f", tempFile(t, "t", text), "--dry-run"); got != "0 changes, none made (dry run)\n" {
		t.Errorf("applied to the same box it makes %q, want 0 changes", got)
	}
	if a := w.run("export", "blu"); a.code != exitRefused || !strings.Contains(a.err, "there are ") ||
		!strings.Contains(a.err, "blue") {
		t.Errorf("penstock export blu: %+v, want %d and the tenants", a, exitRefused)
	}
}

// TestExportMany: more bindings than fit a file go to a directory, whose README has the commands.
func TestExportMany(t *testing.T) {
	const n = 20_000
	large := func(c *conf.Config) { c.Dataplane.Bindings = 2 * n }
	w, other := newWorld(t, large).example(), newWorld(t, large)
	var rows strings.Builder
	for i := range n {
		fmt.Fprintf(&rows, "{\"tenant\":\"red\",\"segment\":\"web\",\"mac\":\"02:00:01:00:%02x:%02x\","+
			"\"switch_mac\":\"02:00:00:00:00:0b\",\"switch_port\":1}\n", i>>8, i&255)
	}
	if _, err := w.client.Bulk(t.Context(), "bindings", strings.NewReader(rows.String()), core.Merge,
		clientOptions); err != nil {
		t.Fatal(err)
	}
	if a := w.run("export"); a.code != exitRefused || !strings.Contains(a.err, "penstock export -d DIRECTORY") {
		t.Errorf("penstock export of %d bindings: %+v, want %d and the remedy", n, a, exitRefused)
	}
	dir := filepath.Join(t.TempDir(), "new", "tables")
	w.ok("export", "-d", dir)
	readme, err := os.ReadFile(filepath.Join(dir, "README"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(readme)) {
		arguments, ok := strings.CutPrefix(line, "  penstock ")
		if !ok {
			continue
		}
		seen++
		args := strings.Fields(arguments)
		args[len(args)-1] = filepath.Join(dir, args[len(args)-1])
		if got := w.ok(append(args, "--dry-run", "--exit-code")...); !strings.Contains(got, "none made") {
			t.Errorf("%s on the same box: %s, want no change", line, got)
		}
		other.ok(args...)
	}
	if seen != 3 {
		t.Errorf("the README has %d commands, want 3:\n%s", seen, readme)
	}
	again := filepath.Join(t.TempDir(), "tables")
	other.ok("export", "-d", again)
	for _, name := range []string{"tables.toml", "bindings.ndjson", "paths.ndjson"} {
		got, _ := os.ReadFile(filepath.Join(again, name))
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || withoutHeader(string(got)) != withoutHeader(string(want)) || len(want) == 0 {
			t.Errorf("%s: the other box exports %d octets, want the same %d (%v)", name, len(got), len(want), err)
		}
	}
	if a := w.run("export", "-d", dir); a.code != exitRefused || !strings.Contains(a.err, "is not empty") {
		t.Errorf("export into a directory with files: %+v, want %d", a, exitRefused)
	}
}
