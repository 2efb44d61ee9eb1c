package load

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Value is what octets of a frame must be.
type Value struct {
	Offset int // octets from the start of the frame
	Octets []byte
}

// Expect describes the frames that a sink is to count as expected: of just this size, with all these values.
type Expect struct {
	Size   int // octets without FCS
	Values []Value
}

// maxOctets bounds the octets that one program compares.
const maxOctets = 256

func (e *Expect) check() error {
	if e.Size < MinSize || e.Size > MaxSize {
		return fmt.Errorf("load: frames of %d octets expected: must be %d to %d", e.Size, MinSize, MaxSize)
	}
	total := 0
	for _, v := range e.Values {
		if v.Offset < 0 || v.Offset+len(v.Octets) > e.Size {
			return fmt.Errorf("load: octets %d to %d expected: the frame has %d",
				v.Offset, v.Offset+len(v.Octets), e.Size)
		}
		total += len(v.Octets)
	}
	if total > maxOctets {
		return fmt.Errorf("load: %d octets to compare: at most %d can be", total, maxOctets)
	}
	return nil
}

// Match reports whether a frame is as expected, as the sink's program decides it.
func (e *Expect) Match(frame []byte) bool {
	if len(frame) != e.Size {
		return false
	}
	for _, v := range e.Values {
		if string(frame[v.Offset:v.Offset+len(v.Octets)]) != string(v.Octets) {
			return false
		}
	}
	return true
}

// Counts are the frames that arrived at a sink since it was opened.
type Counts struct {
	Expected uint64 // as described by Expect
	Other    uint64 // all others
}

// Sink counts the frames that arrive at an interface, and drops them. It is safe for concurrent use, Close excepted.
type Sink struct {
	prog   *ebpf.Program
	counts *ebpf.Map
	link   link.Link
}

// OpenSink attaches a sink to an interface of the calling thread's network namespace, in native mode. Every frame
// that arrives there is gone: no other socket sees it.
func OpenSink(ifindex int, e Expect) (_ *Sink, err error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	s := &Sink{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	memlock := rlimit.RemoveMemlock() // matters before kernel 5.11 only, and shows when the map is made
	s.counts, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "penstock_sink", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: verdicts,
	})
	if err != nil {
		return nil, fmt.Errorf("load: make the sink's counters: %w", errors.Join(err, memlock))
	}
	s.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "penstock_sink", Type: ebpf.XDP, License: "none", // no helper that asks for a licence is called
		Instructions: sinkProgram(s.counts.FD(), &e),
	})
	if err != nil {
		return nil, fmt.Errorf("load: load the sink's program: %w", err)
	}
	s.link, err = link.AttachXDP(link.XDPOptions{Program: s.prog, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		return nil, fmt.Errorf("load: attach the sink to interface index %d in native mode: %w", ifindex, err)
	}
	return s, nil
}

// Counts reads the counters.
func (s *Sink) Counts() (c Counts, err error) {
	for verdict, sum := range [verdicts]*uint64{verdictOther: &c.Other, verdictExpected: &c.Expected} {
		var perCPU []uint64
		if err := s.counts.Lookup(uint32(verdict), &perCPU); err != nil {
			return Counts{}, fmt.Errorf("load: read the sink's counters: %w", err)
		}
		for _, n := range perCPU {
			*sum += n
		}
	}
	return c, nil
}

// Close detaches the sink.
func (s *Sink) Close() error {
	var errs []error
	if s.link != nil {
		errs = append(errs, s.link.Close())
	}
	if s.prog != nil {
		errs = append(errs, s.prog.Close())
	}
	if s.counts != nil {
		errs = append(errs, s.counts.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load: close the sink: %w", err)
	}
	return nil
}
