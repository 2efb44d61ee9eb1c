package rig

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// Ports of a world with VTEPs, after those of world.
const (
	vx4 = up0 + 1 + iota
	vx6
)

const (
	vtepHop  = model.MAC(0x02dddd000001) // of the router to all VTEPs
	own4     = "192.0.2.1"
	own6     = "2001:db8::1"
	vni      = 0x001001 // of red; blue has the next one
	farMAC   = model.MAC(0x020000000777)
	farIP    = "10.1.7.7"
	farIP6   = "fd00:1::777"
	vxMAC4   = model.MAC(0x020000000f00 + vx4)
	vxMAC6   = model.MAC(0x020000000f00 + vx6)
	overhead = 50
)

// vtepAddress is that of VTEP n: 0 and 1 have IPv4, 2 and 3 IPv6.
func vtepAddress(n int) netip.Addr {
	return netip.MustParseAddr([]string{"192.0.2.7", "192.0.2.8", "2001:db8::7", "2001:db8::8"}[n])
}

var vtepNames = []string{"rack7", "rack8", "rack7v6", "rack8v6"}

// vtepWorld is world with two ports of VXLAN and four VTEPs, which get copies of floods. The tenants' MAC farMAC is
// behind VTEP at. With boxes, fab0 leads to boxes, too; without it has no place.
func vtepWorld(boxes, at int) Options {
	o := world(boxes)
	if boxes == 0 {
		o.Ports[fab0] = compile.Port{Name: "fab0", Role: fib.RoleUplink}
	}
	o.Ports = append(o.Ports,
		compile.Port{Name: "vx4", Role: fib.RoleFabric, Encap: fib.FormVXLAN,
			VTEPAddress: netip.MustParsePrefix(own4 + "/24")},
		compile.Port{Name: "vx6", Role: fib.RoleFabric, Encap: fib.FormVXLAN6,
			VTEPAddress: netip.MustParsePrefix(own6 + "/64")})
	o.State.VTEPs = map[string]model.VTEP{}
	for i, name := range vtepNames {
		o.State.VTEPs[name] = model.VTEP{Name: name, Address: vtepAddress(i), Flood: true}
	}
	for i, tenant := range []string{"red", "blue"} {
		g := o.State.Segments[tenant+"/web"]
		g.VNI = uint32(vni + i)
		o.State.Segments[tenant+"/web"] = g
		o.Bindings = append(o.Bindings, model.Binding{Tenant: tenant, Segment: "web", MAC: farMAC, VTEP: vtepNames[at],
			Addresses: []netip.Addr{netip.MustParseAddr(farIP), netip.MustParseAddr(farIP6)}})
	}
	return o
}

// startVTEPs starts a world in which the next hops are known.
func startVTEPs(t *testing.T, o Options) *Rig {
	t.Helper()
	r := start(t, o)
	for i, hop := range r.Compiler.NextHops() {
		r.Compiler.SetNextHop(hop, vtepHop+model.MAC(i))
	}
	return r
}

// inVXLAN is a frame as a VTEP sends it to the box, without a UDP checksum over IPv4.
func inVXLAN(t *testing.T, from int, vni uint32, frame []byte) []byte {
	t.Helper()
	v6 := from >= 2
	e := &layers.Ethernet{DstMAC: hw(vxMAC4), SrcMAC: hw(vtepHop), EthernetType: layers.EthernetTypeIPv4}
	u := &layers.UDP{SrcPort: 32768 + 17, DstPort: 4789}
	vx := &layers.VXLAN{ValidIDFlag: true, VNI: vni}
	if v6 {
		e.DstMAC, e.EthernetType = hw(vxMAC6), layers.EthernetTypeIPv6
		return build(t, e, &layers.IPv6{Version: 6, HopLimit: 60, NextHeader: layers.IPProtocolUDP,
			SrcIP: vtepAddress(from).AsSlice(), DstIP: netip.MustParseAddr(own6).AsSlice()}, u, vx,
			gopacket.Payload(frame))
	}
	f := build(t, e, &layers.IPv4{Version: 4, TTL: 60, Protocol: layers.IPProtocolUDP,
		SrcIP: vtepAddress(from).AsSlice(), DstIP: netip.MustParseAddr(own4).AsSlice()}, u, vx, gopacket.Payload(frame))
	f[40], f[41] = 0, 0
	return f
}

