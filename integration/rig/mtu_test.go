package rig

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/gateway"
)

const (
	small      = 1400 // MTU of acc1
	smallMAC   = model.MAC(0x020000000012)
	smallIP    = "10.1.0.12"
	smallIP6   = "fd00:1::12"
	outsideIP  = "198.51.100.1"
	outsideIP6 = "2001:db8::1"
	dbMAC      = model.MAC(0x020000000031) // on another box, in red/db
	dbIP       = "10.2.0.31"
	viaMAC     = model.MAC(0x020000000041) // the station by which another box leads to the outside
	viaIP      = "10.1.0.41"
	routerMAC  = model.DefaultRouterMAC
)

// small adds red/vm2 behind acc1, whose MTU is smaller than that of all other links, and a second segment of red's.
func smallWorld(gate string) Options {
	o := world(1)
	s := o.State
	o.MTU = []uint16{acc1: small}
	s.VIFs["red/vm2"] = model.VIF{Tenant: "red", Name: "vm2", Segment: "web", MAC: smallMAC, Port: "acc1", VLAN: 7,
		Addresses: []netip.Addr{netip.MustParseAddr(smallIP), netip.MustParseAddr(smallIP6)}}
	s.Segments["red/db"] = model.Segment{Tenant: "red", Name: "db", ID: 2}
	s.Subnets["red/db4"] = model.Subnet{Tenant: "red", Name: "db4", Segment: "db",
		Prefix: netip.MustParsePrefix("10.2.0.0/24"), Router: netip.MustParseAddr("10.2.0.1")}
	o.Bindings = append(o.Bindings,
		model.Binding{Tenant: "red", Segment: "db", MAC: dbMAC, SwitchMAC: otherSwitch, SwitchPort: 9,
			Addresses: []netip.Addr{netip.MustParseAddr(dbIP)}},
		model.Binding{Tenant: "red", Segment: "web", MAC: viaMAC, SwitchMAC: otherSwitch, SwitchPort: 10,
			Addresses: []netip.Addr{netip.MustParseAddr(viaIP)}})
	red := s.Tenants["red"]
	red.Gateway = "outside"
	switch gate {
	case "here":
		member := compile.GroupMember{Name: "a", Port: "up0", Gateway: netip.MustParseAddr("192.0.2.1"),
			Sources: []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8:9::9")}}
		o.Groups = []compile.Group{{Name: "outside", MAC: groupMAC, Policy: gateway.DefaultPolicy(),
			Members: []compile.GroupMember{member}}}
	case "elsewhere":
		red.GatewayAddresses = []netip.Addr{netip.MustParseAddr(viaIP)}
	}
	s.Tenants["red"] = red
	return o
}

func startSmall(t *testing.T, gate string) *Rig {
	t.Helper()
	r := start(t, smallWorld(gate))
	for _, g := range r.Compiler.LiveGroups() {
		g.Members[0].Live.SetGateway(uint64(gatewayMAC), true, false)
		g.Live.Active.Store(g.Members[0].Slot)
	}
	return r
}

// encapsulated wraps a frame of red's segment as a box behind port 4 of otherSwitch sends it here.
func encapsulated(t *testing.T, segment uint32, inner []byte) []byte {
	t.Helper()
	dst, src := make([]byte, 4), make([]byte, 4)
	binary.BigEndian.PutUint32(dst, 10<<24|3<<16|7)
	binary.BigEndian.PutUint32(src, 10<<24|4<<16|segment)
	e := &layers.Ethernet{DstMAC: hw(boxMAC), SrcMAC: hw(ourSwitch), EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 63, Flags: layers.IPv4DontFragment, Protocol: 143, SrcIP: src, DstIP: dst}
	return build(t, e, ip, gopacket.Payload(inner))
}

// answer says what an ICMP "too big" is: to which MAC (and, encapsulated, outer destination), from and to which
// address, which MTU.
func answer(f []byte) string {
	outer := ""
	if len(f) > 38 && binary.BigEndian.Uint16(f[12:]) == 0x8100 && f[18+9] == 143 {
		outer = fmt.Sprintf("over %v: ", netip.AddrFrom4([4]byte(f[18+16:])))
		f = f[38:]
	}
	p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
	e := p.LinkLayer().(*layers.Ethernet)
	dst := binary.BigEndian.Uint64(append([]byte{0, 0}, e.DstMAC...))
	if c, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok && c.TypeCode == layers.CreateICMPv4TypeCode(3,
		4) {
		ip := p.NetworkLayer().(*layers.IPv4)
		return fmt.Sprintf("%s%v %v > %v mtu %d", outer, model.MAC(dst), ip.SrcIP, ip.DstIP, c.Seq)
	}
	c, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if ok && c.TypeCode.Type() == layers.ICMPv6TypePacketTooBig {
		ip := p.NetworkLayer().(*layers.IPv6)
		mtu := binary.BigEndian.Uint32(c.Payload)
		return fmt.Sprintf("%s%v %v > %v mtu %d", outer, model.MAC(dst), ip.SrcIP, ip.DstIP, mtu)
	}
	return "no \"too big\": " + p.String()
}

// TestAccessMTU: the sender of a packet that is too big for the port of the VIF it is for hears of it, from an
// address of this box, wherever it is.
func TestAccessMTU(t *testing.T) {
	noDF := func(f []byte) []byte {
		f[20] &^= 0x40
		f[24], f[25] = 0, 0
		var s uint32
		for i := 14; i < 34; i += 2 {
			s += uint32(binary.BigEndian.Uint16(f[i:]))
		}
		s = s>>16 + s&0xffff
		binary.BigEndian.PutUint16(f[24:], ^uint16(s>>16+s))
		return f
	}
	fabric := func(inner []byte) []byte { return encapsulated(t, 1, inner) }
	for _, tc := range []struct {
		name, gate string
		from       int
		frame      []byte
		back       int    // port of the answer
		want       string // "" = none
	}{
		{"a tenant here", "", acc0, udp(t, smallMAC, localMAC, smallIP, localIP, 1500), acc0,
			"02:00:00:00:00:11 10.1.0.1 > 10.1.0.11 mtu 1400"},
		{"IPv6", "", acc0, udp(t, smallMAC, localMAC, smallIP6, localIP6, 1500), acc0,
			"02:00:00:00:00:11 fd00:1::1 > fd00:1::11 mtu 1400"},
		{"one octet", "", acc0, udp(t, smallMAC, localMAC, smallIP, localIP, small+1), acc0,
			"02:00:00:00:00:11 10.1.0.1 > 10.1.0.11 mtu 1400"},
		{"without DF", "", acc0, noDF(udp(t, smallMAC, localMAC, smallIP, localIP, 1500)), acc0, ""},
		{"over the fabric, bridged", "", fab0,
			fabric(udp(t, smallMAC, remoteMAC(0), smallIP, remoteIP(0), 1500)), fab0,
			"over 10.4.0.7: 02:00:00:00:01:00 10.1.0.1 > 10.1.1.1 mtu 1400"},
		{"over the fabric, IPv6", "", fab0,
			fabric(udp(t, smallMAC, remoteMAC(0), smallIP6, "fd00:1::100", 1500)), fab0,
			"over 10.4.0.7: 02:00:00:00:01:00 fd00:1::1 > fd00:1::100 mtu 1400"},
		{"over the fabric, without DF", "", fab0,
			fabric(noDF(udp(t, smallMAC, remoteMAC(0), smallIP, remoteIP(0), 1500))), fab0, ""},
		{"over the fabric, from another segment", "", fab0,
			fabric(udp(t, smallMAC, routerMAC, smallIP, dbIP, 1500)), fab0,
			"over 10.9.0.7: 02:00:00:00:00:31 10.2.0.1 > 10.2.0.31 mtu 1400"},
		{"over the fabric, flooded", "", fab0,
			fabric(udp(t, 0x02000000dead, remoteMAC(0), "10.1.0.99", remoteIP(0), 1500)), fab0,
			"over 10.4.0.7: 02:00:00:00:01:00 10.1.0.1 > 10.1.1.1 mtu 1400"},
		{"over the fabric, from outside by another box", "elsewhere", fab0,
			fabric(udp(t, smallMAC, routerMAC, smallIP, outsideIP, 1500)), fab0,
			"over 10.10.0.7: 02:00:00:00:00:41 10.1.0.1 > 198.51.100.1 mtu 1400"},
		{"over the fabric, from outside by this box", "here", fab0,
			fabric(udp(t, smallMAC, routerMAC, smallIP, outsideIP, 1500)), up0,
			"02:ee:ee:00:00:01 10.1.0.1 > 198.51.100.1 mtu 1400"},
		{"over the fabric, from nobody known", "", fab0,
			fabric(udp(t, smallMAC, routerMAC, smallIP, outsideIP, 1500)), fab0, ""},
		{"from outside", "here", up0, udp(t, groupMAC, gatewayMAC, smallIP, outsideIP, 1500), up0,
			"02:ee:ee:00:00:01 192.0.2.9 > 198.51.100.1 mtu 1400"},
		{"from outside, IPv6", "here", up0, udp(t, groupMAC, gatewayMAC, smallIP6, outsideIP6, 1500), up0,
			"02:ee:ee:00:00:01 2001:db8:9::9 > 2001:db8::1 mtu 1400"},
		{"from outside, without DF", "here", up0, noDF(udp(t, groupMAC, gatewayMAC, smallIP, outsideIP, 1500)), up0,
			""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := startSmall(t, tc.gate)
			receive(t, r, tc.from, tc.frame)
			var got []string
			for _, f := range r.Sent(tc.back) {
				got = append(got, answer(f))
			}
			if s := strings.Join(got, "; "); s != tc.want {
				t.Errorf("answered %q, want %q; dropped: %v", s, tc.want, dropped(r, tc.from))
			}
			if n := dropped(r, tc.from)["access_mtu"]; tc.want == "" && n != 1 {
				t.Errorf("%d dropped as access_mtu, want 1: %v", n, dropped(r, tc.from))
			}
			if n := len(r.Sent(acc1)); n != 0 {
				t.Errorf("%d frames that are too big were sent to acc1", n)
			}
			fits := udp(t, smallMAC, localMAC, smallIP, localIP, small)
			if receive(t, r, acc0, fits); len(r.Sent(acc1)) != 1 {
				t.Errorf("a packet of the port's MTU was not delivered: %v", dropped(r, acc0))
			}
		})
	}
}

