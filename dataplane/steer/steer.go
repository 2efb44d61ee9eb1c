package steer

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Mode says where the XDP program runs.
type Mode uint8

// The modes.
const (
	Auto    Mode = iota // native if the driver can, else generic
	Native              // in the driver
	Generic             // in the kernel's stack, for any interface; sockets must then be bound in copy mode
)

// String returns the mode's name as used in configuration and output.
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// EtherType is the type field behind the two MAC addresses of an Ethernet frame (IEEE 802.3 clause 3.2.6). For a
// tagged frame that is the tag's, 0x8100 or 0x88a8.
type EtherType uint16

// maxPass bounds Options.PassToKernel; each entry costs every frame a comparison.
const maxPass = 16

// Options say what to attach, and where.
type Options struct {
	Ifindex int // interface, in the network namespace of the calling thread
	Queues  int // queues that can be registered, from 0
	Mode    Mode
	// PassToKernel lists the EtherTypes of frames that stay with the kernel, at most 16. Empty: none does, the port
	// belongs to the box alone. Values below 0x600 are lengths, not types, and match frames of just that length.
	PassToKernel []EtherType
	// Alone drops the frames that no socket takes, which pass to the kernel otherwise: the port is nobody else's.
	Alone bool
	// Stamp puts the time of arrival into the StampLen octets in front of each frame that a socket gets, if the driver
	// has room for metadata there: CLOCK_MONOTONIC in ns, in the machine's byte order, as of when the program ran.
	// Where it has none the octets stay as they were.
	Stamp bool
}

// StampLen is the size of the time of arrival, in octets.
const StampLen = 8

func (o *Options) check() error {
	switch {
	case o.Ifindex < 1:
		return fmt.Errorf("steer: interface index %d: must be 1 or more", o.Ifindex)
	case o.Queues < 1 || o.Queues > 1<<16:
		return fmt.Errorf("steer: interface index %d: %d queues: must be 1 to 65536", o.Ifindex, o.Queues)
	case o.Mode > Generic:
		return fmt.Errorf("steer: interface index %d: unknown mode %d", o.Ifindex, o.Mode)
	case len(o.PassToKernel) > maxPass:
		return fmt.Errorf("steer: interface index %d: %d EtherTypes pass to the kernel: at most %d can",
			o.Ifindex, len(o.PassToKernel), maxPass)
	}
	return nil
}

// Program is an attached XDP program with the map of its sockets. It is safe for concurrent use.
type Program struct {
	mu      sync.Mutex // closing against the rest
	prog    *ebpf.Program
	sockets *ebpf.Map
	link    link.Link
	opts    Options
	name    string
	mode    Mode
	why     error
}

// Attach loads the program and attaches it to the interface. Frames pass to the kernel (with Alone they are dropped)
// until sockets are registered.
//
// In mode Auto an interface that refuses native mode gets generic mode; Fallback then says why. Errors are wrapped
// in an *AttachError and match what the system said: unix.EPERM, unix.ENODEV, … If another XDP program is attached,
// it is left alone and the error matches ErrOccupied. An old kernel gives an error that matches ErrKernelTooOld.
func Attach(o Options) (*Program, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := CheckKernel(); err != nil {
		return nil, err
	}
	p := &Program{opts: o, name: "?"}
	// The kernel's own answer for a missing interface is EINVAL, which also means other things.
	ifi, err := net.InterfaceByIndex(o.Ifindex)
	if err != nil {
		return nil, p.failed("find interface", fmt.Errorf("%w: %w", unix.ENODEV, err))
	}
	p.name = ifi.Name
	if err := p.load(); err != nil {
		p.Close()
		return nil, p.failed("load XDP program", err)
	}
	if err := p.attach(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// load creates the map and the program.
func (p *Program) load() error {
	// Before 5.11 the kernel charges BPF memory to RLIMIT_MEMLOCK. Failing to lift it shows when the map is made.
	memlock := rlimit.RemoveMemlock()
	var err error
	p.sockets, err = ebpf.NewMap(&ebpf.MapSpec{
		Name:       "penstock_xsk",
		Type:       ebpf.XSKMap,
		KeySize:    4,
		ValueSize:  4,
		MaxEntries: uint32(p.opts.Queues),
	})
	if err != nil {
		return errors.Join(err, memlock)
	}
	p.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "penstock_steer",
		Type:         ebpf.XDP,
		Instructions: instructions(p.sockets.FD(), &p.opts),
		License:      "none", // no helper that asks for a licence is called
	})
	return err
}

