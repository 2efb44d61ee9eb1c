package traffic

import (
	"fmt"
	"net/netip"
	"strings"
)

// scapy describes the frame of a stream, packet 0, as a Scapy expression; ok is false if the frame is better given as
// octets.
func scapy(o *origin, l *lane, t tunables) (text string, ok bool) {
	s := &o.spec
	if !o.describable() {
		return "", false
	}
	var layers []string
	add := func(format string, args ...any) { layers = append(layers, fmt.Sprintf(format, args...)) }
	if u := s.outer; u != nil {
		add("Ether(src=%q, dst=%q)", macText(first(u.src)), macText(first(u.dst)))
		if u.vid != 0 {
			add("Dot1Q(vlan=%d, prio=%d)", u.vid, u.pcp)
		}
		src, dst := special(u.wide, u.srcPort, u.segment), special(u.wide, u.dstPort, u.tenant)
		add("IP(src=%q, dst=%q, proto=143, id=%d, flags=\"DF\", ttl=%d, tos=%d)", src, dst, u.path, u.ttl, s.tos()&^3)
	}
	ether := fmt.Sprintf("Ether(src=%q, dst=%q", macText(first(s.eth.src)), macText(first(s.eth.dst)))
	if len(s.vlans) > 0 && s.vlans[0].tpid != 0x8100 {
		ether += fmt.Sprintf(", type=0x%04x", s.vlans[0].tpid)
	}
	add("%s)", ether)
	for i, v := range s.vlans {
		next := ""
		if i+1 < len(s.vlans) {
			next = fmt.Sprintf(", type=0x%04x", s.vlans[i+1].tpid)
		}
		add("Dot1Q(vlan=%d, prio=%d%s)", first(v.id), v.pcp, next)
	}
	s.scapyNetwork(add)
	s.scapyTransport(add)
	return strings.Join(append(layers, s.scapyRest(l, t)...), " / "), true
}

// describable reports whether Scapy's layers make this frame, without knowing better.
func (o *origin) describable() bool {
	s := &o.spec
	switch {
	case o.raw, s.pcap != "", s.arp == nil && s.ip4 == nil && s.ip6 == nil:
		return false
	case s.icmp != nil:
		return s.ip4 != nil && (s.icmp.typ == 8 || s.icmp.typ == 0)
	}
	return true
}

// first is the value in packet 0.
func first(n number) uint64 {
	if !n.varies {
		return n.from
	}
	v := n.variable("", 4)
	if v.op == opShort { // written by the field engine
		return n.from
	}
	low, _ := v.at(0)
	return n.from>>32<<32 | uint64(low)
}

func special(wide bool, port uint8, id number) string {
	if wide {
		return ip4(uint64(port)<<24 | first(id))
	}
	return ip4(10<<24 | uint64(port)<<16 | first(id))
}

func (s *spec) tos() uint8 {
	switch {
	case s.ip4 != nil:
		return s.ip4.dscp << 2
	case s.ip6 != nil:
		return s.ip6.class
	}
	return 0
}

// ends returns the addresses, or ports, of packet 0.
func (s *spec) ends(src, dst, flow number) (number, number) {
	switch {
	case s.flows == nil:
		return src, dst
	case s.flows.dst:
		return src, constantOf(flow)
	}
	return constantOf(flow), dst
}

func constantOf(n number) number { return number{hi: n.hi, from: n.from} }

func (s *spec) scapyNetwork(add func(string, ...any)) {
	var address number
	if s.flows != nil {
		address = s.flows.address
	}
	switch {
	case s.ip4 != nil:
		h := s.ip4
		src, dst := s.ends(h.src, h.dst, address)
		flags := `"DF"`
		if !h.df {
			flags = "0"
		}
		proto := ""
		if s.udp == nil && s.tcp == nil && s.icmp == nil {
			proto = fmt.Sprintf(", proto=%d", first(h.proto))
		}
		add("IP(src=%q, dst=%q, id=%d, flags=%s, ttl=%d, tos=%d%s)",
			ip4(first(src)), ip4(first(dst)), first(h.id), flags, first(h.ttl), s.tos(), proto)
	case s.ip6 != nil:
		h := s.ip6
		src, dst := s.ends(h.src, h.dst, address)
		next := ""
		if s.udp == nil && s.tcp == nil {
			next = fmt.Sprintf(", nh=%d", first(h.next))
		}
		add("IPv6(src=%q, dst=%q, tc=%d, fl=%d, hlim=%d%s)",
			ip6(src), ip6(dst), h.class, first(h.label), first(h.hop), next)
	case s.arp != nil:
		a := s.arp
		add("ARP(op=%d, hwsrc=%q, psrc=%q, hwdst=%q, pdst=%q)",
			a.op, macText(first(a.senderMAC)), ip4(first(a.senderIP)), macText(first(a.targetMAC)),
			ip4(first(a.targetIP)))
	}
}

func ip6(n number) string {
	var b [16]byte
	low := first(n)
	for i := range 8 {
		b[i], b[8+i] = byte(n.hi>>(56-8*i)), byte(low>>(56-8*i))
	}
	return netip.AddrFrom16(b).String()
}

func (s *spec) scapyTransport(add func(string, ...any)) {
	var port number
	if s.flows != nil {
		port = s.flows.port
	}
	switch {
	case s.udp != nil:
		src, dst := s.ends(s.udp.src, s.udp.dst, port)
		sum := ""
		if !s.udp.sum {
			sum = ", chksum=0"
		}
		add("UDP(sport=%d, dport=%d%s)", first(src), first(dst), sum)
	case s.tcp != nil:
		h := s.tcp
		src, dst := s.ends(h.src, h.dst, port)
		flags := ""
		for i := range 8 {
			if h.flags>>i&1 != 0 {
				flags += "FSRPAUEC"[i : i+1]
			}
		}
		options := ""
		if h.mss != 0 {
			options = fmt.Sprintf(", options=[(\"MSS\", %d)]", h.mss)
		}
		add("TCP(sport=%d, dport=%d, seq=%d, ack=%d, flags=%q, window=%d%s)", first(src), first(dst),
			uint32(first(h.seq))+h.seqAdd, uint32(first(h.ack))+h.ackAdd, flags, first(h.window), options)
	case s.icmp != nil:
		add("ICMP(type=%d, code=%d, id=%d, seq=%d)", s.icmp.typ, s.icmp.code, first(s.icmp.id), first(s.icmp.seq))
	}
}

// scapyRest is the payload, or the padding.
func (s *spec) scapyRest(l *lane, t tunables) []string {
	headers := s.headerLen()
	n := len(l.frame) - headers
	octets := fmt.Sprint(n)
	if t.size > 0 {
		octets = fmt.Sprintf("(args.size - %d)", headers+fcsLen)
	}
	layer := "Raw"
	if s.bare || s.arp != nil {
		layer = "Padding"
	}
	switch {
	case n == 0 && t.size == 0:
		return nil
	case s.fill != 0 && s.sign:
		if t.size > 0 {
			octets = fmt.Sprintf("(args.size - %d)", headers+fcsLen+SignatureLen)
		} else {
			octets = fmt.Sprint(n - SignatureLen)
		}
		return []string{fmt.Sprintf("%s(b\"\\x%02x\" * %s + bytes(%d))", layer, s.fill, octets, SignatureLen)}
	case s.fill != 0 && layer == "Raw":
		return []string{fmt.Sprintf("%s(b\"\\x%02x\" * %s)", layer, s.fill, octets)}
	}
	return []string{fmt.Sprintf("%s(bytes(%s))", layer, strings.Trim(octets, "()"))}
}
