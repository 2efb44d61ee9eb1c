package traffic

import (
	"net/netip"
	"strconv"

	"penstock/ctrl/model"
)

// Key describes one key of a profile. The reader and README.md of perf/profiles work from it.
type Key struct {
	Table   string // "" = outside of tables, "stream" = [[stream]], else [stream.TABLE] ([[stream.vlan]])
	Name    string //
	Want    string // what values it takes
	Default string // for people
	Doc     string // one or two sentences
	Varies  bool   // takes a range or a list as well
}

const (
	wantMAC  = `a MAC address such as "02:00:00:00:00:01"`
	wantIPv4 = `an IPv4 address such as "10.0.0.1"`
	wantIPv6 = `an IPv6 address such as "2001:db8::1"`
)

func wantInt(from, to uint64) string {
	return "an integer from " + strconv.FormatUint(from, 10) + " to " + strconv.FormatUint(to, 10)
}

// Keys returns the description of every key, in the order of the documentation.
func Keys() []Key {
	const required = "required"
	return []Key{
		{Name: "title", Want: "a string", Default: required, Doc: "What the mix is, in one line."},
		{Name: "description", Want: "a string", Default: `""`, Doc: "What it is for, and what it is not."},

		{
			Table: "stream", Name: "name", Want: "a name of letters, digits, - and _",
			Default: required, Doc: "Names the stream in results and exports; each once.",
		},
		{
			Table: "stream", Name: "side", Want: `"a" or "b"`,
			Default: `"a"`, Doc: "The port of the generator that sends it.",
		},
		{
			Table: "stream", Name: "weight", Want: wantInt(1, maxTurn), Default: "1",
			Doc: "Its share of the frames, relative to the other streams.",
		},
		{
			Table: "stream", Name: "size", Default: "64",
			Want: `octets with FCS, as an integer; or a string: "64-1518" (a range), ` +
				`"64:28,570:16,1518:4" (sizes with weights), "imix"`,
			Doc: "Size of the frames on the wire, all headers, tags and FCS included. Each size of a list is a " +
				"stream of its own, with counters of its own.",
		},
		{
			Table: "stream", Name: "size_op", Want: `"inc", "dec" or "random"`,
			Default: `"inc"`, Doc: "How a range of sizes is gone through.",
		},
		{
			Table: "stream", Name: "fill", Want: wantInt(0, 255), Default: "0",
			Doc: "The octet that fills the payload. With a range of sizes only 0.",
		},
		{
			Table: "stream", Name: "payload", Want: "true or false", Default: "true",
			Doc: "false: the packet ends behind its headers, and what the size asks for beyond them is padding of " +
				"the frame. Such frames carry no signature.",
		},
		{
			Table: "stream", Name: "malformed", Want: "an array of kinds, or [\"all\"]", Default: "none",
			Doc: "Make of the stream's frames the malformed ones of these kinds (below), " +
				"each a stream of its own. They carry no signature.",
		},
		{
			Table: "stream", Name: "signature", Want: "true or false", Default: "true",
			Doc: "Write sequence number and time stamp into the last 18 octets of the payload. Without, " +
				"the receiver cannot tell loss, order and latency of the stream.",
		},

		{Table: "ethernet", Name: "src", Want: wantMAC, Default: required, Doc: "Source MAC.", Varies: true},
		{Table: "ethernet", Name: "dst", Want: wantMAC, Default: required, Doc: "Destination MAC.", Varies: true},
		{
			Table: "ethernet", Name: "type", Want: wantInt(0x600, 0xffff),
			Default: "of what follows", Doc: "EtherType, of a frame without further tables.",
		},

		{
			Table: "vlan", Name: "id", Want: wantInt(0, 4094), Default: required,
			Doc: "VLAN ID. Tags stand in the order of the frame, at most two.", Varies: true,
		},
		{Table: "vlan", Name: "pcp", Want: wantInt(0, 7), Default: "0", Doc: "Priority."},
		{
			Table: "vlan", Name: "tpid", Want: wantInt(0x600, 0xffff),
			Default: "0x8100, of the outer of two 0x88a8", Doc: "EtherType of the tag.",
		},

		{
			Table: "overlay", Name: "scheme", Want: `"10.p.t" or "p.t"`, Default: `"10.p.t"`,
			Doc: "Addressing scheme of the fabric. [stream.overlay] encapsulates the frame that the other tables " +
				"describe in form \"ip\".",
		},
		{
			Table: "overlay", Name: "src_mac", Want: wantMAC, Default: required,
			Doc: "Outer source MAC: towards a box's fabric port that of its edge switch.", Varies: true,
		},
		{
			Table: "overlay", Name: "dst_mac", Want: wantMAC, Default: required,
			Doc: "Outer destination MAC: towards a fabric port that of the box.", Varies: true,
		},
		{
			Table: "overlay", Name: "vlan", Want: wantInt(0, 4094), Default: "0",
			Doc: "VLAN ID of an outer tag; 0 = none, as the egress edge switch delivers it.",
		},
		{Table: "overlay", Name: "pcp", Want: wantInt(0, 7), Default: "0", Doc: "Priority in the outer tag."},
		{
			Table: "overlay", Name: "path", Want: wantInt(0, 4094), Default: "that of `vlan`",
			Doc: "The path's VLAN ID, which stands in the identification of the outer IPv4 header.",
		},
		{
			Table: "overlay", Name: "src_port", Want: wantInt(1, 255), Default: required,
			Doc: "Port number at the edge switch of the source, p in the scheme.",
		},
		{
			Table: "overlay", Name: "dst_port", Want: wantInt(1, 255), Default: required,
			Doc: "Port number at the edge switch of the destination.",
		},
		{
			Table: "overlay", Name: "tenant", Want: "a tenant ID from 2 to 65534, under p.t to 16777214",
			Default: required, Doc: "Tenant, in the outer destination address.", Varies: true,
		},
		{
			Table: "overlay", Name: "segment", Want: "a segment ID from 1 to 65534, under p.t to 16777214",
			Default: required, Doc: "Segment, in the outer source address.", Varies: true,
		},
		{
			Table: "overlay", Name: "ttl", Want: wantInt(0, 255), Default: "64",
			Doc: "Outer time to live. The outer DSCP is that of the inner packet.",
		},

		{Table: "ipv4", Name: "src", Want: wantIPv4, Default: required, Doc: "Source address.", Varies: true},
		{Table: "ipv4", Name: "dst", Want: wantIPv4, Default: required, Doc: "Destination address.", Varies: true},
		{Table: "ipv4", Name: "ttl", Want: wantInt(0, 255), Default: "64", Doc: "Time to live.", Varies: true},
		{Table: "ipv4", Name: "dscp", Want: wantInt(0, 63), Default: "0", Doc: "Differentiated services code point."},
		{Table: "ipv4", Name: "id", Want: wantInt(0, 65535), Default: "0", Doc: "Identification.", Varies: true},
		{Table: "ipv4", Name: "df", Want: "true or false", Default: "true", Doc: "Do not fragment."},
		{
			Table: "ipv4", Name: "protocol", Want: wantInt(0, 255), Default: "of what follows",
			Doc: "Protocol, of a packet without [stream.udp], [stream.tcp] and [stream.icmp].", Varies: true,
		},

		{
			Table: "ipv6", Name: "src", Want: wantIPv6, Default: required,
			Doc: "Source address. Ranges vary the last 32 bits.", Varies: true,
		},
		{Table: "ipv6", Name: "dst", Want: wantIPv6, Default: required, Doc: "Destination address.", Varies: true},
		{Table: "ipv6", Name: "hop_limit", Want: wantInt(0, 255), Default: "64", Doc: "Hop limit.", Varies: true},
		{Table: "ipv6", Name: "traffic_class", Want: wantInt(0, 255), Default: "0", Doc: "Traffic class."},
		{Table: "ipv6", Name: "flow_label", Want: wantInt(0, 1<<20-1), Default: "0", Doc: "Flow label.", Varies: true},
		{
			Table: "ipv6", Name: "next_header", Want: wantInt(0, 255), Default: "of what follows",
			Doc: "Next header, of a packet without [stream.udp], [stream.tcp] and [stream.icmp].", Varies: true,
		},

		{Table: "udp", Name: "src_port", Want: wantInt(0, 65535), Default: required, Doc: "Source port.", Varies: true},
		{
			Table: "udp", Name: "dst_port", Want: wantInt(0, 65535),
			Default: required, Doc: "Destination port.", Varies: true,
		},
		{
			Table: "udp", Name: "checksum", Want: "true or false",
			Default: "true", Doc: "false: send 0, which means none (IPv4 only).",
		},

		{Table: "tcp", Name: "src_port", Want: wantInt(0, 65535), Default: required, Doc: "Source port.", Varies: true},
		{
			Table: "tcp", Name: "dst_port", Want: wantInt(0, 65535),
			Default: required, Doc: "Destination port.", Varies: true,
		},
		{Table: "tcp", Name: "seq", Want: wantInt(0, 1<<32-1), Default: "0", Doc: "Sequence number.", Varies: true},
		{
			Table: "tcp", Name: "ack", Want: wantInt(0, 1<<32-1),
			Default: "0", Doc: "Acknowledgement number.", Varies: true,
		},
		{
			Table: "tcp", Name: "flags", Want: `flags such as "syn" or "psh,ack"`,
			Default: `"ack"`, Doc: "Of fin, syn, rst, psh, ack, urg, ece, cwr; \"\" for none.",
		},
		{Table: "tcp", Name: "window", Want: wantInt(0, 65535), Default: "65535", Doc: "Window.", Varies: true},
		{
			Table: "tcp", Name: "mss", Want: wantInt(0, 65535), Default: "0",
			Doc: "Value of a maximum segment size option; 0 = no option.",
		},

		{
			Table: "icmp", Name: "type", Want: wantInt(0, 255),
			Default: "8, of ICMPv6 128", Doc: "Type; the default is an echo request.",
		},
		{Table: "icmp", Name: "code", Want: wantInt(0, 255), Default: "0", Doc: "Code."},
		{
			Table: "icmp", Name: "id", Want: wantInt(0, 65535), Default: "0",
			Doc: "Fifth and sixth octet: an echo's identifier.", Varies: true,
		},
		{
			Table: "icmp", Name: "seq", Want: wantInt(0, 65535), Default: "0",
			Doc: "Seventh and eighth octet: an echo's sequence number.", Varies: true,
		},

		{Table: "arp", Name: "op", Want: wantInt(0, 65535), Default: "1", Doc: "1 asks, 2 answers."},
		{
			Table: "arp", Name: "sender_mac", Want: wantMAC,
			Default: "that of [stream.ethernet]", Doc: "Sender's MAC.", Varies: true,
		},
		{Table: "arp", Name: "sender_ip", Want: wantIPv4, Default: required, Doc: "Sender's address.", Varies: true},
		{
			Table: "arp", Name: "target_mac", Want: wantMAC,
			Default: `"00:00:00:00:00:00"`, Doc: "Target's MAC.", Varies: true,
		},
		{Table: "arp", Name: "target_ip", Want: wantIPv4, Default: required, Doc: "Target's address.", Varies: true},

		{
			Table: "flows", Name: "count", Want: wantInt(1, 1<<32-1), Default: required,
			Doc: "How many flows. Packet n of the stream belongs to flow n mod count.",
		},
		{
			Table: "flows", Name: "end", Want: `"src" or "dst"`, Default: `"src"`,
			Doc: "The end of the flows that varies: source address and port, or destination address and port.",
		},
		{
			Table: "flows", Name: "address", Want: `a range { from = …, to = … }`,
			Default: required, Doc: "Addresses. Every packet takes the next one.",
		},
		{
			Table: "flows", Name: "port", Want: `a range { from = …, to = … }`, Default: required,
			Doc: "Ports. When the addresses have gone round the next port follows.",
		},

		{
			Table: "churn", Name: "concurrent", Want: wantInt(1, 1<<24), Default: required,
			Doc: "Connections at the same step: all of them send their SYN, then all are answered, " +
				"and so on. [stream.churn] makes whole TCP connections of the stream, " +
				"whose headers are those of the client; the server's frames are the mirror image, on the other side.",
		},
		{
			Table: "churn", Name: "requests", Want: wantInt(0, 16), Default: "1",
			Doc: "Requests of a connection, each one segment in frames of the stream's size, " +
				"each answered by one such segment.",
		},
		{
			Table: "churn", Name: "close", Want: `"fin", "rst" or "none"`,
			Default: `"fin"`, Doc: "How the client ends the connection.",
		},

		{
			Table: "pcap", Name: "file", Want: "a path, relative to the profile", Default: required,
			Doc: "Send the frames of a pcap or pcapng file (gzip or not) of Ethernet, in their order, " +
				"over and over, in place of what other tables describe; " +
				"only [stream.ethernet] is allowed besides, and replaces their MACs. Times are those of the generator.",
		},
	}
}

