package main

import (
	"fmt"
	"time"

	"penstock/ctrl/status"
)

func pathSwitch(p *status.Path) string { return p.Switch }

func jsonPaths(q *query) (any, error) {
	l, err := stats[status.Items[status.Path]](q, "paths")()
	if err == nil {
		l.Items, err = pick(q, "edge switch", l.Items, pathSwitch)
	}
	return l, err
}

// pathState is a path's state in a few words.
func pathState(p *status.Path) string {
	switch {
	case !p.PortUp:
		return "port down"
	case p.State == "down" && p.Live:
		return "down, used" // all are down
	case p.State == "down" && p.Held != nil:
		return "held"
	}
	return p.State
}

func showPaths(q *query, t *sheet) error {
	before, l, per, err := twice(q, stats[status.Items[status.Path]](q, "paths"))
	if err != nil {
		return err
	}
	paths, err := pick(q, "edge switch", l.Items, pathSwitch)
	if err != nil {
		return err
	}
	if per == nil {
		t.head("EDGE SWITCH", "PORT", "VLAN", "STATE", "SINCE", "RTT P50", "RTT P99", "LOSS %", "PACKETS", "BYTES")
	} else {
		t.head("EDGE SWITCH", "PORT", "VLAN", "STATE", "PACKET/S", "MBIT/S")
	}
	for i := range paths {
		p := &paths[i]
		if per == nil {
			p50, p99 := roundTrips(p)
			t.row(p.Switch, p.Port, p.VID, pathState(p), since(p.Since), p50, p99, pathLoss(p), p.Packets, p.Bytes)
			if q.arg != "" {
				showChanges(p, t)
			}
			continue
		}
		var b status.Path
		for _, x := range before.Items {
			if x.Switch == p.Switch && x.Port == p.Port && x.VID == p.VID {
				b = x
			}
		}
		t.row(p.Switch, p.Port, p.VID, pathState(p), per(p.Packets, b.Packets), 8e-6*per(p.Bytes, b.Bytes))
	}
	return nil
}

// roundTrips are the median and the 99th percentile, "-" before the first answer.
func roundTrips(p *status.Path) (p50, p99 string) {
	if p.RTT == nil {
		return "-", "-"
	}
	return time.Duration(p.RTT.P50).Round(time.Microsecond).String(),
		time.Duration(p.RTT.P99).Round(time.Microsecond).String()
}

func pathLoss(p *status.Path) string {
	if p.Answers+p.Missed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100*p.Loss)
}

func since(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return time.Since(*t).Round(time.Second).String()
}

// showChanges prints what has happened to a path below it, the oldest change first.
func showChanges(p *status.Path, t *sheet) {
	for _, c := range p.Changes {
		t.row("  "+c.At.Format("2006-01-02 15:04:05.000"), p.Port, p.VID, c.From+" → "+c.To, c.Reason)
	}
}
