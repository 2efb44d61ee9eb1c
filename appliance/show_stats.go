package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/status"
	"penstock/dataplane/drop"
)

func stats[T any](q *query, kind string) func() (T, error) {
	return func() (v T, err error) {
		err = q.c.Get(q, "/v1/stats/"+kind, &v)
		return v, err
	}
}

func jsonBox(q *query) (any, error) {
	var b status.Box
	err := q.c.Get(q, "/v1/box", &b)
	return b, err
}

func showBox(q *query, t *sheet) error {
	var b status.Box
	if err := q.c.Get(q, "/v1/box", &b); err != nil {
		return err
	}
	t.row("name", b.Name)
	t.row("version", fmt.Sprintf("%s (%s)", b.Version, b.Commit))
	t.row("up", time.Since(b.Started).Round(time.Second))
	t.row("ready", b.Ready)
	t.row("revision", b.Revision)
	t.row("scheme", b.Scheme)
	t.row("workers", fmt.Sprintf("%d, %s", b.Workers, b.Poll))
	t.row("bindings", fmt.Sprintf("%d of %d, %.1f MB", b.Bindings.Count, b.Bindings.Capacity,
		float64(b.Bindings.Bytes)/1e6))
	t.row("frames", fmt.Sprintf("%d of %d octets, %d free in the pool", b.Frames.All, b.Frames.Size, b.Frames.Pooled))
	for _, o := range slices.Sorted(maps.Keys(b.Frames.ByOwner)) {
		t.row("  "+o, b.Frames.ByOwner[o])
	}
	tables, err := stats[status.Items[status.FlowTable]](q, "flows")()
	if err != nil {
		return err
	}
	showFlowTables(tables.Items, t)
	if b.Frames.Violations > 0 {
		t.row("  VIOLATIONS", fmt.Sprintf("%d: %s", b.Frames.Violations, strings.Join(b.Frames.Breaches, "; ")))
	}
	tot := b.Totals
	t.row("received", tot.Rx)
	t.row("from control", tot.Injected)
	t.row("copies", tot.Copies)
	t.row("sent", tot.Tx)
	t.row("to control", tot.Punted)
	t.row("dropped", tot.Drops)
	return nil
}

func portName(p *status.Port) string { return p.Name }

func jsonPorts(q *query) (any, error) {
	l, err := stats[status.Items[status.Port]](q, "ports")()
	if err == nil {
		l.Items, err = pick(q, "port", l.Items, portName)
	}
	return l, err
}

func portState(p *status.Port) string {
	switch {
	case p.Open && p.Up:
		return "up"
	case p.Open:
		return "down"
	}
	return "gone"
}

func portMode(p *status.Port) string { return strings.TrimSpace(p.XDP + " " + p.Mode) }

func kernelDrops(k *status.Kernel) uint64 { return k.RxDropped + k.RxRingFull }

func showPorts(q *query, t *sheet) error {
	before, l, per, err := twice(q, stats[status.Items[status.Port]](q, "ports"))
	if err != nil {
		return err
	}
	ports, err := pick(q, "port", l.Items, portName)
	if err != nil {
		return err
	}
	if per == nil && q.arg != "" {
		showPort(&ports[0], t)
		return nil
	}
	if per == nil {
		t.head("NAME", "ROLE", "INTERFACE", "STATE", "MODE", "QUEUES", "MTU", "RX PACKETS", "TX PACKETS", "DROPS",
			"KERNEL DROPS")
	} else {
		t.head("NAME", "ROLE", "STATE", "RX PACKET/S", "RX MBIT/S", "TX PACKET/S", "TX MBIT/S", "DROPS/S",
			"KERNEL DROPS/S")
	}
	for i := range ports {
		p := &ports[i]
		if per == nil {
			t.row(p.Name, p.Role, p.Interface, portState(p), portMode(p), p.Queues, p.MTU, p.RxPackets, p.TxPackets,
				p.Drops, kernelDrops(&p.Kernel))
			continue
		}
		var b status.Port
		for _, x := range before.Items {
			if x.Name == p.Name {
				b = x
			}
		}
		t.row(p.Name, p.Role, portState(p), per(p.RxPackets, b.RxPackets), 8e-6*per(p.RxBytes, b.RxBytes),
			per(p.TxPackets, b.TxPackets),
			8e-6*per(p.TxBytes, b.TxBytes), per(p.Drops, b.Drops), per(kernelDrops(&p.Kernel), kernelDrops(&b.Kernel)))
	}
	return nil
}

