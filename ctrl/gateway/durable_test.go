package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/status"
)

// A command that is in effect and cannot be written returns its result and ErrNotDurable, and is written later.
func TestNotDurable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dir)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	st, err := w.Disable("out", "isp2", "", false)
	if !errors.Is(err, ErrNotDurable) {
		t.Errorf("got error %v, want ErrNotDurable", err)
	}
	if i := slices.IndexFunc(st.Members, func(m status.Gateway) bool { return m.Name == "isp2" }); i < 0 ||
		st.Members[i].State != "disabled" {
		t.Errorf("the answer is %+v, want that isp2 is disabled", st.Members)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := w.save.flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(w.path); err != nil || !slices.Equal(got.Groups["out"].Disabled, []string{"isp2"}) {
		t.Errorf("the file holds %+v, %v, want that isp2 is disabled", got, err)
	}
}

// The files of interrupted writes are removed, and no others.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gateways.json")
	for _, name := range []string{"gateways.json", "gateways.json.123456", "gateways.json.new",
		"gateways.jsonx", "penstock.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clean(path); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"gateways.json", "gateways.jsonx", "penstock.db"}; !slices.Equal(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
	if err := (State{}).Store(filepath.Join(dir, "none", "gateways.json")); err == nil ||
		!strings.Contains(err.Error(), "none") {
		t.Errorf("a directory that is not there: got error %v, want one that names it", err)
	}
}