// outVXLAN checks the outer header of a frame to a VTEP against RFC 7348 and PROTOCOL.md#in-vxlan, and returns the VTEP
// and the inner frame.
func outVXLAN(t *testing.T, f []byte, wantVNI uint32) (to int, frame []byte) {
	t.Helper()
	v6 := binary.BigEndian.Uint16(f[12:]) == 0x86dd
	at, dst := 34, netip.AddrFrom4([4]byte(f[30:34]))
	if v6 {
		at, dst = 54, netip.AddrFrom16([16]byte(f[38:54]))
		ip := wire.IPv6(f[14:])
		if ip.HopLimit() != 64 || ip.NextHeader() != 17 || int(ip.PayloadLen()) != len(f)-54 || ip.FlowLabel() != 0 {
			t.Errorf("outer header % x: want hop limit 64, UDP, the length %d", f[14:54], len(f)-54)
		}
		if src := netip.AddrFrom16([16]byte(f[22:38])); src != netip.MustParseAddr(own6) {
			t.Errorf("outer source %s, want %s", src, own6)
		}
		sum := checksum.Checksum(f[54:], checksum.PseudoIPv6(ip.Src(), ip.Dst(), 17, uint32(len(f)-54)))
		if sum != 0 || wire.UDP(f[54:]).Checksum() == 0 {
			t.Errorf("UDP checksum %04x of % x, want it right", wire.UDP(f[54:]).Checksum(), f)
		}
	} else {
		ip := wire.IPv4(f[14:])
		if ip.TTL() != 64 || ip.FlagsFragment() != wire.IPv4DF || int(ip.TotalLen()) != len(f)-14 ||
			ip.Proto() != 17 || checksum.Checksum(f[14:34], 0) != 0 {
			t.Errorf("outer header % x: want TTL 64, DF, UDP, the length %d and a right checksum", f[14:34], len(f)-14)
		}
		if src := netip.AddrFrom4([4]byte(f[26:30])); src != netip.MustParseAddr(own4) {
			t.Errorf("outer source %s, want %s", src, own4)
		}
		if wire.UDP(f[34:]).Checksum() != 0 {
			t.Errorf("UDP checksum %04x, want 0", wire.UDP(f[34:]).Checksum())
		}
	}
	u := wire.UDP(f[at:])
	if u.SrcPort() < 49152 || u.DstPort() != 4789 || int(u.Length()) != len(f)-at {
		t.Errorf("UDP header % x: want a source port from 49152 on, port 4789, the length %d", f[at:at+8], len(f)-at)
	}
	if got, want := binary.BigEndian.Uint64(f[at+8:]), 0x08<<56|uint64(wantVNI)<<8; got != want {
		t.Errorf("VXLAN header %016x, want %016x", got, want)
	}
	for to = range vtepNames {
		if vtepAddress(to) == dst {
			return to, f[at+16:]
		}
	}
	t.Fatalf("outer destination %s, want a VTEP", dst)
	return 0, nil
}

// TestVXLANBothWays: two tenants with the same MACs and addresses talk to the same MAC behind a VTEP, over IPv4 and
// IPv6, and neither sees the other's frames.
func TestVXLANBothWays(t *testing.T) {
	for at, name := range vtepNames {
		t.Run(name, func(t *testing.T) {
			r := startVTEPs(t, vtepWorld(0, at))
			port := vx4 + at/2
			for tenant, acc := range []int{acc0, acc1} {
				out := udp(t, farMAC, localMAC, farIP, localIP, 300)
				receive(t, r, acc, out)
				sent := r.Sent(port)
				if len(sent) != 1 {
					t.Fatalf("tenant %d: %d frames sent, want 1; dropped %v", tenant, len(sent), dropped(r, acc))
				}
				if to, inner := outVXLAN(t, sent[0], uint32(vni+tenant)); to != at || !bytes.Equal(inner, out) {
					t.Errorf("tenant %d: to VTEP %d % x, want VTEP %d % x", tenant, to, inner, at, out)
				}
				in := udp(t, localMAC, farMAC, localIP6, farIP6, 200)
				for range 2 { // the second one goes the quick way
					receive(t, r, port, inVXLAN(t, at, uint32(vni+tenant), in))
					here, there := r.Sent(acc), r.Sent(acc0+acc1-acc)
					if len(here) != 1 || !bytes.Equal(here[0], in) || len(there) != 0 {
						t.Fatalf("tenant %d: delivered %x, and %d to the other; want %x; dropped %v", tenant, here,
							len(there), in, dropped(r, port))
					}
				}
			}
		})
	}
}

