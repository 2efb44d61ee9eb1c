package parse

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
)

// commonLen is how many octets common looks at: Ethernet, tag, IPv4 without options, TCP without options.
const commonLen = wire.EthernetLen + wire.VLANTagLen + wire.IPv4Len + wire.TCPLen

// common parses the frame if it is what nearly all frames are: well-formed TCP or UDP over unfragmented IPv4 without
// options, at most one tag. Of any other frame it says false and has touched nothing; general finds out what it is. Both
// come to the same result where both do (FuzzAccess holds them against each other); this one does so in one
// pass, without calls and with one bounds check.
func common(mem []byte, p *frame.Packet) bool {
	off, n := uint64(p.Off), uint64(p.Len)
	if n < commonLen || off+n > uint64(len(mem)) {
		return false
	}
	f := (*[commonLen]byte)(mem[off:])
	dst := binary.BigEndian.Uint64(f[0:8]) >> 16
	w := binary.BigEndian.Uint64(f[6:14])
	src := w >> 16
	if src == 0 || w>>56&1 != 0 {
		return false
	}
	flags := uint16(dst>>40&1)*frame.FlagGroup | frame.FlagIPv4 | frame.FlagL4
	h := (*[wire.IPv4Len + wire.TCPLen]byte)(f[14:54])
	l3 := uint64(wire.EthernetLen)
	tci := uint16(0)
	if uint16(w) != wire.EtherTypeIPv4 {
		t := binary.BigEndian.Uint16(f[16:18])
		if uint16(w) != wire.EtherTypeVLAN || t != wire.EtherTypeIPv4 {
			return false
		}
		tci = binary.BigEndian.Uint16(f[14:16])
		flags |= frame.FlagTagged
		h = (*[wire.IPv4Len + wire.TCPLen]byte)(f[18:58])
		l3 = wire.EthernetLen + wire.VLANTagLen
	}
	w0 := binary.BigEndian.Uint64(h[0:8])
	w1 := binary.BigEndian.Uint64(h[8:16])
	w2 := binary.BigEndian.Uint32(h[16:20])
	total := w0 >> 32 & 0xffff
	if w0>>56 != 0x45 || w0&(wire.IPv4MF|wire.IPv4OffsetMask) != 0 || l3+total > n || !sumOK(w0, w1, w2) {
		return false
	}
	proto := uint8(w1 >> 48)
	if proto == wire.ProtoTCP {
		if hl := uint64(h[32]>>4) * 4; hl < wire.TCPLen || wire.IPv4Len+hl > total {
			return false
		}
	} else if proto != wire.ProtoUDP || total < wire.IPv4Len+wire.UDPLen {
		return false
	}
	p.Out = 0
	p.L3 = uint16(l3)
	p.L4 = uint16(l3) + wire.IPv4Len
	p.EtherType = wire.EtherTypeIPv4
	p.Flags = flags
	p.VID = tci & 0x0fff
	p.PCP = uint8(tci >> 13)
	p.Proto = proto
	p.DSCP = uint8(w0>>48) >> 2
	p.Next, p.Drop, p.Kind = frame.NextParsed, drop.None, 0
	p.Hash = mix(w1<<32|uint64(w2), uint64(binary.BigEndian.Uint32(h[20:24]))<<8|uint64(proto))
	p.Seg, p.VIF, p.Attach, p.Loc = frame.NoIndex, frame.NoIndex, frame.NoIndex, 0
	p.DstMAC = dst
	p.SrcMAC = src
	return true
}
