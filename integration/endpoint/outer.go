package endpoint

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"penstock/ctrl/model"
)

// Proto143 is the IP protocol number of encapsulated Ethernet (RFC 8986, section 10.1).
const Proto143 = 143

// Outer is the encapsulation of a frame (PROTOCOL.md#encapsulation).
type Outer struct {
	DstMAC, SrcMAC model.MAC
	Tagged         bool
	VID            uint16
	PCP            uint8
	DSCP           uint8
	ID             uint16
	Flags          uint16 // flags and fragment offset as in the header: 0x4000 = DF
	TTL            uint8
	Proto          uint8
	Src, Dst       netip.Addr
	Inner          []byte
}

// Encode returns the encapsulated frame. It fills in the values without a field: lengths and the header checksum.
func (o *Outer) Encode() []byte {
	b := make([]byte, 0, 38+len(o.Inner))
	b = append(b, Hardware(o.DstMAC)...)
	b = append(b, Hardware(o.SrcMAC)...)
	if o.Tagged {
		b = binary.BigEndian.AppendUint16(b, 0x8100)
		b = binary.BigEndian.AppendUint16(b, uint16(o.PCP)<<13|o.VID)
	}
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	ip := len(b)
	b = append(b, 0x45, o.DSCP<<2)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(o.Inner)))
	b = binary.BigEndian.AppendUint16(b, o.ID)
	b = binary.BigEndian.AppendUint16(b, o.Flags)
	b = append(b, o.TTL, o.Proto, 0, 0)
	b = append(b, o.Src.AsSlice()...)
	b = append(b, o.Dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[ip+10:], ^sum16(b[ip:ip+20]))
	return append(b, o.Inner...)
}

// DecodeOuter parses an encapsulated frame. It requires an IPv4 header without options, a correct checksum, and the
// length of the frame.
func DecodeOuter(frame []byte) (*Outer, error) {
	if len(frame) < 14 {
		return nil, fmt.Errorf("%d octets are no frame", len(frame))
	}
	o := &Outer{DstMAC: MACAt(frame), SrcMAC: MACAt(frame[6:])}
	rest := frame[12:]
	if binary.BigEndian.Uint16(rest) == 0x8100 && len(rest) >= 6 {
		tci := binary.BigEndian.Uint16(rest[2:])
		o.Tagged, o.VID, o.PCP = true, tci&0xfff, uint8(tci>>13)
		rest = rest[4:]
	}
	if et := binary.BigEndian.Uint16(rest); et != 0x0800 {
		return nil, fmt.Errorf("EtherType %#04x, want IPv4", et)
	}
	ip := rest[2:]
	if len(ip) < 20 || ip[0] != 0x45 {
		return nil, fmt.Errorf("not an IPv4 header without options: % x", ip[:min(len(ip), 20)])
	}
	if sum16(ip[:20]) != 0xffff {
		return nil, fmt.Errorf("wrong header checksum: % x", ip[:20])
	}
	if total := int(binary.BigEndian.Uint16(ip[2:])); total != len(ip) {
		return nil, fmt.Errorf("total length %d in a packet of %d octets", total, len(ip))
	}
	o.DSCP, o.ID, o.Flags = ip[1]>>2, binary.BigEndian.Uint16(ip[4:]), binary.BigEndian.Uint16(ip[6:])
	o.TTL, o.Proto = ip[8], ip[9]
	o.Src, o.Dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	o.Inner = ip[20:]
	return o, nil
}

// sum16 is the one's complement sum of RFC 1071 over an even number of octets.
func sum16(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// Special returns the special address with the given low bits (tenant or segment ID) behind a switch port.
func Special(scheme model.Scheme, port uint8, low uint32) netip.Addr {
	v := 10<<24 | uint32(port)<<16 | low
	if scheme == model.Scheme24 {
		v = uint32(port)<<24 | low
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// Switch is an edge switch played by a test: the other end of a box's fabric port.
type Switch struct {
	*Raw
	Scheme model.Scheme
	MAC    model.MAC // its own
	BoxMAC model.MAC
	Port   uint8 // number of the downlink
}

// ToBox returns a frame of a tenant's segment as the switch hands it to its box: from a box behind the same number of
// another switch's port, tag stripped, the switch's MAC as source.
func (s *Switch) ToBox(fromPort uint8, tenant, segment uint32, path uint16, inner []byte) *Outer {
	return &Outer{
		DstMAC: s.BoxMAC, SrcMAC: s.MAC, ID: path, Flags: 0x4000, TTL: 63, Proto: Proto143,
		Src: Special(s.Scheme, fromPort, segment), Dst: Special(s.Scheme, s.Port, tenant), Inner: inner,
	}
}

// Encapsulated returns the next encapsulated frame that the box sends.
func (s *Switch) Encapsulated(limit time.Duration) (*Outer, error) {
	var outer *Outer
	_, err := s.Find(limit, func(frame []byte) bool {
		o, err := DecodeOuter(frame)
		if err == nil && o.Proto == Proto143 {
			outer = o
			return true
		}
		return false
	})
	return outer, err
}