// TestVXLANReceived: what is wrong with a packet from the underlay has a reason of its own.
func TestVXLANReceived(t *testing.T) {
	sum := func(f []byte) []byte {
		u := wire.UDP(f[34:])
		u.SetChecksum(0)
		ip := wire.IPv4(f[14:])
		u.SetChecksum(checksum.NonZero(checksum.Checksum(f[34:], checksum.PseudoIPv4(ip.Src(), ip.Dst(), 17,
			uint16(len(f)-34)))))
		return f
	}
	at := func(i int, b ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[i:], b); return f }
	}
	inner := udp(t, localMAC, farMAC, localIP, farIP, 100)
	tagged := slices.Concat(inner[:12], []byte{0x81, 0, 0, 7}, inner[12:])
	for _, tc := range []struct {
		name    string
		from    int
		inner   []byte
		change  func(f []byte) []byte
		dropped drop.Reason
	}{
		{"IPv4", 0, inner, nil, drop.None},
		{"IPv4 with a checksum", 0, inner, sum, drop.None},
		{"IPv4 with a wrong checksum", 0, inner, func(f []byte) []byte { f = sum(f); f[80]++; return f },
			drop.FabricUDPChecksum},
		{"any source port", 0, inner, at(34, 0, 1), drop.None},
		{"reserved bits", 0, inner, func(f []byte) []byte {
			f[42], f[43], f[45], f[49] = 0xff, 1, 2, 3
			return f
		}, drop.None},
		{"no I bit", 0, inner, at(42, 0xf7), drop.VXLANHeader},
		{"unknown VNI", 0, inner, at(46, 0, 0, 1), drop.VXLANVNI},
		{"VNI 0", 0, inner, at(46, 0, 0, 0), drop.VXLANVNI},
		{"stranger", 0, inner, func(f []byte) []byte { f[29] = 99; return resum(f) }, drop.VXLANVTEP},
		{"to another address", 0, inner, func(f []byte) []byte { f[33] = 99; return resum(f) }, drop.FabricAddress},
		{"to another MAC", 0, inner, at(0, 2, 9), drop.FabricOwnMAC},
		{"another port", 0, inner, at(36, 0x12, 0xb6), drop.FabricProtocol},
		{"length 7", 0, inner, at(38, 0, 7), drop.FabricUDP},
		{"length beyond the packet", 0, inner, func(f []byte) []byte { f[39]++; return f }, drop.FabricUDP},
		{"length without VXLAN", 0, inner, at(38, 0, 15), drop.VXLANHeader},
		{"no inner frame", 0, inner, at(38, 0, 16+13), drop.FabricInner},
		{"inner tag", 0, tagged, nil, drop.VXLANTag},
		{"inner source of a group", 0, inner, at(50+6, 3), drop.FabricInner},
		{"source of a VIF here", 0, udp(t, localMAC, localMAC, localIP, farIP, 100), nil, drop.VXLANSource},
		{"fragment", 0, inner, func(f []byte) []byte { f[20] |= 0x20; return resum(f) }, drop.FabricFragment},
		{"IPv6", 2, inner, nil, drop.None},
		{"IPv6 without checksum", 2, inner, at(60, 0, 0), drop.VXLANZeroChecksum},
		{"IPv6 with a wrong checksum", 2, inner, func(f []byte) []byte { f[99]++; return f }, drop.FabricUDPChecksum},
		{"IPv6 stranger", 2, inner, func(f []byte) []byte { f[37], f[61] = 99, f[61]-92; return f }, drop.VXLANVTEP},
		{"between VTEPs", 1, udp(t, farMAC, farMAC+1, farIP, farIP, 100), nil, drop.VXLANRelay},
		{"to the router", 0, udp(t, model.DefaultRouterMAC, farMAC, "10.2.0.1", farIP, 100), nil, drop.VXLANRouter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := startVTEPs(t, vtepWorld(0, tc.from))
			if tc.name == "between VTEPs" {
				r = startVTEPs(t, vtepWorld(0, 0))
			}
			f := inVXLAN(t, tc.from, vni, tc.inner)
			if tc.change != nil {
				f = tc.change(f)
			}
			port := vx4 + tc.from/2
			receive(t, r, port, f)
			out := r.Sent(acc0)
			if got := dropped(r, port)[tc.dropped.String()]; tc.dropped != drop.None && got != 1 {
				t.Errorf("%d frames dropped for %s, want 1; dropped %v", got, tc.dropped, dropped(r, port))
			}
			switch {
			case tc.dropped != drop.None && len(out) != 0:
				t.Errorf("%d frames delivered, want none", len(out))
			case tc.dropped == drop.None && (len(out) != 1 || !bytes.Equal(out[0], tc.inner)):
				t.Errorf("delivered %x, want %x alone; dropped %v", out, tc.inner, dropped(r, port))
			}
		})
	}
	t.Run("zero_checksum6", func(t *testing.T) {
		o := vtepWorld(0, 2)
		o.Ports[vx6].ZeroChecksum6 = true
		r := startVTEPs(t, o)
		receive(t, r, vx6, at(60, 0, 0)(inVXLAN(t, 2, vni, inner)))
		if out := r.Sent(acc0); len(out) != 1 {
			t.Errorf("%d frames delivered, want 1; dropped %v", len(out), dropped(r, vx6))
		}
	})
	t.Run("truncated", func(t *testing.T) {
		for from := range vtepNames {
			r := startVTEPs(t, vtepWorld(0, from))
			whole := inVXLAN(t, from, vni, inner)
			for n := range whole {
				receive(t, r, vx4+from/2, whole[:n])
			}
			total := uint64(0)
			for _, x := range dropped(r, vx4+from/2) {
				total += x
			}
			if out := r.Sent(acc0); len(out) != 0 || total != uint64(len(whole)) {
				t.Errorf("VTEP %d: %d delivered and %d dropped of %d cut frames, want all dropped", from, len(out),
					total, len(whole))
			}
		}
	})
}

