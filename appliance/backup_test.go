package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupRefusals: a wrong archive, target or place is named, and nothing is left behind.
func TestBackupRefusals(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "penstock.toml")
	text, err := os.ReadFile("../conf/example/penstock.toml")
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	text = []byte(strings.Replace(string(text), "[box]", "[box]\nstate_dir = \""+state+"\"", 1))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	archive := tempFile(t, "a.tar", "no archive")
	w := newWorld(t, nil)
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"backup"}, exitUsage, "accepts 1 arg(s)"},
		{[]string{"backup", filepath.Join(dir, "none", "b.tar"), "-s", w.socket}, exitFailure, "no such file"},
		{[]string{"backup", dir, "-s", w.socket}, exitRefused, "keeps nothing"},
		{[]string{"backup", "--check", archive}, exitFailure, "this is no archive of penstock backup"},
		{[]string{"backup", "--check", "/nowhere/a.tar"}, exitFailure, "/nowhere/a.tar"},
		{[]string{"backup", "--check", "/dev/null"}, exitFailure, "this is no archive"},
		{[]string{"restore"}, exitUsage, "accepts between 1 and 2 arg(s)"},
		{[]string{"restore", archive, "/nowhere/penstock.toml"}, exitRefused, "tar -xOf " + archive + " penstock.toml"},
		{[]string{"restore", "/nowhere/a.tar", config}, exitFailure, "/nowhere/a.tar"},
		{[]string{"restore", archive, config}, exitFailure, "the state is as it was"},
	} {
		a := command(t, "", tc.args...)
		if a.code != tc.code || !strings.Contains(a.err, tc.want) {
			t.Errorf("penstock %s: %+v, want %d and %q", strings.Join(tc.args, " "), a, tc.code, tc.want)
		}
	}
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) > 0 {
		t.Errorf("the state directory has %v, %v; want nothing", entries, err)
	}
}
