package gen

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/perf/gen/pace"
	"penstock/perf/traffic"
)

// ErrRefused marks an error of the request: nothing has been changed.
var ErrRefused = errors.New("refused")

// refuse makes an error that matches ErrRefused and does not mention it.
func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

type refusal struct{ error }

func (r *refusal) Unwrap() []error { return []error{r.error, ErrRefused} }

// Limits of a configuration.
const (
	maxWorkers  = 64
	defaultRing = 8192
	minRing     = 64
	maxRing     = 1 << 16
	// headroom is in front of every received frame (XDP_PACKET_HEADROOM).
	headroom = 256
	// growth is by how many octets a device may make a frame longer (outer headers, tags).
	growth = 128
	// MaxFrame is the longest frame that can be sent and received, in octets without FCS.
	MaxFrame = 4096 - headroom
)

// Port is an interface of the generator.
type Port struct {
	Interface string
	Program   *traffic.Program // what it sends; nil: nothing
}

// Config describes a generator.
type Config struct {
	// Ports are one or two. What one sends is expected at the other; with one port, or Reflect, nowhere or at the same.
	Ports   []Port
	Reflect bool // frames come back by the port they left by; for one port

	Queues int   // sending threads of each port, and queues to send on; 0: 1
	CPUs   []int // of the workers: of the first port, then of the second; empty: the scheduler chooses
	Burst  int   // frames; 0: those due in 20 µs, 1 to 32
	Ring   int   // slots of each receiving ring, a power of two; 0: 8192

	XDP    steer.Mode // where the XDP program runs
	Socket xsk.Mode   // ModeAuto, ModeZeroCopy or ModeCopy
	Force  bool       // take ports that look like the machine's own

	noStamp bool // for tests: as with a driver that has no room for time stamps
}

// check refuses what no machine can do.
func (c *Config) check() error {
	switch {
	case len(c.Ports) < 1 || len(c.Ports) > 2:
		return refuse("%d ports: want one or two", len(c.Ports))
	case c.Reflect && len(c.Ports) != 1:
		return refuse("frames come back by the port they left by (--reflect), and a second port is given: " +
			"leave one of them out")
	case len(c.Ports) == 2 && c.Ports[0].Interface == c.Ports[1].Interface:
		return refuse("both ports are %s: frames do not come in by the port they left by; "+
			"if the device sends them back, leave --rx out and say --reflect", c.Ports[0].Interface)
	case c.Queues < 0 || c.Queues*len(c.Ports) > maxWorkers:
		return refuse("%d queues: want 1 to %d", c.Queues, maxWorkers/len(c.Ports))
	case c.Burst < 0 || c.Burst > pace.MaxBurst:
		return refuse("bursts of %d frames: want 1 to %d", c.Burst, pace.MaxBurst)
	case c.Ring != 0 && (c.Ring < minRing || c.Ring > maxRing || bits.OnesCount(uint(c.Ring)) != 1):
		return refuse("rings of %d slots: want a power of two from %d to %d", c.Ring, minRing, maxRing)
	case c.Socket > xsk.ModeCopy:
		return refuse("sockets in %v mode: want auto, zero-copy or copy", c.Socket)
	case c.XDP == steer.Generic && c.Socket == xsk.ModeZeroCopy:
		return refuse("zero-copy needs the XDP program in the driver, and it is to run in generic mode: " +
			"choose one of them")
	}
	if !slices.ContainsFunc(c.Ports, func(p Port) bool { return p.Program != nil }) {
		return refuse("no port sends anything: the profile has no streams for the ports given")
	}
	for _, p := range c.Ports {
		if p.Program != nil && p.Program.MaxLen() > MaxFrame {
			return refuse("frames of %d octets (with FCS): AF_XDP takes %d at most, "+
				"since a frame must lie in one page (no multi-buffer)", p.Program.MaxLen()+4, MaxFrame+4)
		}
	}
	return c.checkCPUs()
}

func (c *Config) checkCPUs() error {
	if len(c.CPUs) == 0 {
		return nil
	}
	if want := max(c.Queues, 1) * len(c.Ports); len(c.CPUs) != want {
		return refuse("%d CPUs for %d threads (%d ports with %d queues each): name one for each",
			len(c.CPUs), want, len(c.Ports), max(c.Queues, 1))
	}
	var mine unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mine); err != nil {
		return fmt.Errorf("gen: %w", err)
	}
	for i, cpu := range c.CPUs {
		if cpu < 0 || cpu >= len(mine)*bits.UintSize || !mine.IsSet(cpu) {
			return refuse("CPU %d: this process may not use it (it may use %d)", cpu, mine.Count())
		}
		if slices.Contains(c.CPUs[:i], cpu) {
			return refuse("CPU %d is named twice: two threads that spin would take it from each other", cpu)
		}
	}
	return nil
}

// chunk is the size of a UMEM frame that holds what is sent and received.
func (c *Config) chunk() int {
	longest := 0
	for _, p := range c.Ports {
		if p.Program != nil {
			longest = max(longest, p.Program.MaxLen())
		}
	}
	if longest+growth+headroom <= 2048 {
		return 2048
	}
	return 4096
}
