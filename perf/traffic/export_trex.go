package traffic

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// The Python files follow the API of TRex's stateless mode: module trex.stl.api, as documented at trex-tgn.cisco.com.
// Lists (value_list) are newer than the rest of the API.

func (x *exporter) trex() string {
	x.header("#",
		"The last 18 octets of a payload, which there hold sequence number and time stamp, "+
			"are zeros. No checksum differs for it.",
		"How the packets of several streams are interleaved: TRex gives each stream its rate, in these proportions. "+
			"The packets\nof each stream are the same ones in the same order as long as one core sends them: "+
			"start TRex with -c 1, or pass\nthe tunable core=0. With more cores each goes through a part of the "+
			"values, "+
			"and random ones have other seeds.")
	name := x.p.Name
	if x.g.origins[0].spec.pcap != "" {
		return x.trexCapture()
	}
	t := x.trexTunables()
	x.printf("\nimport argparse\n\nfrom trex.stl.api import *\n\n\nclass Mix(object):\n\n")
	x.printf("    def get_streams(self, direction=0, tunables=(), **kwargs):\n")
	x.printf("        args = self.arguments(tunables, kwargs)\n")
	x.printf("        return self.side_b(args) if direction %% 2 else self.side_a(args)\n\n")
	x.trexArguments(name, t)
	for _, side := range []Side{A, B} {
		x.printf("    def side_%s(self, args):\n        streams = []\n", side)
		for i := range x.g.streams {
			if x.g.streams[i].Side == side {
				x.trexStream(i, t)
			}
		}
		x.printf("        return streams\n\n")
	}
	x.trexHelpers()
	x.printf("\ndef register():\n    return Mix()\n")
	return x.b.String()
}

// tunables are the arguments of a file beside the common ones.
type tunables struct {
	size    int // of all streams, 0 = no such tunable
	flows   uint32
	tenants uint64
	churn   bool
}

func (x *exporter) trexTunables() (t tunables) {
	same := true
	for i := range x.g.origins {
		o := &x.g.origins[i]
		s := &o.spec
		n := len(x.g.lanes[i].frame) + fcsLen
		if s.spread != nil || !o.describable() || s.churn != nil || t.size != 0 && t.size != n {
			same = false
		}
		t.size = n
		if s.flows != nil {
			t.flows = s.flows.count
		}
		if s.outer != nil && s.outer.tenant.varies && s.outer.tenant.op == opInc && s.outer.tenant.list == nil &&
			s.outer.tenant.from == firstTenant {
			t.tenants = s.outer.tenant.count()
		}
		t.churn = t.churn || s.churn != nil
	}
	if !same {
		t.size = 0
	}
	return t
}

func (x *exporter) trexArguments(name string, t tunables) {
	x.printf("    # Older versions of TRex pass tunables as keywords (-t size=64), " +
		"newer ones as arguments (-t --size 64).\n")
	x.printf("    def arguments(self, tunables, kwargs):\n        p = argparse.ArgumentParser(prog=%q)\n", name)
	arg := func(name, typ, def, help string) {
		x.printf("        p.add_argument(\"--%s\", type=%s, default=%s, help=%q)\n", name, typ, def, help)
	}
	if t.size > 0 {
		arg("size", "int", fmt.Sprint(t.size), "octets of a frame, FCS included")
	}
	if t.flows > 0 {
		arg("flows", "int", fmt.Sprint(t.flows), "number of flows")
	}
	if t.tenants > 0 {
		arg("tenants", "int", fmt.Sprint(t.tenants), "number of tenants")
	}
	if t.churn {
		arg("lag", "float", "100000.0", "microseconds between two steps of a connection")
	}
	arg("src_mac", "str", "None", "outermost source MAC, in place of the profile's")
	arg("dst_mac", "str", "None", "outermost destination MAC, in place of the profile's")
	arg("core", "int", "-1", "send everything from this core; -1: from all")
	x.printf("        known = vars(p.parse_args([]))\n")
	x.printf("        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})\n")
	x.printf("        return p.parse_args(list(tunables))\n\n")
}

