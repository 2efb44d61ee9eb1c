package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// VXLAN (RFC 7348, PROTOCOL.md#in-vxlan). The header behind UDP is eight octets: flags, of which I says that there is
// a VNI, 24 bits that are 0, the VNI, and eight bits that are 0.
//
//	 0      6     12     14                       34     42       50
//	[dst 6][src 6][0800][IPv4 20: proto 17 ...   ][UDP 8][VXLAN 8][inner Ethernet …
//	 0      6     12     14                       54     62       70
//	[dst 6][src 6][86dd][IPv6 40: proto 17 ...   ][UDP 8][VXLAN 8][inner Ethernet …
const (
	vxlanLen    = 8
	vxlanPort   = 4789
	vxlanOuter  = ethLen + ipLen + udpLen + vxlanLen
	vxlanOuter6 = ethLen + wire.IPv6Len + udpLen + vxlanLen

	vxlanFlags = 0x08 << 56 // of the header's first eight octets: I
)

// encapsulateVXLAN writes the outer header of p, whose path leads to a VTEP, and sends p. It returns the bit of the
// next stage, 0 if p has been sent.
func (st *State) encapsulateVXLAN(p *frame.Packet, path *fib.Path) (todo uint32) {
	s := st.Snap
	seg := &s.Segments[p.Seg]
	if seg.VNI == 0 {
		p.DropFor(drop.VXLANNoVNI)
		return 1 << frame.NextDrop
	}
	mtu := path.Form.TenantMTU(path.MTU)
	if uint32(p.Len) > uint32(mtu)+ethLen {
		st.TooBig(p, mtu, drop.TooBig)
		return p.Next.Bit()
	}
	if p.Proto == protoTCP && p.Flags&frame.FlagL4 != 0 && s.Ports[p.Port].ClampMSS {
		st.clamp(p, min(mtu, s.Ports[p.Port].MTU))
	}
	ports := uint64(udpSource|p.Hash&udpSourceMask)<<48 | vxlanPort<<32 | uint64(p.Len+udpLen+vxlanLen)<<16
	vni := vxlanFlags | uint64(seg.VNI)<<8
	var n uint16
	if path.Form == fib.FormVXLAN {
		n = vxlanOuter
		total := uint32(p.Len) + vxlanOuter - ethLen
		h := (*[vxlanOuter]byte)(st.Mem[p.Off-vxlanOuter:])
		binary.LittleEndian.PutUint64(h[0:8], path.Head.W0)
		binary.LittleEndian.PutUint64(h[8:16], path.Head.W1|uint64(p.TOS)<<56)
		binary.BigEndian.PutUint64(h[16:24], uint64(total)<<48|wire.IPv4DF<<16|64<<8|wire.ProtoUDP)
		binary.BigEndian.PutUint16(h[24:26], ^checksum.Fold(path.Head.Sum+uint32(p.TOS)+total))
		binary.BigEndian.PutUint64(h[26:34], uint64(path.SrcPrefix)<<32|uint64(path.DstBase))
		binary.BigEndian.PutUint64(h[34:42], ports)
		binary.BigEndian.PutUint64(h[42:50], vni)
	} else {
		n = vxlanOuter6
		size := uint32(p.Len) + udpLen + vxlanLen
		h := (*[vxlanOuter6]byte)(st.Mem[p.Off-vxlanOuter6:])
		binary.LittleEndian.PutUint64(h[0:8], path.Head.W0)
		binary.LittleEndian.PutUint64(h[8:16], path.Head.W1|uint64(p.TOS>>4)<<48|uint64(p.TOS<<4)<<56)
		binary.BigEndian.PutUint64(h[16:24], uint64(size)<<32|wire.ProtoUDP<<24|64<<16|path.Src6[0]>>48)
		binary.BigEndian.PutUint64(h[22:30], path.Src6[0])
		binary.BigEndian.PutUint64(h[30:38], path.Src6[1])
		binary.BigEndian.PutUint64(h[38:46], path.Dst6[0])
		binary.BigEndian.PutUint64(h[46:54], path.Dst6[1])
		binary.BigEndian.PutUint64(h[54:62], ports)
		binary.BigEndian.PutUint64(h[62:70], vni)
		sum := path.Head.Sum + 2*size + uint32(ports>>48) + vxlanFlags>>48 + seg.VNI>>8 + seg.VNI<<8&0xffff
		sum = checksum.Sum(st.Mem[p.Off:p.Off+uint32(p.Len)], uint32(checksum.Fold(sum)))
		binary.BigEndian.PutUint16(h[60:62], checksum.NonZero(^checksum.Fold(sum)))
	}
	p.Off -= uint32(n)
	p.Len += n
	st.Paths.AddPacket(int(path.Stat)*stats.TrafficLen, p.Len)
	if !st.Send(p, path.Port) {
		return 1 << frame.NextTx
	}
	return 0
}
