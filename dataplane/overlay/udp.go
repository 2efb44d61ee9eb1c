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

// The form "udp" (PROTOCOL.md#in-udp): between the outer IPv4 header and the inner frame is a UDP header. Its source
// port differs from flow to flow, so that NICs and switches can tell flows apart that have the same two addresses.
//
//	 0      6     12     16   18                      38        46
//	[dst 6][src 6][tag 4][type][IPv4 20: proto 17 ... ][UDP 8   ][inner Ethernet …

const (
	udpLen      = wire.UDPLen
	udpOuterLen = outerLen + udpLen

	// The source ports: dynamic ones (RFC 6335, 6), of which there are 2^14.
	udpSource     = 49152
	udpSourceMask = 1<<14 - 1
)

// encapsulateUDP writes the outer header of p, whose path has form "udp", and sends p. It returns the bit of the next
// stage, 0 if p has been sent.
func (st *State) encapsulateUDP(p *frame.Packet, path *fib.Path) (todo uint32) {
	s := st.Snap
	mtu := path.Form.TenantMTU(path.MTU)
	if uint32(p.Len) > uint32(mtu)+ethLen {
		st.TooBig(p, mtu, drop.TooBig)
		return p.Next.Bit()
	}
	if p.Proto == protoTCP && p.Flags&frame.FlagL4 != 0 && s.Ports[p.Port].ClampMSS {
		st.clamp(p, min(mtu, s.Ports[p.Port].MTU))
	}
	src, dst := path.Addresses(p.Loc, &s.Segments[p.Seg])
	total := uint32(p.Len) + ipLen + udpLen
	sum := path.Head.Sum + uint32(p.TOS) + total + src>>16 + src&0xffff + dst>>16 + dst&0xffff

	off, n := p.Off-udpOuterLen, p.Len+udpOuterLen
	h := (*[udpOuterLen]byte)(st.Mem[off:])
	binary.LittleEndian.PutUint64(h[0:8], path.Head.W0)
	binary.LittleEndian.PutUint64(h[8:16], path.Head.W1|uint64(p.PCP)<<53)
	binary.LittleEndian.PutUint64(h[16:24], path.Head.W2|uint64(p.TOS)<<24)
	binary.BigEndian.PutUint16(h[20:22], uint16(total))
	binary.BigEndian.PutUint32(h[24:28], wire.IPv4DF<<16|64<<8|wire.ProtoUDP)
	binary.BigEndian.PutUint16(h[28:30], ^checksum.Fold(sum))
	binary.BigEndian.PutUint64(h[30:38], uint64(src)<<32|uint64(dst))
	binary.BigEndian.PutUint64(h[38:46], uint64(udpSource|p.Hash&udpSourceMask)<<48|uint64(path.UDP)<<32|
		uint64(p.Len+udpLen)<<16)

	st.Paths.AddPacket(int(path.Stat)*stats.TrafficLen, n)
	if p.Off, p.Len = off, n; !st.Send(p, path.Port) {
		return 1 << frame.NextTx
	}
	return 0
}

// inside returns where the inner frame begins, from the outer IPv4 header at the start of l3, and its length by the
// outer headers. The header has no options, and its total length is not more than l3. A packet that is not encapsulated
// as the port has it is dropped for why.
func inside(l3 []byte, proto uint8, f *fib.Fabric) (at uint16, n int, why drop.Reason) {
	ip := l3[:binary.BigEndian.Uint16(l3[2:4])]
	if proto == protoEthernet {
		if f.Form != fib.FormIP {
			return 0, 0, drop.FabricForm
		}
		return ipLen, len(ip) - ipLen, drop.None
	}
	if len(ip) < ipLen+udpLen {
		if f.Form != fib.FormUDP {
			return 0, 0, drop.FabricProtocol
		}
		return 0, 0, drop.FabricUDP
	}
	udp := wire.UDP(ip[ipLen:])
	switch n := int(binary.BigEndian.Uint16(udp[4:])); {
	case udp.DstPort() != f.UDP || f.UDP == 0:
		return 0, 0, drop.FabricProtocol
	case f.Form != fib.FormUDP:
		return 0, 0, drop.FabricForm
	case n < udpLen || n > len(udp):
		return 0, 0, drop.FabricUDP
	case udp.Checksum() != 0 && checksum.Checksum(udp[:n], pseudo(ip, n)) != 0:
		return 0, 0, drop.FabricUDPChecksum
	default:
		return ipLen + udpLen, n - udpLen, drop.None
	}
}

// pseudo returns the sum of the pseudo-header of a UDP datagram of n octets in ip.
func pseudo(ip []byte, n int) uint32 {
	h := wire.IPv4(ip)
	return checksum.PseudoIPv4(h.Src(), h.Dst(), wire.ProtoUDP, uint16(n))
}
