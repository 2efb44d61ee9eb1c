package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"penstock/ctrl/model"
	"penstock/integration/lab"
	"penstock/perf/load"
)

// wire makes the veth pairs, and opens source and sink at their ends.
func (t *trial) wire(tmpl load.Template) error {
	end := func(m model.MAC) lab.EndOptions { return lab.EndOptions{MAC: m, GRO: true, NoTSO: true} }
	for _, v := range [...]struct {
		nsA, ifA, nsB, ifB string
		mtu                int
		macA, macB         model.MAC
	}{{genNS, SourceIf, dutNS, PortA, accessMTU, 0, macA}, {dutNS, PortB, t.far(), SinkIf, fabricMTU, macB, 0}} {
		err := t.lab.Veth(v.nsA, v.ifA, v.nsB, v.ifB, lab.VethOptions{
			MTU: v.mtu, Queues: max(1, t.dev.Workers), A: end(v.macA), B: end(v.macB),
		})
		if err != nil {
			return err
		}
		t.bed.Cleanup(func() error { return t.lab.Delete(v.nsA, v.ifA) })
	}
	want, err := t.dev.Expect(tmpl)
	if err != nil {
		return err
	}
	t.bed.Cleanup(t.leave)
	err = t.lab.Do(t.far(), func() error {
		i, err := net.InterfaceByName(SinkIf)
		if err != nil {
			return err
		}
		t.counts, err = load.OpenSink(i.Index, want)
		return err
	})
	if err != nil {
		return err
	}
	t.ends = append(t.ends, t.counts.Close)
	err = t.lab.Do(genNS, func() error {
		i, err := net.InterfaceByName(SourceIf)
		if err != nil {
			return err
		}
		for q := range max(1, t.dev.Sources) {
			s, err := load.OpenSource(load.SourceConfig{Ifindex: i.Index, Queue: q, Template: tmpl, CPU: t.o.LoadCPU})
			if err != nil {
				return err
			}
			t.src = append(t.src, s)
			t.ends = append(t.ends, s.Close)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return nil
}

// leave closes source and sink.
func (t *trial) leave() (err error) {
	for _, f := range t.ends {
		err = errors.Join(err, f())
	}
	t.ends = nil
	return err
}

// far is the namespace of the sink. The generator that measures latency has both its ports in one.
func (t *trial) far() string {
	if t.measure == Latency {
		return genNS
	}
	return sinkNS
}

// start starts the device and waits until it forwards.
func (t *trial) start(ctx context.Context) error {
	if err := os.MkdirAll(t.bed.Dir, 0o755); err != nil {
		return err
	}
	if t.dev.Before != nil {
		if err := t.dev.Before(ctx, t.bed); err != nil {
			return err
		}
	}
	if t.dev.Command == nil {
		return t.probe(ctx)
	}
	argv, err := t.dev.Command(t.bed)
	if err != nil {
		return err
	}
	house, group := t.bed.CPUs, t.group.dir
	if t.bed.House != nil { // no quota, and no group: it would not allow real-time priorities
		house, group = t.bed.House, ""
	}
	if t.bed.Process, err = t.lab.Start(dutNS, t.dev.Name, t.held(house, group, argv)...); err != nil {
		return err
	}
	// How it ends is not what is measured.
	t.bed.Cleanup(func() error { _ = t.bed.Process.Stop(stopLimit); return nil })
	if t.dev.Prepare != nil {
		if err := t.dev.Prepare(ctx, t.bed); err != nil {
			return err
		}
	}
	return t.probe(ctx)
}

// held is the command that holds a program to CPUs, in a control group unless that is empty, while this process lives.
func (t *trial) held(cpus []int, group string, argv []string) []string {
	return append([]string{
		t.o.Self, HoldCommand, "-cpus", cpuList(cpus), "-group", group, "-parent", strconv.Itoa(os.Getpid()), "--",
	}, argv...)
}

// The sink's thread comes before the source's on the CPU that they share: what it leaves waiting is lost at its door.
const sinkNice = -20

// threads gives the NAPIs of both ends the threads that the placement asks for. It is called when the device forwards:
// what it does to its interfaces may make their NAPIs anew.
func (t *trial) threads() (err error) {
	if t.place.Whole {
		if t.napi, err = threadNAPI(t.lab, dutNS, PortA, t.o.DeviceCPU, 0); err != nil {
			return err
		}
	}
	if t.setup.sink == SinkThreaded {
		_, err = threadNAPI(t.lab, t.far(), SinkIf, t.o.LoadCPU, sinkNice)
	}
	return err
}

// running reports whether the device has not ended by itself.
func (t *trial) running() bool { return t.bed.Process == nil || t.bed.Process.Running() }

// probe sends slowly until frames come out as they should.
func (t *trial) probe(ctx context.Context) (err error) {
	if err := t.src.Start(probeRate); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.src.Stop()) }()
	limit := t.dev.Patience
	if limit == 0 {
		limit = patience
	}
	for deadline := time.Now().Add(limit); ; {
		c, err := t.counts.Counts()
		switch {
		case err != nil:
			return err
		case c.Expected > 0:
			return nil
		case !t.running():
			return errEnded
		case time.Now().After(deadline):
			return fmt.Errorf("of %d frames sent none came out as expected within %v (%d others did)",
				t.src.Sent(), limit, c.Other)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// mode says how the device has attached itself to PortA. Veth has no zero-copy mode.
func (t *trial) mode() (mode string, err error) {
	if t.dev.Command == nil {
		return "kernel", nil
	}
	err = t.lab.Do(dutNS, func() error {
		l, err := netlink.LinkByName(PortA)
		if err != nil {
			return err
		}
		x := l.Attrs().Xdp
		if x == nil || !x.Attached {
			return fmt.Errorf("no XDP program is attached to %s", PortA)
		}
		if mode = "native"; x.AttachMode == nl.XDP_ATTACHED_SKB {
			mode = "generic"
		}
		return nil
	})
	return mode + ", copy", err
}

func cpuList(cpus []int) string {
	names := make([]string, len(cpus))
	for i, c := range cpus {
		names[i] = strconv.Itoa(c)
	}
	return strings.Join(names, ",")
}

// sources are the sources of a trial, one for each queue that is fed.
type sources []*load.Source

// Start sends at rate frames per second in all, or as fast as the kernel takes them if rate is 0.
func (s sources) Start(rate float64) error {
	for _, x := range s {
		if err := x.Start(rate / float64(len(s))); err != nil {
			return err
		}
	}
	return nil
}

func (s sources) Stop() (err error) {
	for _, x := range s {
		err = errors.Join(err, x.Stop())
	}
	return err
}

func (s sources) Sent() (n uint64) {
	for _, x := range s {
		n += x.Sent()
	}
	return n
}
