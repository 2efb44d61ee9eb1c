package endpoint

import (
	"encoding/binary"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// CheckSums verifies every checksum of a frame: IPv4 header, TCP, UDP, ICMP and ICMPv6. It is independent code, written
// from RFC 1071 and RFC 8200, section 8.1: the code that made a checksum must not check it.
func CheckSums(frame []byte) error {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if failure := packet.ErrorLayer(); failure != nil && packet.NetworkLayer() != nil &&
		packet.TransportLayer() == nil {
		return fmt.Errorf("decode: %w", failure.Error())
	}
	var pseudo []byte
	switch ip := packet.NetworkLayer().(type) {
	case *layers.IPv4:
		if sum16(ip.Contents) != 0xffff {
			return fmt.Errorf("IPv4 header checksum %#04x is wrong", ip.Checksum)
		}
		if ip.FragOffset != 0 || ip.Flags&layers.IPv4MoreFragments != 0 {
			return nil
		}
		pseudo = append(append(pseudo, ip.SrcIP.To4()...), ip.DstIP.To4()...)
	case *layers.IPv6:
		pseudo = append(append(pseudo, ip.SrcIP.To16()...), ip.DstIP.To16()...)
	default:
		return nil
	}
	for _, layer := range packet.Layers() {
		var proto uint32
		switch l := layer.(type) {
		case *layers.TCP:
			proto = 6
		case *layers.UDP:
			proto = 17
			if l.Checksum == 0 && packet.Layer(layers.LayerTypeIPv4) != nil {
				continue // RFC 768: none
			}
		case *layers.ICMPv4:
			if sum16(even(layer)) != 0xffff {
				return fmt.Errorf("ICMP checksum %#04x is wrong", l.Checksum)
			}
			return nil // what it quotes need not be whole
		case *layers.ICMPv6:
			proto = 58
		default:
			continue
		}
		segment := even(layer)
		b := append([]byte(nil), pseudo...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(layer.LayerContents())+len(layer.LayerPayload())))
		b = binary.BigEndian.AppendUint32(b, proto)
		if sum16(append(b, segment...)) != 0xffff {
			return fmt.Errorf("%v checksum is wrong", layer.LayerType())
		}
		return nil
	}
	return nil
}

// even returns a layer's octets with its payload, padded to an even number.
func even(layer gopacket.Layer) []byte {
	b := append(append([]byte(nil), layer.LayerContents()...), layer.LayerPayload()...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	return b
}
