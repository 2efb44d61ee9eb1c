package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestDelete: an object goes once, one in use does not and its users are named, and with them it goes.
func TestDelete(t *testing.T) {
	w := newWorld(t, nil).example()
	before := w.ok("export")
	for _, tc := range []struct {
		args string
		code int
		want []string
	}{
		{"delete vif red/nobody", exitOK, []string{"0 changes"}},
		{"delete segment red/web", exitRefused, []string{"in use by VIF red/web1", "in use by 1 binding (",
			"penstock delete segment red/web --with-dependents"}},
		{"delete tenants red", exitRefused, []string{"tenant red is in use by segment red/"}},
		{"delete segment red/web --with-dependents --dry-run", exitOK, []string{"delete VIF red/web1",
			"delete segment red/web", "none made"}},
	} {
		a := w.run(strings.Fields(tc.args)...)
		for _, want := range tc.want {
			if a.code != tc.code || !strings.Contains(a.out+a.err, want) {
				t.Errorf("penstock %s: %+v, want %d and %q", tc.args, a, tc.code, want)
			}
		}
	}
	if got := w.ok("export"); got != before {
		t.Errorf("nothing was to be deleted; there is\n%s\nbefore\n%s", got, before)
	}
	if got := w.ok("del", "vif", "red/web1"); !strings.HasPrefix(got, "delete VIF red/web1\n1 change, revision ") {
		t.Errorf("penstock del vif red/web1: %q, want that it is deleted", got)
	}
	w.ok("delete", "vif", "red/web1")
	w.ok("delete", "tenant", "red", "--with-dependents")
	if got := w.ok("export"); strings.Contains(got, `"red"`) || !strings.Contains(got, `"blue"`) {
		t.Errorf("after red was deleted with all of it there is\n%s\nwant blue alone", got)
	}
}

var digits = regexp.MustCompile("[ 0-9]+")

// TestAbbreviations: names of commands may be cut short, and the value of a flag is no name.
func TestAbbreviations(t *testing.T) {
	w := newWorld(t, nil).example()
	for args, same := range map[string]string{
		"sh po":                 "show ports",
		"show port acc0":        "show ports acc0",
		"sho vif red/web1":      "show vifs red/web1",
		"show -o json te":       "show tenants -o json",
		"show --output=json te": "show tenants -o json",
		"show box":              "show box",
		"show boxes":            "show boxes",
		"show vip":              "show vips",
		"ex blue":               "export blue",
	} {
		// Counters go on between the two.
		a, b := digits.ReplaceAllString(w.ok(strings.Fields(args)...), " "),
			digits.ReplaceAllString(w.ok(strings.Fields(same)...), " ")
		if a != b {
			t.Errorf("penstock %s prints\n%s\nwant the same as penstock %s:\n%s", args, a, same, b)
		}
	}
}

// TestSocketOfEnvironment: PENSTOCK_SOCKET names the socket, and the flag wins.
func TestSocketOfEnvironment(t *testing.T) {
	w := newWorld(t, nil)
	t.Setenv("PENSTOCK_SOCKET", "/nowhere/x")
	if a := command(t, "", "show"); a.code != exitFailure || !strings.Contains(a.err, "/nowhere/x") {
		t.Errorf("with PENSTOCK_SOCKET=/nowhere/x: %+v, want %d and the name", a, exitFailure)
	}
	w.ok("show")
	t.Setenv("PENSTOCK_SOCKET", w.socket)
	if a := command(t, "", "show"); a.code != exitOK {
		t.Errorf("with PENSTOCK_SOCKET of a box: %+v, want success", a)
	}
}
