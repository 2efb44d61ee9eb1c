package traffic

import (
	"encoding/binary"
	"fmt"

	"penstock/dataplane/wire/checksum"
)

// builder puts a frame together, header by header, and notes what of it varies.
type builder struct {
	b      []byte
	vars   []variable
	values int // of the variables
	seed   uint32
	writes []write
	areas  []area
	length int // index of the value that is the frame's length, −1 = fixed

	inner, l3, l4 int // where the innermost headers begin
	flow          int // index of the flows' address; the port is behind it
	flowPort      int // where their port stands, if it is always the same
	end           int // where the innermost packet ends, and padding begins
}

// area is what a checksum covers.
type area struct {
	sum        int // offset of the checksum field
	start, end int // end −1: to the end of the packet
	// pseudo-header
	from, to int // addresses
	proto    uint8
	ip       bool // there is a pseudo-header
	udp      bool
}

// grow appends n zeros and returns their offset.
func (b *builder) grow(n int) int {
	at := len(b.b)
	b.b = append(b.b, make([]byte, n)...)
	return at
}

func (b *builder) put16(at int, v uint16) { binary.BigEndian.PutUint16(b.b[at:], v) }

// field puts a value of width octets (1, 2, 4, 6, 8, 16) at off. If the value varies, its low four octets do; add is
// the constant that shares these octets.
func (b *builder) field(name string, off, width int, n number, add uint32) {
	if width == 16 {
		binary.BigEndian.PutUint64(b.b[off:], n.hi)
		off, width = off+8, 8
	}
	v := n.from + uint64(add)
	for i := range width {
		b.b[off+i] = byte(v >> (8 * (width - 1 - i)))
	}
	if !n.varies {
		return
	}
	narrow := min(width, 4)
	off += width - narrow
	clear(b.b[off : off+narrow])
	b.write(b.variable(n.variable(name, uint8(narrow))), off, narrow, add)
}

// masked notes that the last write, if n varies, is to some bits of the field only.
func (b *builder) masked(n number, mask uint32) {
	if n.varies {
		b.writes[len(b.writes)-1].mask = mask
	}
}

// variable adds v and returns the index of its value.
func (b *builder) variable(v variable) int {
	v.out = uint8(b.values)
	b.values++
	if v.op == opTuple {
		b.values++
	}
	b.vars = append(b.vars, v)
	return int(v.out)
}

func (b *builder) write(from, off, width int, add uint32) {
	b.writes = append(b.writes, write{
		off: uint16(off), from: uint8(from), width: uint8(width), add: add, odd: off&1 != 0,
	})
}

func (b *builder) ethernet(e *ethernet) {
	at := b.grow(12)
	b.field("eth_dst", at, 6, e.dst, 0)
	b.field("eth_src", at+6, 6, e.src, 0)
}

func (b *builder) tag(i int, v *vlan) {
	at := b.grow(4)
	b.put16(at, v.tpid)
	b.field(fmt.Sprintf("vlan%d_id", i), at+2, 2, v.id, uint32(v.pcp)<<13)
	b.masked(v.id, 0xfff)
}

// lengths notes a field that holds the octets from off to the end of the frame.
func (b *builder) lengths(at, off int) {
	if b.length >= 0 {
		b.put16(at, 0)
		b.write(b.length, at, 2, uint32(-off))
	}
}

// spec puts the whole frame of n octets together; n is the largest length if lengths vary.
func (b *builder) spec(s *spec, n int) {
	if s.outer != nil {
		b.outer(s, n)
	}
	b.inner = len(b.b)
	b.ethernet(&s.eth)
	for i := range s.vlans {
		b.tag(i, &s.vlans[i])
	}
	b.end = n
	if s.bare {
		b.end = s.headerLen()
	}
	at := b.grow(2)
	b.l3 = len(b.b)
	switch {
	case s.ip4 != nil:
		b.put16(at, 0x0800)
		b.ipv4(s)
	case s.ip6 != nil:
		b.put16(at, 0x86dd)
		b.ipv6(s)
	case s.arp != nil:
		b.put16(at, 0x0806)
		b.arp(s.arp)
	case s.eth.typ != 0:
		b.put16(at, s.eth.typ)
	default:
		b.put16(at, 0x88b6) // local experimental 2 (IEEE 802)
	}
	at = b.grow(n - len(b.b))
	if s.arp == nil && !s.bare {
		for i := at; i < n; i++ {
			b.b[i] = s.fill
		}
		if s.sign {
			clear(b.b[n-SignatureLen:])
		}
	}
}

