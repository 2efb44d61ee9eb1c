package golden

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/wire/checksum"
	"penstock/integration/endpoint"
	"penstock/integration/rig"
)

// Claims of guests, and the frames that the box accepts, from an access port and from the fabric.

const (
	allNodes   = model.MAC(0x333300000001)
	allRouters = model.MAC(0x333300000002)
	virtualMAC = model.MAC(0x00005e000107)
)

// nd is an ICMPv6 message; a zero opt leaves the link-layer address option out.
func nd(typ uint8, src, dst model.MAC, from, to string, body func(layers.ICMPv6Options) gopacket.SerializableLayer,
	kind layers.ICMPv6Opt, opt model.MAC) func() ([]byte, error) {
	return func() ([]byte, error) {
		ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(from),
			DstIP: net.ParseIP(to)}
		c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
		if err := c.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, err
		}
		var o layers.ICMPv6Options
		if opt != 0 {
			o = layers.ICMPv6Options{{Type: kind, Data: endpoint.Hardware(opt)}}
		}
		return endpoint.Serialize(append(endpoint.Ethernet(src, dst, 0, layers.EthernetTypeIPv6), ip, c, body(o))...)
	}
}

func routerAdvert(src, dst model.MAC, from, to string, opt model.MAC) func() ([]byte, error) {
	return nd(134, src, dst, from, to, func(o layers.ICMPv6Options) gopacket.SerializableLayer {
		return &layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800, Options: o}
	}, layers.ICMPv6OptSourceAddress, opt)
}

func redirect(src, dst model.MAC, from, to string) func() ([]byte, error) {
	return nd(137, src, dst, from, to, func(o layers.ICMPv6Options) gopacket.SerializableLayer {
		return &layers.ICMPv6Redirect{TargetAddress: net.ParseIP(from), DestinationAddress: net.ParseIP("fd99::1"),
			Options: o}
	}, 0, 0)
}

func routerSolicit(src model.MAC, from string, opt model.MAC) func() ([]byte, error) {
	return nd(133, src, allRouters, from, "ff02::2", func(o layers.ICMPv6Options) gopacket.SerializableLayer {
		return &layers.ICMPv6RouterSolicitation{Options: o}
	}, layers.ICMPv6OptSourceAddress, opt)
}

// advert is an unsolicited neighbour advertisement to all nodes, or a solicited one to a station.
func advert(src, dst model.MAC, from, to, target string, opt model.MAC) func() ([]byte, error) {
	return nd(136, src, dst, from, to, func(o layers.ICMPv6Options) gopacket.SerializableLayer {
		a := &layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: net.ParseIP(target), Options: o}
		if to != "ff02::1" {
			a.Flags = 0x60
		}
		return a
	}, layers.ICMPv6OptTargetAddress, opt)
}

// solicit asks for a target; from :: it is duplicate address detection.
func solicit(src model.MAC, from, target string) func() ([]byte, error) {
	opt := src
	if from == "::" {
		opt = 0
	}
	a := netip.MustParseAddr(target).As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], a[13:])
	dst := model.MAC(0x3333ff000000 | uint64(a[13])<<16 | uint64(a[14])<<8 | uint64(a[15]))
	return nd(135, src, dst, from, netip.AddrFrom16(group).String(),
		func(o layers.ICMPv6Options) gopacket.SerializableLayer {
			return &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP(target), Options: o}
		}, layers.ICMPv6OptSourceAddress, opt)
}

func gratuitous(h endpoint.Host, op uint16) func() ([]byte, error) {
	return func() ([]byte, error) {
		b, err := endpoint.ARPRequest(h, 0, h.IPv4)
		if err == nil {
			binary.BigEndian.PutUint16(b[20:], op)
		}
		return b, err
	}
}

// snap puts what a frame carries into LLC and SNAP.
func snap(f func() ([]byte, error), oui uint32) func() ([]byte, error) {
	return changed(f, func(b []byte) []byte {
		llc := binary.BigEndian.AppendUint64(nil, 0xaaaa03<<40|uint64(oui)<<16|uint64(binary.BigEndian.Uint16(b[12:])))
		out := append(append(b[:12:12], 0, byte(len(llc)+len(b)-14)), llc...)
		return append(out, b[14:]...)
	})
}

// typed gives a frame another EtherType.
func typed(f func() ([]byte, error), t uint16) func() ([]byte, error) {
	return changed(f, func(b []byte) []byte { binary.BigEndian.PutUint16(b[12:], t); return b })
}

