package dataplane

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"penstock/dataplane/frame"
	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
)

// openPort is a port that is open; zero = closed.
type openPort struct {
	ifindex int
	sockets []*xsk.Socket // by queue
	program *steer.Program
}

// ErrStopped is returned by OpenPort after Stop.
var ErrStopped = errors.New("the dataplane is stopped")

// OpenPort binds sockets to all queues of the port's interface, fills their rings, gives the queues to the workers, and
// then steers traffic to the sockets. Control calls it at start, and when an interface is back.
func (e *Engine) OpenPort(port int) error {
	e.portMu.Lock()
	defer e.portMu.Unlock()
	c := &e.cfg.Ports[port]
	if e.stopped {
		return fmt.Errorf("port on interface %s: %w", c.Interface, ErrStopped)
	}
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return fmt.Errorf("port on interface %s: %w", c.Interface, err)
	}
	if e.ports[port].program != nil {
		return nil
	}
	p := openPort{ifindex: ifi.Index}
	mode := steer.Auto
	switch c.Mode {
	case xsk.ModeGeneric:
		mode = steer.Generic
	case xsk.ModeZeroCopy: // generic mode always copies
		mode = steer.Native
	}
	if p.program, err = steer.Attach(steer.Options{Ifindex: ifi.Index, Queues: c.Queues, Mode: mode}); err != nil {
		return fmt.Errorf("port on interface %s: %w", c.Interface, err)
	}
	for q := range c.Queues {
		s, err := e.openQueue(&p, c, q)
		if err != nil {
			e.closeSockets(&p)
			return errors.Join(fmt.Errorf("port on interface %s: %w", c.Interface, err), p.program.Close())
		}
		p.sockets = append(p.sockets, s)
	}
	e.ports[port] = p
	e.portOpen[port].Store(true)
	for _, w := range e.workers {
		w.do(func(w *worker) { w.adopt(port, p.sockets, e.cfg.Workers) })
	}
	for q, s := range p.sockets {
		if err := p.program.Register(q, s.FD()); err != nil {
			e.closePort(port)
			return fmt.Errorf("port on interface %s: %w", c.Interface, err)
		}
	}
	e.workers[0].Uplink.Shared.Open(port, true)
	fields := []any{
		"interface", c.Interface, "queues", c.Queues,
		"xdp", p.program.Mode().String(), "socket", p.sockets[0].Mode().String(),
	}
	if why := errors.Join(p.program.Fallback(), p.sockets[0].Fallback()); why != nil {
		fields = append(fields, "why", why)
	}
	e.cfg.Log(Info, "port open", fields...)
	if n := p.program.ReceiveQueues(); n > c.Queues {
		e.cfg.Log(Warn, "the interface receives on more queues than the port has: frames on the other queues are lost",
			"interface", c.Interface, "receives on", n, "queues", c.Queues)
	}
	return nil
}

func (e *Engine) openQueue(p *openPort, c *PortConfig, q int) (*xsk.Socket, error) {
	mode := c.Mode
	if p.program.Mode() == steer.Generic {
		mode = xsk.ModeCopy
	}
	n := e.cfg.RingSize
	s, err := e.umem.Open(xsk.SocketConfig{
		Ifindex: p.ifindex, Queue: q, RxSize: n, TxSize: n, FillSize: n, CompSize: n, Mode: mode, NeedWakeup: true,
	})
	if err != nil {
		return nil, err
	}
	addrs := make([]uint64, 0, n)
	for range s.FillFree() {
		a, ok := e.ctl.Get()
		if !ok {
			break
		}
		e.move(a, frame.OwnerPool, frame.OwnerFill)
		addrs = append(addrs, uint64(a))
	}
	for _, a := range addrs[s.Fill(addrs):] {
		e.move(uint32(a), frame.OwnerFill, frame.OwnerPool)
		e.ctl.Put(uint32(a))
	}
	return s, nil
}

func (e *Engine) move(off uint32, from, to frame.Owner) {
	if e.verify != nil {
		e.verify.Move(off, from, to)
	}
}

// adopt gives the worker its queues of a port: number id, id+workers and so on.
func (w *worker) adopt(port int, sockets []*xsk.Socket, workers int) {
	for q := w.id; q < len(sockets); q += workers {
		if w.tx[port] == nil {
			w.tx[port] = sockets[q]
		}
		// The queue starts hungry: if control found too few free frames, nothing arrives that would trigger a refill.
		w.rx = append(w.rx, rxQueue{Socket: sockets[q], port: uint16(port), hungry: true})
	}
	w.rebuildPolls()
}

// abandon takes the queues of a port away from the worker.
func (w *worker) abandon(port int) {
	w.rx = slices.DeleteFunc(w.rx, func(q rxQueue) bool { return int(q.port) == port })
	w.tx[port], w.sent[port] = nil, 0
	if w.refused[port] != 0 {
		w.setRefused(uint16(port), false)
	}
	w.rebuildPolls()
}

// ClosePort takes a port out of service, for example when its interface is gone. All frames of the port return to the
// pool.
func (e *Engine) ClosePort(port int) {
	e.portMu.Lock()
	defer e.portMu.Unlock()
	e.closePort(port)
}

func (e *Engine) closePort(port int) {
	p := &e.ports[port]
	if p.program == nil {
		return
	}
	e.workers[0].Uplink.Shared.Open(port, false)
	e.portOpen[port].Store(false)
	for _, w := range e.workers {
		w.do(func(w *worker) { w.abandon(port) })
	}
	// Sockets close before the program: without the program drivers may remove queues that sockets still use
	// (virtio-net).
	e.closeSockets(p)
	if err := p.program.Close(); err != nil { // as when the interface is gone, and the program with it
		e.cfg.Log(Warn, "closing the XDP program", "interface", e.cfg.Ports[port].Interface, "err", err)
	}
	*p = openPort{}
	e.cfg.Log(Info, "port closed", "interface", e.cfg.Ports[port].Interface)
}

func (e *Engine) closeSockets(p *openPort) {
	var closing sync.WaitGroup // in zero-copy mode each Close waits for the driver
	for _, s := range p.sockets {
		closing.Go(func() {
			if err := s.Close(); err != nil {
				e.cfg.Log(Warn, "closing a socket", "err", err)
			}
		})
	}
	closing.Wait()
	for _, s := range p.sockets {
		s.Drain(func(addr uint64) {
			if e.verify != nil {
				e.verify.Reclaim(uint32(addr))
			}
			e.ctl.Put(e.pool.Base(uint32(addr)))
		})
	}
}
