package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// forgery is a frame that must leave by no port, and the drop reason that must count it.
type forgery struct {
	name   string
	frame  []byte
	reason string
}

// silence opens all interfaces that a frame could leave by.
type silence map[string]*endpoint.Raw

// broken reports every frame that arrived since its last call.
func (s silence) broken(t *testing.T) {
	t.Helper()
	time.Sleep(20 * time.Millisecond)
	for at, r := range s {
		got, err := r.Collect(0)
		must(t, err)
		for _, frame := range got {
			if arp := endpoint.ParseARP(frame); arp != nil && arp.Operation == layers.ARPRequest &&
				at != "edge switch" {
				continue // an edge switch resolves its boxes
			}
			t.Errorf("a frame comes out at %s: % x", at, frame)
		}
	}
}

// oneBox is box1 of the town's tables, with VMs that have no stack, and both edge switches played by the test.
func oneBox() options {
	o := town()
	o.fake, o.only = true, "box1"
	for i := range o.VMs {
		o.VMs[i].Raw = true
	}
	return o
}

func (f *fabric) listenEverywhere(t *testing.T, box string) silence {
	t.Helper()
	s := silence{"edge switch": f.edge(t, box).Raw}
	for _, vm := range f.VMs {
		if vm.Box == box && vm.Behind == "" {
			s[vm.Name] = f.raw(t, vm.Name)
		}
	}
	return s
}

func TestForgedOnAccessPort(t *testing.T) {
	f := startFabric(t, oneBox())
	me, friend, tagged := f.host("red-raw1"), f.host("red-vm2"), f.host("red-tag1")
	foreign := endpoint.Host{MAC: 0x0200000000ee, IPv4: f.host("red-vm3").IPv4, IPv6: f.host("red-vm3").IPv6}
	payload := bytes.Repeat([]byte{0xa5}, 40)
	udp := func(from, to endpoint.Host, vlan uint16) []byte {
		return bytesOf(endpoint.UDP4(from, to, vlan, 1000, 2000, payload))
	}
	udp6 := func(from, to endpoint.Host) []byte { return bytesOf(endpoint.UDP6(from, to, 0, 1000, 2000, payload)) }
	as := func(h endpoint.Host, change func(*endpoint.Host)) endpoint.Host {
		change(&h)
		return h
	}
	sw, router := f.Node("swa").MAC, endpoint.Host{MAC: model.DefaultRouterMAC, IPv4: friend.IPv4, IPv6: friend.IPv6}
	encapsulated := &endpoint.Outer{DstMAC: sw, SrcMAC: me.MAC, Flags: 0x4000, TTL: 64, Proto: endpoint.Proto143,
		Src: endpoint.Special(f.Options.Scheme, 1, 7), Dst: endpoint.Special(f.Options.Scheme, 2, 200),
		Inner: udp(f.host("blue-vm1"), f.host("blue-vm2"), 0)}
	honest := *encapsulated
	honest.Src = me.IPv4

	s := f.listenEverywhere(t, "box1")
	runForged(t, f, "box1", s, s["red-raw1"], []forgery{
		{"foreign MAC", udp(as(me, func(h *endpoint.Host) { h.MAC = foreign.MAC }), friend, 0), "spoof_mac"},
		{"MAC of a VIF of another port", udp(f.host("red-vm3"), friend, 0), "spoof_mac"},
		{"MAC of the tagged VIF, untagged", udp(tagged, friend, 0), "spoof_mac"},
		{"foreign IPv4", udp(as(me, func(h *endpoint.Host) { h.IPv4 = foreign.IPv4 }), friend, 0), "spoof_ip"},
		{"foreign IPv6", udp6(as(me, func(h *endpoint.Host) { h.IPv6 = foreign.IPv6 }), friend), "spoof_ip"},
		{"foreign IPv4 to the router", udp(as(me, func(h *endpoint.Host) { h.IPv4 = foreign.IPv4 }), router, 0),
			"spoof_ip"},
		{"foreign ARP sender", bytesOf(endpoint.ARPRequest(as(me, func(h *endpoint.Host) {
			h.IPv4 = foreign.IPv4
		}), 0, friend.IPv4)), "spoof_arp"},
		{"foreign ND sender", bytesOf(endpoint.NeighborSolicitation(as(me, func(h *endpoint.Host) {
			h.IPv6 = foreign.IPv6
		}), 0, friend.IPv6)), "spoof_nd"},
		{"router advertisement", routerAdvertisement(me), "spoof_nd"},
		{"no VIF in this VLAN", udp(me, friend, 99), "access_vlan"},
		{"stacked tags", stacked(me, friend), "vlan_stacked"},
		{"cut off in the tag", udp(me, friend, 30)[:16], "vlan_truncated"},
		{"group source", udp(as(me, func(h *endpoint.Host) { h.MAC = 0x010000000001 }), friend, 0), "source_mac"},
		{"zero source", udp(as(me, func(h *endpoint.Host) { h.MAC = 0 }), friend, 0), "source_mac"},
		{"encapsulated by the tenant, special source", encapsulated.Encode(), "spoof_ip"},
		{"encapsulated by the tenant, own source", honest.Encode(), "unresolved"},
		{"unknown destination", udp(me, foreign, 0), "unresolved"},
		{"destination of another segment", udp(me, as(tagged, func(h *endpoint.Host) {}), 0), "unresolved"},
		{"to itself", udp(me, me, 0), "hairpin"},
		{"LLDP", append(append(endpoint.Hardware(0x0180c200000e), endpoint.Hardware(me.MAC)...),
			bytes.Repeat([]byte{0x88, 0xcc}, 24)...), "link_local_group"},
		{"IPv4 header cut off", udp(me, friend, 0)[:30], "ipv4_truncated"},
		{"IPv4 longer than the frame", udp(me, friend, 0)[:60], "ipv4_length"},
		{"IPv4 version 5", altered(udp(me, friend, 0), 14, 0x55), "ipv4_header"},
		{"IPv4 checksum", altered(udp(me, friend, 0), 24, udp(me, friend, 0)[24]^1), "ipv4_checksum"},
		{"IPv6 header cut off", udp6(me, friend)[:50], "ipv6_truncated"},
		{"IPv6 longer than the frame", udp6(me, friend)[:90], "ipv6_length"},
		{"IPv6 version 4", altered(udp6(me, friend), 14, 0x40), "ipv6_header"},
		{"TCP header cut off",
			bytesOf(endpoint.Serialize(append(endpoint.Ethernet(me.MAC, friend.MAC, 0, layers.EthernetTypeIPv4),
				&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: me.IPv4.AsSlice(),
					DstIP: friend.IPv4.AsSlice()},
				gopacket.Payload(payload[:12]))...)), "l4_truncated"},
	})

	t.Run("cut off anywhere", func(t *testing.T) {
		for _, frame := range [][]byte{udp(me, friend, 0), udp6(me, friend),
			bytesOf(endpoint.ARPRequest(me, 0, friend.IPv4))[:42],
			bytesOf(endpoint.NeighborSolicitation(me, 0, friend.IPv6)), udp(tagged, f.host("red-tag2"), 30)} {
			f.cutAnywhere(t, "box1", s, s["red-raw1"], frame)
		}
	})
	f.balanced("box1")
}

