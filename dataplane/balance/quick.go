package balance

import (
	"encoding/binary"
	"math/bits"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// The offsets in a frame whose IPv4 header has no options, behind an outer header.
const (
	quickL4     = wire.EthernetLen + wire.IPv4Len
	quickLen    = quickL4 + wire.TCPLen
	atIP        = outerLen + wire.EthernetLen
	atTTL       = atIP + 8 // TTL 1 | protocol 1 | checksum 2
	atAddresses = atIP + 12
	atPorts     = outerLen + quickL4
	atUDPSum    = atPorts + wire.UDPChecksumOffset
	atTCPFlags  = atPorts + 13
	atTCPSum    = atPorts + wire.TCPChecksumOffset
)

// quick sends the packets on that nearly all packets are: TCP or UDP over IPv4 without options, of an established flow
// whose server takes them, of a service of one port, to a server's VIF. It leaves all others at NextBalance, unchanged.
// left is their number. What a packet leads to is the same after quick as after the long way (TestQuickWay and
// FuzzQuickWay compare the two). Where the access stage has read the frames, the flows are in Hits already.
//
// Most packets go by a plan, with their outer header, out of a port at once. Those whose flow has none go on to the
// stages that deliver and encapsulate.
func (st *State) quick(mem []byte, b *frame.Batch, s *fib.Snapshot) (todo uint32, left int) {
	st.sync(s)
	fragment := uint8(frame.BatchSize)
	if left = st.listed(b); left < 0 {
		left, fragment = st.list(mem, b, s)
	}
	list := st.Hits.List[:min(st.Hits.N, frame.BatchSize)]
	st.Hits.N = 0
	st.Flows.Hits(list, st.plan.stamp)
	return todo, left - st.hit(mem, b, s, list, fragment, &todo)
}

// listed returns the number of the packets at NextBalance if Hits has all of them, else -1.
func (st *State) listed(b *frame.Batch) (n int) {
	if st.Hits.N == 0 || st.Affinity.Workers > 1 {
		return -1
	}
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		if b.Pkt[i].Next == frame.NextBalance {
			n++
		}
	}
	if uint(n) != st.Hits.N {
		return -1
	}
	return n
}

// list puts the packets at NextBalance that may go the quick way into Hits. n is the number of all of them, fragment
// is the first fragment.
func (st *State) list(mem []byte, b *frame.Batch, s *fib.Snapshot) (n int, fragment uint8) {
	spread := st.Affinity.Workers > 1
	st.Hits.N, fragment = 0, frame.BatchSize
	loc, vip, tcp, udp := fib.None, uint32(0), uint64(0), uint64(0) // the virtual address of the packet before
	for i := range b.Pkt[:min(uint(b.N), frame.BatchSize)] {
		p := &b.Pkt[i]
		if p.Next != frame.NextBalance {
			continue
		}
		n++
		if p.Flags&(frame.FlagIPv4|frame.FlagIPv6|frame.FlagFromFabric) == frame.FlagFromFabric &&
			parse.Inner(mem, p) != drop.None {
			continue
		}
		if p.Loc != loc {
			loc, vip, tcp, udp = p.Loc, 0, 0, 0
			if v := s.Directed4(loc); v != nil {
				vip, tcp, udp = v.IP4, flow.HitWord(v.Ref, wire.ProtoTCP), flow.HitWord(v.Ref, wire.ProtoUDP)
			}
		}
		word := tcp
		if p.Proto != wire.ProtoTCP {
			word = udp
		}
		at := uint64(p.Off - outerLen)
		if p.Flags&(frame.FlagIPv4|frame.FlagL4|frame.FlagFragment) != frame.FlagIPv4|frame.FlagL4 ||
			p.L3 != wire.EthernetLen || p.L4 != quickL4 || at+outerLen+quickLen > uint64(len(mem)) {
			if p.Has(frame.FlagFragment) {
				fragment = min(fragment, uint8(i))
			}
			continue
		}
		f := (*[outerLen + quickLen]byte)(mem[at:])
		addrs := binary.BigEndian.Uint64(f[atAddresses : atAddresses+8])
		if uint32(addrs) != vip || f[atTTL] <= 1 || f[atTTL+1] != uint8(word>>24) || fib.Marked(p.SrcMAC) ||
			spread && p.Kind < flowHop && st.Affinity.Target(p.Hash) != st.Affinity.Self {
			continue
		}
		st.Hits.Add(i, uint32(addrs>>32), binary.BigEndian.Uint32(f[atPorts:atPorts+4]), word)
	}
	return n, fragment
}

