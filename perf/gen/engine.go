package gen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const upFlags = unix.IFF_UP | unix.IFF_LOWER_UP

// Engine is an open generator: its ports are attached and its sockets bound. Open, Run, Blocked and Close are for one
// goroutine; Mark and a Watch are for any.
type Engine struct {
	cfg        Config
	clock      clock
	netlink    *netlink.Handle
	ports      []*port
	workers    []*worker
	directions []*direction // of the ports that send, in their order
	procs      int          // GOMAXPROCS before

	mu  sync.Mutex
	run *running // nil between runs
}

// Open attaches to the ports, in the network namespace of the calling thread, and waits until they have carrier.
// Nothing is sent before Run. Close restores the interfaces; should the process die, the kernel removes the XDP program
// and promiscuous mode; an interface that was down stays up, and rxvlan and lro stay off.
//
// Errors match ErrRefused if the request cannot be met; ErrManagement and ErrNoInterface say why. Others are the
// system's: steer.ErrOccupied, unix.EBUSY, unix.EPERM …
func Open(ctx context.Context, c Config) (_ *Engine, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Queues = max(c.Queues, 1)
	if c.Ring == 0 {
		c.Ring = defaultRing
	}
	e := &Engine{cfg: c, procs: runtime.GOMAXPROCS(0)}
	defer func() {
		if err != nil {
			err = errors.Join(explain(err), e.Close())
		}
	}()
	if e.clock, err = newClock(); err != nil {
		return nil, err
	}
	// Its socket stays in this namespace, whatever thread uses it.
	if e.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("gen: open netlink socket: %w", err)
	}
	for i := range c.Ports {
		e.ports = append(e.ports, &port{Port: c.Ports[i]})
	}
	e.makeDirections()
	carrier := func(p *port) error { return e.carrier(ctx, p) }
	for _, step := range []func(*port) error{e.find, e.attach, e.bind, carrier} {
		for _, p := range e.ports {
			if err := step(p); err != nil {
				return nil, fmt.Errorf("port %s: %w", p.Interface, err)
			}
		}
	}
	// A worker that spins holds a P for itself.
	if want := len(e.workers) + 2; want > e.procs {
		runtime.GOMAXPROCS(want)
	}
	return e, nil
}

// makeDirections says who hears whom.
func (e *Engine) makeDirections() {
	for i, p := range e.ports {
		if p.Program == nil {
			continue
		}
		d := newDirection(p.Program, i)
		switch {
		case len(e.ports) == 2:
			d.to = e.ports[1-i]
		case e.cfg.Reflect:
			d.to = p
		}
		if d.from = p; d.to != nil {
			d.to.receives, d.to.hears = true, d
		}
		e.directions = append(e.directions, d)
	}
}

// Close detaches from the ports and puts them back as they were.
func (e *Engine) Close() error {
	var errs []error
	for _, w := range e.workers {
		errs = append(errs, w.close())
	}
	e.workers = nil
	for _, p := range e.ports {
		errs = append(errs, p.close())
	}
	e.ports = nil
	if e.netlink != nil {
		e.netlink.Close()
		e.netlink = nil
	}
	runtime.GOMAXPROCS(e.procs)
	return errors.Join(errs...)
}

// PortInfo says what a port is.
type PortInfo struct {
	Interface string `json:"interface"`
	Driver    string `json:"driver"`
	SpeedMbps int    `json:"speed_mbps,omitempty"` // 0: not known
	MTU       int    `json:"mtu"`
	XDP       string `json:"xdp"`    // native or generic
	Socket    string `json:"socket"` // zero-copy or copy
	Queues    int    `json:"queues"` // that sockets are bound to
	CPUs      []int  `json:"cpus,omitempty"`
	Sends     bool   `json:"sends"`
	Receives  bool   `json:"receives"`
}

// Ports describes the ports.
func (e *Engine) Ports() []PortInfo {
	var infos []PortInfo
	for _, p := range e.ports {
		i := PortInfo{
			Interface: p.Interface, Driver: p.hw.driver, SpeedMbps: p.hw.speed, MTU: p.mtu,
			XDP: p.program.Mode().String(), Sends: p.Program != nil, Receives: p.receives,
		}
		for _, w := range e.workers {
			if w.port != p {
				continue
			}
			for _, q := range w.queues {
				i.Queues++
				i.Socket = q.sock.Mode().String()
			}
			if w.cpu >= 0 {
				i.CPUs = append(i.CPUs, w.cpu)
			}
		}
		infos = append(infos, i)
	}
	return infos
}

// Frames returns a rate in frames per second of each sending port, in the order of the ports; 0: without limit. The
// port whose side of the profile has more frames gets the rate, the other one in proportion: weights are the frames
// that the sides have in the same time, nil if they are the same.
func (e *Engine) Frames(r Rate, weights []float64) ([]float64, error) {
	most := 1.0
	for i := range weights {
		most = max(most, weights[i])
	}
	rates := make([]float64, len(e.directions))
	for i, d := range e.directions {
		pps, err := r.Frames(d.program.MeanLen(), d.from.hw.speed)
		if err != nil {
			return nil, &refusal{fmt.Errorf("port %s: %w", d.from.Interface, err)}
		}
		if len(weights) == len(e.directions) {
			pps *= weights[i] / most
		}
		if !d.from.hw.virtual() {
			if err := fits(pps, d.program.MeanLen(), d.from.hw.speed); err != nil {
				return nil, &refusal{fmt.Errorf("port %s: %w", d.from.Interface, err)}
			}
		}
		rates[i] = pps
	}
	return rates, nil
}