func fromPort(sport, dport uint16, f func() ([]byte, error)) func() ([]byte, error) {
	return changed(f, func(b []byte) []byte {
		at := 34
		if b[12] == 0x86 {
			at = 54
		}
		binary.BigEndian.PutUint16(b[at:], sport)
		binary.BigEndian.PutUint16(b[at+2:], dport)
		binary.BigEndian.PutUint16(b[at+6:], 0)
		return b
	})
}

func twice(f ...func() ([]byte, error)) []func() ([]byte, error) { return append(f, f...) }

// mld is a report of a host's multicast groups, or a query.
func mld(from string, typ byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		ip := &layers.IPv6{Version: 6, HopLimit: 1, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(from),
			DstIP: net.ParseIP("ff02::16")}
		c := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
		if err := c.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, err
		}
		eth := endpoint.Ethernet(vm1.MAC, 0x333300000016, 0, layers.EthernetTypeIPv6)
		return endpoint.Serialize(append(eth, ip, c, gopacket.Payload(make([]byte, 24)))...)
	}
}

// change applies a state that differs from the configuration.
func change(t *testing.T, r *rig.Rig, cfg *config, edit func(*model.State)) {
	t.Helper()
	s := cfg.state()
	edit(s)
	if err := r.Apply(s, model.BindingChanges{}); err != nil {
		t.Fatal(err)
	}
}

// allDrops is every reason with its count.
func allDrops(t *testing.T, r *rig.Rig, cfg *config, port string) string {
	t.Helper()
	var s []string
	for d := drop.None + 1; d < drop.Count; d++ {
		if n := drops(t, r, cfg, port, d); n > 0 {
			s = append(s, fmt.Sprintf("%v %d", d, n))
		}
	}
	return strings.Join(s, ", ")
}

const anyLL, vm1LL, vm3LL, vm2LL = "fe80::1:2:3:4", "fe80::ff:fe00:1", "fe80::ff:fe00:3", "fe80::ff:fe00:2"