// hit sends the packets of the list on to the servers of their flows, and returns their number. A packet behind a
// fragment does not go out of a port at once, since the fragment may be of its flow.
func (st *State) hit(
	mem []byte, b *frame.Batch, s *fib.Snapshot, list []flow.Hit, fragment uint8, todo *uint32,
) (sent int) {
	env, late := st.Env, uint64(0) // late: flows, by a hash, of which a packet takes the long way; none overtakes it
	for i := range list {
		h := &list[i]
		p := &b.Pkt[h.Pkt%frame.BatchSize]
		n := h.Plan
		if !h.OK || late&h.Bit() != 0 {
			late |= h.Bit()
			continue
		}
		if n == 0 {
			n = st.planFor(p, s, h)
		}
		if n >= plans || h.Pkt > fragment {
			if st.established(mem, p, s, h) {
				sent++
				*todo |= p.Next.Bit()
			} else {
				late |= h.Bit()
			}
			continue
		}
		r := &st.plan.list[n]
		f := (*[outerLen + quickLen]byte)(mem[p.Off-outerLen:])
		switch {
		case p.Len > r.most:
			late |= h.Bit()
			continue
		case r.udp:
			if c := binary.LittleEndian.Uint16(f[atUDPSum : atUDPSum+2]); c != 0 {
				binary.LittleEndian.PutUint16(f[atUDPSum:atUDPSum+2], checksum.NonZero(add(c, r.delta)))
			}
		case f[atTCPFlags]&(wire.TCPSyn|wire.TCPRst|wire.TCPFin) != 0:
			late |= h.Bit()
			continue
		default:
			c := binary.LittleEndian.Uint16(f[atTCPSum : atTCPSum+2])
			binary.LittleEndian.PutUint16(f[atTCPSum:atTCPSum+2], add(c, r.delta))
		}
		st.Flows.Refresh(h.Slot)
		binary.LittleEndian.PutUint16(f[atPorts+2:atPorts+4], r.port)
		ttl := binary.LittleEndian.Uint32(f[atTTL : atTTL+4])
		binary.LittleEndian.PutUint32(f[atTTL:atTTL+4], ttl&0xffff-1|uint32(add(uint16(ttl>>16), 0xfffe))<<16)
		binary.LittleEndian.PutUint64(f[outerLen:outerLen+8], r.mac0)
		binary.LittleEndian.PutUint32(f[outerLen+8:outerLen+12], r.mac1)
		if r.count == 0 {
			st.plan.dirty = append(st.plan.dirty, uint16(n))
		}
		r.count += 1<<countShift + uint64(p.Len)
		if !r.local {
			total := uint32(p.Len) + outerIP
			sum := uint32(r.sum) + uint32(p.TOS) + total
			sum = sum>>16 + sum&0xffff
			sum = ^(sum>>16 + sum)
			binary.LittleEndian.PutUint64(f[0:8], r.w0)
			binary.LittleEndian.PutUint64(f[8:16], r.w1|uint64(p.PCP)<<53)
			binary.LittleEndian.PutUint64(f[16:24],
				r.w2|uint64(p.TOS)<<24|uint64(bits.ReverseBytes16(uint16(total)))<<32)
			binary.LittleEndian.PutUint64(f[24:32], fib.HeadW3|uint64(bits.ReverseBytes16(uint16(sum)))<<32)
			binary.LittleEndian.PutUint64(f[30:38], r.addrs)
			p.Off -= outerLen
			p.Len += outerLen
		}
		if sent++; !env.Send(p, r.out) {
			*todo |= 1 << frame.NextTx
		}
	}
	return sent
}

// add returns checksum c, in either byte order, after what it covers has grown by delta (RFC 1624, equation 3).
func add(c, delta uint16) uint16 {
	s := uint32(^c) + uint32(delta)
	return ^uint16(s>>16 + s)
}

// established sends p on to the server of its flow, which has no plan. It returns false if p needs the long way.
func (st *State) established(mem []byte, p *frame.Packet, s *fib.Snapshot, h *flow.Hit) bool {
	ref := st.Flows.Entry(h.Slot).Server()
	i := ref & fib.RefMask
	if uint(i) >= uint(len(s.Servers)) {
		return false
	}
	sv := &s.Servers[i]
	if sv.Ref != ref || !quickServer(sv, s) {
		return false
	}
	l4 := mem[p.Off+uint32(p.L4) : p.Off+uint32(p.Len)]
	port := binary.BigEndian.Uint16(l4[2:4])
	if !quickService(&s.Services[sv.Service], p, port) || !keeps(sv, flow.Established, p.Proto, 0) ||
		p.Proto == wire.ProtoTCP && l4[13]&(wire.TCPSyn|wire.TCPRst|wire.TCPFin) != 0 {
		return false
	}
	st.Flows.Refresh(h.Slot)
	st.send(mem, p, s, &work{kind: whole, service: sv.Service, port: port, proto: p.Proto}, i)
	return true
}
