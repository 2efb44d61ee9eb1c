package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
)

// udpInner is the offset of the inner frame of a frame of form "udp" from the fabric, udpNext6 that of the next header
// field of an IPv6 packet in it.
const (
	udpInner = ethLen + ipLen + udpLen
	udpNext6 = next6 + udpLen
)

// quickFabricUDP is quickFabric for ports of form "udp". It leaves frames with a UDP checksum to the long way. It is a
// function of its own so that quickFabric has constant offsets and no further comparison.
func quickFabricUDP(
	mem []byte, b *frame.Batch, i int, f *fib.Fabric, s *fib.Snapshot, st *State,
) (next int, todo uint32) {
	for ; uint(i) < uint(min(b.N, frame.BatchSize)); i++ {
		p := &b.Pkt[i]
		off, n := uint64(p.Off), uint64(p.Len)
		if n < udpInner+ethLen || off+n > uint64(len(mem)) {
			return i, todo
		}
		h := (*[udpInner + ethLen]byte)(mem[off:])
		if binary.BigEndian.Uint64(h[0:8])>>16 != f.OwnMAC ||
			binary.BigEndian.Uint64(h[6:14]) != f.SwitchMAC<<16|wire.EtherTypeIPv4 || f.SwitchMAC == 0 {
			return i, todo
		}
		w0, w1 := binary.BigEndian.Uint64(h[14:22]), binary.BigEndian.Uint64(h[22:30])
		w2, udp := binary.BigEndian.Uint32(h[30:34]), binary.BigEndian.Uint64(h[34:42])
		total, size := w0>>32&0xffff, udp>>16&0xffff
		if w0&quickOuterMask != quickOuter || uint8(w1>>48) != wire.ProtoUDP || ethLen+total > n ||
			total < ipLen+udpLen+ethLen || !parse.SumOK(w0, w1, w2) ||
			uint16(udp>>32) != f.UDP || f.UDP == 0 || uint16(udp) != 0 || size < udpLen+ethLen || ipLen+size > total {
			return i, todo
		}
		addrs := w1<<32 | uint64(w2)
		d := &st.segments[cacheSlot(addrs)]
		dst, link := binary.BigEndian.Uint64(h[42:50])>>16, binary.BigEndian.Uint64(h[48:56])
		inner := uint16(link)
		if d.addrs != addrs || addrs == 0 || d.port != p.Port || dst>>40&1 != 0 || link>>16 == 0 || link>>56&1 != 0 ||
			inner != wire.EtherTypeIPv4 &&
				!(inner == wire.EtherTypeIPv6 && n > udpNext6 && noDiscovery6(mem[off+udpNext6])) {
			return i, todo
		}
		if st.Spread.Workers > 1 &&
			st.Spread.HandOff(p, parse.InnerHash(mem, p, udpInner, uint16(total-ipLen-udpLen))) {
			todo |= 1 << frame.NextHandoff
			continue
		}
		p.Off += udpInner
		p.Len = uint16(size - udpLen)
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
