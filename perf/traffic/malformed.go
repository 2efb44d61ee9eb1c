package traffic

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"penstock/conf"
	"penstock/dataplane/wire/checksum"
)

// Malformed is one kind of malformed frame.
type Malformed struct {
	Name string
	Doc  string // what is wrong with it; all else is right, checksums included
	base base
	make func(f *wreck)
}

// base is what a kind is made from.
type base uint8

const (
	overUDP4 base = iota // UDP over IPv4
	overTCP4
	overICMP4
	overUDP6
	overARP
	inOverlay // UDP over IPv4 in an outer header; only of streams that have one
)

// wreck is a right frame that is about to be spoilt.
type wreck struct {
	b                  []byte
	link, l3, l4, tail int // innermost headers, and the end of the packet
	outer              int // outer IPv4 header
}

func (w *wreck) put16(at, v int) { binary.BigEndian.PutUint16(w.b[at:], uint16(v)) }

// sum4 puts the header checksum of the IPv4 header at at right.
func (w *wreck) sum4(at int) {
	w.put16(at+10, 0)
	end := min(at+int(w.b[at]&15)*4, len(w.b))
	w.put16(at+10, int(checksum.Checksum(w.b[at:max(end, at+20)], 0)))
}

// sum puts the checksum of the transport header at offset off of it right.
func (w *wreck) sum(off int, proto uint8) {
	w.put16(w.l4+off, 0)
	n := w.tail - w.l4
	var s uint32
	if w.b[w.l3]>>4 == 6 {
		s = checksum.Sum(w.b[w.l3+8:w.l3+40], uint32(proto)+uint32(n))
	} else {
		s = checksum.Sum(w.b[w.l3+12:w.l3+20], uint32(proto)+uint32(n))
	}
	w.put16(w.l4+off, int(checksum.NonZero(checksum.Checksum(w.b[w.l4:w.tail], s))))
}

// set4 changes an octet of the IPv4 header and puts its checksum right.
func set4(off int, v byte) func(*wreck) {
	return func(w *wreck) { w.b[w.l3+off] = v; w.sum4(w.l3) }
}

// length4 sets the total length.
func length4(f func(*wreck) int) func(*wreck) {
	return func(w *wreck) { w.put16(w.l3+2, f(w)); w.sum4(w.l3) }
}

// source4 sets the source address, in the UDP checksum too.
func source4(a ...byte) func(*wreck) {
	return func(w *wreck) { copy(w.b[w.l3+12:], a); w.sum4(w.l3); w.sum(6, 17) }
}

// fragment sets flags and offset.
func fragment(v int) func(*wreck) {
	return func(w *wreck) { w.put16(w.l3+6, v); w.sum4(w.l3) }
}

// octets sets octets of a header that starts at what at returns.
func octets(at func(*wreck) int, off int, v ...byte) func(*wreck) {
	return func(w *wreck) { copy(w.b[at(w)+off:], v) }
}

func link(w *wreck) int    { return w.link }
func network(w *wreck) int { return w.l3 }

// flagsTCP sets the flags of TCP.
func flagsTCP(v byte) func(*wreck) {
	return func(w *wreck) { w.b[w.l4+13] = v; w.sum(16, 6) }
}

// outer4 changes the outer IPv4 header.
func outer4(f func(w *wreck, at int)) func(*wreck) {
	return func(w *wreck) { f(w, w.outer); w.sum4(w.outer) }
}

