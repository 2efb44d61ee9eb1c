package main

import (
	"strings"
	"testing"

	"penstock/ctrl/status"
)

func TestGatewayCommands(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.ok("gateway", "switch", "out"); got != "out: isp2 is active; isp1 (up), isp2 (active, up)\n" {
		t.Errorf("penstock gateway switch: got %q, want isp2 active and both members up", got)
	}
	if g := decode[status.GatewayGroup](t, w.ok("gateway", "switch", "out", "isp1", "--expect", "isp2", "-o",
		"json")); g.Active != "isp1" {
		t.Errorf("after the switch: got %+v, want isp1 active", g)
	}
	if got := w.ok("gateway", "disable", "out", "isp2", "--force"); !strings.HasPrefix(got, "out: ") {
		t.Error(got)
	}
	if got := w.ok("gateway", "enable", "out", "isp2"); !strings.HasPrefix(got, "out: ") {
		t.Error(got)
	}
	for args, want := range map[string]string{
		"gateway switch in":                  "there is no gateway group in (gateway groups: out, spare)",
		"gateway switch out --expect isp2":   "another member is active than was expected: isp1",
		"gateway disable out isp1":           "member isp1 is the last one that is fit: without it out has no gateway",
		"gateway switch out isp1 --expect x": "expect_active: another member",
	} {
		if a := w.run(strings.Fields(args)...); a.code != exitRefused || a.out != "" || !strings.Contains(a.err, want) {
			t.Errorf("penstock %s: got %+v, want exit code %d and %q", args, a, exitRefused, want)
		}
	}
}