// TestGuestsClaims: red/web has vm1 (acc0) and vm3 (acc1) here, strict, and vm2 and vm4 on other boxes. What vm1 sends,
// and where it goes: to vm3, to the fabric, back as an answer, or nowhere for a reason.
func TestGuestsClaims(t *testing.T) {
	mac := func(f ...string) func(*model.VIF) {
		return func(v *model.VIF) { v.AntiSpoof = "mac"; v.Allow = f }
	}
	allow := func(f ...string) func(*model.VIF) {
		return func(v *model.VIF) { v.Allow = append([]string{}, f...) }
	}
	off := func(v *model.VIF) { v.AntiSpoof = "off" }
	stranger := host(vm1.MAC, "10.0.0.3", "fd00::3")
	poser := host(vm1.MAC, "10.0.0.254", "fd00::fe")
	dhcp4 := fromPort(67, 68, udp4(vm1, vm3, 0, 67, 40))
	dhcp6 := fromPort(547, 546, udp6(vm1, vm3, 547, 40))
	for _, tt := range []struct {
		name   string
		change func(*model.VIF)
		frames []func() ([]byte, error)
		// How many frames leave by acc0, acc1 and fab0 for each frame, and why one does not.
		acc0, acc1, fab0 int
		drop             drop.Reason
	}{
		{"announcement by ARP request", nil, twice(gratuitous(vm1, 1)), 0, 1, 2, 0},
		{"announcement by ARP reply", nil, twice(gratuitous(vm1, 2)), 0, 1, 2, 0},
		{"announcement of another's address", nil, twice(gratuitous(stranger, 1)), 0, 0, 0, drop.SpoofARP},
		{"announcement of another's address, held to the MAC", mac(), twice(gratuitous(stranger, 1)), 0, 1, 2, 0},
		{"announcement of the router's address", mac(), twice(gratuitous(poser, 2)), 0, 0, 0, drop.SpoofARP},
		{"announcement of the router's address, off", off, twice(gratuitous(poser, 2)), 0, 0, 0, drop.SpoofARP},
		{"claim to the router's address is answered", off, twice(gratuitous(poser, 1)), 1, 0, 0, 0},
		{"ARP probe of a taken address", nil, twice(func() ([]byte, error) {
			return endpoint.ARPRequest(host(vm1.MAC, "0.0.0.0", ""), 0, vm3.IPv4)
		}), 1, 0, 0, 0},
		{"ARP probe of one's own address", nil, twice(func() ([]byte, error) {
			return endpoint.ARPRequest(host(vm1.MAC, "0.0.0.0", ""), 0, vm1.IPv4)
		}), 0, 0, 0, drop.ARPForeign},
		{"ARP answer to nobody's question", nil,
			twice(func() ([]byte, error) { return endpoint.ARPReply(vm1, 0, vm3) }), 0, 0, 0, drop.ARPForeign},

		{"advertisement", nil, twice(advert(vm1.MAC, allNodes, "fd00::1", "ff02::1", "fd00::1", vm1.MAC)), 0, 1, 2, 0},
		{"advertisement of the link-local address", nil,
			twice(advert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm1LL, vm1.MAC)), 0, 1, 2, 0},
		{"advertisement for another", nil, twice(advert(vm1.MAC, allNodes, vm1LL, "ff02::1", "fd00::3", vm1.MAC)), 0, 0,
			0, drop.SpoofND},
		{"advertisement of another's MAC", nil, twice(advert(vm1.MAC, allNodes, vm1LL, "ff02::1", "fd00::1", vm3.MAC)),
			0, 0, 0, drop.SpoofND},
		{"advertisement of another's MAC, held to the MAC", mac(),
			twice(advert(vm1.MAC, allNodes, vm1LL, "ff02::1", "fd00::1", vm3.MAC)), 0, 0, 0, drop.SpoofND},
		{"advertisement for the router, off", off,
			twice(advert(vm1.MAC, allNodes, vm1LL, "ff02::1", "fd00::fe", vm1.MAC)), 0, 0, 0, drop.SpoofND},
		{"answer to one", nil, twice(advert(vm1.MAC, vm3.MAC, vm1LL, vm3LL, vm1LL, vm1.MAC)), 0, 1, 0, 0},
		{"answer to one elsewhere", nil, twice(advert(vm1.MAC, vm2.MAC, vm1LL, vm2LL, vm1LL, vm1.MAC)), 0, 0, 1, 0},
		{"solicitation with another's MAC", mac(),
			twice(nd(135, vm1.MAC, 0x3333ff000002, vm1LL, "ff02::1:ff00:2",
				func(o layers.ICMPv6Options) gopacket.SerializableLayer {
					return &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP(vm2LL), Options: o}
				}, layers.ICMPv6OptSourceAddress, vm3.MAC)), 0, 0, 0, drop.SpoofND},

		{"link-local address that follows from a MAC here", nil, twice(solicit(vm1.MAC, vm1LL, vm3LL)), 1, 0, 0, 0},
		{"link-local address that follows from a MAC elsewhere", nil, twice(solicit(vm1.MAC, vm1LL, vm2LL)), 1, 0, 0,
			0},
		{"link-local address that nobody knows", nil, twice(solicit(vm1.MAC, vm1LL, anyLL)), 0, 1, 2, 0},
		{"link-local source that is another's", nil, twice(solicit(vm1.MAC, vm3LL, anyLL)), 0, 0, 0, drop.SpoofND},
		{"duplicate address detection", nil, twice(solicit(vm1.MAC, "::", vm1LL)), 0, 0, 0, drop.ARPForeign},
		{"duplicate address detection, taken", nil, twice(solicit(vm1.MAC, "::", vm3LL)), 1, 0, 0, 0},
		{"duplicate address detection, unknown", nil, twice(solicit(vm1.MAC, "::", anyLL)), 0, 1, 2, 0},
		{"unknown address of a subnet", nil, twice(solicit(vm1.MAC, vm1LL, "fd00::77")), 0, 0, 0, drop.ARPUnresolved},

		{"router solicitation", nil, twice(routerSolicit(vm1.MAC, vm1LL, vm1.MAC), routerSolicit(vm1.MAC, "::", 0)), 0,
			1, 2, 0},
		{"router advertisement", nil, twice(routerAdvert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm1.MAC)), 0, 0, 0,
			drop.SpoofND},
		{"router advertisement, held to the MAC", mac(),
			twice(routerAdvert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm1.MAC)), 0, 0, 0, drop.SpoofND},
		{"router advertisement, allowed", allow("ra"),
			twice(routerAdvert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm1.MAC)), 0, 1, 2, 0},
		{"router advertisement, off", off, twice(routerAdvert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm1.MAC)), 0, 1, 2,
			0},
		{"router advertisement to one", allow("ra"), twice(routerAdvert(vm1.MAC, vm3.MAC, vm1LL, vm3LL, vm1.MAC)), 0, 1,
			0, 0},
		{"router advertisement of another's MAC", allow("ra"),
			twice(routerAdvert(vm1.MAC, allNodes, vm1LL, "ff02::1", vm3.MAC)), 0, 0, 0, drop.SpoofND},
		{"router advertisement in the router's name", off,
			twice(routerAdvert(vm1.MAC, allNodes, "fe80::50:53ff:fe00:1", "ff02::1", vm1.MAC)), 0, 0, 0, drop.SpoofND},
		{"redirect", nil, twice(redirect(vm1.MAC, vm3.MAC, vm1LL, vm3LL)), 0, 0, 0, drop.SpoofND},
		{"redirect, allowed", allow("ra"), twice(redirect(vm1.MAC, vm3.MAC, vm1LL, vm3LL)), 0, 1, 0, 0},

		{"DHCP server", nil, twice(dhcp4, dhcp6), 0, 1, 0, 0},
		{"DHCP server, not allowed", allow(), twice(dhcp4, dhcp6), 0, 0, 0, drop.SpoofDHCP},
		{"DHCP server, not among what is allowed", mac("ra"), append(twice(dhcp4), dhcp6), 0, 0, 0, drop.SpoofDHCP},
		{"DHCP server at another port", allow(), twice(fromPort(1067, 68, udp4(vm1, vm3, 0, 67, 40)),
			fromPort(1547, 546, udp6(vm1, vm3, 547, 40))), 0, 0, 0, drop.SpoofDHCP},
		{"DHCP server, off", func(v *model.VIF) { off(v); allow()(v) }, twice(dhcp4, dhcp6), 0, 1, 0, 0},
		{"other UDP beside", allow(), twice(fromPort(68, 67, udp4(vm1, vm3, 0, 68, 40)),
			fromPort(67, 67, udp4(vm1, vm3, 0, 67, 40))), 0, 1, 0, 0},

		{"IPv4 in SNAP", nil, twice(snap(udp4(stranger, vm3, 0, 9, 40), 0)), 0, 0, 0, drop.LLCIP},
		{"IPv4 in SNAP, off", off, twice(snap(udp4(stranger, vm3, 0, 9, 40), 0)), 0, 0, 0, drop.LLCIP},
		{"IPv4 in a bridge's SNAP", mac(), twice(snap(udp4(stranger, vm3, 0, 9, 40), 0xf8)), 0, 0, 0, drop.LLCIP},
		{"ARP in SNAP", mac(), twice(snap(gratuitous(poser, 2), 0)), 0, 0, 0, drop.LLCIP},
		{"another organisation's SNAP", nil, twice(snap(typed(gratuitous(vm1, 1), 0x2000), 0x0c)), 0, 1, 2, 0},
		{"MPLS", nil, twice(typed(udp4(stranger, vm3, 0, 9, 40), 0x8847)), 0, 0, 0, drop.SpoofEncapsulated},
		{"PPPoE", nil, twice(typed(udp4(stranger, vm3, 0, 9, 40), 0x8864)), 0, 0, 0, drop.SpoofEncapsulated},
		{"PPPoE, held to the MAC", mac(), twice(typed(udp4(stranger, vm3, 0, 9, 40), 0x8864)), 0, 1, 0, 0},

		{"UDP from ::", nil, twice(udp6(host(vm1.MAC, "", "::"), vm3, 9, 40)), 0, 0, 0, drop.SpoofIP},
		{"advertisement from ::", nil, twice(advert(vm1.MAC, allNodes, "::", "ff02::1", "fd00::1", vm1.MAC)), 0, 0, 0,
			drop.SpoofND},
		{"MLD report from ::", nil, twice(mld("::", 143)), 0, 1, 2, 0},
		{"MLD query from ::", nil, twice(mld("::", 130)), 0, 0, 0, drop.SpoofIP},

		{"a virtual router's MAC", nil, twice(udp4(host(virtualMAC, "10.0.0.1", ""), vm3, 0, 9, 40)), 0, 0, 0,
			drop.SpoofMAC},
		{"a virtual router's MAC, allowed", allow("vrrp"), twice(udp4(host(virtualMAC, "10.0.0.1", ""), vm3, 0, 9, 40)),
			0, 1, 0, 0},
		{"a virtual router's MAC and another's address", allow("vrrp"),
			twice(udp4(host(virtualMAC, "10.0.0.3", ""), vm3, 0, 9, 40)), 0, 0, 0, drop.SpoofIP},
		{"another MAC beside", allow("vrrp"), twice(udp4(host(0x00005e000307, "10.0.0.1", ""), vm3, 0, 9, 40)), 0, 0, 0,
			drop.SpoofMAC},
		{"announcement for a virtual router", allow("vrrp"), twice(gratuitous(host(virtualMAC, "10.0.0.1", ""), 1)), 0,
			1, 2, 0},
		{"announcement with a virtual router's MAC from one's own", allow("vrrp"),
			twice(changed(gratuitous(host(virtualMAC, "10.0.0.1", ""), 1), func(b []byte) []byte {
				copy(b[6:12], endpoint.Hardware(vm1.MAC))
				return b
			})), 0, 1, 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, cfg := load(t, "host")
			if tt.change != nil {
				change(t, r, cfg, func(s *model.State) {
					v := s.VIFs["red/vm1"]
					tt.change(&v)
					s.VIFs["red/vm1"] = v
				})
			}
			for i, f := range tt.frames {
				want := map[string]int{"acc0": tt.acc0, "acc1": tt.acc1, "fab0": tt.fab0}
				before := drops(t, r, cfg, "acc0", tt.drop)
				got := map[string]int{"fab0": len(send(t, r, cfg, "acc0", "fab0", f))}
				for _, p := range []string{"acc0", "acc1"} {
					got[p] = len(r.Sent(portIndex(t, cfg, p)))
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("frame %d: sent %v, want %v", i, got, want)
				}
				if n := drops(t, r, cfg, "acc0", tt.drop) - before; tt.drop != 0 && n != 1 {
					t.Errorf("frame %d: %d dropped as %v, want 1; all: %v", i, n, tt.drop, allDrops(t, r, cfg, "acc0"))
				}
			}
		})
	}
}

