package gen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"

	"penstock/ctrl/link"
	"penstock/dataplane/steer"
)

// carrierLimit is how long a port may take until it has carrier: drivers that reset the card when a program is attached
// negotiate the link again.
const carrierLimit = 10 * time.Second

// port is an open port.
type port struct {
	Port
	index    int // of the interface
	mtu      int
	hw       hardware
	most     int // receive queues that it could have
	spare    int // the first receive queue that was taken into use for XDP, as virtio-net does; 0: none
	receives bool
	hears    *direction // that ends here
	program  *steer.Program
	undo     func() error // puts the interface back as it was; nil before it was changed
}

// find looks at a port's interface, and refuses what cannot work. It touches nothing.
func (e *Engine) find(p *port) error {
	l, err := e.netlink.LinkByName(p.Interface)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return fmt.Errorf("%w (`ip link` lists them)", ErrNoInterface)
	}
	if err != nil {
		return err
	}
	a := l.Attrs()
	p.index, p.mtu = a.Index, a.MTU
	if !e.cfg.Force {
		if err := guard(e.netlink, l); err != nil {
			return &refusal{err}
		}
	}
	if p.hw, err = hardwareOf(p.Interface); err != nil {
		return err
	}
	if p.hw.rx == 0 {
		p.hw.rx = max(a.NumRxQueues, 1)
	}
	p.most = max(a.NumRxQueues, 1)
	if p.hw.tx == 0 {
		p.hw.tx = max(a.NumTxQueues, 1)
	}
	if p.Program == nil {
		return nil
	}
	if e.cfg.Queues > p.hw.tx {
		return refuse("%d sending threads, and it has %d transmit queues (`ethtool -l %s`)",
			e.cfg.Queues, p.hw.tx, p.Interface)
	}
	// A tag is not part of what the MTU bounds.
	if most := p.mtu + 14 + 4; p.Program.MaxLen() > most {
		return refuse("frames of %d octets (with FCS), and its MTU is %d: "+
			"`ip link set dev %s mtu %d`, or smaller frames",
			p.Program.MaxLen()+4, p.mtu, p.Interface, p.Program.MaxLen()-14)
	}
	return nil
}

// attach makes a port ready and steers nothing yet.
func (e *Engine) attach(p *port) (err error) {
	if p.undo, err = link.Prepare(p.Interface, link.Options{Promisc: p.receives}); err != nil {
		return err
	}
	// Also where nothing is received: some drivers send from AF_XDP only while a program is attached, and no other
	// program is to be on a port that sends.
	p.program, err = steer.Attach(steer.Options{
		Ifindex: p.index, Queues: max(p.hw.rx, p.hw.tx, p.most),
		Mode: e.cfg.XDP, Alone: true, Stamp: !e.cfg.noStamp,
	})
	if err != nil {
		return err
	}
	if n := p.program.ReceiveQueues(); n > p.hw.rx && n <= p.most {
		p.spare, p.hw.rx = p.hw.rx, n
	}
	return nil
}

// close puts the port back. It may not have been opened in full.
func (p *port) close() error {
	var errs []error
	if p.program != nil {
		errs = append(errs, p.program.Close())
	}
	if p.undo != nil {
		errs = append(errs, p.undo())
	}
	return errors.Join(errs...)
}

// carrier waits until a port has carrier.
func (e *Engine) carrier(ctx context.Context, p *port) error {
	for deadline := time.Now().Add(carrierLimit); ; {
		l, err := e.netlink.LinkByIndex(p.index)
		if err != nil {
			return err
		}
		a := l.Attrs()
		if a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown && a.RawFlags&upFlags == upFlags {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no carrier within %v: is the cable in, and the other end up?", carrierLimit)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Counters are the kernel's counters of an interface (struct rtnl_link_stats64), or what was added to them.
type Counters struct {
	RxFrames  uint64 `json:"rx_frames"`
	TxFrames  uint64 `json:"tx_frames"`
	RxDropped uint64 `json:"rx_dropped"`
	TxDropped uint64 `json:"tx_dropped"`
	RxErrors  uint64 `json:"rx_errors"`
	TxErrors  uint64 `json:"tx_errors"`
	RxMissed  uint64 `json:"rx_missed"` // the card had no buffer for them (rx_missed_errors)
}

func (c Counters) minus(o Counters) Counters {
	return Counters{
		c.RxFrames - o.RxFrames, c.TxFrames - o.TxFrames, c.RxDropped - o.RxDropped,
		c.TxDropped - o.TxDropped, c.RxErrors - o.RxErrors, c.TxErrors - o.TxErrors, c.RxMissed - o.RxMissed,
	}
}

// counters reads the kernel's counters of a port.
func (e *Engine) counters(p *port) (c Counters, err error) {
	l, err := e.netlink.LinkByIndex(p.index)
	if err != nil {
		return c, fmt.Errorf("port %s: read its counters: %w", p.Interface, err)
	}
	s := l.Attrs().Statistics
	if s == nil {
		return c, nil
	}
	return Counters{s.RxPackets, s.TxPackets, s.RxDropped, s.TxDropped, s.RxErrors, s.TxErrors, s.RxMissedErrors}, nil
}