// Kinds returns the catalogue of malformed frames.
func Kinds() []Malformed {
	return []Malformed{
		{"eth-source-group", "the source MAC is a group address", overUDP4, octets(link, 6, 0x03)},
		{"eth-source-zero", "the source MAC is zero", overUDP4, octets(link, 6, 0, 0, 0, 0, 0, 0)},
		{"eth-same", "source and destination MAC are the same", overUDP4, func(w *wreck) {
			copy(w.b[w.link+6:w.link+12], w.b[w.link:w.link+6])
		}},
		{"eth-length", "an 802.3 length that is more than the frame has", overUDP4, octets(link, 12, 0x05, 0xdc)},
		{"eth-type", "an EtherType that nobody has", overUDP4, octets(link, 12, 0xff, 0xff)},
		{"vlan-reserved", "VLAN ID 4095", overUDP4, octets(link, 12, 0x81, 0x00, 0x0f, 0xff, 0x08, 0x00)},
		{"vlan-endless", "tags up to the end of the frame", overUDP4, func(w *wreck) {
			for at := w.link + 12; at+4 <= len(w.b); at += 4 {
				copy(w.b[at:], []byte{0x81, 0x00, 0x00, 0x64})
			}
		}},

		{"arp-hardware", "hardware type 6 in place of Ethernet", overARP, octets(network, 0, 0, 6)},
		{"arp-lengths", "addresses of 255 octets", overARP, octets(network, 4, 255, 255)},
		{
			"arp-sender-group", "the sender's MAC is broadcast",
			overARP, octets(network, 8, 255, 255, 255, 255, 255, 255),
		},

		{"ip4-version", "version 5", overUDP4, set4(0, 0x55)},
		{"ip4-header-short", "a header of 16 octets", overUDP4, set4(0, 0x44)},
		{"ip4-header-long", "a header of 60 octets in a packet of 40", overUDP4, func(w *wreck) {
			w.put16(w.l3+2, 40)
			set4(0, 0x4f)(w)
		}},
		{"ip4-length-short", "a total length of 19", overUDP4, length4(func(*wreck) int { return 19 })},
		{"ip4-length-long", "a total length one more than there is", overUDP4, length4(func(w *wreck) int {
			return len(w.b) - w.l3 + 1
		})},
		{
			"ip4-length-cut", "a total length that ends within the UDP header",
			overUDP4, length4(func(*wreck) int { return 24 }),
		},
		{"ip4-checksum", "a wrong header checksum", overUDP4, func(w *wreck) { w.b[w.l3+10] ^= 0xff }},
		{"ip4-ttl-zero", "time to live 0", overUDP4, set4(8, 0)},
		{"ip4-source-group", "a multicast source address", overUDP4, source4(224, 0, 0, 1)},
		{"ip4-source-broadcast", "source 255.255.255.255", overUDP4, source4(255, 255, 255, 255)},
		{"ip4-source-loopback", "source 127.0.0.1", overUDP4, source4(127, 0, 0, 1)},
		{"ip4-land", "source and destination address are the same", overUDP4, func(w *wreck) {
			source4(w.b[w.l3+16 : w.l3+20]...)(w)
		}},
		{"ip4-reserved-flag", "the reserved flag is set", overUDP4, fragment(0x8000)},
		{"ip4-fragment-tiny", "a first fragment that ends within the TCP header", overTCP4, func(w *wreck) {
			w.put16(w.l3+2, 28)
			w.put16(w.l3+6, 0x2000)
			w.sum4(w.l3)
		}},
		{"ip4-fragment-overlap", "a fragment at offset 1, over the TCP flags of the first", overTCP4, fragment(0x0001)},
		{"ip4-fragment-past", "a fragment that ends behind octet 65,535", overICMP4, fragment(0x1fff)},
		{"ip4-option-zero", "an option of length 0", overUDP4, func(w *wreck) {
			w.b[w.l3] = 0x46
			copy(w.b[w.l3+20:], []byte{0x07, 0, 0, 0})
			w.sum4(w.l3)
		}},

		{"udp-length-short", "a UDP length of 7", overUDP4, func(w *wreck) { w.put16(w.l4+4, 7) }},
		{"udp-length-long", "a UDP length one more than the packet has", overUDP4, func(w *wreck) {
			w.put16(w.l4+4, w.tail-w.l4+1)
		}},
		{"udp-checksum", "a wrong UDP checksum", overUDP4, func(w *wreck) { w.b[w.l4+6] ^= 0xff }},
		{"udp-port-zero", "both ports 0", overUDP4, func(w *wreck) { clear(w.b[w.l4 : w.l4+4]); w.sum(6, 17) }},
		{"tcp-offset-short", "a TCP header of 16 octets", overTCP4, func(w *wreck) {
			w.b[w.l4+12] = 4 << 4
			w.sum(16, 6)
		}},
		{"tcp-offset-long", "a TCP header of 60 octets in a segment of 40", overTCP4, func(w *wreck) {
			w.tail = w.l4 + 40
			w.put16(w.l3+2, 60)
			w.sum4(w.l3)
			w.b[w.l4+12] = 15 << 4
			w.sum(16, 6)
		}},
		{"tcp-flags-none", "no flag", overTCP4, flagsTCP(0)},
		{"tcp-flags-all", "all flags", overTCP4, flagsTCP(0xff)},
		{"tcp-syn-fin", "SYN and FIN", overTCP4, flagsTCP(flagSYN | flagFIN)},
		{"tcp-option-zero", "an option of length 0", overTCP4, func(w *wreck) {
			w.b[w.l4+12] = 6 << 4
			copy(w.b[w.l4+20:], []byte{2, 0, 0, 0})
			w.sum(16, 6)
		}},
		{"tcp-checksum", "a wrong TCP checksum", overTCP4, func(w *wreck) { w.b[w.l4+16] ^= 0xff }},
		{"icmp-checksum", "a wrong ICMP checksum", overICMP4, func(w *wreck) { w.b[w.l4+2] ^= 0xff }},

		{"ip6-version", "version 4", overUDP6, octets(network, 0, 0x40)},
		{"ip6-length-long", "a payload length one more than there is", overUDP6, func(w *wreck) {
			w.put16(w.l3+4, len(w.b)-w.l3-40+1)
		}},
		{"ip6-hop-zero", "hop limit 0", overUDP6, octets(network, 7, 0)},
		{"ip6-source-group", "a multicast source address", overUDP6, func(w *wreck) {
			w.b[w.l3+8], w.b[w.l3+9] = 0xff, 2
			w.sum(6, 17)
		}},
		{"ip6-options-long", "a hop-by-hop header longer than the packet", overUDP6, func(w *wreck) {
			w.b[w.l3+6] = 0
			w.b[w.l4+1] = 255
		}},
		{"ip6-headers-endless", "destination options one behind the other, up to the end", overUDP6, func(w *wreck) {
			w.b[w.l3+6] = 60
			for at := w.l4; at+8 <= w.tail; at += 8 {
				copy(w.b[at:], []byte{60, 0, 1, 4, 0, 0, 0, 0})
			}
		}},
		{"ip6-fragment-odd", "a first fragment whose length is not a multiple of 8", overUDP6, func(w *wreck) {
			w.b[w.l3+6] = 44
			copy(w.b[w.l4:], []byte{17, 0, 0, 1, 0, 0, 0, 1})
			w.put16(w.l3+4, w.tail-w.l4-1)
		}},

		{"overlay-tenant-zero", "tenant 0, which is reserved", inOverlay, outer4(func(w *wreck, at int) {
			clear(w.b[at+18 : at+20])
		})},
		{"overlay-protocol", "outer protocol 47 in place of 143", inOverlay, outer4(func(w *wreck, at int) {
			w.b[at+9] = 47
		})},
		{"overlay-fragment", "the outer packet is a fragment", inOverlay, outer4(func(w *wreck, at int) {
			w.put16(at+6, 0x2000)
		})},
		{
			"overlay-cut", "the outer packet ends within the inner Ethernet header",
			inOverlay, outer4(func(w *wreck, at int) { w.put16(at+2, 20+10) }),
		},
		{"overlay-empty", "the outer packet has nothing in it", inOverlay, outer4(func(w *wreck, at int) {
			w.put16(at+2, 20)
		})},
		{
			"overlay-length-long", "the outer total length is one more than there is",
			inOverlay, outer4(func(w *wreck, at int) { w.put16(at+2, len(w.b)-at+1) }),
		},
		{"overlay-checksum", "a wrong outer header checksum", inOverlay, func(w *wreck) { w.b[w.outer+10] ^= 0xff }},
		{
			"overlay-nested", "within is an Ethernet frame whose EtherType is that of a tag, cut off",
			inOverlay, func(w *wreck) { copy(w.b[w.link+12:], []byte{0x81, 0x00}) },
		},
	}
}

