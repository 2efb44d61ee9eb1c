package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

// vxlanInner is the offset of the inner frame of a frame of VXLAN over IPv4, vxlanNext6 that of the next header field
// of an IPv6 packet in it.
const (
	vxlanInner = vxlanOuter
	vxlanNext6 = next6 + udpLen + vxlanLen
)

// quickVXLAN is quickFabric for ports with VXLAN over IPv4: for frames without a UDP checksum, of a VNI from a VTEP in
// the cache, whose sender is in the cache, too.
func quickVXLAN(
	mem []byte, b *frame.Batch, i int, f *fib.Fabric, s *fib.Snapshot, st *State,
) (next int, todo uint32) {
	for ; uint(i) < uint(min(b.N, frame.BatchSize)); i++ {
		p := &b.Pkt[i]
		off, n := uint64(p.Off), uint64(p.Len)
		if n < vxlanInner+ethLen || off+n > uint64(len(mem)) {
			return i, todo
		}
		h := (*[vxlanInner + ethLen]byte)(mem[off:])
		hop := binary.BigEndian.Uint64(h[6:14])
		if binary.BigEndian.Uint64(h[0:8])>>16 != f.OwnMAC || uint16(hop) != wire.EtherTypeIPv4 || hop>>16 == 0 ||
			hop>>56&1 != 0 {
			return i, todo
		}
		w0, w1 := binary.BigEndian.Uint64(h[14:22]), binary.BigEndian.Uint64(h[22:30])
		w2, udp := binary.BigEndian.Uint32(h[30:34]), binary.BigEndian.Uint64(h[34:42])
		vx := binary.BigEndian.Uint64(h[42:50])
		total, size := w0>>32&0xffff, udp>>16&0xffff
		if w0&quickOuterMask != quickOuter || uint8(w1>>48) != wire.ProtoUDP || ethLen+total > n ||
			w2 != f.BoxIP || w2 == 0 || !parse.SumOK(w0, w1, w2) || uint16(udp>>32) != vxlanPort || uint16(udp) != 0 ||
			size < udpLen+vxlanLen+ethLen || ipLen+size > total || vx&vxlanFlags == 0 {
			return i, todo
		}
		src, vni := uint32(w1), uint32(vx>>8)&0xffffff
		d := &st.tunnels[tunnelSlot(src, vni)]
		dst, link := binary.BigEndian.Uint64(h[50:58])>>16, binary.BigEndian.Uint64(h[56:64])
		inner := uint16(link)
		if d.src != src || d.vni != vni || !d.used || d.port != p.Port || dst>>40&1 != 0 ||
			inner != wire.EtherTypeIPv4 &&
				!(inner == wire.EtherTypeIPv6 && n > vxlanNext6 && noDiscovery6(mem[off+vxlanNext6])) {
			return i, todo
		}
		if from := &st.senders[senderSlot(link>>16, d.seg)]; from.mac != link>>16 || from.seg != d.seg ||
			from.at != d.from || st.Now >= from.due {
			return i, todo
		}
		if st.Spread.Workers > 1 &&
			st.Spread.HandOff(p, parse.InnerHash(mem, p, vxlanInner, uint16(size-udpLen-vxlanLen))) {
			todo |= 1 << frame.NextHandoff
			continue
		}
		st.Paths.AddPacket(int(d.rx)*stats.TrafficLen, p.Len)
		p.Off += vxlanInner
		p.Len = uint16(size - udpLen - vxlanLen)
		p.Out, p.L3, p.L4, p.EtherType = 0, ethLen, 0, inner
		p.Flags, p.VID, p.PCP, p.Proto = frame.FlagFromFabric, 0, 0, protoEthernet
		p.TOS, p.Next, p.Drop, p.Kind = uint8(w0>>48), frame.NextLookup, drop.None, 0
		p.Hash, p.Seg, p.VIF, p.Attach, p.Loc = 0, d.seg, frame.NoIndex, frame.NoIndex, d.from
		p.DstMAC, p.SrcMAC = dst, link>>16
		q := &st.lookups[st.pending&(frame.BatchSize-1)]
		st.pending++
		q.Hash, q.MAC, q.Seg, q.Pkt = s.Bindings.HashMAC(d.seg, dst), dst, d.seg, uint8(i)
		todo |= 1 << frame.NextLookup
	}
	return i, todo
}
