package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock/ctrl/store"
)

// `penstock compact` finds the file by the configuration, refuses a file in use, and reports the sizes.
func TestCompactCommand(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "penstock.toml")
	text := fmt.Sprintf(`[box]
name = "test"
state_dir = %q
[[port]]
name = "acc0"
role = "access"
interface = "eth0"
`, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := command(t, "", "compact", config); a.code != exitFailure || !strings.Contains(a.err, "penstock.db") {
		t.Errorf("without a file: %+v, want an error that names it", a)
	}
	s, err := store.Open(filepath.Join(dir, "penstock.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a := command(t, "", "compact", config); a.code != exitFailure ||
		!strings.Contains(a.err, "another process uses it") {
		t.Errorf("with a file in use: %+v, want an error that says so", a)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if a := command(t, "", "compact", config); a.code != exitOK || !strings.Contains(a.out, "penstock.db: ") {
		t.Errorf("%+v, want the sizes", a)
	}
}
