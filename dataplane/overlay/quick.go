package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// quickLen is the number of octets that quickAccess reads: Ethernet, tag, IPv4 and TCP without options.
const quickLen = ethLen + tagLen + ipLen + wire.TCPLen

// quickAccess is parse.Access and fromAccess in one pass, without calls, for nearly all frames: well-formed TCP or
// UDP over unfragmented IPv4 without options, from a cached station, to a unicast MAC. It processes packets from
// packet i on, stops at the first packet of any other kind, leaves that packet unchanged, and returns its index. A
// packet has the same fields after quickAccess as after parse.Access and fromAccess (TestQuick and FuzzQuick compare
// the two), or, to a virtual address that the station has sent to before, as after the lookup.
func quickAccess(
	mem []byte, b *frame.Batch, i int, port *fib.Port, s *fib.Snapshot, st *State,
) (next int, todo uint32) {
	for ; uint(i) < uint(min(b.N, frame.BatchSize)); i++ {
		p := &b.Pkt[i]
		off, n := uint64(p.Off), uint64(p.Len)
		if n < quickLen || off+n > uint64(len(mem)) {
			return i, todo
		}
		f := (*[quickLen]byte)(mem[off:])
		dst, link := binary.BigEndian.Uint64(f[0:8])>>16, binary.BigEndian.Uint64(f[6:14])
		d := &st.stations[cacheSlot(link>>16)]
		if link != d.quick || link == 0 || p.Port != d.port || dst>>40&1 != 0 {
			return i, todo
		}
		h := (*[ipLen + wire.TCPLen]byte)(f[ethLen:])
		tci := uint16(0)
		if d.tagged {
			t := binary.BigEndian.Uint32(f[14:18])
			if t&0x0fffffff != uint32(d.vid)<<16|wire.EtherTypeIPv4 {
				return i, todo
			}
			tci = uint16(t >> 16)
			h = (*[ipLen + wire.TCPLen]byte)(f[ethLen+tagLen:])
			n -= tagLen
		}
		w0, w1 := binary.BigEndian.Uint64(h[0:8]), binary.BigEndian.Uint64(h[8:16])
		w2 := binary.BigEndian.Uint32(h[16:20])
		total := w0 >> 32 & 0xffff
		if w0>>56 != 0x45 || w0&(wire.IPv4MF|wire.IPv4OffsetMask) != 0 || ethLen+total > n ||
			!parse.SumOK(w0, w1, w2) || (uint32(w1)^d.source)&d.mask != 0 {
			return i, todo
		}
		proto := uint8(w1 >> 48)
		if proto == wire.ProtoTCP {
			if hl := uint64(h[32]>>4) * 4; hl < wire.TCPLen || ipLen+hl > total {
				return i, todo
			}
		} else if proto != wire.ProtoUDP || total < ipLen+wire.UDPLen ||
			binary.BigEndian.Uint16(h[22:24]) == d.refused {
			return i, todo
		}
		hash := parse.FlowHash(w1<<32|uint64(w2), binary.BigEndian.Uint32(h[20:24]), proto)
		if st.Spread.Workers > 1 {
			if t := st.Spread.Target(hash); t != st.Spread.Self {
				p.Next, p.Out = frame.NextHandoff, uint16(t)
				todo |= 1 << frame.NextHandoff
				continue
			}
		}
		d.received.Packets++
		d.received.Bytes += uint64(p.Len)
		if d.tagged {
			high, low := binary.LittleEndian.Uint64(f[0:8]), binary.LittleEndian.Uint32(f[8:12])
			binary.LittleEndian.PutUint64(f[4:12], high)
			binary.LittleEndian.PutUint32(f[12:16], low)
			p.Off += tagLen
			p.Len -= tagLen
		}
		p.Out, p.L3, p.L4, p.EtherType = 0, ethLen, ethLen+ipLen, wire.EtherTypeIPv4
		p.Flags, p.VID, p.PCP, p.Proto = frame.FlagIPv4|frame.FlagL4, tci&0x0fff, uint8(tci>>13), proto
		p.TOS, p.Next, p.Drop, p.Kind = uint8(w0>>48), frame.NextLookup, drop.None, 0
		p.Hash, p.Seg, p.VIF, p.Attach, p.Loc = hash, d.seg, d.vif, d.at, 0
		p.DstMAC, p.SrcMAC = dst, link>>16
		if dst == d.router && dst != 0 {
			p.Next = frame.NextRoute
			todo |= 1 << frame.NextRoute
		} else if dst == d.vip {
			p.Loc, p.Next = d.vipLoc, frame.NextBalance
			todo |= 1 << frame.NextBalance
			if uint32(w2) == d.vipIP && w1>>56 > 1 && d.vipIP != 0 {
				st.Hits.Add(i, uint32(w1), binary.BigEndian.Uint32(h[20:24]), d.flow|uint64(proto)<<24)
			}
		} else {
			q := &st.lookups[st.pending&(frame.BatchSize-1)]
			st.pending++
			q.Hash, q.MAC, q.Seg, q.Pkt = s.Bindings.HashMAC(d.seg, dst), dst, d.seg, uint8(i)
			todo |= 1 << frame.NextLookup
		}
		if port.CompleteChecksums {
			completeChecksum(mem, p, st)
		}
	}
	return i, todo
}