// TestTooBigIsFromUs: the answer to what is too big for an uplink or a path has a source address of this box, or that
// of nobody, never the outside destination's.
func TestTooBigIsFromUs(t *testing.T) {
	for _, tc := range []struct {
		name, router, router6 string
		group                 []netip.Addr
		dst                   string
		want                  string
	}{
		{"the router's", routerIP, routerIP6, nil, outsideIP, "10.1.0.1"},
		{"the group's", "", "", []netip.Addr{netip.MustParseAddr("172.16.0.1")}, outsideIP, "172.16.0.1"},
		{"nobody's", "", "", nil, outsideIP, "192.0.0.8"},
		{"the router's, IPv6", routerIP, routerIP6, nil, outsideIP6, "fd00:1::1"},
		{"the router's link-local", routerIP, "", nil, outsideIP6, "fe80::50:53ff:fe00:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := smallWorld("here")
			o.MTU = []uint16{acc0: 1500, acc1: 1500, up0: small}
			o.Groups[0].IPs = tc.group
			delete(o.State.Subnets, "red/db4")
			for name, ip := range map[string]string{"red/v4": tc.router, "red/v6": tc.router6} {
				n := o.State.Subnets[name]
				if n.Router = (netip.Addr{}); ip != "" {
					n.Router = netip.MustParseAddr(ip)
				}
				o.State.Subnets[name] = n
			}
			r := start(t, o)
			for _, g := range r.Compiler.LiveGroups() {
				g.Members[0].Live.SetGateway(uint64(gatewayMAC), true, false)
				g.Live.Active.Store(g.Members[0].Slot)
			}
			src := localIP
			if strings.Contains(tc.dst, ":") {
				src = localIP6
			}
			receive(t, r, acc0, udp(t, routerMAC, localMAC, tc.dst, src, 1500))
			out := r.Sent(acc0)
			if len(out) != 1 {
				t.Fatalf("%d answers, want 1; dropped %v", len(out), dropped(r, acc0))
			}
			if want := fmt.Sprintf("%v %s > %s mtu %d", localMAC, tc.want, src, small); answer(out[0]) != want {
				t.Errorf("answered %q, want %q", answer(out[0]), want)
			}
		})
	}
}

// TestTooBigForUplinkOverFabric: a sender on another box, in another segment than the group's, hears of an uplink
// that is too small.
func TestTooBigForUplinkOverFabric(t *testing.T) {
	o := smallWorld("here")
	o.MTU = []uint16{up0: small}
	o.Groups[0].IPs = []netip.Addr{netip.MustParseAddr("10.1.0.77")} // a station of red/web
	r := start(t, o)
	for _, g := range r.Compiler.LiveGroups() {
		g.Members[0].Live.SetGateway(uint64(gatewayMAC), true, false)
		g.Live.Active.Store(g.Members[0].Slot)
	}
	receive(t, r, fab0, encapsulated(t, 1, udp(t, groupMAC, routerMAC, outsideIP, dbIP, 1500)))
	out := r.Sent(fab0)
	if len(out) != 1 {
		t.Fatalf("%d answers, want 1; dropped %v", len(out), dropped(r, fab0))
	}
	if want := "over 10.9.0.7: 02:00:00:00:00:31 10.1.0.77 > 10.2.0.31 mtu 1400"; answer(out[0]) != want {
		t.Errorf("answered %q, want %q", answer(out[0]), want)
	}
}
