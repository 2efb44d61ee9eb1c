package traffic

import "fmt"

// DPDK Pktgen makes its packets once, as many as the port has buffers, and sends them over and over: app/pktgen.c,
// mempool_setup_cb.

// dpdkBuffers is how many different packets it has at least: those of the smallest default of its versions.
const dpdkBuffers = 8192

// dpdkSequence is the number of packets in its sequence mode.
const dpdkSequence = 16

func (x *exporter) dpdk() string {
	s := x.simple()
	if s == nil {
		return ""
	}
	src, dst, srcPort, dstPort := s.extents()
	if len(s.vlans) > 1 || len(s.vlans) == 1 && (s.vlans[0].tpid != 0x8100 || s.vlans[0].id.varies) {
		x.cannot("tags that vary, or more than one")
	}
	if !s.udp.sum {
		x.cannot("UDP without checksum")
	}
	for _, n := range []number{src, dst, srcPort, dstPort} {
		if n.varies && n.count() > dpdkBuffers {
			x.cannot("%d values: it prepares its packets in its buffers, and may have no more than %d",
				n.count(), dpdkBuffers)
		}
		if n.varies && len(s.sizes) > 1 {
			x.cannot("sizes with weights together with values that vary: a packet of its sequences has fixed fields")
		}
	}
	differs := []string{
		"Identification goes up by 27, DF is not set, and the payload is Pktgen's pattern, without signature.",
	}
	if len(s.sizes) > 1 {
		differs = append(differs, "Time to live is Pktgen's default.")
	} else {
		differs = append(differs,
			"The packets are made once, in the port's buffers, and sent in the order in which buffers come back: "+
				"all values\nappear, in no given order, and some once more often than others.")
	}
	if _, largest := s.extent(); largest > 1518 {
		differs = append(differs, "Frames as large as this need Pktgen's option -j.")
	}
	x.header("--", differs...)
	x.printf(`
package.path = package.path .. ";?.lua;test/?.lua;app/?.lua;"
require "Pktgen"

local port = os.getenv("PORT") or "0"
local src_mac = os.getenv("SRC_MAC") or %q
local dst_mac = os.getenv("DST_MAC") or %q

pktgen.stop(port)
pktgen.set(port, "count", 0)
pktgen.set(port, "rate", tonumber(os.getenv("RATE") or "100")) -- percent of the link
`, macText(s.eth.src.from), macText(s.eth.dst.from))
	if len(s.vlans) == 1 {
		x.printf("pktgen.vlan(port, \"on\")\n")
	}
	if len(s.sizes) > 1 {
		x.dpdkSequence(s, src, dst, srcPort, dstPort)
		return x.b.String()
	}
	quoted := func(v uint64) string { return fmt.Sprintf("%q", ip4(v)) }
	plain := func(v uint64) string { return fmt.Sprint(v) }
	all := func(name string, n number, text func(uint64) string) {
		last, step := n.from, uint64(0)
		if n.varies {
			last, step = n.to, 1
		}
		for _, v := range [][2]string{
			{"start", text(n.from)}, {"inc", text(step)}, {"min", text(n.from)}, {"max", text(last)},
		} {
			x.printf("pktgen.range.%s(port, %q, %s)\n", name, v[0], v[1])
		}
	}
	for _, m := range []string{"src_mac", "dst_mac"} {
		for _, what := range []string{"start", "min", "max"} {
			x.printf("pktgen.range.%s(port, %q, %s)\n", m, what, m)
		}
		x.printf("pktgen.range.%s(port, \"inc\", \"00:00:00:00:00:00\")\n", m)
	}
	x.printf("pktgen.range.ip_proto(port, \"udp\")\n")
	all("src_ip", src, quoted)
	all("dst_ip", dst, quoted)
	all("src_port", srcPort, plain)
	all("dst_port", dstPort, plain)
	all("ttl", constant(s.ip4.ttl.from), plain)
	if s.ip4.dscp != 0 {
		all("tos", constant(uint64(s.ip4.dscp)<<2), plain)
	}
	if len(s.vlans) == 1 {
		all("vlan_id", constantOf(s.vlans[0].id), plain)
		all("cos", constant(uint64(s.vlans[0].pcp)), plain)
	}
	all("pkt_size", constant(uint64(s.sizes[0].octets)), plain) // with FCS
	x.printf("pktgen.set_range(port, \"on\")\npktgen.start(port)\n")
	return x.b.String()
}

// dpdkSequence writes a turn of the sizes as a sequence.
func (x *exporter) dpdkSequence(s *spec, src, dst, srcPort, dstPort number) {
	if n := len(x.g.slots); n > dpdkSequence {
		x.cannot("a turn of %d frames: its sequences have %d", n, dpdkSequence)
		return
	}
	vid, pcp := uint64(1), uint8(0)
	if len(s.vlans) == 1 {
		vid, pcp = s.vlans[0].id.from, s.vlans[0].pcp
	}
	for i := range x.g.slots {
		x.printf(`pktgen.seqTable(%d, port, {
  ["eth_dst_addr"] = dst_mac, ["eth_src_addr"] = src_mac,
  ["ip_dst_addr"] = %q, ["ip_src_addr"] = "%s/32",
  ["sport"] = %d, ["dport"] = %d, ["ethType"] = "ipv4", ["ipProto"] = "udp",
  ["vlanid"] = %d, ["cos"] = %d, ["tos"] = %d, ["tcp_flags"] = "", ["gtpu_teid"] = 0, ["pktSize"] = %d,
})
`, i, ip4(dst.from), ip4(src.from), srcPort.from, dstPort.from, vid, pcp, s.ip4.dscp<<2,
			x.g.streams[x.g.slots[i].lane].MaxLen+fcsLen)
	}
	x.printf("pktgen.set(port, \"seq_cnt\", %d)\npktgen.start(port)\n", len(x.g.slots))
}