// TestFabricForged: the fabric delivers nothing that no box lets in, to one station, to all, and whatever the headers
// in front of it.
func TestFabricForged(t *testing.T) {
	options := func(f func() ([]byte, error)) func() ([]byte, error) { // a header in front of ICMPv6
		return changed(f, func(b []byte) []byte {
			out := append(append(b[:54:54], 58, 0, 1, 4, 0, 0, 0, 0), b[54:]...)
			out[20] = 60
			binary.BigEndian.PutUint16(out[18:], binary.BigEndian.Uint16(out[18:])+8)
			return out
		})
	}
	many := func(f func() ([]byte, error)) func() ([]byte, error) { // destination options, nine times
		return changed(f, func(b []byte) []byte {
			const n = 9
			var head []byte
			for i := range n {
				next := byte(60)
				if i == n-1 {
					next = 58
				}
				head = append(head, next, 0, 1, 4, 0, 0, 0, 0)
			}
			out := append(append(b[:54:54], head...), b[54:]...)
			out[20] = 60
			binary.BigEndian.PutUint16(out[18:], binary.BigEndian.Uint16(out[18:])+8*n)
			return out
		})
	}
	toOne := routerAdvert(vm2.MAC, vm1.MAC, vm2LL, vm1LL, vm2.MAC)
	accept := func(s *model.State) {
		g := s.Segments["red/web"]
		g.RouterAdvertisements = "accept"
		s.Segments["red/web"] = g
	}
	flood := func(s *model.State) {
		g := s.Segments["red/web"]
		g.UnknownUnicast = "flood"
		s.Segments["red/web"] = g
	}
	for _, tt := range []struct {
		name       string
		change     func(*model.State)
		frame      func() ([]byte, error)
		acc0, acc1 int
		drop       drop.Reason
	}{
		{"an ordinary packet", nil, udp6(vm2, vm1, 9, 40), 1, 0, 0},
		{"a ping", nil, ping6(vm2, vm1), 1, 0, 0},
		{"bridge protocol", nil, raw(ethernet(0x0180c2000000, vm2.MAC, 38, 60)), 0, 0, drop.LinkLocalGroup},
		{"LACP", nil, raw(ethernet(0x0180c2000002, vm2.MAC, 0x8809, 124)), 0, 0, drop.LinkLocalGroup},
		{"LLDP", nil, raw(ethernet(0x0180c200000e, vm2.MAC, 0x88cc, 60)), 0, 0, drop.LinkLocalGroup},
		{"router advertisement", nil, routerAdvert(vm2.MAC, allNodes, vm2LL, "ff02::1", vm2.MAC), 0, 0,
			drop.FabricForged},
		{"router advertisement to one", nil, toOne, 0, 0, drop.FabricForged},
		{"router advertisement behind a header", nil, options(toOne), 0, 0, drop.FabricForged},
		{"router advertisement behind more headers than are parsed", nil, many(toOne), 0, 0, drop.FabricForged},
		{"router advertisement in SNAP", nil, snap(toOne, 0), 0, 0, drop.FabricForged},
		{"router advertisement, accepted", accept, routerAdvert(vm2.MAC, allNodes, vm2LL, "ff02::1", vm2.MAC), 1, 1, 0},
		{"router advertisement to one, accepted", accept, toOne, 1, 0, 0},
		{"router advertisement in the router's name", accept, routerAdvert(vm2.MAC, allNodes, "fe80::50:53ff:fe00:1",
			"ff02::1", vm2.MAC), 0, 0, drop.FabricForged},
		{"redirect", nil, redirect(vm2.MAC, vm1.MAC, vm2LL, vm1LL), 0, 0, drop.FabricForged},
		{"advertisement of the router's address", nil, advert(vm2.MAC, allNodes, vm2LL, "ff02::1", "fd00::fe", vm2.MAC),
			0, 0, drop.FabricForged},
		{"advertisement of the router's address to one", nil, advert(vm2.MAC, vm1.MAC, vm2LL, vm1LL, "fd00::fe",
			vm2.MAC), 0, 0, drop.FabricForged},
		{"advertisement", nil, advert(vm2.MAC, allNodes, "fd00::2", "ff02::1", "fd00::2", vm2.MAC), 1, 1, 0},
		{"broken advertisement", nil, changed(advert(vm2.MAC, allNodes, "fd00::2", "ff02::1", "fd00::fe", vm2.MAC),
			func(b []byte) []byte {
				b[56] ^= 1
				return b
			}), 0, 0, drop.FabricForged},
		{"answer to one", nil, advert(vm2.MAC, vm1.MAC, vm2LL, vm1LL, vm2LL, vm2.MAC), 1, 0, 0},
		{"answer to one who is not here", nil, advert(vm2.MAC, vm4.MAC, vm2LL, vm1LL, vm2LL, vm2.MAC), 0, 0,
			drop.FabricRelay},
		{"question for an unknown link-local address", nil, solicit(vm2.MAC, vm2LL, anyLL), 1, 1, 0},
		{"question in the router's name", nil, solicit(vm2.MAC, "fd00::fe", anyLL), 0, 0, drop.FabricForged},
		{"question for an address of a subnet", nil, solicit(vm2.MAC, vm2LL, "fd00::77"), 0, 0, drop.ARPForeign},
		{"question for an address of a subnet, flooding", flood, solicit(vm2.MAC, vm2LL, "fd00::77"), 1, 1, 0},
		{"router solicitation", nil, routerSolicit(vm2.MAC, vm2LL, vm2.MAC), 1, 1, 0},

		{"ARP announcement", nil, gratuitous(vm2, 1), 1, 1, 0},
		{"ARP announcement of the router's address", nil, gratuitous(host(vm2.MAC, "10.0.0.254", ""), 2), 0, 0,
			drop.FabricForged},
		{"ARP question", nil, func() ([]byte, error) { return endpoint.ARPRequest(vm2, 0, vm1.IPv4) }, 0, 0,
			drop.ARPForeign},
		{"ARP question, flooding", flood, func() ([]byte, error) { return endpoint.ARPRequest(vm2, 0, vm1.IPv4) }, 1, 1,
			0},
		{"ARP question in the router's name, flooding", flood, func() ([]byte, error) {
			return endpoint.ARPRequest(host(vm2.MAC, "10.0.0.254", ""), 0, vm1.IPv4)
		}, 0, 0, drop.FabricForged},
		{"ARP answer", nil, func() ([]byte, error) { return endpoint.ARPReply(vm2, 0, vm1) }, 0, 0, drop.ARPForeign},
		{"ARP answer, flooding", flood, func() ([]byte, error) { return endpoint.ARPReply(vm2, 0, vm1) }, 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, cfg := load(t, "host")
			if tt.change != nil {
				change(t, r, cfg, tt.change)
			}
			for range 2 { // the second one of a segment that is remembered
				before := drops(t, r, cfg, "fab0", tt.drop)
				f := outer(model.Scheme16, tt.frame, nil)
				got := [3]int{len(send(t, r, cfg, "fab0", "acc0", f)), len(r.Sent(portIndex(t, cfg, "acc1"))),
					len(r.Sent(portIndex(t, cfg, "fab0")))}
				if want := [3]int{tt.acc0, tt.acc1, 0}; got != want {
					t.Errorf("sent by acc0, acc1, fab0: %v, want %v; dropped: %v", got, want,
						allDrops(t, r, cfg, "fab0"))
				}
				if n := drops(t, r, cfg, "fab0", tt.drop) - before; tt.drop != 0 && n != 1 {
					t.Errorf("%d dropped as %v, want 1; all: %v", n, tt.drop, allDrops(t, r, cfg, "fab0"))
				}
			}
		})
	}
}

