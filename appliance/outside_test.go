package main

import (
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/printable"
	"penstock/ctrl/status"
)

// TestOutside: texts from outside neither reach the terminal's controls nor add rows, whichever command prints them.
func TestOutside(t *testing.T) {
	const evil = "leaf\x1b[2J\x1b]0;x\x07\u009b1A\r\nfab9  02:00:00:00:00:66/1\ta\u202eb\u200bc\x9b"
	// JSON has no octets that are no UTF-8, and the API's own escapes of the others are undone in the client.
	const shown = `leaf\x1b[2J\x1b]0;x\x07\x9b1A\x0d\x0afab9  02:00:00:00:00:66/1\x09a\u202eb\u200bc`
	w := newWorld(t, nil)
	at := time.Now()
	w.info.neighbors = []status.Place{{Port: "fab0", Reason: evil, Neighbors: []status.Neighbor{{ChassisID: evil,
		PortID: evil, PortDescription: strings.Repeat(evil, 4), SystemName: evil, SystemDescription: evil,
		First: at, Heard: at, Reason: evil}}, Frames: status.LLDPFrames{Received: 9, Sent: 4,
		Refused: map[string]uint64{"order": 2}}}}
	w.alarms.Raise(alarm.Report{Kind: alarm.LLDPNoPlace, Object: "port " + evil, Text: strings.Repeat(evil, 100)})
	if err := w.alarms.Flush(); err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{"show neighbors": 2, "show alarms": 2, "watch --since 0 --once --type alarm": 1,
		"watch --since 0 --once --type alarm -o json": 1}
	for _, args := range []string{"show neighbors", "show neighbors fab0", "show alarms", "show neighbors -o json",
		"show alarms -o json", "watch --since 0 --once --type alarm", "watch --since 0 --once --type alarm -o json"} {
		a := w.run(strings.Fields(args)...)
		note := ""
		if args == "show neighbors" {
			note = "fab0: 2 LLDP frames refused as malformed; penstock show neighbors fab0 has why\n"
		}
		if a.code != exitOK || a.err != note {
			t.Errorf("%s: exit code %d, %q", args, a.code, a.err)
		}
		if printable.Text(a.out) != a.out || strings.Contains(a.out, "\t") {
			t.Errorf("%s prints what a terminal obeys: %q", args, a.out)
		}
		if n := strings.Count(a.out, "\n"); lines[args] != 0 && n != lines[args] {
			t.Errorf("%s: got %d lines, want %d:\n%s", args, n, lines[args], a.out)
		}
	}
	if out := w.ok("show", "neighbors", "fab0"); !strings.Contains(out, shown) {
		t.Errorf("the texts are not shown with escapes, want %s:\n%s", shown, out)
	}
	got := decode[status.Items[status.Place]](t, w.ok("show", "neighbors", "-o", "json"))
	if want := strings.ToValidUTF8(evil, "\ufffd"); got.Items[0].Neighbors[0].SystemName != want {
		t.Errorf("JSON has %q, want %q", got.Items[0].Neighbors[0].SystemName, want)
	}
	for code, a := range map[int]answer{exitRefused: w.run("show", "ports", evil),
		exitConfig: command(t, "", "check", "--file-only", "/nowhere/"+evil)} {
		if a.code != code || printable.Text(a.err) != a.err {
			t.Errorf("exit code %d, the error is %q, want %d and no controls", a.code, a.err, code)
		}
	}
}
