package balance

import (
	"encoding/binary"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// quick sends the packets on that nearly all packets are: TCP or UDP over IPv4, of an established flow whose server
// takes them, of a service of one port, to a server's VIF. It leaves all others at NextBalance, unchanged. A packet has
// the same fields and octets after quick as after the long way (TestQuickWay and FuzzQuickWay compare the two).
func (st *State) quick(mem []byte, b *frame.Batch, s *fib.Snapshot) (todo uint32) {
	n := min(uint(b.N), frame.BatchSize)
	k := uint(0)
	for i := range b.Pkt[:n] {
		p := &b.Pkt[i]
		if p.Next != frame.NextBalance {
			continue
		}
		if p.Flags&(frame.FlagIPv4|frame.FlagIPv6|frame.FlagFromFabric) == frame.FlagFromFabric &&
			parse.Inner(mem, p) != drop.None {
			continue
		}
		vip := fib.LocVIPIndex(p.Loc)
		if p.Flags&(frame.FlagIPv4|frame.FlagL4|frame.FlagFragment) != frame.FlagIPv4|frame.FlagL4 ||
			p.Proto != wire.ProtoTCP && p.Proto != wire.ProtoUDP || uint(vip) >= uint(len(s.VIPs)) ||
			fib.Marked(p.SrcMAC) {
			continue
		}
		v := &s.VIPs[vip]
		l3 := (*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])
		addrs := binary.BigEndian.Uint64(l3[12:20])
		if !v.Here || v.Own || v.V6 || uint32(addrs) != v.IP4 || l3[8] <= 1 || st.Affinity.Workers > 1 &&
			p.Kind < flowHop && st.Affinity.Target(p.Hash) != st.Affinity.Self {
			continue
		}
		h := &st.hits[k%frame.BatchSize]
		k++
		h.Pkt = uint8(i)
		h.Set(uint32(addrs>>32), binary.BigEndian.Uint32(mem[p.Off+uint32(p.L4):]), v.Ref, p.Proto)
	}
	list := st.hits[:min(k, frame.BatchSize)]
	st.Flows.Hits(list)
	late := uint64(0) // flows, by a hash, of which a packet takes the long way: no later one must overtake it
	for i := range list {
		h := &list[i]
		p := &b.Pkt[h.Pkt%frame.BatchSize]
		if flow := h.Bit(); h.OK && late&flow == 0 && st.established(mem, p, s, h) {
			todo |= p.Next.Bit()
		} else {
			late |= flow
		}
	}
	return todo
}

// established sends p on to the server of its flow. It returns false if p needs the long way.
func (st *State) established(mem []byte, p *frame.Packet, s *fib.Snapshot, h *flow.Hit) bool {
	i := h.Server & fib.RefMask
	if uint(i) >= uint(len(s.Servers)) {
		return false
	}
	sv := &s.Servers[i]
	if sv.Ref != h.Server || uint(sv.Service) >= uint(len(s.Services)) || sv.Direct ||
		uint(sv.Seg) >= uint(len(s.Segments)) {
		return false
	}
	next := frame.NextEncap
	if sv.Loc&fib.LocLocal != 0 {
		if next = frame.NextDeliver; uint(sv.Loc&^fib.LocLocal) >= uint(len(s.VIFs)) { // or not a VIF's
			return false
		}
	}
	svc := &s.Services[sv.Service]
	l4 := mem[p.Off+uint32(p.L4):]
	port := binary.BigEndian.Uint16(l4[2:4])
	if svc.VIP != fib.LocVIPIndex(p.Loc) || svc.Proto != p.Proto || svc.Port != port || svc.PortEnd != port ||
		svc.Hash == fib.HashQUIC || svc.OnePacket {
		return false
	}
	to := sv.Port
	if to == 0 {
		to = port
	}
	if h.UDP {
		if sv.Accept < fib.AcceptFlows {
			return false
		}
		u := (*[wire.UDPLen]byte)(l4)
		binary.BigEndian.PutUint16(u[6:8], checksum.UpdateUDP16(binary.BigEndian.Uint16(u[6:8]), port, to))
	} else {
		t := (*[wire.TCPLen]byte)(l4)
		if sv.Accept < fib.AcceptTCP || t[13]&(wire.TCPSyn|wire.TCPRst|wire.TCPFin) != 0 {
			return false
		}
		binary.BigEndian.PutUint16(t[16:18], checksum.Update16(binary.BigEndian.Uint16(t[16:18]), port, to))
	}
	binary.BigEndian.PutUint16(l4[2:4], to)
	st.Flows.Refresh(h.Slot)
	l3 := (*[wire.IPv4Len]byte)(mem[p.Off+uint32(p.L3):])
	binary.BigEndian.PutUint16(l3[10:12], checksum.Update16(binary.BigEndian.Uint16(l3[10:12]), 0x0100, 0))
	l3[8]--
	e := (*[2 * wire.MACLen]byte)(mem[p.Off:])
	binary.BigEndian.PutUint64(e[:8], sv.MAC<<16|sv.Source>>32&0xffff)
	binary.BigEndian.PutUint32(e[8:12], uint32(sv.Source))
	p.DstMAC, p.Seg, p.Loc, p.OldPort, p.Next = sv.MAC, sv.Seg, sv.Loc, port, next
	p.Flags |= frame.FlagBalanced
	st.Services.AddPacket(int(sv.Service)*stats.ServiceLen+stats.ServiceIn, p.Len)
	st.Servers.AddPacket(int(i)*stats.ServerLen+stats.ServerIn, p.Len)
	if next == frame.NextEncap {
		p.Flags &^= frame.FlagFromFabric
	}
	return true
}
