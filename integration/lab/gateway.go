package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"

	"penstock/ctrl/model"
)

// GatewaySpec is an upstream gateway: a namespace with a kernel's stack behind an uplink port of a box.
type GatewaySpec struct {
	Box  string // the box whose group GatewayGroup it is a member of
	Name string // also of the namespace and the member
}

// Gateway is a built GatewaySpec.
type Gateway struct {
	GatewaySpec
	Port      string       // the box's uplink port
	Interface string       // in the namespace: towards the box
	Address   netip.Prefix // of the gateway
	BoxSide   netip.Prefix // of the box, in the same network
	MAC       model.MAC
}

// GatewayGroup is the name of the gateway group that a box with gateways has.
const GatewayGroup = "out"

// OutsideAddress is reachable through every gateway of a lab: each has it itself, so that any of them answers.
var OutsideAddress = netip.MustParseAddr("203.0.113.10")

// GroupMAC is the virtual MAC of the gateway group of the nth box, from 0.
func GroupMAC(n int) model.MAC { return 0x025053010001 + model.MAC(n) }

// GatewayMAC is the MAC of the nth gateway of a lab, from 0.
func GatewayMAC(n int) model.MAC { return 0x02000000fc01 + model.MAC(n) }

func (t *Topology) buildGateways() error {
	for i, spec := range t.Options.Gateways {
		box := t.Node(spec.Box)
		if box == nil {
			return fmt.Errorf("gateway %s: no box %q", spec.Name, spec.Box)
		}
		g := &Gateway{GatewaySpec: spec, Interface: "eth0", MAC: GatewayMAC(i)}
		g.Port = fmt.Sprintf("up%d", i)
		g.Address, g.BoxSide = host4(198, 51, 100, byte(8*i+1), 29), host4(198, 51, 100, byte(8*i+2), 29)
		if err := errors.Join(t.lab.Namespace(g.Name), t.lab.noIPv6(g.Name)); err != nil {
			return err
		}
		if err := t.lab.Veth(g.Name, g.Interface, box.Namespace, g.Port, VethOptions{
			MTU: t.Options.AccessMTU, Queues: t.Options.Dataplane.Queues,
			A: EndOptions{MAC: g.MAC, Addresses: []netip.Prefix{g.Address}, GRO: true, NoTSO: true, NoTxSum: true},
			B: EndOptions{GRO: true, NoTSO: true},
		}); err != nil {
			return err
		}
		if err := t.lab.Address(g.Name, "lo", netip.PrefixFrom(OutsideAddress, 32)); err != nil {
			return err
		}
		if err := t.lab.DefaultRoute(g.Name, g.Interface, g.BoxSide.Addr()); err != nil {
			return err
		}
		box.Ports = append(box.Ports, NodePort{Name: g.Port, Role: "uplink", PeerNamespace: g.Name,
			PeerInterface: g.Interface})
		t.Gateways = append(t.Gateways, g)
	}
	return nil
}

// Hang takes a gateway's addresses away, or gives them back: its link stays up,
// and nothing behind it answers or forwards.
func (t *Topology) Hang(gateway string, hung bool) error {
	g := t.Gateway(gateway)
	for _, a := range []struct {
		name   string
		prefix netip.Prefix
	}{{g.Interface, g.Address}, {"lo", netip.PrefixFrom(OutsideAddress, 32)}} {
		err := t.lab.withLink(g.Name, a.name, func(link netlink.Link) error {
			if hung {
				return netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(a.prefix)})
			}
			return netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a.prefix)})
		})
		if err != nil {
			return err
		}
	}
	if hung {
		return nil
	}
	return t.lab.DefaultRoute(g.Name, g.Interface, g.BoxSide.Addr())
}

// Cut takes a gateway's link away, or gives it back.
func (t *Topology) Cut(gateway string, cut bool) error {
	g := t.Gateway(gateway)
	if cut {
		return t.lab.SetDown(g.Name, g.Interface)
	}
	if err := t.lab.SetUp(g.Name, g.Interface); err != nil {
		return err
	}
	return t.lab.DefaultRoute(g.Name, g.Interface, g.BoxSide.Addr()) // it went with the link
}

// Address gives an interface an address.
func (l *Lab) Address(namespace, name string, p netip.Prefix) error {
	return l.withLink(namespace, name, func(link netlink.Link) error {
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)})
	})
}

// groupTOML is the gateway group of a box, "" if it has no gateways.
func (t *Topology) groupTOML(n *Node) string {
	var members strings.Builder
	for _, g := range t.Gateways {
		if g.Box == n.Name {
			fmt.Fprintf(&members, "\n[[gateway_group.member]]\nname = %q\nport = %q\nip = %q\naddress = %q\n", g.Name,
				g.Port, g.Address.Addr(), g.BoxSide)
		}
	}
	if members.Len() == 0 {
		return ""
	}
	index := 0
	for i, b := range t.Boxes {
		if b == n {
			index = i
		}
	}
	return fmt.Sprintf("\n[[gateway_group]]\nname = %q\nmac = %q\n%s\n", GatewayGroup, GroupMAC(index),
		t.Options.Group) + members.String()
}

// Gateway returns the gateway of the given name, nil if there is none.
func (t *Topology) Gateway(name string) *Gateway {
	for _, g := range t.Gateways {
		if g.Name == name {
			return g
		}
	}
	return nil
}
