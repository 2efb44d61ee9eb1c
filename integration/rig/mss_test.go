package rig

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
)

// tcpSYN builds a SYN that offers an MSS of 1460.
func tcpSYN(t *testing.T, dst, src model.MAC, dstIP, srcIP string) []byte {
	t.Helper()
	return build(t, &layers.Ethernet{DstMAC: hw(dst), SrcMAC: hw(src), EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
			SrcIP: netip.MustParseAddr(srcIP).AsSlice(), DstIP: netip.MustParseAddr(dstIP).AsSlice()},
		&layers.TCP{SrcPort: 1000, DstPort: 80, SYN: true, Options: []layers.TCPOption{
			{OptionType: 2, OptionLength: 4, OptionData: []byte{1460 >> 8, 1460 & 255}}}})
}

// TestMSS: a SYN asks for no larger segments than the smaller of the link that it came by and of the way ahead takes.
// With DF the segments that it asks for would else be lost, or cost a round trip.
func TestMSS(t *testing.T) {
	const headers, throughFabric = 40, 1450 - 34 - 40
	toRemote, toSmall := fromTenant(remoteMAC(0), remoteIP(0)), fromTenant(smallMAC, smallIP)
	for _, tc := range []struct {
		name     string
		acc, fab uint16 // MTUs of acc0 and fab0
		up       uint16 // of up0
		from, to int
		frame    func(t *testing.T) []byte
		want     uint16
	}{
		{"tenant to fabric, which is smaller", 1500, 1450, 1500, acc0, fab0, toRemote, throughFabric},
		{"tenant to fabric, which is larger", 1300, 1600, 1500, acc0, fab0, toRemote, 1300 - headers},
		{"tenant to a smaller port", 1500, 1600, 1500, acc0, acc1, toSmall, small - headers},
		{"tenant to a larger port", 1300, 1600, 1500, acc0, acc1, toSmall, 1300 - headers},
		{"tenant to a port alike", small, 1600, 1500, acc0, acc1, toSmall, 1460},
		{"tenant to uplink", 1500, 1600, 1420, acc0, up0, fromTenant(routerMAC, outsideIP), 1420 - headers},
		{"uplink to fabric, which is smaller", 1500, 1450, 1500, up0, fab0, fromOutside(remoteIP(0)), throughFabric},
		{"uplink to fabric, which is larger", 1500, 1600, 1420, up0, fab0, fromOutside(remoteIP(0)), 1420 - headers},
		{"uplink to a tenant here, smaller", 1500, 1600, 1500, up0, acc1, fromOutside(smallIP), small - headers},
		{"uplink to a tenant here, larger", 1500, 1600, 1300, up0, acc0, fromOutside(localIP), 1300 - headers},
		{"fabric to uplink, which is smaller", 1500, 1600, 1420, fab0, up0, fromFabric(), 1420 - headers},
		{"fabric to uplink, which is larger", 1500, 1450, 1500, fab0, up0, fromFabric(), throughFabric},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := smallWorld("here")
			o.MTU = []uint16{acc0: tc.acc, acc1: small, fab0: tc.fab, up0: tc.up}
			o.Groups[0].IPs = []netip.Addr{netip.MustParseAddr("10.1.0.77")}
			r := start(t, o)
			for _, g := range r.Compiler.LiveGroups() {
				g.Members[0].Live.SetGateway(uint64(gatewayMAC), true, false)
				g.Live.Active.Store(g.Members[0].Slot)
			}
			receive(t, r, tc.from, tc.frame(t))
			out := r.Sent(tc.to)
			if len(out) != 1 {
				t.Fatalf("%d frames, want 1; dropped %v", len(out), dropped(r, tc.from))
			}
			f := out[0] // two octets of padding end it
			if got := binary.BigEndian.Uint16(f[len(f)-4:]); got != tc.want {
				t.Errorf("MSS %d, want %d", got, tc.want)
			}
		})
	}
}

func fromTenant(dst model.MAC, ip string) func(t *testing.T) []byte {
	return func(t *testing.T) []byte { return tcpSYN(t, dst, localMAC, ip, localIP) }
}

func fromOutside(ip string) func(t *testing.T) []byte {
	return func(t *testing.T) []byte { return tcpSYN(t, groupMAC, gatewayMAC, ip, outsideIP) }
}

func fromFabric() func(t *testing.T) []byte {
	return func(t *testing.T) []byte {
		return encapsulated(t, 1, tcpSYN(t, groupMAC, remoteMAC(0), outsideIP, remoteIP(0)))
	}
}
