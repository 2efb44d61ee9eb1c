package traffic

import "fmt"

// The kernel's pktgen (Documentation/networking/pktgen.rst) makes UDP packets whose fields go up, each by itself. Every
// field is stepped before a packet is made, so that the first has the second value: mod_cur_headers in
// net/core/pktgen.c.

func (x *exporter) pktgen() string {
	s := x.simple()
	if s == nil {
		return ""
	}
	src, dst, srcPort, dstPort := s.extents()
	for _, n := range []number{srcPort, dstPort} {
		if n.varies && n.to == 65535 {
			x.cannot("a range of ports up to 65535: pktgen's upper end is exclusive")
		}
	}
	for _, v := range s.vlans {
		if v.id.varies {
			x.cannot("VLAN IDs that vary")
		}
		if v.tpid != 0x8100 {
			x.cannot("a tag whose EtherType is not 0x8100")
		}
	}
	if s.fill != 0 {
		x.cannot("a payload other than zeros")
	}
	differs := []string{
		"Time to live 32, identification counting up, DF not set: pktgen has no settings for these.",
		"The payload begins with pktgen's own header (magic number, sequence number, time), and has no signature.",
		"Whatever varies begins with its second value. From there on addresses, " +
			"ports and sizes are those of frame 1, 2, ….",
	}
	if len(s.sizes) > 1 {
		differs = append(differs,
			"The sizes are drawn at random with these weights (imix_weights, kernel 5.15 and newer); "+
				"there they have a fixed order.")
	}
	x.b.WriteString("#!/bin/bash\n")
	x.header("#", differs...)
	x.printf(`
# Usage: [COUNT=0] [RATE=packets per second] [SRC_MAC=…] [DST_MAC=…] %s INTERFACE [CPU]
# COUNT=0 sends until interrupted. Needs root and the module pktgen (modprobe pktgen).
set -eu
dev=${1:?usage: $0 INTERFACE [CPU]}
cpu=${2:-0}
dir=${PGDIR:-/proc/net/pktgen}

# pg FILE COMMAND…: the kernel refuses a bad command with an error, which ends the script.
pg() { local file=$1; shift; echo "$*" >> "$dir/$file"; }

pg "kpktgend_$cpu" rem_device_all
pg "kpktgend_$cpu" add_device "$dev"
`, ExportName(x.p.Name, Pktgen))
	cmd := func(format string, args ...any) { x.printf("pg \"$dev\" %s\n", fmt.Sprintf(format, args...)) }
	cmd("count \"${COUNT:-0}\"")
	cmd("clone_skb 0")
	if len(s.sizes) > 1 {
		weights := ""
		for _, z := range s.sizes {
			weights += fmt.Sprintf(" %d,%d", z.octets-fcsLen, z.weight)
		}
		cmd("imix_weights%s", weights)
	} else {
		cmd("pkt_size %d", s.sizes[0].octets-fcsLen)
	}
	cmd("src_mac \"${SRC_MAC:-%s}\"", macText(s.eth.src.from))
	cmd("dst_mac \"${DST_MAC:-%s}\"", macText(s.eth.dst.from))
	for i := len(s.vlans) - 1; i >= 0; i-- { // the outer tag only after the inner one
		name := "vlan"
		if len(s.vlans) == 2 && i == 0 {
			name = "svlan"
		}
		cmd("%s_id %d", name, s.vlans[i].id.from)
		cmd("%s_p %d", name, s.vlans[i].pcp)
	}
	if s.ip4.dscp != 0 {
		cmd("tos %02x", s.ip4.dscp<<2)
	}
	for _, r := range []struct {
		name string
		n    number
		port bool
	}{{"src", src, false}, {"dst", dst, false}, {"udp_src", srcPort, true}, {"udp_dst", dstPort, true}} {
		from, to := fmt.Sprint(r.n.from), fmt.Sprint(r.n.from)
		switch {
		case r.port && r.n.varies:
			to = fmt.Sprint(r.n.to + 1)
		case !r.port:
			from, to = ip4(r.n.from), ip4(r.n.from)
			if r.n.varies {
				to = ip4(r.n.to)
			}
		}
		cmd("%s_min %s", r.name, from)
		cmd("%s_max %s", r.name, to)
	}
	if s.udp.sum {
		cmd("flag UDPCSUM")
	}
	x.printf(`if [ -n "${RATE:-}" ]; then pg "$dev" ratep "$RATE"; fi

trap 'pg pgctrl stop; cat "$dir/$dev"; exit 0' INT TERM
pg pgctrl start
cat "$dir/$dev"
`)
	return x.b.String()
}
