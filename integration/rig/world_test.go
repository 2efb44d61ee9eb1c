package rig

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
)

// Ports of a world.
const (
	acc0 = iota
	acc1
	fab0
	up0
)

const (
	ourSwitch   = model.MAC(0x02aa00000001)
	otherSwitch = model.MAC(0x02aa00000011)
	boxMAC      = model.MAC(0x020000000f02) // of fab0
	localMAC    = model.MAC(0x020000000011) // of vm1 of each tenant
	localIP     = "10.1.0.11"
	localIP6    = "fd00:1::11"
	routerIP    = "10.1.0.1"
	routerIP6   = "fd00:1::1"
	groupMAC    = model.MAC(0x02ff00000001)
	gatewayMAC  = model.MAC(0x02eeee000001)
)

// remoteMAC and remoteIP are of binding n of each tenant: behind port n+4 of otherSwitch.
func remoteMAC(n int) model.MAC { return model.MAC(0x020000000100 + n) }

func remoteIP(n int) string { return fmt.Sprintf("10.1.%d.%d", 1+n/200, 1+n%200) }

// world is two tenants that are alike, red at acc0 and blue at acc1: a segment with a router, vm1 here, boxes
// elsewhere.
func world(boxes int) Options {
	s := &model.State{
		Tenants: map[string]model.Tenant{}, Segments: map[string]model.Segment{}, Subnets: map[string]model.Subnet{},
		VIFs: map[string]model.VIF{}, Paths: map[string]model.Path{},
	}
	s.Paths["p"] = model.Path{A: ourSwitch, B: otherSwitch, VLANs: []model.PathVLAN{{VID: 101, Weight: 1}}}
	o := Options{State: s, Frames: 4096, Ports: []compile.Port{
		acc0: {Name: "acc0", Role: fib.RoleAccess, ClampMSS: true},
		acc1: {Name: "acc1", Role: fib.RoleAccess, ClampMSS: true},
		fab0: {Name: "fab0", Role: fib.RoleFabric, SwitchMAC: ourSwitch, SwitchPort: 3},
		up0:  {Name: "up0", Role: fib.RoleUplink},
	}}
	for i, n := range []string{"red", "blue"} {
		s.Tenants[n] = model.Tenant{Name: n, ID: uint32(7 + i)}
		s.Segments[n+"/web"] = model.Segment{Tenant: n, Name: "web", ID: 1, UnknownUnicast: "flood"}
		s.Subnets[n+"/v4"] = model.Subnet{Tenant: n, Name: "v4", Segment: "web",
			Prefix: netip.MustParsePrefix("10.1.0.0/16"), Router: netip.MustParseAddr(routerIP)}
		s.Subnets[n+"/v6"] = model.Subnet{Tenant: n, Name: "v6", Segment: "web",
			Prefix: netip.MustParsePrefix("fd00:1::/64"), Router: netip.MustParseAddr(routerIP6)}
		s.VIFs[n+"/vm1"] = model.VIF{Tenant: n, Name: "vm1", Segment: "web", MAC: localMAC, Port: o.Ports[i].Name,
			Addresses: []netip.Addr{netip.MustParseAddr(localIP), netip.MustParseAddr(localIP6)}}
		for k := range boxes {
			ip6 := fmt.Sprintf("fd00:1::%x", 0x100+k)
			o.Bindings = append(o.Bindings, model.Binding{
				Tenant: n, Segment: "web", MAC: remoteMAC(k), SwitchMAC: otherSwitch, SwitchPort: uint16(4 + k),
				Addresses: []netip.Addr{netip.MustParseAddr(remoteIP(k)), netip.MustParseAddr(ip6)}})
		}
	}
	return o
}

func start(t *testing.T, o Options) *Rig {
	t.Helper()
	if form == fib.FormUDP {
		inUDP(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if form == fib.FormUDP {
		r.translate(t, o.Ports)
	}
	t.Cleanup(func() {
		if n, what := r.Verify.Violations(); n > 0 {
			t.Errorf("%d breaches of ownership: %v", n, what)
		}
		_ = r.Close()
	})
	return r
}

func hw(m model.MAC) net.HardwareAddr {
	b := make([]byte, 8)
	binary.BigEndian.PutUint64(b, uint64(m))
	return b[2:]
}

// build serializes a frame with right lengths and checksums.
func build(t *testing.T, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var ip gopacket.NetworkLayer
	for _, l := range list {
		switch l := l.(type) {
		case *layers.IPv4:
			ip = l
		case *layers.IPv6:
			ip = l
		case *layers.UDP:
			_ = l.SetNetworkLayerForChecksum(ip)
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(ip)
		}
	}
	b := gopacket.NewSerializeBuffer()
	how := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, how, list...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// udp builds an IP packet of size octets, with DF if it is IPv4.
func udp(t *testing.T, dst, src model.MAC, dstIP, srcIP string, size int) []byte {
	t.Helper()
	to, from := netip.MustParseAddr(dstIP), netip.MustParseAddr(srcIP)
	e := &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv4}
	u := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if to.Is4() {
		return build(t, e, &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment,
			Protocol: layers.IPProtocolUDP,
			SrcIP:    from.AsSlice(), DstIP: to.AsSlice()}, u, gopacket.Payload(make([]byte, size-28)))
	}
	e.EthernetType = layers.EthernetTypeIPv6
	return build(t, e, &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
		SrcIP: from.AsSlice(), DstIP: to.AsSlice()}, u, gopacket.Payload(make([]byte, size-48)))
}

// receive takes frames through the box.
func receive(t *testing.T, r *Rig, port int, frames ...[]byte) {
	t.Helper()
	if err := r.Receive(port, frames...); err != nil {
		t.Fatal(err)
	}
}

// dropped returns what was discarded of a port's frames, by reason.
func dropped(r *Rig, port int) map[string]uint64 {
	r.Publish()
	m := map[string]uint64{}
	for d := range int(drop.Count) {
		if n := r.Pipeline.Ports.Of(port, stats.Drops+d); n > 0 {
			m[drop.Reason(d).String()] = n
		}
	}
	return m
}
