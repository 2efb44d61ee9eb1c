package overlay

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// fabricVXLAN is Fabric for a port with VXLAN, which has no edge switch: it accepts packets to the port's own address
// from the VTEPs that are known, whatever the MAC of the next hop.
func (st *State) fabricVXLAN(b *frame.Batch, f *fib.Fabric) (todo uint32) {
	mem, s := st.Mem, st.Snap
	for i := 0; ; i++ {
		var done uint32
		if f.Form == fib.FormVXLAN {
			i, done = quickVXLAN(mem, b, i, f, s, st)
			todo |= done
		}
		if i >= b.N {
			return todo
		}
		p := &b.Pkt[i]
		if parse.Access(mem, p) {
			st.fromUnderlay(mem, p, f, s)
			if p.Next == frame.NextLookup {
				st.queueLookup(i, p.Seg, p.DstMAC, s)
			}
		}
		todo |= p.Next.Bit()
	}
}

// fromUnderlay takes a parsed frame of a port with VXLAN.
func (st *State) fromUnderlay(mem []byte, p *frame.Packet, f *fib.Fabric, s *fib.Snapshot) {
	switch {
	case p.EtherType == wire.EtherTypeLLDP:
		p.DropFor(drop.FabricNotIP)
		st.refused(mem, p)
		return
	case p.VID != 0:
		p.DropFor(drop.FabricVLAN)
		return
	case p.Flags&(frame.FlagARP|frame.FlagND) != 0:
		p.Next = frame.NextNeigh
		return
	case p.DstMAC != f.OwnMAC:
		p.DropFor(drop.FabricOwnMAC)
		return
	}
	v4 := f.Form == fib.FormVXLAN
	if !p.Has(frame.FlagIPv4) && v4 || !p.Has(frame.FlagIPv6) && !v4 {
		p.DropFor(drop.FabricNotIP)
		return
	}
	l3 := mem[p.Off+uint32(p.L3) : p.Off+uint32(p.Len)]
	var sw, sum uint32
	var known bool
	var head int
	if v4 {
		ip := wire.IPv4(l3)
		switch {
		case p.Has(frame.FlagFragment):
			p.DropFor(drop.FabricFragment)
			return
		case l3[0] != 0x45:
			p.DropFor(drop.FabricOptions)
			return
		case ip.Dst() != f.BoxIP || f.BoxIP == 0:
			p.DropFor(drop.FabricAddress)
			return
		}
		head, l3 = ipLen, l3[:ip.TotalLen()]
		sw, known = s.VXLAN.VTEPs4.Get(uint64(ip.Src()))
		sum = checksum.PseudoIPv4(ip.Src(), ip.Dst(), wire.ProtoUDP, 0)
	} else {
		ip := wire.IPv6(l3)
		switch {
		case p.Has(frame.FlagFragment):
			p.DropFor(drop.FabricFragment)
			return
		case ip.NextHeader() != p.Proto:
			p.DropFor(drop.FabricOptions)
			return
		case ip.Dst() != f.Own6 || f.Own6 == [2]uint64{}:
			p.DropFor(drop.FabricAddress)
			return
		}
		head, l3 = wire.IPv6Len, l3[:wire.IPv6Len+int(ip.PayloadLen())]
		sw, known = fib.FindVTEP6(s.VXLAN.VTEPs6, ip.Src())
		sum = checksum.PseudoIPv6(ip.Src(), ip.Dst(), wire.ProtoUDP, 0)
	}
	if p.Proto != wire.ProtoUDP {
		p.DropFor(drop.FabricProtocol)
		return
	}
	at, n, vni, why := insideVXLAN(l3, head, sum, v4 || f.ZeroChecksum6)
	if why == drop.None && !known {
		why = drop.VXLANVTEP
	}
	if why != drop.None {
		p.DropFor(why)
		return
	}
	if uint(sw) >= uint(len(s.Switches)) || s.Switches[sw].VTEP == nil {
		p.DropFor(drop.VXLANVTEP)
		return
	}
	at += p.L3
	if st.Spread.Workers > 1 && st.Spread.HandOff(p, parse.InnerHash(mem, p, at, uint16(n))) {
		return
	}
	st.untunnel(mem, p, s, sw, vni, at, n)
}

