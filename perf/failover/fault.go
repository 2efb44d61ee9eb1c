package failover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"penstock/perf/failover/cut"
)

// device is what is between the tenants' host and the gateways.
type device interface {
	network() *bed
	settle(ctx context.Context) error          // ends every fault; waits for the first gateway active, the second ready
	patience() time.Duration                   // that it may take to find a silent gateway
	cable(gateway int, up bool) error          // pulls or plugs the link of a gateway
	rebooting(gateway int, back bool) error    // a gateway's machine goes down, or is back
	planned(ctx context.Context, to int) error // an operator's switch
	reload(ctx context.Context) error          // SIGHUP
	kill(ctx context.Context) error            // SIGKILL of what switches, and its restart
	shut() error
}

// moves says whether traffic is to end up at the second gateway.
type moves uint8

const (
	may moves = iota
	must
	never
)

// Fault is something that happens to a gateway or to a device.
type Fault struct {
	Name, Text string
	// Aim is the p99 of blocked time with probes every 10 ms (perf/failover/README.md#measured). 0: none; negative:
	// nothing may be lost.
	Aim     time.Duration
	moves   moves
	outage  bool // both gateways are gone at first: what counts is the time since one is back
	boxOnly bool
	brief   bool // also measured with a slow device, where each run takes many seconds
	timing  bool // depends on the interval of the probes
	do      func(ctx context.Context, r *run) error
	undo    func(ctx context.Context, r *run) error // what settle does not; may be nil
}

const (
	noneLost   = time.Duration(-1)
	silent     = cut.In | cut.Out
	flaps      = 4
	flapLength = 60 * time.Millisecond
	rebootTime = 500 * time.Millisecond
)

// Faults are all faults, in the order of the table.
var Faults = []Fault{
	{
		Name: "carrier", Text: "the active gateway's link loses its carrier",
		Aim: 2 * time.Millisecond, moves: must, brief: true,
		do: func(_ context.Context, r *run) error { r.mark(); return r.device.cable(0, false) },
	},
	{
		Name: "silent", Text: "the active gateway's stack hangs, its link stays up",
		Aim: 45 * time.Millisecond, moves: must, brief: true, timing: true,
		do: func(_ context.Context, r *run) error { return r.cut(0, silent) },
	},
	{
		Name: "arp", Text: "the active gateway's ARP is filtered, it forwards on",
		timing: true,
		do:     func(_ context.Context, r *run) error { return r.cut(0, cut.InARP|cut.OutARP) },
	},
	{
		Name: "deaf", Text: "one-way loss: nothing reaches the active gateway",
		Aim: 45 * time.Millisecond, moves: must, timing: true,
		do: func(_ context.Context, r *run) error { return r.cut(0, cut.In) },
	},
	{
		Name: "dumb", Text: "one-way loss: nothing comes from the active gateway",
		timing: true,
		do:     func(_ context.Context, r *run) error { return r.cut(0, cut.Out) },
	},
	{
		Name: "reboot", Text: "the active gateway reboots: links and addresses go, and come back after 0.5 s",
		moves: must,
		do:    reboot,
	},
	{
		Name: "flap", Text: "the active gateway's link goes and comes four times, 60 ms each",
		do: flap,
	},
	{
		Name: "both-first", Text: "both gateways silent, then the first one returns: time since it is back",
		outage: true, timing: true,
		do: func(ctx context.Context, r *run) error { return bothSilent(ctx, r, 0) },
	},
	{
		Name: "both-second", Text: "both gateways silent, then the second one returns: time since it is back",
		outage: true, timing: true, moves: must,
		do: func(ctx context.Context, r *run) error { return bothSilent(ctx, r, 1) },
	},
	{
		Name: "planned", Text: "an operator switches (keepalived: ends the master)",
		Aim: noneLost, moves: must,
		do: func(ctx context.Context, r *run) error { r.mark(); return r.device.planned(ctx, 1) },
	},
	{
		Name: "reload", Text: "SIGHUP",
		moves: never, Aim: noneLost,
		do: func(ctx context.Context, r *run) error { r.mark(); return r.device.reload(ctx) },
	},
	{
		Name: "kill", Text: "SIGKILL of what switches, and a restart after 0.1 s",
		Aim: 500 * time.Millisecond,
		do:  func(ctx context.Context, r *run) error { r.mark(); return r.device.kill(ctx) },
	},
	{
		Name: "push", Text: "a million bindings are pushed meanwhile",
		moves: never, Aim: noneLost, boxOnly: true,
		do: push, undo: func(ctx context.Context, r *run) error { return r.device.(*box).bulk(ctx, nil) },
	},
}

func reboot(ctx context.Context, r *run) error {
	r.mark()
	if err := r.device.rebooting(0, false); err != nil {
		return err
	}
	if err := r.bed.powerOff(0); err != nil {
		return err
	}
	if err := sleep(ctx, rebootTime); err != nil {
		return err
	}
	if err := r.bed.powerOn(0); err != nil {
		return err
	}
	return r.device.rebooting(0, true)
}

func flap(ctx context.Context, r *run) error {
	r.mark()
	for range flaps {
		for _, up := range []bool{false, true} {
			if err := r.device.cable(0, up); err != nil {
				return err
			}
			if err := sleep(ctx, flapLength); err != nil {
				return err
			}
		}
	}
	return nil
}

// bothSilent makes one gateway fail after the other, for so long that it must have been noticed, and lets one return.
func bothSilent(ctx context.Context, r *run, back int) error {
	for i := range r.bed.gateways {
		if err := r.cut(i, silent); err != nil {
			return err
		}
		if err := sleep(ctx, r.device.patience()*3/2); err != nil {
			return err
		}
	}
	return r.cut(back, 0)
}

func push(ctx context.Context, r *run) error {
	x, ok := r.device.(*box)
	if !ok {
		return fmt.Errorf("bindings can be pushed to the box alone")
	}
	r.mark()
	return x.bulk(ctx, r.bindings)
}

// ParseFaults finds faults by their names, separated by commas; "" and "all" are all.
func ParseFaults(names string) ([]Fault, error) {
	if names == "" || names == "all" {
		return Faults, nil
	}
	var list []Fault
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(Faults, func(f Fault) bool { return f.Name == name })
		if i < 0 {
			var known []string
			for _, f := range Faults {
				known = append(known, f.Name)
			}
			return nil, fmt.Errorf("fault %q: want some of %s", name, strings.Join(known, ", "))
		}
		list = append(list, Faults[i])
	}
	return list, nil
}
