package main

import (
	"regexp"
	"strings"
	"testing"

	"penstock/ctrl/status"
)

// TestShowBalance: services, servers and flows, as tables; the counters of the first two grow with every request.
func TestShowBalance(t *testing.T) {
	w := newWorld(t, nil).example()
	for _, tc := range []struct{ args, head, row string }{
		{"services red/http", "SERVICE   PROTOCOL  VIP  PORT  SCHEDULER  SERVERS  USABLE  FLOWS  CONNECTIONS  " +
			"IN PACKETS  OUT PACKETS  NO SERVER  STATE",
			`(?m)^red/http  tcp       www  80    maglev           2       2      7 ` +
				`+\d+00 +\d+000         2000          3  live`},
		{"services --rate 20ms", "SERVICE   FLOWS  CONNECTION/S  IN PACKET/S  IN MBIT/S  OUT PACKET/S  OUT MBIT/S  " +
			"GUARD/S  STATE", `(?m)^red/http      7 +[1-9]\d*\.\d +[1-9]\d*\.\d +[1-9]\d*\.\d           0\.0`},
		{"servers red/http", "SERVER         AT        PORT  WEIGHT  STATE",
			`(?m)^red/http/web1  VIF web1  8080  1       .* 5 ` +
				`+\d+0 +\d+00            0      0  connection refused, \d+s ago`},
		{"servers red/http/web1 --rate 20ms", "SERVER         STATE", `(?m)^red/http/web1 .* 5 +[1-9]\d*\.\d`},
		{"flows", "PROTOCOL  CLIENT          SERVICE   PORT  SERVER   STATE        IDLE  OFF TABLE  WORKER\n" +
			"tcp       10.0.0.9:40000  red/http    80  web1     established  1.5s  yes             0\n" +
			"udp       [fd00::9]:5353  removed     53  removed  udp          0s    -               1\n", ``},
		{"vips red", "VIP       SEGMENT  ADDRESS    MODE     DIRECTOR  HERE  EDGE SWITCH  SWITCH PORT  STATE\n" +
			"red/www   web      10.0.0.80  standby  box1      true  -            -            live\n", ``},
	} {
		got := w.ok(append([]string{"show"}, strings.Fields(tc.args)...)...)
		if !strings.HasPrefix(got, tc.head) || !regexp.MustCompile(tc.row).MatchString(got) {
			t.Errorf("show %s:\n%s\nwant it to begin with\n%s\nand a line %s", tc.args, got, tc.head, tc.row)
		}
	}
	w.info.tables = []status.FlowTable{
		{Worker: 0, Limit: 1000, Bytes: 44_000, Flows: map[string]uint64{"established": 5, "udp": 1, "closed": 0}},
		{Worker: 1, Limit: 1000, Bytes: 44_000, Flows: map[string]uint64{"established": 2}},
	}
	got := w.ok("show", "box")
	for _, want := range []string{"\nflows          8 of 2000, 0.1 MB\n",
		"\n  established  7\n", "\n  udp          1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("show box:\n%s\nwant %q", got, want)
		}
	}
	if l := decode[status.Items[status.Flow]](t, w.ok("show", "flows", "-o", "json")); len(l.Items) != 2 {
		t.Errorf("flows as JSON: got %+v, want 2 of two pages", l)
	}
	if a := w.run("show", "flows", "--limit", "1"); strings.Count(a.out, "\n") != 2 ||
		a.err != "there are more than 1: see --limit\n" {
		t.Errorf("flows with a limit: got %+v, want one, and word of more", a)
	}
	if a := w.run("show", "flows", "--state", "closed"); a.err != "(none)\n" {
		t.Errorf("flows of no such state: got %+v, want none", a)
	}
	for _, args := range []string{"flows red/none", "flows --server red/http/none", "flows --client here",
		"flows --state open"} {
		if a := w.run(append([]string{"show"}, strings.Fields(args)...)...); a.code != exitRefused {
			t.Errorf("show %s: got %+v, want exit code %d", args, a, exitRefused)
		}
	}
	if a := w.run("show", "flows", "--limit", "-1"); a.code != exitUsage {
		t.Errorf("a negative limit: got %+v, want exit code %d", a, exitUsage)
	}
}