func (x *exporter) trexHelpers() {
	x.printf("    # stream makes one of octets without FCS; the MACs are the packet's, not the port's.\n")
	x.printf("    def stream(self, args, name, packet, vm, pps, isg=0.0, **more):\n")
	x.printf("        octets = packet if isinstance(packet, bytes) else bytes(packet)\n")
	x.printf("        for at, mac in ((0, args.dst_mac), (6, args.src_mac)):\n")
	x.printf("            if mac:\n" +
		"                octets = octets[:at] + bytes.fromhex(mac.replace(\":\", \"\")) + octets[at + 6:]\n")
	x.printf("        if args.core >= 0:\n            more[\"core_id\"] = args.core\n")
	x.printf("        return STLStream(name=name, isg=isg, mode=STLTXCont(pps=pps),\n")
	x.printf("                         packet=STLPktBuilder(pkt_buffer=octets, vm=STLScVmRaw(vm), remove_fcs=False),\n")
	x.printf("                         mac_src_override_by_pkt=True, mac_dst_override_mode=STLStreamDstMAC_PKT, " +
		"**more)\n\n")
}

// trexStream writes stream i.
func (x *exporter) trexStream(i int, t tunables) {
	o, l, s := &x.g.origins[i], &x.g.lanes[i], &x.g.streams[i]
	x.printf("        # %s\n", s.Name)
	if text, ok := scapy(o, l, t); ok {
		x.printf("        packet = %s\n", text)
	} else {
		x.printf("        packet = bytes.fromhex(%s)\n", pyHex(hex.EncodeToString(x.g.packet(i, 0))))
	}
	x.printf("        vm = [")
	lines := x.trexVM(o, l, t)
	for n, line := range lines {
		if n == 0 {
			x.printf("\n")
		}
		x.printf("            %s,\n", line)
		if n == len(lines)-1 {
			x.printf("        ")
		}
	}
	x.printf("]\n        streams.append(self.stream(args, %q, packet, vm, pps=%d", s.Name, 1000*s.Weight)
	if o.step > 0 {
		x.printf(", isg=args.lag * %d", o.step)
	}
	for _, v := range l.vars {
		if v.op == opShort {
			x.printf(", random_seed=%d", o.spec.seed)
			break
		}
	}
	x.printf("))\n")
}

// packet makes packet k of stream i, with zeros for a signature.
func (g *Program) packet(i int, k uint64) []byte {
	l := &g.lanes[i]
	b := make([]byte, g.maxLen)
	b = b[:l.make(k, 0, 0, b)]
	if l.sign {
		clear(b[len(b)-SignatureLen:])
	}
	return b
}

// pyHex wraps a long string.
func pyHex(s string) string {
	const width = 104
	if len(s) <= width {
		return fmt.Sprintf("%q", s)
	}
	var b strings.Builder
	for len(s) > 0 {
		n := min(width, len(s))
		fmt.Fprintf(&b, "\n            %q", s[:n])
		s = s[n:]
	}
	return b.String()
}

// trexVM returns the field engine's program.
func (x *exporter) trexVM(o *origin, l *lane, t tunables) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	names := map[uint8]string{}
	octets := map[uint8]uint8{}
	for i := range l.vars {
		v := &l.vars[i]
		names[v.out], octets[v.out] = v.name, v.octets
		last := v.from + uint32(v.count.d)*v.step - 1
		op := map[op]string{opInc: "inc", opDec: "dec", opShort: "random"}[v.op]
		switch {
		case v.flows != nil:
			names[v.out], names[v.out+1], octets[v.out+1] = "flow.ip", "flow.port", 2
			f := v.flows
			from, to := fmt.Sprint(uint32(f.address.from)), fmt.Sprint(uint32(f.address.to))
			if o.spec.ip4 != nil {
				from, to = fmt.Sprintf("%q", ip4(f.address.from)), fmt.Sprintf("%q", ip4(f.address.to))
			}
			add("STLVmTupleGen(name=\"flow\", ip_min=%s, ip_max=%s, port_min=%d, port_max=%d, limit_flows=args.flows)",
				from, to, f.port.from, f.port.to)
		case v.op == opRandom:
			octets[v.out] = 4
			add("STLVmFlowVarRepeatableRandom(name=%q, size=4, limit=2**31, seed=%d, min_value=%d, max_value=%d)",
				v.name, v.seed, v.from, last)
		case v.list != nil:
			text := strings.Trim(strings.ReplaceAll(fmt.Sprint(v.list), " ", ", "), "[]")
			add("STLVmFlowVar(name=%q, min_value=None, max_value=None, value_list=[%s], size=%d, op=%q)",
				v.name, text, v.octets, op)
		default:
			first, max := v.from, fmt.Sprint(last)
			if v.op == opDec {
				first = v.from + uint32(v.count.d-1)*v.step
			}
			if v.name == "overlay_tenant" && t.tenants > 0 {
				max = fmt.Sprintf("%d + args.tenants", firstTenant-1)
			}
			add("STLVmFlowVar(name=%q, min_value=%d, max_value=%s, init_value=%d, size=%d, step=%d, op=%q)",
				v.name, v.from, max, first, v.octets, v.step, op)
		}
	}
	if l.length >= 0 {
		add("STLVmTrimPktSize(%q)", "length")
	}
	for i := range l.writes {
		w := &l.writes[i]
		from := names[w.from]
		switch {
		case w.width == 0:
		case w.mask != 0:
			add("STLVmWrMaskFlowVar(fv_name=%q, pkt_offset=%d, pkt_cast_size=%d, mask=0x%x)",
				from, w.off, w.width, w.mask)
		case w.width != octets[w.from]:
			add("STLVmWrMaskFlowVar(fv_name=%q, pkt_offset=%d, pkt_cast_size=%d, mask=0x%x)",
				from, w.off, w.width, uint32(uint64(1)<<(8*w.width)-1))
		default:
			add("STLVmWrFlowVar(fv_name=%q, pkt_offset=%d%s)", from, w.off, pyAdd(w.add))
		}
		if i == len(l.writes)-1 && o.flowPort > 0 { // the generator's second value, which the frames here do not need
			add("STLVmWrFlowVar(fv_name=\"flow.port\", pkt_offset=%d)", o.flowPort)
		}
	}
	return append(lines, x.trexSums(o, l)...)
}

