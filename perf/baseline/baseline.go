// Package baseline is a plain forwarder between two interfaces on github.com/asavie/xdp: what somebody gets who takes
// the usual library and writes the obvious loop. The box is measured against it in the same run, on the same
// topology.
//
// It is fair but not clever. Each interface has a UMEM of its own, as the library will have it, so every frame is
// copied from one to the other. It serves queue 0 only. When an interface goes down, the library panics; here that
// ends Run with an error. The library never unmaps its rings, so a queue stays taken until the process ends: one
// process can open an interface once. A process that is killed leaves the library's XDP programs behind
// (`ip link set dev IF xdp off`).
package baseline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/asavie/xdp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	ringSize  = 1024
	batchSize = 64
	frameSize = 2048
	// frames leaves enough for the tx ring when the fill ring is full.
	frames = 2*ringSize + 2*batchSize
	// idleTurns is how often the loop finds nothing before it sleeps in poll(2), and pollMillis how long then.
	idleTurns  = 1000
	pollMillis = 1
	// busyPatience is how long Open waits for a queue.
	busyPatience = 300 * time.Millisecond
)

// Direction counts the frames of one direction.
type Direction struct {
	Received uint64 // frames taken from the rx ring
	Sent     uint64 // frames put into the other interface's tx ring
	Dropped  uint64 // frames for which that ring had no room
	Octets   uint64 // octets of the frames sent, without FCS
}

// Counters are what a Forwarder did.
type Counters struct {
	AtoB, BtoA Direction
}

// Forwarder has two interfaces open.
type Forwarder struct {
	a, b side
}

// side is one interface.
type side struct {
	name  string
	index int
	prog  *xdp.Program
	sock  *xdp.Socket
}

// Run opens the two interfaces, forwards both ways until ctx ends, and closes them.
func Run(ctx context.Context, ifA, ifB string) (Counters, error) {
	f, err := Open(ifA, ifB)
	if err != nil {
		return Counters{}, err
	}
	c, err := f.Run(ctx)
	return c, errors.Join(err, f.Close())
}

// Open attaches to two interfaces, which must be up and without an XDP program (the library would throw it off).
// The interfaces are looked for in the network namespace of the calling thread. No process can open one twice.
func Open(ifA, ifB string) (*Forwarder, error) {
	if ifA == ifB {
		return nil, fmt.Errorf("baseline: interface %q given twice: two different ones are needed", ifA)
	}
	f := &Forwarder{a: side{name: ifA}, b: side{name: ifB}}
	for _, s := range [...]*side{&f.a, &f.b} {
		if err := s.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("baseline: interface %s: %w", s.name, err), f.Close())
		}
	}
	return f, nil
}

func (s *side) open() error {
	l, err := netlink.LinkByName(s.name)
	if err != nil {
		return err
	}
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		return fmt.Errorf("XDP program %d is attached: remove it with `ip link set dev %s xdp off`", x.ProgId, s.name)
	}
	prog, err := xdp.NewProgram(1)
	if err != nil {
		return err
	}
	if err := prog.Attach(l.Attrs().Index); err != nil {
		return errors.Join(err, prog.Close())
	}
	s.index, s.prog = l.Attrs().Index, prog
	// The queue of a program that just ended is busy for a moment, and the library does not hand on error values.
	for until := time.Now().Add(busyPatience); ; time.Sleep(busyPatience / 30) {
		s.sock, err = xdp.NewSocket(s.index, 0, &xdp.SocketOptions{
			NumFrames: frames, FrameSize: frameSize,
			FillRingNumDescs: ringSize, CompletionRingNumDescs: ringSize,
			RxRingNumDescs: ringSize, TxRingNumDescs: ringSize,
		})
		if err == nil {
			break
		}
		if time.Now().After(until) {
			s.sock = nil
			return err
		}
	}
	s.refill()
	return prog.Register(0, s.sock.FD())
}

// Close detaches from the interfaces.
func (f *Forwarder) Close() error { return errors.Join(f.a.close(), f.b.close()) }

func (s *side) close() error {
	var errs []error
	if s.prog != nil {
		// An interface that was deleted needs nothing.
		if _, err := netlink.LinkByIndex(s.index); err == nil {
			errs = append(errs, s.prog.Detach(s.index))
		}
		errs = append(errs, s.prog.Close())
		s.prog = nil
	}
	if s.sock != nil {
		errs = append(errs, s.sock.Close())
		s.sock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("baseline: interface %s: close: %w", s.name, err)
	}
	return nil
}

// Run forwards both ways until ctx ends. It keeps a thread to itself, and works at full load of a core while there is
// traffic. It fails if an interface goes down.
func (f *Forwarder) Run(ctx context.Context) (c Counters, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		// The library's answer to any error of sendto, ENETDOWN among them.
		if p := recover(); p != nil {
			err = fmt.Errorf("baseline: the library gave up: %v", p)
		}
	}()
	fds := []unix.PollFd{
		{Fd: int32(f.a.sock.FD()), Events: unix.POLLIN}, {Fd: int32(f.b.sock.FD()), Events: unix.POLLIN},
	}
	done := ctx.Done()
	for idle := 0; ; {
		select {
		case <-done:
			return c, nil
		default:
		}
		if forward(&f.a, &f.b, &c.AtoB)+forward(&f.b, &f.a, &c.BtoA) > 0 {
			idle = 0
			continue
		}
		if idle++; idle < idleTurns {
			continue
		}
		if _, err := unix.Poll(fds, pollMillis); err != nil && !errors.Is(err, unix.EINTR) {
			return c, fmt.Errorf("baseline: poll: %w", err)
		}
		// poll(2) says nothing of an interface that went down or was deleted; sendto does.
		f.a.sock.Transmit(nil)
		f.b.sock.Transmit(nil)
	}
}

// forward moves up to a batch one way and returns its size.
func forward(from, to *side, c *Direction) int {
	if n := to.sock.NumCompleted(); n > 0 {
		to.sock.Complete(n)
	}
	n := min(from.sock.NumReceived(), batchSize)
	if n == 0 {
		to.flush()
		return 0
	}
	received := from.sock.Receive(n)
	out := to.sock.GetDescs(min(n, to.sock.NumFreeTxSlots()))
	for i := range out {
		out[i].Len = uint32(copy(to.sock.GetFrame(out[i]), from.sock.GetFrame(received[i])))
		c.Octets += uint64(out[i].Len)
	}
	c.Received += uint64(n)
	c.Sent += uint64(len(out))
	c.Dropped += uint64(n - len(out))
	to.sock.Transmit(out)
	to.flush()
	from.refill()
	return n
}

// flush sends what an earlier Transmit left: one sendto sends up to 32 frames, and the library is content with that.
func (s *side) flush() {
	for left := ringSize - s.sock.NumFreeTxSlots(); left > 0; {
		s.sock.Transmit(nil)
		now := ringSize - s.sock.NumFreeTxSlots()
		if now >= left {
			return
		}
		left = now
	}
}

func (s *side) refill() {
	if n := s.sock.NumFreeFillSlots(); n > 0 {
		s.sock.Fill(s.sock.GetDescs(n))
	}
}