// runForged sends each forgery to a node from the given endpoint, and expects it counted and to leave by no port.
func runForged(t *testing.T, f *fabric, node string, s silence, source *endpoint.Raw, forgeries []forgery) {
	const n = 3
	for _, tc := range forgeries {
		t.Run(tc.name, func(t *testing.T) {
			before := f.drops(node)
			for range n {
				must(t, source.Send(tc.frame))
			}
			f.expectDrops(t, node, before, map[string]uint64{tc.reason: n})
			s.broken(t)
		})
	}
	f.balanced(node)
}

func TestForgedOnFabricPort(t *testing.T) {
	f := startFabric(t, oneBox())
	edge := f.edge(t, "box1")
	vm1, vm2, raw1 := f.host("red-vm1"), f.host("red-vm2"), f.host("red-raw1")
	payload := bytes.Repeat([]byte{0x5a}, 40)
	inner := bytesOf(endpoint.UDP4(vm2, vm1, 0, 1000, 2000, payload))
	const red, blue, web, app = 100, 200, 7, 8
	good := edge.ToBox(2, red, web, 101, inner)
	with := func(change func(*endpoint.Outer)) []byte {
		o := *good
		change(&o)
		return o.Encode()
	}

	// A valid frame gets through: without this, silence would prove nothing.
	receiver := f.raw(t, "red-vm1")
	must(t, edge.Send(good.Encode()))
	if got, err := receiver.Receive(time.Second); err != nil || !bytes.Equal(got, inner) {
		t.Fatalf("a right frame is not delivered: %v, % x", err, got)
	}
	receiver.Close()

	s := f.listenEverywhere(t, "box1")
	runForged(t, f, "box1", s, s["edge switch"], []forgery{
		{"not from the switch", with(func(o *endpoint.Outer) { o.SrcMAC++ }), "fabric_switch_mac"},
		{"not to the box", with(func(o *endpoint.Outer) { o.DstMAC++ }), "fabric_own_mac"},
		{"tagged", with(func(o *endpoint.Outer) { o.Tagged, o.VID = true, 101 }), "fabric_vlan"},
		{"not IP", altered(altered(good.Encode(), 12, 0x88), 13, 0xb6), "fabric_not_ip"},
		{"other protocol", with(func(o *endpoint.Outer) { o.Proto = 97 }), "fabric_protocol"},
		{"more fragments", with(func(o *endpoint.Outer) { o.Flags = 0x2000 }), "fabric_fragment"},
		{"last fragment", with(func(o *endpoint.Outer) { o.Flags = 185 }), "fabric_fragment"},
		{"options", withOptions(good), "fabric_options"},
		{"another port's prefix", with(func(o *endpoint.Outer) { o.Dst = endpoint.Special(f.Options.Scheme, 9, red) }),
			"fabric_address"},
		{"destination outside the scheme", with(func(o *endpoint.Outer) { o.Dst = netip.MustParseAddr("11.1.0.100") }),
			"fabric_address"},
		{"source outside the scheme", with(func(o *endpoint.Outer) {
			o.Src = endpoint.Special(model.Scheme24, 192, 7)
		}), "fabric_address"},
		{"unknown tenant", edge.ToBox(2, 999, web, 101, inner).Encode(), "fabric_tenant"},
		{"the box itself as tenant", edge.ToBox(2, 1, web, 101, inner).Encode(), "fabric_tenant"},
		{"unknown segment", edge.ToBox(2, red, 999, 101, inner).Encode(), "fabric_segment"},
		{"another tenant's segment", edge.ToBox(2, blue, app, 101, inner).Encode(), "fabric_segment"},
		{"inner header cut off", edge.ToBox(2, red, web, 101, inner[:13]).Encode(), "fabric_inner"},
		{"nothing inside", edge.ToBox(2, red, web, 101, nil).Encode(), "fabric_inner"},
		{"no such VIF", edge.ToBox(2, red, web, 101,
			bytesOf(endpoint.UDP4(vm2, endpoint.Host{MAC: 0x0200000000ee, IPv4: raw1.IPv4}, 0, 1, 2,
				payload))).Encode(), "fabric_not_here"},
		{"a VIF of another segment",
			edge.ToBox(2, red, app, 101, bytesOf(endpoint.UDP4(vm2, raw1, 0, 1, 2, payload))).Encode(),
			"fabric_not_here"},
		{"a VIF on another box",
			edge.ToBox(2, red, web, 101, bytesOf(endpoint.UDP4(vm1, f.host("red-vm4"), 0, 1, 2, payload))).Encode(),
			"fabric_relay"},
		{"outer checksum", altered(good.Encode(), 24, good.Encode()[24]^1), "ipv4_checksum"},
		{"outer longer than the frame", good.Encode()[:60], "ipv4_length"},
		{"outer header cut off", good.Encode()[:33], "ipv4_truncated"},
	})

	t.Run("cut off anywhere", func(t *testing.T) {
		f.cutAnywhere(t, "box1", s, s["edge switch"], good.Encode())
	})
	f.balanced("box1")
}