// insideVXLAN returns where the inner frame begins, from the outer IP header at the start of ip, its length and the
// VNI. UDP begins at offset head, and sum is that of the pseudo-header without the length. zero says that a checksum of
// 0 is accepted. A packet that is not VXLAN is dropped for why.
func insideVXLAN(ip []byte, head int, sum uint32, zero bool) (at uint16, n int, vni uint32, why drop.Reason) {
	if len(ip) < head+udpLen {
		return 0, 0, 0, drop.FabricUDP
	}
	udp := wire.UDP(ip[head:])
	switch n = int(udp.Length()); {
	case udp.DstPort() != vxlanPort:
		return 0, 0, 0, drop.FabricProtocol
	case n < udpLen || n > len(udp):
		return 0, 0, 0, drop.FabricUDP
	case udp.Checksum() == 0 && !zero:
		return 0, 0, 0, drop.VXLANZeroChecksum
	case udp.Checksum() != 0 && checksum.Checksum(udp[:n], sum+uint32(n)) != 0:
		return 0, 0, 0, drop.FabricUDPChecksum
	case n < udpLen+vxlanLen:
		return 0, 0, 0, drop.VXLANHeader
	}
	h := binary.BigEndian.Uint64(udp[udpLen:])
	if h&vxlanFlags == 0 {
		return 0, 0, 0, drop.VXLANHeader
	}
	return uint16(head + udpLen + vxlanLen), n - udpLen - vxlanLen, uint32(h>>8) & 0xffffff, drop.None
}

// untunnel removes the outer headers of a packet from the VTEP that is switch sw, and judges its sender.
func (st *State) untunnel(mem []byte, p *frame.Packet, s *fib.Snapshot, sw, vni uint32, at uint16, n int) {
	seg, ok := s.VXLAN.Segments.Get(uint64(vni))
	if !ok || uint(seg) >= uint(len(s.Segments)) {
		p.DropFor(drop.VXLANVNI)
		return
	}
	from := fib.VTEPLoc(sw)
	if v4 := p.Has(frame.FlagIPv4); v4 {
		src := binary.BigEndian.Uint32(mem[p.Off+uint32(p.L3)+ip4SourceOffset:])
		st.tunnels[tunnelSlot(src, vni)] = tunnel{src: src, vni: vni, seg: seg, from: from, port: p.Port,
			used: true, rx: s.Switches[sw].VTEP.Rx}
	}
	st.Paths.AddPacket(int(s.Switches[sw].VTEP.Rx)*stats.TrafficLen, p.Len)
	p.Seg = seg
	unwrap(mem, p, s, st, at, n)
	switch {
	case p.Next == frame.NextDrop:
		if p.Drop == drop.FabricInner && p.Len >= ethLen && tagged(p.EtherType) && p.Has(frame.FlagFromFabric) {
			p.Drop = drop.VXLANTag
		}
		return
	case wire.GroupMAC(p.DstMAC) && s.Segments[seg].Yielded:
		p.DropFor(drop.VXLANYielded)
		return
	case !st.admitsFrom(mem, p, s, sw):
		return
	}
	p.Loc = from
}

func tagged(t uint16) bool {
	return t == wire.EtherTypeVLAN || t == wire.EtherTypeSTag || t == wire.EtherTypeOldQinQ
}

// tunnels of a worker's cache.
const cachedTunnels = 256

// tunnel is the cache entry of a VNI from an IPv4 VTEP.
type tunnel struct {
	src, vni uint32
	seg      uint32
	from     fib.Loc
	rx       uint32
	port     uint16
	used     bool
}

func tunnelSlot(src, vni uint32) uint64 {
	return (uint64(src)<<32 | uint64(vni)) * 0x9e3779b97f4a7c15 >> (64 - 8) % cachedTunnels
}