// malformed reads malformed = [...].
func (s *section) malformed(out *spec) {
	v, ok := s.m["malformed"]
	if !ok {
		return
	}
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.Name)
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		s.failf(s.at("malformed"), `found %s, want an array of kinds such as ["ip4-version"], or ["all"]`,
			conf.Describe(v))
		return
	}
	for _, e := range list {
		name, ok := e.(string)
		switch {
		case ok && name == "all" && len(list) == 1:
			for _, k := range Kinds() {
				if k.base != inOverlay || s.has("overlay") {
					out.broken = append(out.broken, k.Name)
				}
			}
		case !ok || !slices.Contains(names, name):
			s.failf(s.at("malformed"), "found %s, want kinds of malformed frames%s",
				conf.Describe(e), conf.Suggest(asText(e), names, "there are "))
		case slices.Contains(out.broken, name):
			s.failf(s.at("malformed"), "%q is in the list twice: remove one of the two", name)
		default:
			out.broken = append(out.broken, name)
		}
	}
	for _, k := range Kinds() {
		if k.base == inOverlay && !s.has("overlay") && slices.Contains(out.broken, k.Name) {
			s.failf(s.at("malformed"), "%q needs an outer header: write [stream.overlay]", k.Name)
		}
	}
	if out.spread != nil || len(out.sizes) > 1 {
		s.failf(s.at("size"), "malformed frames have one size: write one")
	}
	for _, t := range []string{"ipv6", "udp", "tcp", "icmp", "arp", "flows", "vlan"} {
		if s.has(t) {
			s.failf(s.at(t), "malformed frames are made from [stream.ethernet] and [stream.ipv4]: remove it")
		}
	}
	if out.ip4 == nil {
		s.failf(s.at("malformed"), "malformed frames need addresses: write [stream.ipv4]")
	}
	vary := []number{out.eth.src, out.eth.dst}
	if out.ip4 != nil {
		vary = append(vary, out.ip4.src, out.ip4.dst)
	}
	if o := out.outer; o != nil {
		vary = append(vary, o.src, o.dst, o.tenant, o.segment)
	}
	if slices.ContainsFunc(vary, func(n number) bool { return n.varies }) {
		s.failf(s.at("malformed"),
			"malformed frames are all the same of a kind: write one value for each address, tenant and segment")
	}
	// The largest base is UDP over IPv6 with room for what the kinds write.
	need := 14 + 40 + 8 + 16 + fcsLen
	if out.outer != nil {
		need += out.outer.len()
	}
	if small, _ := out.extent(); small < need {
		s.failf(s.at("size"), "%d octets are too few for all kinds: want a size of at least %d", small, need)
	}
}

