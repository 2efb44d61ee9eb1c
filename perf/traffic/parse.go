package traffic

import (
	"fmt"
	"strings"

	"penstock/conf"
)

// parse reads the text into p, with keys replaced as set says.
func (p *Profile) parse(set map[string]string, seed uint64) error {
	doc, errs := conf.ReadDocument(p.file, p.text)
	r := &reader{doc: doc, errs: errs, keys: map[string][]string{}, seed: seed}
	for _, k := range Keys() {
		r.keys[k.Table] = append(r.keys[k.Table], k.Name)
	}
	if doc.Tree != nil || len(errs) == 0 {
		r.apply(set)
		r.profile(p)
	}
	if len(r.errs) > 0 {
		return r.errs.Sorted()
	}
	return nil
}

func (r *reader) profile(p *Profile) {
	top := r.open("", "", r.doc.Tree, "stream")
	if top.need("title", "a string, what the mix is in one line") {
		p.Title = top.text("title")
	}
	p.Description = strings.TrimSpace(top.text("description"))
	streams := top.tables("stream")
	if len(streams) == 0 && !top.has("stream") {
		r.failf("", "no [[stream]]: a profile has at least one")
	}
	if len(streams) > maxStreams {
		r.failf("stream", "%d streams: want at most %d", len(streams), maxStreams)
		return
	}
	names := map[string]bool{}
	p.specs = nil
	for i, m := range streams {
		s := r.stream(fmt.Sprintf("stream[%d]", i), m)
		if s.name != "" && names[s.name] {
			r.failf(s.path+".name", "%q is the name of two streams: change one of the two", s.name)
		}
		names[s.name] = true
		p.specs = append(p.specs, s)
	}
}

var tables = []string{
	"ethernet", "vlan", "ipv4", "ipv6", "udp", "tcp", "icmp", "arp", "flows", "overlay", "churn", "pcap",
}

func (r *reader) stream(path string, m map[string]any) spec {
	s := r.open(path, "stream", m, tables...)
	out := spec{path: path, side: A, weight: int(s.integer("weight", integer(1, maxTurn), 1))}
	if s.need("name", "a name of letters, digits, - and _") {
		out.name = s.text("name")
		if !goodName(out.name) {
			s.failf(s.at("name"), "found %q, want 1 to 32 letters, digits, - and _", out.name)
		}
	}
	if s.enum("side", "a", "a", "b") == "b" {
		out.side = B
	}
	out.seed = s.seedOf(path)
	s.sizes(&out)
	out.fill = byte(s.integer("fill", octet, 0))
	if out.fill != 0 && out.spread != nil {
		s.failf(s.at("fill"), "a range of sizes needs a payload of zeros: remove fill")
	}
	out.sign = s.boolean("signature", true)
	out.bare = !s.boolean("payload", true)
	before := len(r.errs)
	s.stack(&out)
	if len(r.errs) == before {
		s.fits(&out)
	}
	return out
}

func goodName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// exclusive complains when more than one of the tables is there.
func (s *section) exclusive(names ...string) {
	first := ""
	for _, n := range names {
		switch {
		case !s.has(n):
		case first != "":
			s.failf(s.at(n),
				"a frame has one of %s; this stream has [stream.%s] already: "+
					"remove one of the two, or make two streams", strings.Join(names, ", "), first)
		default:
			first = n
		}
	}
}