// cutAnywhere sends every beginning of a frame that has an Ethernet header, and expects all of them dropped.
func (f *fabric) cutAnywhere(t *testing.T, node string, s silence, source *endpoint.Raw, frame []byte) {
	t.Helper()
	before := total(f.drops(node))
	for length := 14; length < len(frame); length++ {
		must(t, source.Send(frame[:length]))
	}
	want := before + uint64(len(frame)-14)
	deadline := time.Now().Add(2 * time.Second)
	for total(f.drops(node)) != want && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := total(f.drops(node)); got != want {
		t.Errorf("%d of %d frames dropped: %v", got-before, want-before, f.drops(node))
	}
	s.broken(t)
}

func total(drops map[string]uint64) (n uint64) {
	for _, v := range drops {
		n += v
	}
	return n
}

// altered returns a frame with one octet replaced.
func altered(frame []byte, at int, octet byte) []byte {
	b := bytes.Clone(frame)
	b[at] = octet
	return b
}

// withOptions returns the encapsulation with four octets of IPv4 options (RFC 791, section 3.1: no operation).
func withOptions(o *endpoint.Outer) []byte {
	longer := *o
	longer.Inner = append([]byte{1, 1, 1, 1}, o.Inner...)
	b := longer.Encode()
	ip := b[14:38]
	ip[0] = 0x46
	ip[10], ip[11] = 0, 0
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return b
}

func stacked(from, to endpoint.Host) []byte {
	return bytesOf(endpoint.Serialize(
		&layers.Ethernet{SrcMAC: endpoint.Hardware(from.MAC), DstMAC: endpoint.Hardware(to.MAC),
			EthernetType: layers.EthernetTypeDot1Q},
		&layers.Dot1Q{VLANIdentifier: 30, Type: layers.EthernetTypeDot1Q},
		&layers.Dot1Q{VLANIdentifier: 30, Type: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.IPv4.AsSlice(),
			DstIP: to.IPv4.AsSlice()},
		gopacket.Payload(bytes.Repeat([]byte{1}, 40))))
}

// routerAdvertisement poses as a router (RFC 4861, section 4.2).
func routerAdvertisement(from endpoint.Host) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6,
		SrcIP: lab.LinkLocal(from.MAC).AsSlice(), DstIP: []byte{0xff, 2, 15: 1}}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterAdvertisement, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(fmt.Sprint("the network layer is IPv6: ", err))
	}
	return bytesOf(endpoint.Serialize(append(endpoint.Ethernet(from.MAC, 0x333300000001, 0, layers.EthernetTypeIPv6),
		ip, icmp,
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800})...))
}