// outer writes the outer header of form "ip".
func (b *builder) outer(s *spec, n int) {
	o := s.outer
	b.ethernet(&ethernet{src: o.src, dst: o.dst})
	if o.vid != 0 {
		at := b.grow(4)
		b.put16(at, 0x8100)
		b.put16(at+2, uint16(o.pcp)<<13|o.vid)
	}
	b.put16(b.grow(2), 0x0800)
	at := b.grow(20)
	b.b[at] = 0x45
	switch {
	case s.ip4 != nil:
		b.b[at+1] = s.ip4.dscp << 2
	case s.ip6 != nil:
		b.b[at+1] = s.ip6.class &^ 3
	}
	b.put16(at+2, uint16(n-at))
	b.lengths(at+2, at)
	b.put16(at+4, o.path)
	b.b[at+6] = 0x40
	b.b[at+8], b.b[at+9] = o.ttl, 143
	b.areas = append(b.areas, area{sum: at + 10, start: at, end: at + 20})
	b.special("overlay_segment", at+12, o.wide, o.srcPort, o.segment)
	b.special("overlay_tenant", at+16, o.wide, o.dstPort, o.tenant)
}

// special writes a special address of the fabric: the prefix of a port, and an ID.
func (b *builder) special(name string, at int, wide bool, port uint8, id number) {
	if wide {
		b.field(name, at, 4, id, uint32(port)<<24)
		b.masked(id, 0xffffff)
		return
	}
	b.b[at], b.b[at+1] = 10, port
	b.field(name, at+2, 2, id, 0)
}

func (b *builder) ipv4(s *spec) {
	h, at := s.ip4, b.grow(20)
	b.b[at] = 0x45
	b.b[at+1] = h.dscp << 2
	b.put16(at+2, uint16(b.end-at))
	b.lengths(at+2, at)
	b.field("ipv4_id", at+4, 2, h.id, 0)
	if h.df {
		b.b[at+6] = 0x40
	}
	b.field("ipv4_ttl", at+8, 1, h.ttl, 0)
	b.field("ipv4_protocol", at+9, 1, h.proto, 0)
	b.areas = append(b.areas, area{sum: at + 10, start: at, end: at + 20})
	b.addresses("ipv4", at+12, 4, h.src, h.dst, s.flows)
	b.transport(s, at+12, at+20, uint8(h.proto.from))
}

func (b *builder) ipv6(s *spec) {
	h, at := s.ip6, b.grow(40)
	b.field("ipv6_flow_label", at, 4, h.label, 6<<28|uint32(h.class)<<20)
	b.masked(h.label, 0xfffff)
	b.put16(at+4, uint16(b.end-at-40))
	b.lengths(at+4, at+40)
	b.field("ipv6_next_header", at+6, 1, h.next, 0)
	b.field("ipv6_hop_limit", at+7, 1, h.hop, 0)
	b.addresses("ipv6", at+8, 16, h.src, h.dst, s.flows)
	b.transport(s, at+8, at+40, uint8(h.next.from))
}

// addresses writes source and destination, of width octets each; flows replace one of them.
func (b *builder) addresses(name string, at, width int, src, dst number, f *flows) {
	if f == nil {
		b.field(name+"_src", at, width, src, 0)
		b.field(name+"_dst", at+width, width, dst, 0)
		return
	}
	end, off := &src, at
	if f.dst {
		end, off = &dst, at+width
	}
	*end = number{hi: f.address.hi, from: f.address.from}
	b.field(name+"_src", at, width, src, 0)
	b.field(name+"_dst", at+width, width, dst, 0)
	off += width - 4
	clear(b.b[off : off+4])
	v := f.address.variable("flow", 4)
	v.flows, v.port = f, uint32(f.port.from)
	if n := uint64(f.count); n > v.count.d {
		v.op, v.limit = opTuple, newDivisor(n)
	} else { // every flow has an address of its own
		v.count = newDivisor(n)
	}
	b.flow = b.variable(v)
	b.write(b.flow, off, 4, 0)
}

// ports writes source and destination port.
func (b *builder) ports(name string, at int, src, dst number, f *flows) {
	if f == nil {
		b.field(name+"_src_port", at, 2, src, 0)
		b.field(name+"_dst_port", at+2, 2, dst, 0)
		return
	}
	end, off := &src, at
	if f.dst {
		end, off = &dst, at+2
	}
	*end = constant(f.port.from)
	b.field(name+"_src_port", at, 2, src, 0)
	b.field(name+"_dst_port", at+2, 2, dst, 0)
	if uint64(f.count) > f.address.count() {
		clear(b.b[off : off+2])
		b.write(b.flow+1, off, 2, 0)
	} else {
		b.flowPort = off
	}
}

