package failover

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Device says which device is measured.
type Device struct {
	Name       string        // as in ParseDevices
	Keepalived bool          // else the box
	Interval   time.Duration // of the box's probes, or of keepalived's advertisements
}

// slow devices take seconds for every run: they are measured with the brief faults alone, unless all are asked for.
const slow = 500 * time.Millisecond

// ParseDevices reads a list as "box:10ms,keepalived:1s". The time is the interval of the box's probes, 10 ms to 10 s,
// or of keepalived's advertisements, 10 ms to 40 s in steps of 10 ms.
func ParseDevices(text string) (list []Device, err error) {
	for _, name := range strings.Split(text, ",") {
		kind, interval, _ := strings.Cut(name, ":")
		d := Device{Name: name, Keepalived: kind == "keepalived"}
		if d.Interval, err = time.ParseDuration(interval); err != nil || kind != "box" && kind != "keepalived" {
			return nil, fmt.Errorf("device %q: want box:INTERVAL or keepalived:INTERVAL, as box:10ms,keepalived:1s",
				name)
		}
		most := map[bool]time.Duration{false: 10 * time.Second, true: 40 * time.Second}[d.Keepalived]
		if d.Interval < 10*time.Millisecond || d.Interval > most {
			return nil, fmt.Errorf("device %q: want an interval from 10ms to %v", name, most)
		}
		if d.Keepalived && d.Interval%(10*time.Millisecond) != 0 {
			return nil, fmt.Errorf("device %q: VRRP counts in steps of 10 ms", name)
		}
		for _, other := range list {
			if other.Keepalived == d.Keepalived && other.Interval == d.Interval {
				return nil, fmt.Errorf("device %q is in the list twice", name)
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// suffers reports whether a fault is measured with the device. The fastest device of a kind has all faults. The others
// have the faults whose time depends on the interval, and a slow device only the brief ones among these.
func (d Device) suffers(f *Fault, others []Device, all bool) bool {
	if d.Keepalived && f.boxOnly {
		return false
	}
	fastest := true
	for _, o := range others {
		fastest = fastest && (o.Keepalived != d.Keepalived || o.Interval >= d.Interval)
	}
	switch {
	case all:
		return true
	case d.Interval >= slow:
		return f.brief
	case !fastest:
		return f.timing || d.Keepalived && f.brief // VRRP finds everything by its advertisements
	}
	return true
}

func (d Device) open(label, binary string) (device, error) {
	if d.Keepalived {
		if _, err := exec.LookPath("keepalived"); err != nil {
			return nil, fmt.Errorf("install the package keepalived, or leave the device out: %w", err)
		}
		return newKeepalived(label, d.Interval)
	}
	return newBox(label, binary, d.Interval)
}

// fatal is an error that waiting does not mend.
type fatal struct{ error }

// until calls f every few milliseconds, until it succeeds or ctx ends.
func until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || errors.As(err, &fatal{}) {
			return err
		}
		if e := sleep(ctx, 5*time.Millisecond); e != nil {
			return fmt.Errorf("waited in vain: %w (%w)", err, e)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
