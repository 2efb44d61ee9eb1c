package endpoint

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
)

// Broadcast is the broadcast MAC.
const Broadcast model.MAC = 0xffffffffffff

// Host is one side of a conversation.
type Host struct {
	MAC  model.MAC
	IPv4 netip.Addr
	IPv6 netip.Addr
}

// Hardware returns a MAC in the standard library's form.
func Hardware(m model.MAC) net.HardwareAddr {
	return net.HardwareAddr{byte(m >> 40), byte(m >> 32), byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}
}

// MACAt reads a MAC from six octets.
func MACAt(b []byte) model.MAC {
	return model.MAC(binary.BigEndian.Uint16(b))<<32 | model.MAC(binary.BigEndian.Uint32(b[2:]))
}

// Serialize builds a frame from layers, with lengths and checksums right. The last one may be gopacket.Payload.
func Serialize(parts ...gopacket.SerializableLayer) ([]byte, error) {
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, parts...); err != nil {
		return nil, fmt.Errorf("build a frame: %w", err)
	}
	return buf.Bytes(), nil
}

// Ethernet returns an Ethernet header, and the tag behind it when vlan is not 0.
func Ethernet(src, dst model.MAC, vlan uint16, etherType layers.EthernetType) []gopacket.SerializableLayer {
	eth := &layers.Ethernet{SrcMAC: Hardware(src), DstMAC: Hardware(dst), EthernetType: etherType}
	if vlan == 0 {
		return []gopacket.SerializableLayer{eth}
	}
	eth.EthernetType = layers.EthernetTypeDot1Q
	return []gopacket.SerializableLayer{eth, &layers.Dot1Q{VLANIdentifier: vlan, Type: etherType}}
}

// UDP4 returns a UDP datagram in IPv4 with the given payload.
func UDP4(from, to Host, vlan, srcPort, dstPort uint16, payload []byte) ([]byte, error) {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.IPv4.AsSlice(),
		DstIP: to.IPv4.AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(srcPort), DstPort: layers.UDPPort(dstPort)}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return Serialize(append(Ethernet(from.MAC, to.MAC, vlan, layers.EthernetTypeIPv4), ip, udp,
		gopacket.Payload(payload))...)
}

// UDP6 returns a UDP datagram in IPv6 with the given payload.
func UDP6(from, to Host, vlan, srcPort, dstPort uint16, payload []byte) ([]byte, error) {
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.IPv6.AsSlice(),
		DstIP: to.IPv6.AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(srcPort), DstPort: layers.UDPPort(dstPort)}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return Serialize(append(Ethernet(from.MAC, to.MAC, vlan, layers.EthernetTypeIPv6), ip, udp,
		gopacket.Payload(payload))...)
}

// ARPRequest requests the MAC of the address to (RFC 826).
func ARPRequest(from Host, vlan uint16, to netip.Addr) ([]byte, error) {
	return arp(layers.ARPRequest, from, vlan, Broadcast, Host{IPv4: to})
}

// ARPReply answers a request of the host to.
func ARPReply(from Host, vlan uint16, to Host) ([]byte, error) {
	return arp(layers.ARPReply, from, vlan, to.MAC, to)
}

func arp(op uint16, from Host, vlan uint16, dst model.MAC, to Host) ([]byte, error) {
	return Serialize(append(Ethernet(from.MAC, dst, vlan, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation:       op,
		SourceHwAddress: Hardware(from.MAC), SourceProtAddress: from.IPv4.AsSlice(),
		DstHwAddress: Hardware(to.MAC), DstProtAddress: to.IPv4.AsSlice(),
	})...)
}

// ParseARP returns the ARP packet of a frame, nil if it carries none.
func ParseARP(frame []byte) *layers.ARP {
	arp, _ := gopacket.NewPacket(frame, layers.LayerTypeEthernet,
		gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
	return arp
}

// NeighborSolicitation requests the MAC of the address to (RFC 4861, section 4.3).
func NeighborSolicitation(from Host, vlan uint16, to netip.Addr) ([]byte, error) {
	target := to.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]})
	groupMAC := model.MAC(0x3333)<<32 | 0xff<<24 |
		model.MAC(target[13])<<16 | model.MAC(target[14])<<8 | model.MAC(target[15])
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.IPv6.AsSlice(),
		DstIP: group.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: to.AsSlice(), Options: layers.ICMPv6Options{
		{Type: layers.ICMPv6OptSourceAddress, Data: Hardware(from.MAC)},
	}}
	return Serialize(append(Ethernet(from.MAC, groupMAC, vlan, layers.EthernetTypeIPv6), ip, icmp, ns)...)
}

// UnsolicitedAdvertisement announces a host's IPv6 address and MAC to all nodes (RFC 4861, section 7.2.6).
func UnsolicitedAdvertisement(h Host, vlan uint16) ([]byte, error) {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: h.IPv6.AsSlice(),
		DstIP: netip.MustParseAddr("ff02::1").AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	na := &layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: h.IPv6.AsSlice(),
		Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptTargetAddress, Data: Hardware(h.MAC)},
		}}
	return Serialize(append(Ethernet(h.MAC, 0x333300000001, vlan, layers.EthernetTypeIPv6), ip, icmp, na)...)
}

// ParseNeighborAdvertisement returns the target and its MAC of a neighbour advertisement; false for other frames.
func ParseNeighborAdvertisement(frame []byte) (netip.Addr, model.MAC, bool) {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	na, ok := packet.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok {
		return netip.Addr{}, 0, false
	}
	target, _ := netip.AddrFromSlice(na.TargetAddress)
	for _, o := range na.Options {
		if o.Type == layers.ICMPv6OptTargetAddress && len(o.Data) >= 6 {
			return target, MACAt(o.Data), true
		}
	}
	return target, 0, true
}

// Echo4 returns an ICMP echo request.
func Echo4(from, to Host, vlan uint16, ttl uint8, id, seq uint16, payload []byte) ([]byte, error) {
	return Serialize(append(Ethernet(from.MAC, to.MAC, vlan, layers.EthernetTypeIPv4),
		&layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolICMPv4, SrcIP: from.IPv4.AsSlice(),
			DstIP: to.IPv4.AsSlice()},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: seq},
		gopacket.Payload(payload))...)
}
