package checksum_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/dataplane/frame"
	"penstock/dataplane/wire/checksum"
)

func build(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestComplete leaves in the field what a virtual interface leaves there, and expects what gopacket computed.
func TestComplete(t *testing.T) {
	eth4 := &layers.Ethernet{
		DstMAC:       net.HardwareAddr{2, 0, 0, 0, 0, 1},
		SrcMAC:       net.HardwareAddr{2, 0, 0, 0, 0, 2},
		EthernetType: layers.EthernetTypeIPv4,
	}
	eth6 := *eth4
	eth6.EthernetType = layers.EthernetTypeIPv6
	for _, proto := range []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP} {
		ip4 := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: proto, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2},
		}
		ip6 := &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2"),
		}
		for _, v6 := range []bool{false, true} {
			for n := range 70 {
				var ip gopacket.NetworkLayer = ip4
				eth, l4, flags := eth4, 34, frame.FlagIPv4
				if v6 {
					ip, eth, l4, flags = ip6, &eth6, 54, frame.FlagIPv6
				}
				var transport gopacket.SerializableLayer
				at := l4 + 6
				if proto == layers.IPProtocolTCP {
					h := &layers.TCP{SrcPort: 1, DstPort: 2, ACK: true, Window: 5}
					h.SetNetworkLayerForChecksum(ip)
					transport, at = h, l4+16
				} else {
					h := &layers.UDP{SrcPort: 1, DstPort: 2}
					h.SetNetworkLayerForChecksum(ip)
					transport = h
				}
				data := bytes.Repeat([]byte{0xa7}, n)
				want := build(t, eth, ip.(gopacket.SerializableLayer), transport, gopacket.Payload(data))
				p := &frame.Packet{
					Len: uint16(len(want)), L3: 14, L4: uint16(l4), Proto: uint8(proto), Flags: flags | frame.FlagL4,
				}

				got := append(bytes.Clone(want), 1, 2, 3) // Ethernet padding is not summed
				if checksum.Complete(got, p) && !bytes.Equal(got[:len(want)], want) {
					t.Fatalf("%v v6=%v %d: a right checksum was changed", proto, v6, n)
				}
				l4n := ip4.Length - 20 // gopacket pads short frames
				pseudo := checksum.PseudoIPv4(0x0a000001, 0x0a000002, uint8(proto), l4n)
				if v6 {
					l4n = ip6.Length
					src, dst := [2]uint64{0xfd00 << 48, 1}, [2]uint64{0xfd00 << 48, 2}
					pseudo = checksum.PseudoIPv6(src, dst, uint8(proto), uint32(l4n))
				}
				binary.BigEndian.PutUint16(got[at:], checksum.Fold(pseudo))
				frag := *p
				frag.Flags |= frame.FlagFragment
				if checksum.Complete(got, &frag) {
					t.Fatal("a fragment was completed")
				}
				other := *p
				other.Proto = 132
				if checksum.Complete(got, &other) {
					t.Fatal("SCTP was completed")
				}
				none := *p
				none.Flags &^= frame.FlagL4
				if checksum.Complete(got, &none) {
					t.Fatal("a packet without L4 was completed")
				}
				if !checksum.Complete(got, p) {
					t.Fatalf("%v v6=%v %d: not completed", proto, v6, n)
				}
				if !bytes.Equal(got[:len(want)], want) {
					t.Fatalf("%v v6=%v %d:\n%x\n%x", proto, v6, n, got, want)
				}
				got[at] ^= 0x55
				wrong := bytes.Clone(got)
				if checksum.Complete(got, p) || !bytes.Equal(got, wrong) {
					t.Fatalf("%v v6=%v %d: a wrong checksum was touched", proto, v6, n)
				}
			}
		}
	}
}