// TestVXLANFloods: a broadcast of a VIF goes once to each VTEP that gets copies, and one of a VTEP to no VTEP.
func TestVXLANFloods(t *testing.T) {
	broadcast := udp(t, 0xffffffffffff, localMAC, "10.1.255.255", localIP, 100)
	o := vtepWorld(0, 0)
	v := o.State.VTEPs["rack8"]
	v.Flood = false
	o.State.VTEPs["rack8"] = v
	r := startVTEPs(t, o)
	receive(t, r, acc0, broadcast)
	got := map[int]int{}
	for _, f := range append(r.Sent(vx4), r.Sent(vx6)...) {
		to, inner := outVXLAN(t, f, vni)
		got[to]++
		if !bytes.Equal(inner, broadcast) {
			t.Errorf("copy % x, want % x", inner, broadcast)
		}
	}
	if len(got) != 3 || got[0] != 1 || got[2] != 1 || got[3] != 1 {
		t.Errorf("copies by VTEP %v, want one each to 0, 2 and 3", got)
	}
	back := udp(t, 0xffffffffffff, farMAC, "10.1.255.255", farIP, 100)
	receive(t, r, vx4, inVXLAN(t, 0, vni, back))
	if here, there := r.Sent(acc0), len(r.Sent(vx4))+len(r.Sent(vx6)); len(here) != 1 || there != 0 {
		t.Errorf("a broadcast from a VTEP: %d delivered, %d to VTEPs; want 1 and 0; dropped %v", len(here), there,
			dropped(r, vx4))
	}
	if other := r.Sent(acc1); len(other) != 0 {
		t.Errorf("the other tenant got %d frames, want none", len(other))
	}
}

