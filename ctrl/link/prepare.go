package link

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options say what Prepare does to an interface besides setting it up.
type Options struct {
	// Promisc lets the interface take frames for any MAC: needed where tenants' or boxes' MACs differ from the
	// interface's own (access, downlink and trunk ports), not on a fabric port.
	Promisc bool
	// MTU in octets to be set, 0 = leave it.
	MTU int
	// Warn is called for a setting that failed although the port works without it; nil = no warnings.
	Warn func(msg string, args ...any)
}

// Prepare makes an interface ready to be a port and returns a function that restores what was changed. The preparation
// belongs to the interface that has the name now; one that is created later under the same name must be prepared again.
//
// Offloads that strip tags or join frames are turned off: XDP would not see the frames that were sent.
//
// Promiscuous mode is held by a packet socket (PACKET_MR_PROMISC, packet(7)), which the kernel takes back when the
// process ends, however it ends, and which adds to requests of others instead of overwriting them. The MTU,
// the administrative state and the offloads stay after a crash.
//
// undo changes only settings that are still as Prepare left them, on the interface that was prepared: later changes by
// others stay. It may be called from any thread, and more than once; the later calls do nothing.
func Prepare(name string, o Options) (undo func() error, err error) {
	l, err := find(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	// The handle's socket stays in this namespace, on whichever thread undo runs.
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("interface %s: open netlink socket: %w", name, err)
	}
	p := &preparation{handle: h, name: name, index: l.Attrs().Index, promisc: -1}
	if p.ioctl, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		h.Close()
		return nil, fmt.Errorf("interface %s: open socket: %w", name, err)
	}
	if err := p.do(l.Attrs(), o); err != nil {
		return nil, errors.Join(err, p.undo())
	}
	return sync.OnceValue(p.undo), nil
}

type preparation struct {
	handle  *netlink.Handle
	name    string
	index   int
	mtu     int    // what was set, 0 = nothing
	oldMTU  int    // what was there before
	setUp   bool   // it was down before
	promisc int    // packet socket, -1 = none
	ioctl   int    // socket for requests to the driver, in the interface's namespace
	kept    uint32 // offloads that were turned off
}

func (p *preparation) ref() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: p.name, Index: p.index}}
}

func (p *preparation) do(a *netlink.LinkAttrs, o Options) error {
	if o.MTU != 0 && o.MTU != a.MTU {
		if err := p.handle.LinkSetMTU(p.ref(), o.MTU); err != nil {
			return fmt.Errorf("interface %s: set MTU %d (it is %d; \"ip -d link show %s\" gives the driver's range, "+
				"XDP may allow less): %w", p.name, o.MTU, a.MTU, p.name, err)
		}
		p.mtu, p.oldMTU = o.MTU, a.MTU
	}
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
	var err error
	if p.kept, err = keepFrames(p.ioctl, a.Name, o.Warn); err != nil {
		return err
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		if err := p.handle.LinkSetUp(p.ref()); err != nil {
			return fmt.Errorf("interface %s: set it up: %w", p.name, err)
		}
		p.setUp = true
	}
	if o.Promisc {
		fd, err := promisc(p.index)
		if err != nil {
			return fmt.Errorf("interface %s: promiscuous mode: %w", p.name, err)
		}
		p.promisc = fd
	}
	return nil
}

func (p *preparation) undo() error {
	defer p.handle.Close()
	defer unix.Close(p.ioctl)
	if p.promisc >= 0 {
		_ = unix.Close(p.promisc)
	}
	if !p.setUp && p.mtu == 0 && p.kept == 0 {
		return nil
	}
	l, err := p.handle.LinkByIndex(p.index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil // removed meanwhile, and the changes with it
	}
	if err != nil {
		return fmt.Errorf("interface %s: restore its settings: %w", p.name, err)
	}
	var errs []error
	if p.setUp && l.Attrs().RawFlags&unix.IFF_UP != 0 {
		if err := p.handle.LinkSetDown(p.ref()); err != nil {
			errs = append(errs, fmt.Errorf("interface %s: set it down again: %w", p.name, err))
		}
	}
	if p.kept != 0 {
		errs = append(errs, rewriteAgain(p.ioctl, l.Attrs().Name, p.kept))
	}
	if p.mtu != 0 && l.Attrs().MTU == p.mtu {
		if err := p.handle.LinkSetMTU(p.ref(), p.oldMTU); err != nil {
			errs = append(errs, fmt.Errorf("interface %s: set MTU %d again: %w", p.name, p.oldMTU, err))
		}
	}
	return errors.Join(errs...)
}

// promisc returns a packet socket that keeps the interface promiscuous while it is open. Its protocol is 0: no frame
// is ever queued to it.
func promisc(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	m := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("join PACKET_MR_PROMISC: %w", err)
	}
	return fd, nil
}
