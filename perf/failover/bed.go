package failover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/ctrl/model"
	"penstock/integration/lab"
	"penstock/perf/failover/cut"
)

// The network around a device:
//
//	              ┌──────────┐  inner  ┌─────┐  outer
//	              │          ├─────────┤ gwa ├────────┐
//	vm ───────────┤  device  │         └─────┘        ├─ br0  outside
//	10.0.0.1      │          ├─────────┤ gwb ├────────┘   203.0.113.10
//	              └──────────┘         └─────┘
//
// The box is the device itself, with an access port and two uplinks. With keepalived the device is a switch, and the
// gateways share an address by VRRP.
const (
	hostNS    = "vm"
	outsideNS = "outside"
	inner     = "in0"
	outer     = "out0"
	bridge    = "br0"
)

// The addresses that both devices have alike.
var (
	hostAddress    = netip.MustParsePrefix("10.0.0.1/24")
	routerAddress  = netip.MustParseAddr("10.0.0.254") // the group's, or the VRRP address
	tenantNetwork  = netip.MustParsePrefix("10.0.0.0/24")
	outsideAddress = netip.MustParsePrefix("203.0.113.10/24")
	outerAddress   = netip.MustParsePrefix("203.0.113.1/24") // of both gateways
	outsideMAC     = net.HardwareAddr{0x02, 0, 0, 0, 0xee, 0x10}
	outerMAC       = model.MAC(0x02000000ee01)
	hostMAC        = model.MAC(0x020000000001)
)

// side is a gateway: a router of the kernel's, in a namespace of its own.
type side struct {
	ns      string
	address netip.Prefix
	via     netip.Addr // next hop to the tenants; zero: they are on the link
	cut     *cut.Cut
}

// bed is the network of one device.
type bed struct {
	*lab.Lab
	gateways [2]side
}

func newBed(name string, gateways [2]side) (b *bed, err error) {
	l, err := lab.New(name)
	if err != nil {
		return nil, err
	}
	b = &bed{Lab: l, gateways: gateways}
	if err := b.build(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bed) close() error {
	for i := range b.gateways {
		if c := b.gateways[i].cut; c != nil {
			_ = c.Close() // a map's descriptor
		}
	}
	return b.Lab.Close()
}

// build makes everything but the inner links.
func (b *bed) build() error {
	for _, ns := range []string{hostNS, outsideNS, b.gateways[0].ns, b.gateways[1].ns} {
		if err := b.namespace(ns); err != nil {
			return err
		}
	}
	var ports []string
	for i := range b.gateways {
		g := &b.gateways[i]
		if err := b.Sysctl(g.ns, "net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
		port := "to-" + g.ns
		if err := b.Veth(g.ns, outer, outsideNS, port, lab.VethOptions{A: lab.EndOptions{MAC: outerMAC}}); err != nil {
			return err
		}
		ports = append(ports, port)
	}
	if err := b.Bridge(outsideNS, bridge, ports...); err != nil {
		return err
	}
	return b.onLink(outsideNS, bridge, func(l netlink.Link) error {
		return errors.Join(
			netlink.LinkSetHardwareAddr(l, outsideMAC),
			netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(outsideAddress)}),
			netlink.RouteReplace(&netlink.Route{
				LinkIndex: l.Attrs().Index, Dst: ipNet(tenantNetwork), Gw: outerAddress.Addr().AsSlice(),
			}),
			neighbour(l, outerAddress.Addr(), macOf(outerMAC)),
		)
	})
}

// namespace makes one without IPv6 and without checks of where packets come from.
func (b *bed) namespace(name string) error {
	if err := b.Namespace(name); err != nil {
		return err
	}
	if err := b.Sysctl(name, "net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(b.Sysctl(name, "net/ipv4/conf/all/rp_filter", "0"),
		b.Sysctl(name, "net/ipv4/conf/default/rp_filter", "0"))
}