func ping6(from, to endpoint.Host) func() ([]byte, error) {
	return nd(128, from.MAC, to.MAC, from.IPv6.String(), to.IPv6.String(),
		func(layers.ICMPv6Options) gopacket.SerializableLayer {
			return gopacket.Payload(make([]byte, 40))
		}, 0, 0)
}

// TestFabricSource: an outer source is of a port that a switch can have.
func TestFabricSource(t *testing.T) {
	for _, tt := range []struct {
		config string
		scheme model.Scheme
		src    string
		drop   drop.Reason
	}{
		{"host", model.Scheme16, "10.5.0.7", 0}, {"host", model.Scheme16, "10.255.0.7", 0},
		{"host", model.Scheme16, "10.1.0.7", 0},
		{"host", model.Scheme16, "10.0.0.7", drop.FabricAddress},
		{"host", model.Scheme16, "11.5.0.7", drop.FabricAddress},
		{"host24", model.Scheme24, "5.0.0.7", 0}, {"host24", model.Scheme24, "223.0.0.7", 0},
		{"host24", model.Scheme24, "10.0.0.7", 0},
		{"host24", model.Scheme24, "0.0.0.7", drop.FabricAddress},
		{"host24", model.Scheme24, "127.0.0.7", drop.FabricAddress},
		{"host24", model.Scheme24, "224.0.0.7", drop.FabricAddress},
		{"host24", model.Scheme24, "255.0.0.7", drop.FabricAddress},
	} {
		r, cfg := load(t, tt.config)
		for range 2 {
			before := drops(t, r, cfg, "fab0", drop.FabricAddress)
			out := send(t, r, cfg, "fab0", "acc0",
				outer(tt.scheme, udp4(vm2, vm1, 0, 9, 40), func(o *endpoint.Outer) {
					o.Src = netip.MustParseAddr(tt.src)
				}))
			refused := drops(t, r, cfg, "fab0", drop.FabricAddress) - before
			if want := tt.drop == 0; (len(out) == 1) != want || (refused == 0) != want {
				t.Errorf("%s, from %s: %d delivered, %d dropped as fabric_address; delivered: want %t", tt.scheme,
					tt.src, len(out), refused, want)
			}
		}
	}
}