// TestVXLANARP: the box answers a station behind a VTEP for VIFs, and asks VTEPs for what it does not know.
func TestVXLANARP(t *testing.T) {
	for _, unknown := range []string{"drop", "flood"} {
		o := vtepWorld(0, 0)
		g := o.State.Segments["red/web"]
		g.UnknownUnicast = unknown
		o.State.Segments["red/web"] = g
		r := startVTEPs(t, o)
		receive(t, r, vx4, inVXLAN(t, 0, vni, arpAsks(t, farMAC, farIP, localIP)))
		sent := r.Sent(vx4)
		if len(sent) != 1 {
			t.Fatalf("%s: %d answers, want 1; dropped %v", unknown, len(sent), dropped(r, vx4))
		}
		to, answer := outVXLAN(t, sent[0], vni)
		a := wire.ARP(answer[14:])
		if to != 0 || a.Op() != wire.ARPReply || model.MAC(a.SenderMAC()) != localMAC ||
			model.MAC(a.TargetMAC()) != farMAC {
			t.Errorf("%s: answer % x to VTEP %d, want that %s is at %s", unknown, answer, to, localIP, localMAC)
		}
		receive(t, r, acc0, arpAsks(t, localMAC, localIP, "10.1.99.99"))
		if n := len(r.Sent(vx4)) + len(r.Sent(vx6)); n != len(vtepNames) {
			t.Errorf("%s: %d questions for an unknown address to VTEPs, want %d; dropped %v", unknown, n,
				len(vtepNames), dropped(r, acc0))
		}
		receive(t, r, acc0, udp(t, 0x02000000aaaa, localMAC, farIP, localIP, 100))
		if n := len(r.Sent(vx4)) + len(r.Sent(vx6)); n != len(vtepNames) {
			t.Errorf("%s: %d copies of an unknown unicast to VTEPs, want %d; dropped %v", unknown, n, len(vtepNames),
				dropped(r, acc0))
		}
	}
}

func arpAsks(t *testing.T, mac model.MAC, ip, target string) []byte {
	return build(t, &layers.Ethernet{DstMAC: hw(0xffffffffffff), SrcMAC: hw(mac), EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: 1, Protocol: 0x0800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: hw(mac), SourceProtAddress: netip.MustParseAddr(ip).AsSlice(),
			DstHwAddress: hw(0), DstProtAddress: netip.MustParseAddr(target).AsSlice()})
}

// TestVXLANUnderlay: the box answers for the addresses of its ports with VXLAN.
func TestVXLANUnderlay(t *testing.T) {
	r := startVTEPs(t, vtepWorld(0, 0))
	receive(t, r, vx4, arpAsks(t, vtepHop, "192.0.2.7", own4), arpAsks(t, vtepHop, "192.0.2.7", "192.0.2.9"))
	sent := r.Sent(vx4)
	if len(sent) != 1 || model.MAC(wire.ARP(sent[0][14:]).SenderMAC()) != vxMAC4 || sent[0][0] != byte(vtepHop>>40) {
		t.Errorf("answers %x, want one with %s", sent, vxMAC4)
	}
}