// joinHost gives the tenants' host its interface, whose other end is the device's.
func (b *bed) joinHost(ns, port string, far lab.EndOptions) error {
	if err := b.Veth(hostNS, "eth0", ns, port, lab.VethOptions{
		A: lab.EndOptions{MAC: hostMAC, Addresses: []netip.Prefix{hostAddress}, NoTSO: true, NoTxSum: true}, B: far,
	}); err != nil {
		return err
	}
	return b.DefaultRoute(hostNS, "eth0", routerAddress)
}

// joinGateway gives a gateway its inner interface.
func (b *bed) joinGateway(i int, ns, port string, far lab.EndOptions) (err error) {
	g := &b.gateways[i]
	o := lab.VethOptions{A: lab.EndOptions{GRO: true, NoTSO: true, NoTxSum: true}, B: far}
	if err := b.Veth(g.ns, inner, ns, port, o); err != nil {
		return err
	}
	if err := b.Do(g.ns, func() (err error) { g.cut, err = cut.Attach(inner); return err }); err != nil {
		return err
	}
	return b.configure(i)
}

// configure gives a gateway its addresses, routes and neighbours, and replaces those that are there already.
func (b *bed) configure(i int) error {
	g := &b.gateways[i]
	err := b.onLink(g.ns, outer, func(l netlink.Link) error {
		return errors.Join(netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(outerAddress)}),
			neighbour(l, outsideAddress.Addr(), outsideMAC))
	})
	return errors.Join(err, b.onLink(g.ns, inner, func(l netlink.Link) error {
		err := netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(g.address)})
		if g.via.IsValid() {
			route := netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(tenantNetwork), Gw: g.via.AsSlice()}
			err = errors.Join(err, netlink.RouteReplace(&route))
		}
		return err
	}))
}

// powerOff is what a gateway's reboot looks like from outside: its links go, its addresses too.
func (b *bed) powerOff(i int) error {
	var errs []error
	for _, name := range []string{inner, outer} {
		errs = append(errs, b.onLink(b.gateways[i].ns, name, func(l netlink.Link) error {
			err := netlink.LinkSetDown(l)
			addrs, e := netlink.AddrList(l, netlink.FAMILY_V4)
			for j := range addrs {
				// Keepalived may have removed its address before.
				if err := netlink.AddrDel(l, &addrs[j]); !errors.Is(err, unix.EADDRNOTAVAIL) {
					e = errors.Join(e, err)
				}
			}
			return errors.Join(err, e)
		}))
	}
	return errors.Join(errs...)
}

func (b *bed) powerOn(i int) error {
	ns := b.gateways[i].ns
	return errors.Join(b.SetUp(ns, inner), b.SetUp(ns, outer), b.WaitUp(ns, inner), b.configure(i))
}

// restore undoes the effects of all faults on the gateways.
func (b *bed) restore() error {
	var errs []error
	for i := range b.gateways {
		errs = append(errs, b.gateways[i].cut.Set(0), b.powerOn(i))
	}
	return errors.Join(errs...)
}

func (b *bed) onLink(ns, name string, f func(netlink.Link) error) error {
	err := b.Do(ns, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return f(l)
	})
	if err != nil {
		return fmt.Errorf("interface %s in namespace %s: %w", name, ns, err)
	}
	return nil
}

// has reports whether an interface has an address.
func (b *bed) has(ns, name string, addr netip.Addr) (yes bool, err error) {
	err = b.onLink(ns, name, func(l netlink.Link) error {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
		for _, a := range addrs {
			yes = yes || a.IP.Equal(addr.AsSlice())
		}
		return err
	})
	return yes, err
}

func neighbour(l netlink.Link, ip netip.Addr, mac net.HardwareAddr) error {
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(),
		HardwareAddr: mac,
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func macOf(m model.MAC) net.HardwareAddr {
	mac, err := net.ParseMAC(m.String())
	if err != nil {
		panic(err) // what a MAC writes can be read
	}
	return mac
}

// tail is the end of a process's log.
func tail(log string) string {
	const lines = 15
	all := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