// attach tries the modes that the options allow.
func (p *Program) attach() error {
	if p.opts.Mode != Generic {
		err := p.attachIn(Native)
		if err == nil {
			return nil
		}
		if p.opts.Mode == Native || !mayFallBack(err) {
			return p.failed("attach XDP program in native mode", err)
		}
		p.why = err
	}
	if err := p.attachIn(Generic); err != nil {
		return p.failed("attach XDP program in generic mode", err)
	}
	return nil
}

func (p *Program) attachIn(m Mode) (err error) {
	flags := link.XDPDriverMode
	if m == Generic {
		flags = link.XDPGenericMode
	}
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: p.opts.Ifindex, Flags: flags})
	if err != nil {
		p.link = nil
		return err
	}
	p.mode = m
	return nil
}

// mayFallBack reports whether err speaks of the driver, and not of something that is the same in generic mode.
func mayFallBack(err error) bool {
	for _, e := range [...]error{unix.EBUSY, unix.EEXIST, unix.EPERM, unix.EACCES, unix.ENODEV} {
		if errors.Is(err, e) {
			return false
		}
	}
	return true
}

// Mode returns Native or Generic.
func (p *Program) Mode() Mode { return p.mode }

// Fallback returns why native mode was not possible, if Auto was asked for and generic mode was the result.
func (p *Program) Fallback() error { return p.why }

// Register gives the frames that arrive on queue to the socket; from here on traffic comes. The socket should be
// bound to that queue of the interface, and its fill ring filled. A socket that is closed vanishes by itself.
func (p *Program) Register(queue int, sockFD int) error {
	if queue < 0 || queue >= p.opts.Queues {
		return fmt.Errorf("steer: %s: register queue %d: the program was attached for %d queues",
			p.name, queue, p.opts.Queues)
	}
	if sockFD < 0 {
		return fmt.Errorf("steer: %s: register queue %d: %w: the socket is closed", p.name, queue, unix.EBADF)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets == nil {
		return fmt.Errorf("steer: %s: register queue %d: the program is closed: %w", p.name, queue, fs.ErrClosed)
	}
	if err := p.sockets.Put(uint32(queue), uint32(sockFD)); err != nil {
		return fmt.Errorf("steer: %s: register socket for queue %d: %w", p.name, queue, err)
	}
	return nil
}

// Unregister lets the frames that arrive on queue pass to the kernel. A queue without socket is no error.
func (p *Program) Unregister(queue int) error {
	if queue < 0 || queue >= p.opts.Queues {
		return fmt.Errorf("steer: %s: unregister queue %d: the program was attached for %d queues",
			p.name, queue, p.opts.Queues)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets == nil {
		return nil
	}
	if err := p.sockets.Delete(uint32(queue)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("steer: %s: unregister queue %d: %w", p.name, queue, err)
	}
	return nil
}

// Close detaches the program. Closing twice, or after the interface was deleted, does no harm.
func (p *Program) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if p.link != nil {
		errs = append(errs, p.link.Close())
		p.link = nil
	}
	if p.prog != nil {
		errs = append(errs, p.prog.Close())
		p.prog = nil
	}
	if p.sockets != nil {
		errs = append(errs, p.sockets.Close())
		p.sockets = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("steer: %s: close: %w", p.name, err)
	}
	return nil
}
