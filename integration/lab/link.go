package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
)

// upLimit is how long a link that was set up may take until it is.
const upLimit = 3 * time.Second

// firstIndex is below the index of every interface made by a lab, and above those the kernel gives by itself.
const firstIndex = 1000

// VethOptions are the options of a veth pair. Zero values leave the kernel's defaults.
type VethOptions struct {
	MTU    int // octets, of both ends
	Queues int // receive and transmit queues, of both ends
	A, B   EndOptions
}

// EndOptions concerns one end of a veth pair.
type EndOptions struct {
	MAC       model.MAC
	Addresses []netip.Prefix
	GRO       bool // run NAPI on this end: native XDP needs it on the receiving side
	NoTSO     bool // never hand segments larger than the MTU to the other end
	NoTxSum   bool // finish checksums before a frame leaves this end
	Down      bool // leave the end down
	// InlineTags puts 802.1Q tags into the frame before it leaves this end. Else a tag that the kernel has taken out
	// travels beside the frame, where an XDP program at the other end does not see it.
	InlineTags bool
}

// Veth joins two namespaces by a veth pair and sets both ends up. Both ends may be in the same namespace.
func (l *Lab) Veth(nsA, ifA, nsB, ifB string, opts VethOptions) error {
	if err := l.veth(nsA, ifA, nsB, ifB, opts); err != nil {
		return fmt.Errorf("join %s in namespace %s with %s in namespace %s: %w", ifA, nsA, ifB, nsB, err)
	}
	return nil
}

func (l *Lab) veth(nsA, ifA, nsB, ifB string, opts VethOptions) error {
	peer, err := l.handle(nsB)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = ifA
	attrs.MTU = opts.MTU
	attrs.HardwareAddr = hardware(opts.A.MAC)
	// The kernel reports a carrier change of a veth at once only if the two ends' indices differ, else up to a second
	// later (linkwatch), and equal they would be in two fresh namespaces.
	attrs.Index = int(l.ifindex.Add(1))
	link := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         ifB,
		PeerNamespace:    netlink.NsFd(int(peer)),
		PeerHardwareAddr: hardware(opts.B.MAC),
		PeerMTU:          uint32(opts.MTU),
	}
	if opts.Queues > 0 {
		link.NumRxQueues, link.NumTxQueues = opts.Queues, opts.Queues
		link.PeerNumRxQueues, link.PeerNumTxQueues = uint32(opts.Queues), uint32(opts.Queues)
	}
	if err := l.Do(nsA, func() error { return netlink.LinkAdd(link) }); err != nil {
		return err
	}
	if err := l.Do(nsA, func() error { return setUpEnd(ifA, opts.A) }); err != nil {
		return err
	}
	if err := l.Do(nsB, func() error { return setUpEnd(ifB, opts.B) }); err != nil {
		return err
	}
	if opts.A.Down || opts.B.Down {
		return nil
	}
	return errors.Join(l.WaitUp(nsA, ifA), l.WaitUp(nsB, ifB))
}

// setUpEnd configures an interface of the calling thread's namespace.
func setUpEnd(name string, opts EndOptions) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if opts.GRO {
		err = errors.Join(err, setFeature(index, "rx-gro", true))
	}
	if opts.NoTSO {
		err = errors.Join(err, turnOff(index, segmentation))
	}
	if opts.NoTxSum {
		err = errors.Join(err, turnOff(index, checksumming))
	}
	if opts.InlineTags {
		err = errors.Join(err, turnOff(index, []string{"tx-vlan-hw-insert"}))
	}
	if err != nil {
		return err
	}
	for _, p := range opts.Addresses {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("give %s the address %v: %w", name, p, err)
		}
	}
	if opts.Down {
		return nil
	}
	return netlink.LinkSetUp(link)
}

// SetUp sets an interface up.
func (l *Lab) SetUp(namespace, name string) error {
	return l.withLink(namespace, name, netlink.LinkSetUp)
}