func pyAdd(v uint32) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(", add_val=%d", int32(v))
}

// trexSums returns the instructions that put checksums right.
func (x *exporter) trexSums(o *origin, l *lane) (lines []string) {
	l3 := o.l3
	outer, inner, transport := false, false, false
	for _, s := range l.sums {
		switch at := int(s.off); {
		case o.spec.outer != nil && at < o.inner:
			outer = true
		case o.spec.ip4 != nil && at == l3+10:
			inner = true
		default:
			transport = true
		}
	}
	if o.flowPort > 0 {
		transport = transport || o.spec.udp == nil || o.spec.udp.sum
	}
	if outer {
		lines = append(lines, fmt.Sprintf("STLVmFixIpv4(offset=%d)", o.inner-20))
	}
	switch {
	case transport && o.spec.icmp != nil:
		x.cannot("ICMP whose header or length varies: the field engine has no checksum for it")
	case transport:
		kind := "UDP"
		if o.spec.tcp != nil {
			kind = "TCP"
		}
		lines = append(lines,
			fmt.Sprintf("STLVmFixChecksumHw(l3_offset=%d, l4_offset=%d, l4_type=CTRexVmInsFixHwCs.L4_TYPE_%s)",
				l3, o.l4, kind))
	case inner:
		lines = append(lines, fmt.Sprintf("STLVmFixIpv4(offset=%d)", l3))
	}
	return lines
}

// trexCapture writes a file that replays a capture.
func (x *exporter) trexCapture() string {
	if len(x.g.streams) > 1 {
		x.cannot("captured frames together with other streams")
	}
	s := &x.g.origins[0].spec
	x.printf("# - The rate is the tunable ipg: microseconds from one frame to the next.\n")
	if s.eth.src.from != 0 || s.eth.dst.from != 0 {
		x.cannot("other MACs than the captured ones: rewrite the file (tcprewrite)")
	}
	x.printf("\nimport argparse\n\nfrom trex.stl.api import *\n\n\nclass Mix(object):\n\n")
	x.printf("    def get_streams(self, direction=0, tunables=(), **kwargs):\n"+
		"        p = argparse.ArgumentParser(prog=%q)\n", x.p.Name)
	x.printf("        p.add_argument(\"--file\", type=str, default=%q, help=\"the capture\")\n", s.pcap)
	x.printf("        p.add_argument(\"--ipg\", type=float, default=1000.0, help=\"microseconds between frames\")\n")
	x.printf("        known = vars(p.parse_args([]))\n" +
		"        p.set_defaults(**{k: v for k, v in kwargs.items() if k in known})\n")
	x.printf("        args = p.parse_args(list(tunables))\n        if direction %% 2 != %d:\n            return []\n",
		s.side-A)
	x.printf("        return STLProfile.load_pcap(args.file, ipg_usec=args.ipg, loop_count=0,\n")
	x.printf("                                    src_mac_pcap=True, " +
		"dst_mac_pcap=True).get_streams()\n\n\ndef register():\n    return Mix()\n")
	return x.b.String()
}