func (b *builder) transport(s *spec, from, to int, proto uint8) {
	at := len(b.b)
	b.l4 = at
	a := area{start: at, end: -1, from: from, to: to, proto: proto, ip: true}
	switch {
	case s.udp != nil:
		b.grow(8)
		b.ports("udp", at, s.udp.src, s.udp.dst, s.flows)
		b.put16(at+4, uint16(b.end-at))
		b.lengths(at+4, at)
		if !s.udp.sum {
			return
		}
		a.sum, a.udp = at+6, true
	case s.tcp != nil:
		b.tcp(s.tcp, at, s.flows)
		a.sum = at + 16
	case s.icmp != nil:
		b.grow(8)
		b.b[at], b.b[at+1] = s.icmp.typ, s.icmp.code
		b.field("icmp_id", at+4, 2, s.icmp.id, 0)
		b.field("icmp_seq", at+6, 2, s.icmp.seq, 0)
		a.sum, a.ip = at+2, s.ip6 != nil
	default:
		return
	}
	if b.length >= 0 && a.ip {
		b.write(b.length, 0, 0, uint32(-at))
		b.writes[len(b.writes)-1].sums = 1 << len(b.areas)
	}
	b.areas = append(b.areas, a)
}

func (b *builder) tcp(t *tcp, at int, f *flows) {
	b.grow(t.len())
	b.ports("tcp", at, t.src, t.dst, f)
	b.field("tcp_seq", at+4, 4, t.seq, t.seqAdd)
	b.field("tcp_ack", at+8, 4, t.ack, t.ackAdd)
	b.b[at+12] = byte(t.len() / 4 << 4)
	b.b[at+13] = t.flags
	b.field("tcp_window", at+14, 2, t.window, 0)
	if t.mss != 0 {
		b.b[at+20], b.b[at+21] = 2, 4
		b.put16(at+22, t.mss)
	}
}

func (b *builder) arp(a *arp) {
	at := b.grow(28)
	b.put16(at, 1)
	b.put16(at+2, 0x0800)
	b.b[at+4], b.b[at+5] = 6, 4
	b.put16(at+6, a.op)
	b.field("arp_sender_mac", at+8, 6, a.senderMAC, 0)
	b.field("arp_sender_ip", at+14, 4, a.senderIP, 0)
	b.field("arp_target_mac", at+18, 6, a.targetMAC, 0)
	b.field("arp_target_ip", at+24, 4, a.targetIP, 0)
}

// draws gives each of the frame's short random values its place among the draws of a packet: they share one generator,
// whose seed is multiplied as TRex does for its first thread.
func (b *builder) draws() {
	n := uint32(0)
	for i := range b.vars {
		if b.vars[i].op == opShort {
			b.vars[i].place = n
			n++
		}
	}
	for i := range b.vars {
		if b.vars[i].op == opShort {
			b.vars[i].draws, b.vars[i].seed = n, b.seed*trexThread
		}
	}
}

// trexThread is what TRex multiplies a stream's random_seed by on its first core.
const trexThread = 514229

// covers reports whether a checksum covers the octet at off.
func (a *area) covers(off int) bool {
	return off >= a.start && (a.end < 0 || off < a.end) || a.ip && off >= a.from && off < a.to
}

// lane finishes the frame: checksums that never change are written, of the others the constant part is kept.
func (b *builder) lane(sign bool) lane {
	l := lane{frame: b.b, sign: sign, length: int8(b.length), vars: b.vars, writes: b.writes}
	b.draws()
	for i := range l.writes {
		w := &l.writes[i]
		for k := range b.areas {
			if w.width > 0 && b.areas[k].covers(int(w.off)) {
				w.sums |= 1 << k
			}
		}
	}
	used := make([]int, len(b.areas)) // number of writes
	for _, w := range l.writes {
		for k := range used {
			used[k] += int(w.sums >> k & 1)
		}
	}
	renumber := make([]int, len(b.areas))
	for k := range b.areas {
		a := &b.areas[k]
		base := a.base(b.b, b.end, b.length >= 0)
		renumber[k] = -1
		zero := uint16(0)
		if a.udp {
			zero = 0xffff
		}
		if used[k] > 0 {
			renumber[k] = len(l.sums)
			l.sums = append(l.sums, sum{uint16(a.sum), base, zero})
			continue
		}
		c := ^checksum.Fold(base)
		if c == 0 {
			c = zero
		}
		b.put16(a.sum, c)
	}
	for i := range l.writes {
		w := &l.writes[i]
		var sums uint8
		for k, to := range renumber {
			if w.sums>>k&1 != 0 && to >= 0 {
				sums |= 1 << to
			}
		}
		w.sums = sums
		for k := range w.cover {
			if sums>>k&1 != 0 {
				w.cover[k] = ^uint32(0)
			}
		}
	}
	return l
}

// base sums the constant part of the area in frame f, whose packet ends at packet. The pseudo-header's length is left
// out if it varies.
func (a *area) base(f []byte, packet int, varies bool) uint32 {
	end := a.end
	if end < 0 {
		end = packet
	}
	s := checksum.Sum(f[a.start:end], 0)
	if a.ip {
		s += checksum.Sum(f[a.from:a.to], 0) + uint32(a.proto)
		if !varies {
			s += uint32(end - a.start)
		}
	}
	return uint32(checksum.Fold(s))
}