// vrrp is an advertisement of a virtual router from its MAC.
func vrrp(mac model.MAC, from string) func() ([]byte, error) {
	return func() ([]byte, error) {
		ip := &layers.IPv4{Version: 4, TTL: 255, Protocol: 112, SrcIP: net.ParseIP(from), DstIP: net.IP{224, 0, 0, 18}}
		return endpoint.Serialize(append(endpoint.Ethernet(mac, 0x01005e000012, 0, layers.EthernetTypeIPv4), ip,
			gopacket.Payload{0x31, 7, 200, 1, 0, 100, 0, 0, 10, 0, 0, 100})...)
	}
}

// TestVirtualRouterIsFollowed: frames to a virtual router go to its master alone, once that has spoken, here or behind
// another box, and are flooded when it has not for long. Another tenant's virtual
// router of the same MAC is another one.
func TestVirtualRouterIsFollowed(t *testing.T) {
	r, cfg := load(t, "host")
	change(t, r, cfg, func(s *model.State) {
		for key, g := range s.Segments {
			g.UnknownUnicast = "flood"
			s.Segments[key] = g
		}
		v := s.VIFs["red/vm1"]
		v.Allow = []string{"vrrp"}
		s.VIFs["red/vm1"] = v
	})
	toVIP := udp4(vm3, host(virtualMAC, "10.0.0.100", ""), 0, 9, 40)
	expect := func(what string, acc0, fab0 int) {
		t.Helper()
		r.Sent(portIndex(t, cfg, "acc0"))
		got := [2]int{len(send(t, r, cfg, "acc1", "fab0", toVIP)), len(r.Sent(portIndex(t, cfg, "acc0")))}
		if want := [2]int{fab0, acc0}; got != want {
			t.Errorf("%s: %d to the fabric, %d to acc0; want %d, %d", what, got[0], got[1], fab0, acc0)
		}
	}
	expect("nobody has spoken", 1, 2)
	send(t, r, cfg, "acc0", "fab0", vrrp(virtualMAC, "10.0.0.1"))
	expect("the master is here", 1, 0)
	send(t, r, cfg, "fab0", "acc0", outer(model.Scheme16, vrrp(virtualMAC, "10.0.0.2"), nil))
	expect("the master is behind another box", 0, 1)
	send(t, r, cfg, "fab0", "acc0", outer(model.Scheme16, vrrp(virtualMAC, "10.0.0.99"), nil))
	expect("one that no binding has speaks", 0, 1)
	send(t, r, cfg, "acc0", "fab0", vrrp(vm1.MAC, "10.0.0.1"))
	expect("one without the virtual MAC speaks", 0, 1)
	r.Sent(portIndex(t, cfg, "acc1"))
	blue := changed(toVIP, func(b []byte) []byte {
		copy(b[6:12], endpoint.Hardware(vm1.MAC))
		b[29] = 1
		b[24], b[25] = 0, 0
		return tagged(30, b)
	})
	send(t, r, cfg, "acc1", "fab0", changed(blue, func(b []byte) []byte {
		binary.BigEndian.PutUint16(b[28:], checksum.Checksum(b[18:38], 0))
		return b
	}))
	if n := drops(t, r, cfg, "acc1", drop.SpoofIP); n > 0 {
		t.Fatalf("the frame of blue is none of its own: %s", allDrops(t, r, cfg, "acc1"))
	}
	if out := r.Sent(portIndex(t, cfg, "acc0")); len(out) > 0 {
		t.Errorf("blue reaches red's virtual router: % x", out[0])
	}
	send(t, r, cfg, "acc0", "fab0", vrrp(virtualMAC, "10.0.0.1"))
	expect("the master is here again", 1, 0)
	change(t, r, cfg, func(s *model.State) { delete(s.VIFs, "red/vm1") })
	r.Sent(portIndex(t, cfg, "acc0"))
	if out := send(t, r, cfg, "acc1", "acc0", toVIP); len(out) > 0 {
		t.Errorf("the VIF has gone, and a frame leaves by its port: % x", out[0])
	}
}