// kind is a sort of header field.
type kind struct {
	want  string
	max   uint64
	parse func(v any) (hi, lo uint64, ok bool) // hi: upper half of an IPv6 address
}

func integer(from, to uint64) kind {
	return kind{wantInt(from, to), to, func(v any) (uint64, uint64, bool) {
		n, ok := v.(int64)
		return 0, uint64(n), ok && n >= 0 && uint64(n) >= from && uint64(n) <= to
	}}
}

var (
	octet     = integer(0, 255)
	word      = integer(0, 65535)
	long      = integer(0, 1<<32-1)
	etherType = integer(0x600, 0xffff)
	macKind   = kind{wantMAC, 1<<48 - 1, func(v any) (uint64, uint64, bool) {
		s, ok := v.(string)
		if !ok {
			return 0, 0, false
		}
		m, err := model.ParseMAC(s)
		return 0, uint64(m), err == nil
	}}
	ipv4Kind = kind{wantIPv4, 1<<32 - 1, func(v any) (uint64, uint64, bool) {
		s, ok := v.(string)
		if !ok {
			return 0, 0, false
		}
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() {
			return 0, 0, false
		}
		b := a.As4()
		return 0, bigEndian(b[:]), true
	}}
	ipv6Kind = kind{wantIPv6, 1<<64 - 1, func(v any) (uint64, uint64, bool) {
		s, ok := v.(string)
		if !ok {
			return 0, 0, false
		}
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
			return 0, 0, false
		}
		b := a.As16()
		return bigEndian(b[:8]), bigEndian(b[8:]), true
	}}
)

func bigEndian(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}