// stack reads the headers.
func (s *section) stack(out *spec) {
	if t := s.sub("pcap"); t != nil {
		s.capture(t, out)
		return
	}
	if e := s.sub("ethernet"); e != nil {
		out.eth.src, out.eth.dst = e.required("src", macKind), e.required("dst", macKind)
		out.eth.typ = uint16(e.integer("type", etherType, 0))
	} else if !s.has("ethernet") {
		s.failf(s.path, "no [stream.ethernet]: write it, with src and dst")
	}
	s.tags(out)
	s.exclusive("ipv4", "ipv6", "arp")
	s.exclusive("udp", "tcp", "icmp", "arp")
	s.network(out)
	s.transport(out)
	if f := s.sub("flows"); f != nil {
		s.tuple(f, out)
	}
	if o := s.sub("overlay"); o != nil {
		o.overlay(out)
	}
	if c := s.sub("churn"); c != nil {
		s.connections(c, out)
	}
	s.malformed(out)
	if out.eth.typ != 0 && (s.has("ipv4") || s.has("ipv6") || s.has("arp")) {
		s.failf(s.path+".ethernet.type", "follows from the headers behind it: remove it, or them")
	}
}

func (s *section) tags(out *spec) {
	tables := s.tables("vlan")
	if len(tables) > 2 {
		s.failf(s.at("vlan"), "%d tags: want at most two", len(tables))
		return
	}
	for i, m := range tables {
		t := s.open(fmt.Sprintf("%s[%d]", s.at("vlan"), i), "vlan", m)
		tag := vlan{tpid: 0x8100}
		if i == 0 && len(tables) == 2 {
			tag.tpid = 0x88a8
		}
		tag.tpid = uint16(t.integer("tpid", etherType, uint64(tag.tpid)))
		tag.pcp = uint8(t.integer("pcp", integer(0, 7), 0))
		if t.need("id", wantInt(0, 4094)) {
			tag.id = t.number("id", integer(0, 4094), number{})
		}
		out.vlans = append(out.vlans, tag)
	}
}

func (s *section) network(out *spec) {
	if t := s.sub("ipv4"); t != nil {
		h := &ipv4{dscp: uint8(t.integer("dscp", integer(0, 63), 0)), df: t.boolean("df", true)}
		h.ttl, h.id = t.number("ttl", octet, constant(64)), t.number("id", word, number{})
		h.src, h.dst = s.end(t, "src", ipv4Kind), s.end(t, "dst", ipv4Kind)
		h.proto = s.protocol(t, "protocol", 253)
		out.ip4 = h
	}
	if t := s.sub("ipv6"); t != nil {
		h := &ipv6{
			class: uint8(t.integer("traffic_class", octet, 0)), hop: t.number("hop_limit", octet, constant(64)),
			label: t.number("flow_label", integer(0, 1<<20-1), number{}),
		}
		h.src, h.dst = s.end(t, "src", ipv6Kind), s.end(t, "dst", ipv6Kind)
		h.next = s.protocol(t, "next_header", 253)
		out.ip6 = h
	}
}

func (s *section) required(name string, k kind) number {
	if !s.need(name, k.want) {
		return number{}
	}
	return s.number(name, k, number{})
}

// end reads an address or port of header t, unless [stream.flows] has it.
func (s *section) end(t *section, name string, k kind) number {
	f, ok := s.m["flows"].(map[string]any)
	if !ok {
		return t.required(name, k)
	}
	varies := "src"
	if f["end"] == "dst" {
		varies = "dst"
	}
	if !strings.HasPrefix(name, varies) {
		return t.required(name, k)
	}
	if t.has(name) {
		t.failf(t.at(name), "[stream.flows] has it: remove it here, or write end = %q there",
			map[string]string{"src": "dst", "dst": "src"}[varies])
	}
	return number{}
}

// protocol returns the number of the header that follows; 253 is one for experiments (RFC 3692).
func (s *section) protocol(t *section, name string, none uint64) number {
	follows := number{}
	switch {
	case s.has("udp"):
		follows.from = 17
	case s.has("tcp"):
		follows.from = 6
	case s.has("icmp") && t.table == "ipv6":
		follows.from = 58
	case s.has("icmp"):
		follows.from = 1
	default:
		return t.number(name, octet, constant(none))
	}
	if t.has(name) {
		t.failf(t.at(name), "follows from the header behind it: remove it, or that")
	}
	return follows
}

var tcpFlags = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