func asText(v any) string { s, _ := v.(string); return s }

// from6 and to6 are the addresses of malformed IPv6 packets (RFC 3849: for documentation).
var from6, to6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")

func constant6(a netip.Addr) number {
	b := a.As16()
	return number{hi: bigEndian(b[:8]), from: bigEndian(b[8:])}
}

// malformed makes a stream of each kind.
func (c *compiler) malformed(s *spec) {
	for _, k := range Kinds() {
		if !slices.Contains(s.broken, k.Name) {
			continue
		}
		t := *s
		switch ip := *s.ip4; k.base {
		case overUDP4, inOverlay:
			ip.proto, t.ip4, t.udp = constant(17), &ip, &udp{src: constant(1024), dst: constant(9), sum: true}
		case overTCP4:
			ip.proto, t.ip4, t.tcp = constant(6), &ip, &tcp{
				src: constant(1024), dst: constant(80), window: constant(65535), flags: flagACK,
			}
		case overICMP4:
			ip.proto, t.ip4, t.icmp = constant(1), &ip, &icmp{typ: 8}
		case overUDP6:
			t.ip4 = nil
			t.ip6 = &ipv6{src: constant6(from6), dst: constant6(to6), hop: constant(64), next: constant(17)}
			t.udp = &udp{src: constant(1024), dst: constant(9), sum: true}
		case overARP:
			t.ip4 = nil
			t.arp = &arp{op: 1, senderMAC: t.eth.src, senderIP: ip.src, targetIP: ip.dst}
		}
		b := &builder{length: -1}
		b.spec(&t, t.sizes[0].octets-fcsLen)
		l := b.lane(false)
		k.make(&wreck{b: l.frame, link: b.inner, l3: b.l3, l4: b.l4, tail: b.end, outer: b.inner - 20})
		lane := c.lane(&t, s.name+"/"+k.Name, s.weight, l)
		c.g.origins[lane].raw = true
		c.users = append(c.users, user{lane: lane, round: -1, weight: s.weight})
	}
}