// TestVirtualRouterIsForgotten: thirty seconds after the last advertisement frames to it are flooded again.
func TestVirtualRouterIsForgotten(t *testing.T) {
	r, cfg := load(t, "host")
	change(t, r, cfg, func(s *model.State) {
		g := s.Segments["red/web"]
		g.UnknownUnicast = "flood"
		s.Segments["red/web"] = g
	})
	send(t, r, cfg, "fab0", "acc0", outer(model.Scheme16, vrrp(virtualMAC, "10.0.0.2"), nil))
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{29 * time.Second, 1}, {2 * time.Second, 2}} {
		r.Tick(tt.after)
		if out := send(t, r, cfg, "acc1", "fab0", udp4(vm3, host(virtualMAC, "10.0.0.100", ""), 0, 9,
			40)); len(out) != tt.want {
			t.Errorf("%v later: %d frames to the fabric, want %d", tt.after, len(out), tt.want)
		}
	}
}

// TestOtherBoxGateway: nobody speaks for the address of another box's gateway group, the tenant's default route.
func TestOtherBoxGateway(t *testing.T) {
	poser := func(m model.MAC) endpoint.Host { return host(m, "10.0.0.200", "fd00::c8") }
	held := func(s *model.State) {
		tenant := s.Tenants["red"]
		tenant.Gateway = "elsewhere"
		tenant.GatewayAddresses = []netip.Addr{netip.MustParseAddr("10.0.0.200"), netip.MustParseAddr("fd00::c8")}
		s.Tenants["red"] = tenant
		v := s.VIFs["red/vm1"]
		v.AntiSpoof = "mac"
		s.VIFs["red/vm1"] = v
	}
	na := func(m model.MAC) func() ([]byte, error) {
		return advert(m, allNodes, "fd00::c8", "ff02::1", "fd00::c8", m)
	}
	for _, tt := range []struct {
		name  string
		port  string
		frame func() ([]byte, error)
		drop  drop.Reason
	}{
		{"ARP of a VIF", "acc0", gratuitous(poser(vm1.MAC), 2), drop.SpoofARP},
		{"advertisement of a VIF", "acc0", na(vm1.MAC), drop.SpoofND},
		{"ARP from the fabric", "fab0", gratuitous(poser(vm2.MAC), 1), drop.FabricForged},
		{"advertisement from the fabric", "fab0", na(vm2.MAC), drop.FabricForged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, cfg := load(t, "host")
			change(t, r, cfg, held)
			f := tt.frame
			if tt.port == "fab0" {
				f = outer(model.Scheme16, tt.frame, nil)
			}
			got := len(send(t, r, cfg, tt.port, "acc1", f))
			if n := drops(t, r, cfg, tt.port, tt.drop); got != 0 || n != 1 {
				t.Errorf("%d sent by acc1, %d dropped as %v, want 0 and 1; all: %v", got, n, tt.drop,
					allDrops(t, r, cfg, tt.port))
			}
		})
	}
}