// next6 is the offset of the next header field of an encapsulated IPv6 packet.
const next6 = ethLen + ipLen + ethLen + 6

// The first eight octets of the outer IPv4 headers that quickFabric accepts: without options, no fragment, and the
// lower bit of ECN is 0. With that bit, ECT(1) or CE, the inner packet may have to be changed.
const (
	quickOuterMask = 0xff<<56 | ecnECT1<<48 | wire.IPv4MF | wire.IPv4OffsetMask
	quickOuter     = 0x45 << 56
)

// noDiscovery6 reports whether an IPv6 packet with this next header cannot be neighbour discovery: the next header is
// neither ICMPv6 nor an extension header, which ICMPv6 could follow.
func noDiscovery6(next uint8) bool {
	const others = 1<<wire.ProtoHopByHop | 1<<wire.ProtoRouting | 1<<wire.ProtoFragment | 1<<wire.ProtoAH |
		1<<protoICMPv6 | 1<<wire.ProtoDestOptions
	return next >= 64 || uint64(others)>>(next&63)&1 == 0
}

// quickFabric is parse.Fabric and decapsulate in one pass, for nearly all frames from the fabric: from the edge
// switch to this box, encapsulated without options, for a cached segment, with a unicast inner IP packet. Like
// quickAccess it stops at the first packet of any other kind. A packet has the same fields after quickFabric as after
// parse.Fabric and decapsulate.
func quickFabric(
	mem []byte, b *frame.Batch, i int, f *fib.Fabric, s *fib.Snapshot, st *State,
) (next int, todo uint32) {
	for ; uint(i) < uint(min(b.N, frame.BatchSize)); i++ {
		p := &b.Pkt[i]
		off, n := uint64(p.Off), uint64(p.Len)
		if n < ethLen+ipLen+ethLen || off+n > uint64(len(mem)) {
			return i, todo
		}
		h := (*[ethLen + ipLen + ethLen]byte)(mem[off:])
		if binary.BigEndian.Uint64(h[0:8])>>16 != f.OwnMAC ||
			binary.BigEndian.Uint64(h[6:14]) != f.SwitchMAC<<16|wire.EtherTypeIPv4 || f.SwitchMAC == 0 {
			return i, todo
		}
		w0, w1 := binary.BigEndian.Uint64(h[14:22]), binary.BigEndian.Uint64(h[22:30])
		w2 := binary.BigEndian.Uint32(h[30:34])
		total := w0 >> 32 & 0xffff
		if w0&quickOuterMask != quickOuter || uint8(w1>>48) != protoEthernet ||
			ethLen+total > n || total < ipLen+ethLen || !parse.SumOK(w0, w1, w2) {
			return i, todo
		}
		addrs := w1<<32 | uint64(w2)
		d := &st.segments[cacheSlot(addrs)]
		dst, link := binary.BigEndian.Uint64(h[34:42])>>16, binary.BigEndian.Uint64(h[40:48])
		inner := uint16(link)
		if d.addrs != addrs || addrs == 0 || d.port != p.Port || dst>>40&1 != 0 || link>>16 == 0 || link>>56&1 != 0 ||
			inner != wire.EtherTypeIPv4 && !(inner == wire.EtherTypeIPv6 && n > next6 && noDiscovery6(mem[off+next6])) {
			return i, todo
		}
		if st.Spread.Workers > 1 && st.Spread.HandOff(p, parse.InnerHash(mem, p, ethLen+ipLen, uint16(total-ipLen))) {
			todo |= 1 << frame.NextHandoff
			continue
		}
		p.Off += ethLen + ipLen
		p.Len = uint16(total - ipLen)
		p.Out, p.L3, p.L4, p.EtherType = 0, ethLen, 0, inner
		p.Flags, p.VID, p.PCP, p.Proto = frame.FlagFromFabric, 0, 0, protoEthernet
		p.TOS, p.Next, p.Drop, p.Kind = uint8(w0>>48), frame.NextLookup, drop.None, 0
		p.Hash, p.Seg, p.VIF, p.Attach, p.Loc = 0, d.seg, frame.NoIndex, frame.NoIndex, 0
		p.DstMAC, p.SrcMAC = dst, link>>16
		q := &st.lookups[st.pending&(frame.BatchSize-1)]
		st.pending++
		q.Hash, q.MAC, q.Seg, q.Pkt = s.Bindings.HashMAC(d.seg, dst), dst, d.seg, uint8(i)
		todo |= 1 << frame.NextLookup
	}
	return i, todo
}
