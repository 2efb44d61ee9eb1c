package pathprobe

import (
	"encoding/binary"

	"penstock/dataplane/fib"
	"penstock/dataplane/resolve"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// The outer header of a PROBE or ECHO:
//
//	 0      6     12     16   18              38           46
//	[dst 6][src 6][tag 4][type][IPv4 20: UDP ][UDP 8: 7471][body 40][tag 16, with keys]
const (
	portBinding = 7471

	ipAt, udpAt, bodyAt = 18, 38, 46

	tci      = 6 << 13 // priority 6
	cs6      = 48 << 2 // DSCP CS6, as of the boxes' other messages
	dontFrag = 0x4000
	ttl      = 64
)

// head writes everything in front of the body. n is the length of the payload.
func head(b []byte, dst, src uint64, vid uint16, from, to uint32, port uint16, n int) {
	binary.BigEndian.PutUint64(b[0:], dst<<16|src>>32)
	binary.BigEndian.PutUint32(b[8:], uint32(src))
	binary.BigEndian.PutUint32(b[12:], wire.EtherTypeVLAN<<16|tci|uint32(vid))
	binary.BigEndian.PutUint32(b[16:], wire.EtherTypeIPv4<<16|0x4500|cs6)
	ip := b[ipAt:udpAt]
	binary.BigEndian.PutUint16(ip[2:], uint16(udpAt-ipAt+wire.UDPLen+n))
	binary.BigEndian.PutUint16(ip[4:], vid)
	binary.BigEndian.PutUint16(ip[6:], dontFrag)
	ip[8], ip[9] = ttl, wire.ProtoUDP
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint32(ip[12:], from)
	binary.BigEndian.PutUint32(ip[16:], to)
	binary.BigEndian.PutUint16(ip[10:], checksum.Checksum(ip, 0))
	udp := b[udpAt:bodyAt]
	binary.BigEndian.PutUint16(udp[0:], port)
	binary.BigEndian.PutUint16(udp[2:], portBinding)
	binary.BigEndian.PutUint16(udp[4:], uint16(wire.UDPLen+n))
	binary.BigEndian.PutUint16(udp[6:], 0)
}

// message makes the frames of probes.
type message struct {
	buf [bodyAt + resolve.BodyLen + resolve.TagLen]byte
}

// probe returns the frame of a PROBE for box number of the egress switch, valid until the next call. stat names the
// path, now is its sequence.
func (m *message) probe(x *fib.Probe, stat uint32, number uint8, now int64, seal *Seal) []byte {
	body := resolve.Body{
		Op: resolve.OpProbe, Sequence: uint64(now), Segment: uint32(x.VID), IP4: stat,
		Switch: x.Own, Port: uint16(x.Number),
	}
	n := resolve.BodyLen
	if seal != nil {
		body.Flags, body.KeyID = resolve.FlagTag, seal.ID()
		n += resolve.TagLen
	}
	head(m.buf[:], x.DstMAC, x.SrcMAC, x.VID, x.Source, address(x, number), portBinding, n)
	body.Append(m.buf[:bodyAt])
	if seal != nil {
		end := bodyAt + resolve.BodyLen
		seal.Put(m.buf[end:], m.buf[bodyAt:end])
	}
	return m.buf[:bodyAt+n]
}

// address is the box address of box number at a path's egress switch.
func address(x *fib.Probe, number uint8) uint32 {
	return x.DstBase | uint32(number)<<(x.DstShift&31) | 1
}