func (s *section) transport(out *spec) {
	for _, name := range []string{"udp", "tcp", "icmp"} {
		if s.has(name) && !s.has("ipv4") && !s.has("ipv6") {
			s.failf(s.at(name), "nothing carries it: write [stream.ipv4] or [stream.ipv6]")
		}
	}
	if t := s.sub("udp"); t != nil {
		out.udp = &udp{
			src: s.end(t, "src_port", word), dst: s.end(t, "dst_port", word), sum: t.boolean("checksum", true),
		}
		if !out.udp.sum && s.has("ipv6") {
			t.failf(t.at("checksum"), "IPv6 wants UDP with a checksum (RFC 8200, 8.1): remove it")
		}
	}
	if t := s.sub("tcp"); t != nil {
		h := &tcp{
			src: s.end(t, "src_port", word), dst: s.end(t, "dst_port", word),
			mss: uint16(t.integer("mss", word, 0)),
		}
		h.seq, h.ack, h.window = t.number("seq", long, number{}), t.number("ack", long,
			number{}), t.number("window", word, constant(65535))
		h.flags = t.flags("flags", "ack")
		out.tcp = h
	}
	if t := s.sub("icmp"); t != nil {
		echo := uint64(8)
		if s.has("ipv6") {
			echo = 128
		}
		out.icmp = &icmp{
			uint8(t.integer("type", octet, echo)), uint8(t.integer("code", octet, 0)),
			t.number("id", word, number{}), t.number("seq", word, number{}),
		}
	}
	if t := s.sub("arp"); t != nil {
		out.arp = &arp{uint16(t.integer("op", word, 1)), t.number("sender_mac", macKind,
			out.eth.src), t.required("sender_ip", ipv4Kind),
			t.number("target_mac", macKind, number{}), t.required("target_ip", ipv4Kind)}
		if !t.has("sender_mac") {
			out.arp.senderMAC = out.eth.src
		}
	}
}

func (s *section) flags(name, def string) uint8 {
	text := def
	if s.has(name) {
		text = s.text(name)
	}
	var out uint8
	for f := range strings.SplitSeq(text, ",") {
		f = strings.TrimSpace(f)
		known := f == ""
		for i, n := range tcpFlags {
			if f == n {
				out |= 1 << i
				known = true
			}
		}
		if !known {
			s.failf(s.at(name), "%q is no flag of TCP: want some of %s", f, strings.Join(tcpFlags, ", "))
		}
	}
	return out
}

// tuple reads [stream.flows].
func (s *section) tuple(t *section, out *spec) {
	f := &flows{dst: t.enum("end", "src", "src", "dst") == "dst"}
	k := ipv4Kind
	if s.has("ipv6") {
		k = ipv6Kind
	}
	if !s.has("ipv4") && !s.has("ipv6") || !s.has("udp") && !s.has("tcp") {
		s.failf(t.path,
			"flows are those of UDP or TCP over IP: write [stream.ipv4] or [stream.ipv6], "+
				"and [stream.udp] or [stream.tcp]")
	}
	before := len(s.errs)
	f.address, f.port = t.required("address", k), t.required("port", word)
	if t.need("count", wantInt(1, 1<<32-1)) {
		f.count = uint32(t.integer("count", integer(1, 1<<32-1), 1))
	}
	if len(s.errs) != before {
		return
	}
	for name, n := range map[string]*number{"address": &f.address, "port": &f.port} {
		if !n.varies { // one address, one port
			n.step, n.varies = 1, true
		}
		if n.op != opInc || n.step != 1 || n.list != nil {
			t.failf(t.at(name), "flows go through all values in order: write { from = …, to = … } and nothing else")
			return
		}
	}
	if most := f.address.count() * f.port.count(); most < uint64(f.count) {
		t.failf(t.at("count"),
			"%d flows, but only %d × %d pairs of address and port: make a range larger or the number smaller",
			f.count, f.address.count(), f.port.count())
	}
	out.flows = f
}