// TestVXLANRelay: a box with both forms carries frames between boxes and VTEPs, and copies once.
func TestVXLANRelay(t *testing.T) {
	r := startVTEPs(t, vtepWorld(2, 0))
	in := udp(t, remoteMAC(0), farMAC, remoteIP(0), farIP, 300)
	in[15] = 0x28<<2 | 2
	binary.BigEndian.PutUint16(in[24:], 0)
	binary.BigEndian.PutUint16(in[24:], checksum.Checksum(in[14:34], 0))
	receive(t, r, vx4, inVXLAN(t, 0, vni, in))
	sent := r.Sent(fab0)
	if len(sent) != 1 || !bytes.Equal(sent[0][38:], in) || sent[0][19] != 0x28<<2|2 {
		t.Fatalf("sent to the box: %x, want %x encapsulated with its DSCP and ECN; dropped %v", sent, in,
			dropped(r, vx4))
	}
	out := udp(t, farMAC, remoteMAC(0), farIP, remoteIP(0), 300)
	receive(t, r, fab0, encapsulated(t, 1, out))
	sent = r.Sent(vx4)
	if len(sent) != 1 {
		t.Fatalf("%d frames sent to the VTEP, want 1; dropped %v", len(sent), dropped(r, fab0))
	}
	if to, inner := outVXLAN(t, sent[0], vni); to != 0 || !bytes.Equal(inner, out) {
		t.Errorf("to VTEP %d % x, want 0 % x", to, inner, out)
	}
	receive(t, r, vx4, inVXLAN(t, 0, vni, udp(t, 0xffffffffffff, farMAC, "10.1.255.255", farIP, 100)))
	if a, b, c := len(r.Sent(acc0)), len(r.Sent(fab0)), len(r.Sent(vx4))+len(r.Sent(vx6)); a != 1 || b != 2 || c != 0 {
		t.Errorf("a broadcast from a VTEP: %d to the VIF, %d to boxes, %d to VTEPs; want 1, 2 and 0", a, b, c)
	}
	receive(t, r, fab0, encapsulated(t, 1, udp(t, 0xffffffffffff, remoteMAC(0), "10.1.255.255", remoteIP(0), 100)))
	if a, b, c := len(r.Sent(acc0)), len(r.Sent(fab0)), len(r.Sent(vx4))+len(r.Sent(vx6)); a != 1 || b != 0 || c != 4 {
		t.Errorf("a broadcast from a box: %d to the VIF, %d to boxes, %d to VTEPs; want 1, 0 and 4", a, b, c)
	}
	receive(t, r, acc0, udp(t, 0xffffffffffff, localMAC, "10.1.255.255", localIP, 100))
	if b, c := len(r.Sent(fab0)), len(r.Sent(vx4))+len(r.Sent(vx6)); b != 2 || c != 4 {
		t.Errorf("a broadcast of a VIF: %d to boxes, %d to VTEPs; want 2 and 4", b, c)
	}

	// Where another box relays, this one sends nothing to VTEPs and takes no floods of them.
	r.Compiler.Yield([]compile.FabricKey{{Tenant: 7, Segment: 1}})
	receive(t, r, vx4, inVXLAN(t, 0, vni, udp(t, 0xffffffffffff, farMAC, "10.1.255.255", farIP, 100)))
	receive(t, r, fab0, encapsulated(t, 1, out), encapsulated(t, 1, udp(t, 0xffffffffffff, remoteMAC(0),
		"10.1.255.255", remoteIP(0), 100)))
	if a, b, c := len(r.Sent(acc0)), len(r.Sent(fab0)), len(r.Sent(vx4))+len(r.Sent(vx6)); a != 1 || b != 0 || c != 0 {
		t.Errorf("yielded: %d to the VIF, %d to boxes, %d to VTEPs; want 1, 0 and 0", a, b, c)
	}
	if d := dropped(r, vx4); d["vxlan_yielded"] != 1 {
		t.Errorf("dropped %v, want one for vxlan_yielded", d)
	}
}

// TestVXLANTooBig: a packet that does not fit is answered with the MTU that does.
func TestVXLANTooBig(t *testing.T) {
	for at, want := range map[int]int{0: 1600 - overhead, 2: 1600 - 70} {
		o := vtepWorld(0, at)
		o.MTU = []uint16{acc0: 1700, acc1: 1700, up0: 0, vx6: 0}
		r := startVTEPs(t, o)
		receive(t, r, acc0, udp(t, farMAC, localMAC, farIP, localIP, want))
		if n := len(r.Sent(vx4 + at/2)); n != 1 {
			t.Errorf("VTEP %d: %d packets of %d octets sent, want 1", at, n, want)
		}
		receive(t, r, acc0, udp(t, farMAC, localMAC, farIP, localIP, want+1))
		back := r.Sent(acc0)
		if len(back) != 1 || int(binary.BigEndian.Uint16(back[0][40:])) != want {
			t.Errorf("VTEP %d: answers %x, want one with the MTU %d", at, back, want)
		}
	}
}

// TestVXLANNextHop: what is for a VTEP whose next hop is not known is dropped, and goes when it is.
func TestVXLANNextHop(t *testing.T) {
	o := vtepWorld(0, 0)
	r := start(t, o)
	out := udp(t, farMAC, localMAC, farIP, localIP, 100)
	receive(t, r, acc0, out)
	if d := dropped(r, acc0); d["no_path"] != 1 {
		t.Errorf("dropped %v, want one for no_path", d)
	}
	r.Compiler.SetNextHop(compile.NextHop{Port: vx4, Addr: vtepAddress(0)}, vtepHop)
	receive(t, r, acc0, out)
	if sent := r.Sent(vx4); len(sent) != 1 || model.MAC(wire.Ethernet(sent[0]).Dst()) != vtepHop {
		t.Errorf("sent %x, want one frame to %s", sent, vtepHop)
	}
	r.Tick(time.Millisecond)
}
