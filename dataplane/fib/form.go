package fib

import "math/bits"

// Form is the form of encapsulation on a fabric port (PROTOCOL.md#encapsulation).
type Form uint8

// The forms.
const (
	FormIP     Form = iota // the frame in IPv4, protocol 143
	FormUDP                // the frame in UDP over IPv4
	FormVXLAN              // VXLAN over IPv4
	FormVXLAN6             // VXLAN over IPv6
)

// The octets in front of the inner frame, from the outer IP header on.
const (
	headIP     = 20
	headUDP    = headIP + 8
	headVXLAN  = headUDP + 8
	headVXLAN6 = 40 + 8 + 8
	inner      = 14 // Ethernet, which a tenant's MTU does not count
)

// Overhead returns the difference between the MTU of a fabric port and the largest MTU of a tenant, in octets: the
// lengths of the outer headers and the inner Ethernet header.
func (f Form) Overhead() uint16 {
	return [...]uint16{headIP + inner, headUDP + inner, headVXLAN + inner, headVXLAN6 + inner}[f&3]
}

// VXLAN reports whether the form is VXLAN.
func (f Form) VXLAN() bool { return f >= FormVXLAN }

// TenantMTU returns the MTU of tenants on a fabric port with this MTU, 0 if there is no room.
func (f Form) TenantMTU(mtu uint16) uint16 { return max(mtu, f.Overhead()) - f.Overhead() }

// Head is the part of a path's outer header that is equal in all frames. W0, W1 and W2 are octets 0–7, 8–15 and 16–23
// of the frame (Ethernet, tag, the first six octets of IPv4), to be stored in little-endian order. Sum is the
// checksum of the constant fields of the IPv4 header. Most is the largest total length of a packet, 0 in other forms
// than "ip": one comparison finds what is not for the quick way.
//
// With VXLAN there is no tag: W0 and W1 are octets 0–7 and 8–15 (Ethernet, the first two octets of IP without TOS or
// traffic class), and Sum has the addresses, too: of the IPv4 header, or of IPv6's pseudo-header.
type Head struct {
	W0, W1, W2 uint64
	Sum, Most  uint32
}

// HeadW3 is octets 24–27 of a frame of form "ip", as Head has the octets before: no fragment, TTL 64, protocol 143.
const HeadW3 = 0x8f400040

// Addresses returns the outer addresses of frames of a segment to the location, by this path.
func (p *Path) Addresses(to Loc, seg *Segment) (src, dst uint32) {
	src = p.SrcPrefix | seg.ID&p.HostMask
	return src, p.DstBase | (to&0xff)<<(p.DstShift&31) | seg.Tenant&p.HostMask
}

// The constant part of the outer IPv4 header: no options, DF, TTL 64, protocol 143 or 17 (PROTOCOL.md#encapsulation).
const (
	outerVersion = 0x4500
	outerDF      = 0x4000
	outerTTL     = 64 << 8
	outerIP      = 143
	outerUDP     = 17
	udpVXLAN     = 4789
)

// prepare sets Head, which follows from the other fields.
func (p *Path) prepare() {
	if p.Form.VXLAN() {
		p.prepareVXLAN()
		return
	}
	proto, most := uint32(outerIP), uint32(p.MTU)
	if p.Form == FormUDP {
		proto, most = outerUDP, 0
	}
	p.Head = Head{
		W0:   bits.ReverseBytes64(p.DstMAC<<16 | p.SrcMAC>>32),
		W1:   bits.ReverseBytes64(p.SrcMAC<<32 | 0x8100<<16 | uint64(p.VID)),
		W2:   bits.ReverseBytes64(0x0800<<48 | outerVersion<<32 | uint64(p.VID)),
		Sum:  outerVersion + uint32(p.VID) + outerDF + outerTTL + proto,
		Most: most,
	}
}

func (p *Path) prepareVXLAN() {
	head := uint64(0x0800<<16 | outerVersion)
	sum := uint32(outerVersion + outerDF + outerTTL + outerUDP)
	halves := [...]uint64{p.Src6[0], p.Src6[1], p.Dst6[0], p.Dst6[1]}
	if p.Form == FormVXLAN6 {
		head = 0x86dd<<16 | 0x6000
		sum = outerUDP + udpVXLAN
	} else {
		halves = [...]uint64{uint64(p.SrcPrefix), uint64(p.DstBase), 0, 0}
	}
	for _, h := range halves {
		sum += uint32(h>>48) + uint32(h>>32&0xffff) + uint32(h>>16&0xffff) + uint32(h&0xffff)
	}
	p.Head = Head{
		W0:  bits.ReverseBytes64(p.DstMAC<<16 | p.SrcMAC>>32),
		W1:  bits.ReverseBytes64(p.SrcMAC<<32 | head),
		Sum: sum,
	}
}