// WaitUp waits until an interface is up and has its carrier, at most upLimit.
func (l *Lab) WaitUp(namespace, name string) error {
	return l.withLink(namespace, name, func(link netlink.Link) error {
		for deadline := time.Now().Add(upLimit); ; time.Sleep(time.Millisecond) {
			link, err := netlink.LinkByIndex(link.Attrs().Index)
			if err != nil {
				return err
			}
			if link.Attrs().OperState == netlink.OperUp {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("still %v after %v", link.Attrs().OperState, upLimit)
			}
		}
	})
}

// SetDown sets an interface down; the other end of its veth pair loses its carrier.
func (l *Lab) SetDown(namespace, name string) error {
	return l.withLink(namespace, name, netlink.LinkSetDown)
}

// Delete removes an interface, and with it the other end of its veth pair.
func (l *Lab) Delete(namespace, name string) error {
	return l.withLink(namespace, name, netlink.LinkDel)
}

// SetMTU changes the MTU of an interface.
func (l *Lab) SetMTU(namespace, name string, mtu int) error {
	return l.withLink(namespace, name, func(link netlink.Link) error { return netlink.LinkSetMTU(link, mtu) })
}

// MAC returns the MAC address of an interface.
func (l *Lab) MAC(namespace, name string) (mac model.MAC, err error) {
	err = l.withLink(namespace, name, func(link netlink.Link) error {
		for _, b := range link.Attrs().HardwareAddr {
			mac = mac<<8 | model.MAC(b)
		}
		return nil
	})
	return mac, err
}

// XDPProgram returns the number of the XDP program attached to an interface, 0 if there is none.
func (l *Lab) XDPProgram(namespace, name string) (id uint32, err error) {
	err = l.withLink(namespace, name, func(link netlink.Link) error {
		if x := link.Attrs().Xdp; x != nil && x.Attached {
			id = x.ProgId
		}
		return nil
	})
	return id, err
}

// Promiscuous reports whether an interface takes frames for every MAC.
func (l *Lab) Promiscuous(namespace, name string) (on bool, err error) {
	err = l.withLink(namespace, name, func(link netlink.Link) error {
		on = link.Attrs().Promisc > 0
		return nil
	})
	return on, err
}

// DefaultRoute sends what has no other way from a namespace to the router with the given address.
func (l *Lab) DefaultRoute(namespace, name string, router netip.Addr) error {
	return l.withLink(namespace, name, func(link netlink.Link) error {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if router.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(all), Gw: router.AsSlice()}
		return netlink.RouteReplace(route)
	})
}

func (l *Lab) withLink(namespace, name string, f func(netlink.Link) error) error {
	err := l.Do(namespace, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return f(link)
	})
	if err != nil {
		return fmt.Errorf("interface %s in namespace %s: %w", name, namespace, err)
	}
	return nil
}

// Bridge makes a bridge of interfaces of a namespace, with their MTU, and sets it up.
func (l *Lab) Bridge(namespace, name string, ports ...string) error {
	err := l.Do(namespace, func() error {
		bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
		bridge.Name = name
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		for _, p := range ports {
			link, err := netlink.LinkByName(p)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetMaster(link, bridge); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(bridge)
	})
	if err != nil {
		return fmt.Errorf("bridge %s in namespace %s: %w", name, namespace, err)
	}
	return nil
}

// NoLearning makes a port of a bridge one whose stations the bridge does not learn: frames for them go to all ports.
func (l *Lab) NoLearning(namespace, name string) error {
	return l.withLink(namespace, name, func(link netlink.Link) error { return netlink.LinkSetLearning(link, false) })
}

// IsNoLink reports whether err means that an interface does not exist.
func IsNoLink(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func hardware(m model.MAC) net.HardwareAddr {
	if m == 0 {
		return nil
	}
	return net.HardwareAddr{byte(m >> 40), byte(m >> 32), byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}
}