// showPort prints all values of one port.
func showPort(p *status.Port, t *sheet) {
	t.row("name", p.Name)
	t.row("interface", p.Interface)
	t.row("role", p.Role)
	t.row("state", portState(p))
	t.row("mode", portMode(p))
	t.row("queues", p.Queues)
	t.row("MTU", p.MTU)
	t.row("MAC", p.MAC)
	t.row("received", fmt.Sprintf("%d packets, %d octets", p.RxPackets, p.RxBytes))
	t.row("sent", fmt.Sprintf("%d packets, %d octets", p.TxPackets, p.TxBytes))
	t.row("refused by the kernel", fmt.Sprintf("%d transmit calls", p.TxErrors))
	t.row("from control", p.Injected)
	t.row("to control", p.Punted)
	for _, k := range byCount(p.Punts) {
		t.row("  "+k, p.Punts[k])
	}
	t.row("copies", p.Copies)
	t.row("dropped", p.Drops)
	for _, r := range byCount(p.Reasons) {
		t.row("  "+r, p.Reasons[r])
	}
	k := &p.Kernel
	t.row("kernel: dropped on receipt", k.RxDropped)
	t.row("kernel: receive ring full", k.RxRingFull)
	t.row("kernel: fill ring empty", k.FillRingEmpty)
	t.row("kernel: receive descriptors refused", k.RxInvalidDescs)
	t.row("kernel: transmit descriptors refused", k.TxInvalidDescs)
	t.row("kernel: transmit ring empty", k.TxRingEmptyDesc)
}

func workerName(w *status.Worker) string { return strconv.Itoa(w.ID) }

func jsonWorkers(q *query) (any, error) {
	l, err := stats[status.Items[status.Worker]](q, "workers")()
	if err == nil {
		l.Items, err = pick(q, "worker", l.Items, workerName)
	}
	return l, err
}

func showWorkers(q *query, t *sheet) error {
	before, l, per, err := twice(q, stats[status.Items[status.Worker]](q, "workers"))
	if err != nil {
		return err
	}
	workers, err := pick(q, "worker", l.Items, workerName)
	if err != nil {
		return err
	}
	if per == nil {
		t.head("WORKER", "TURNS", "BUSY", "SLEEPS", "PACKETS", "PACKETS/TURN", "NS/PACKET", "LONGEST GAP")
		for _, w := range workers {
			t.row(w.ID, w.Turns, w.BusyTurns, w.Sleeps, w.Frames, w.PerTurn, w.NsPerFrame, time.Duration(w.MaxGapNs))
		}
		return nil
	}
	t.head("WORKER", "LOAD %", "PACKET/S", "PACKETS/TURN", "NS/PACKET", "TURNS/S", "SLEEPS/S")
	for _, w := range workers {
		var b status.Worker
		for _, x := range before.Items {
			if x.ID == w.ID {
				b = x
			}
		}
		frames, busy := per(w.Frames, b.Frames), per(w.BusyNs, b.BusyNs)
		t.row(w.ID, busy/1e7, frames, ratio(frames, per(w.BusyTurns, b.BusyTurns)), ratio(busy, frames),
			per(w.Turns, b.Turns), per(w.Sleeps, b.Sleeps))
	}
	return nil
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// byCount returns the reasons, the most frequent first.
func byCount(reasons map[string]uint64) []string {
	return slices.SortedFunc(maps.Keys(reasons), func(x, y string) int {
		return cmp.Or(cmp.Compare(reasons[y], reasons[x]), cmp.Compare(x, y))
	})
}

// pickPort restricts drops to one port.
func pickPort(q *query, d *status.Drops) error {
	ports, err := pick(q, "port", slices.Sorted(maps.Keys(d.Ports)), func(s *string) string { return *s })
	if err != nil || q.arg == "" {
		return err
	}
	d.Total = d.Ports[ports[0]]
	d.Ports = map[string]map[string]uint64{ports[0]: d.Total}
	return nil
}

func jsonDrops(q *query) (any, error) {
	d, err := stats[status.Drops](q, "drops")()
	if err == nil {
		err = pickPort(q, &d)
	}
	return d, err
}

func showDrops(q *query, t *sheet) error {
	before, d, per, err := twice(q, stats[status.Drops](q, "drops"))
	if err != nil {
		return err
	}
	if err := pickPort(q, &d); err != nil {
		return err
	}
	texts := map[string]drop.Info{}
	for r := drop.Reason(0); r < drop.Count; r++ {
		texts[r.String()] = r.Info()
	}
	unit := "FRAMES"
	if per != nil {
		unit = "FRAMES/S"
	}
	t.head("PORT", "REASON", unit, "MEANING", "CHECK")
	for _, port := range slices.Sorted(maps.Keys(d.Ports)) {
		reasons := d.Ports[port]
		for _, r := range byCount(reasons) {
			var n any = reasons[r]
			if per != nil {
				rate := per(reasons[r], before.Ports[port][r])
				if rate == 0 {
					continue
				}
				n = rate
			}
			t.row(port, r, n, texts[r].Text, texts[r].Check)
		}
	}
	return nil
}
