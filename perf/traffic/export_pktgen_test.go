package traffic_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"penstock/ctrl/model"
	"penstock/perf/traffic"
)

// key is what the kernel's and DPDK's generators can say of a frame.
type key struct {
	size             int // without FCS
	src, dst         model.MAC
	tags             [2]uint16 // TCI
	srcIP, dstIP     uint32
	srcPort, dstPort uint16
	tos              uint8
}

// keyOf reads it from a frame.
func keyOf(t *testing.T, f []byte) key {
	t.Helper()
	k := key{
		size: len(f),
		dst:  model.MAC(uint64(binary.BigEndian.Uint16(f))<<32 | uint64(binary.BigEndian.Uint32(f[2:]))),
		src:  model.MAC(uint64(binary.BigEndian.Uint16(f[6:]))<<32 | uint64(binary.BigEndian.Uint32(f[8:]))),
	}
	at := 12
	for i := 0; binary.BigEndian.Uint16(f[at:]) == 0x8100; i++ {
		k.tags[i] = binary.BigEndian.Uint16(f[at+2:])
		at += 4
	}
	ip := f[at+2:]
	if binary.BigEndian.Uint16(f[at:]) != 0x0800 || ip[9] != 17 {
		t.Fatalf("no UDP over IPv4: %x", f)
	}
	k.tos, k.srcIP, k.dstIP = ip[1], binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint32(ip[16:])
	k.srcPort, k.dstPort = binary.BigEndian.Uint16(ip[20:]), binary.BigEndian.Uint16(ip[22:])
	return k
}

// pktgen is the kernel's generator as far as the scripts use it: net/core/pktgen.c, pktgen_if_write and
// mod_cur_headers.
type pktgen struct {
	key
	sizes    [][2]int // imix_weights
	min, max map[string]uint32
	now      map[string]uint32
	sum      int
}

// feed reads the commands that a script wrote to the device's file.
func (p *pktgen) feed(t *testing.T, text string) {
	t.Helper()
	p.min, p.max, p.now = map[string]uint32{}, map[string]uint32{}, map[string]uint32{}
	number := func(s string, base, bits int) uint64 {
		n, err := strconv.ParseUint(s, base, bits)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	address := func(s string) uint32 {
		a := netip.MustParseAddr(s).As4()
		return binary.BigEndian.Uint32(a[:])
	}
	mac := func(s string) model.MAC {
		m, err := model.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		switch name, v := w[0], w[1]; name {
		case "count", "clone_skb", "ratep":
			number(v, 10, 64)
		case "pkt_size":
			p.size = int(number(v, 10, 16))
		case "imix_weights":
			for _, e := range w[1:] {
				a, b, _ := strings.Cut(e, ",")
				p.sizes = append(p.sizes, [2]int{int(number(a, 10, 16)), int(number(b, 10, 16))})
			}
		case "src_mac":
			p.src = mac(v)
		case "dst_mac":
			p.dst = mac(v)
		case "src_min", "dst_min":
			p.min[name[:3]] = address(v)
		case "src_max", "dst_max":
			p.max[name[:3]] = address(v)
		case "udp_src_min", "udp_dst_min":
			p.min[name[:7]] = uint32(number(v, 10, 16))
		case "udp_src_max", "udp_dst_max":
			p.max[name[:7]] = uint32(number(v, 10, 16))
		case "vlan_id":
			p.tags[1] = uint16(number(v, 10, 12))
		case "vlan_p":
			p.tags[1] |= uint16(number(v, 10, 3)) << 13
		case "svlan_id":
			if p.tags[1] == 0 {
				t.Fatal("the kernel ignores an svlan_id before vlan_id")
			}
			p.tags[0] = uint16(number(v, 10, 12))
		case "svlan_p":
			p.tags[0] |= uint16(number(v, 10, 3)) << 13
		case "tos":
			p.tos = uint8(number(v, 16, 8))
		case "flag":
			if v != "UDPCSUM" {
				t.Fatalf("flag %s", v)
			}
			p.sum++
		default:
			t.Fatalf("the kernel knows no command %q", line)
		}
	}
	if p.tags[0] == 0 {
		p.tags[0], p.tags[1] = p.tags[1], 0
	}
	for name, v := range p.min {
		p.now[name] = v
	}
}

// next makes the next packet: what varies is stepped first.
func (p *pktgen) next() key {
	for _, name := range []string{"udp_src", "udp_dst"} {
		if p.min[name] < p.max[name] {
			if p.now[name]++; p.now[name] >= p.max[name] {
				p.now[name] = p.min[name]
			}
		}
	}
	for _, name := range []string{"src", "dst"} {
		if p.min[name] < p.max[name] {
			if p.now[name]++; p.now[name] > p.max[name] {
				p.now[name] = p.min[name]
			}
		}
	}
	k := p.key
	k.srcIP, k.dstIP = p.now["src"], p.now["dst"]
	k.srcPort, k.dstPort = uint16(p.now["udp_src"]), uint16(p.now["udp_dst"])
	return k
}

// tagged is a mix with everything that pktgen can vary and set.
const tagged = `
title = "t"
[[stream]]
name = "s"
size = 90
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[[stream.vlan]]
id = 7
pcp = 3
tpid = 0x8100
[[stream.vlan]]
id = 9
pcp = 1
[stream.ipv4]
src = { from = "10.0.0.1", to = "10.0.0.9" }
dst = { from = "10.1.0.1", to = "10.1.0.7" }
dscp = 46
[stream.udp]
src_port = { from = 100, to = 110 }
dst_port = { from = 7, to = 9 }
`

// TestPktgen runs the scripts with a directory in place of /proc/net/pktgen, and makes packets from the written files
// as the kernel does.
func TestPktgen(t *testing.T) {
	scripts := map[string]*traffic.Profile{}
	for _, name := range traffic.Names() {
		path := filepath.Join(profilesDir, "pktgen", name+".sh")
		if _, err := os.Stat(path); err == nil {
			p, err := traffic.Builtin(name)
			if err != nil {
				t.Fatal(err)
			}
			scripts[path] = p
		}
	}
	if len(scripts) < 7 {
		t.Fatalf("%d scripts", len(scripts))
	}
	own := parse(t, tagged)
	path := filepath.Join(t.TempDir(), "tagged.sh")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := own.Export(traffic.Pktgen, traffic.Options{}, f); err != nil {
		t.Fatal(err)
	}
	scripts[path] = own
	for path, p := range scripts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("bash", path, "eth7", "3")
			cmd.Env = append(os.Environ(), "PGDIR="+dir, "RATE=1000")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("script %s: %v, want success: %s", path, err, out)
			}
			for file, want := range map[string]string{
				"kpktgend_3": "rem_device_all\nadd_device eth7\n", "pgctrl": "start\n",
			} {
				if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(b) != want {
					t.Fatalf("%s: wrote %q, error %v, want %q", file, b, err, want)
				}
			}
			b, err := os.ReadFile(filepath.Join(dir, "eth7"))
			if err != nil {
				t.Fatal(err)
			}
			var k pktgen
			k.feed(t, string(b))
			if k.sum != 1 || !strings.Contains(string(b), "ratep 1000\n") {
				t.Errorf("want checksums by pktgen once (%d) and \"ratep 1000\" in:\n%s", k.sum, b)
			}
			g, err := p.Program(traffic.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if k.sizes != nil { // drawn at random: the sizes and weights, then everything else by stream
				for i, s := range g.Streams() {
					if i >= len(k.sizes) || k.sizes[i][0] != s.MaxLen ||
						k.sizes[i][1]*g.Streams()[0].Weight != s.Weight*k.sizes[0][1] {
						t.Fatalf("sizes %v, stream %s of %d octets, weight %d", k.sizes, s.Name, s.MaxLen, s.Weight)
					}
				}
			}
			buf := make([]byte, g.MaxLen())
			next := 0
			for seq := uint64(0); next < 3000; seq++ {
				if g.Stream(seq) != 0 {
					continue
				}
				n := g.Make(seq, 0, buf)
				if next++; next == 1 { // pktgen begins with the second value
					continue
				}
				want, got := keyOf(t, buf[:n]), k.next()
				if k.sizes != nil {
					got.size = want.size
				}
				if got != want {
					t.Fatalf("packet %d: %+v, here %+v", next, got, want)
				}
			}
		})
	}
}

var luaCall = regexp.MustCompile(`^pktgen\.(range\.)?([a-zA-Z_0-9]+)\(port(?:, ([^,()]+))?(?:, (.+))?\)`)

// TestDPDK reads the Lua scripts as DPDK Pktgen's range mode does (app/pktgen-range.c): every packet's fields go up by
// their steps. Which packet comes when it leaves open, so that sets are compared.
func TestDPDK(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(profilesDir, "pktgen", "*.lua"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			values := luaRange(t, string(text))
			at := func(name, what string) uint64 { return values[name+"."+what] }
			g := builtin(t, strings.TrimSuffix(filepath.Base(path), ".lua"), traffic.Options{})
			names := []string{"src_mac", "dst_mac", "src_ip", "dst_ip", "src_port", "dst_port", "pkt_size"}
			now := map[string]uint64{}
			for _, n := range names {
				now[n] = at(n, "start")
			}
			got, want := map[key]bool{}, map[key]bool{}
			for _, f := range frames(g, 2000) {
				want[keyOf(t, f)] = true
			}
			for range 4096 {
				for _, n := range names {
					if step := at(n, "inc"); step != 0 {
						switch v := now[n] + step; {
						case v < at(n, "min"):
							now[n] = at(n, "max")
						case v > at(n, "max"):
							now[n] = at(n, "min")
						default:
							now[n] = v
						}
					} else {
						now[n] = at(n, "start")
					}
				}
				got[key{size: int(now["pkt_size"]) - 4, src: model.MAC(now["src_mac"]), dst: model.MAC(now["dst_mac"]),
					srcIP: uint32(now["src_ip"]), dstIP: uint32(now["dst_ip"]), srcPort: uint16(now["src_port"]),
					dstPort: uint16(now["dst_port"])}] = true
			}
			if len(got) != len(want) {
				t.Errorf("%d different packets, here %d", len(got), len(want))
			}
			for k := range want {
				if !got[k] {
					t.Fatalf("no packet %+v", k)
				}
			}
			if at("ttl", "start") != 64 {
				t.Errorf("time to live %d", at("ttl", "start"))
			}
		})
	}
}

// localMAC is a line of Lua that takes a MAC from the environment or has a default.
var localMAC = regexp.MustCompile(`^local (src_mac|dst_mac) = os\.getenv\("[A-Z_]+"\) or "([0-9a-f:]+)"$`)

// luaRange collects the values of pktgen.range.NAME(port, WHAT, VALUE), and wants the rest to be calls that there are.
func luaRange(t *testing.T, text string) map[string]uint64 {
	t.Helper()
	values, macs := map[string]uint64{}, map[string]string{}
	on := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := localMAC.FindStringSubmatch(line); m != nil {
			macs[m[1]] = m[2]
			continue
		}
		if line == "" || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "package.path") ||
			strings.HasPrefix(line, "require ") || strings.HasPrefix(line, "local port") {
			continue
		}
		m := luaCall.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not understood: %s", line)
		}
		if m[1] == "" {
			switch {
			case m[2] == "set_range" && m[3] == `"on"`:
				on++
			case !slices.Contains([]string{"stop", "start", "set"}, m[2]):
				t.Fatalf("not understood: %s", line)
			}
			continue
		}
		if m[2] == "ip_proto" {
			if m[3] != `"udp"` {
				t.Fatalf("not understood: %s", line)
			}
			continue
		}
		what, v := strings.Trim(m[3], `"`), m[4]
		if macs[v] != "" {
			v = macs[v]
		}
		v = strings.Trim(v, `"`)
		var n uint64
		if mac, err := model.ParseMAC(v); err == nil {
			n = uint64(mac)
		} else if a, err := netip.ParseAddr(v); err == nil {
			b := a.As4()
			n = uint64(binary.BigEndian.Uint32(b[:]))
		} else if n, err = strconv.ParseUint(v, 10, 32); err != nil {
			t.Fatalf("line %s: %v, want an address or a number", line, err)
		}
		if !slices.Contains([]string{"start", "inc", "min", "max"}, what) {
			t.Fatalf("not understood: %s", line)
		}
		values[fmt.Sprintf("%s.%s", m[2], what)] = n
	}
	if on != 1 {
		t.Errorf("range mode is turned on %d times", on)
	}
	return values
}

// TestDPDKSequence: sizes with weights become a sequence in the order of a turn.
func TestDPDKSequence(t *testing.T) {
	p, err := traffic.Builtin("size-imix")
	if err != nil {
		t.Fatal(err)
	}
	o := traffic.Options{Set: map[string]string{"flows": "1"}}
	var b strings.Builder
	if err := p.Export(traffic.DPDK, o, &b); err != nil {
		t.Fatal(err)
	}
	g, err := p.Program(o)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?s)pktgen\.seqTable\((\d+), port, \{(.*?)\}\)`).FindAllStringSubmatch(b.String(), -1)
	if len(all) != 12 || !strings.Contains(b.String(), `pktgen.set(port, "seq_cnt", 12)`) {
		t.Fatalf("%d of a sequence:\n%s", len(all), b.String())
	}
	field := func(s, name string) string {
		m := regexp.MustCompile(`\["` + name + `"\] = "?([^",]+)"?`).FindStringSubmatch(s)
		if m == nil {
			t.Fatalf("no %s in %s", name, s)
		}
		return m[1]
	}
	for i, f := range frames(g, 36) {
		e := all[i%12]
		k := keyOf(t, f)
		src := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, k.srcIP)))
		dst := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, k.dstIP)))
		for name, want := range map[string]string{
			"pktSize": fmt.Sprint(k.size + 4), "ethType": "ipv4", "ipProto": "udp",
			"ip_src_addr": src.String() + "/32", "ip_dst_addr": dst.String(),
			"sport": fmt.Sprint(k.srcPort), "dport": fmt.Sprint(k.dstPort),
		} {
			if got := field(e[2], name); got != want || e[1] != fmt.Sprint(i%12) {
				t.Errorf("frame %d: %s is %s, want %s", i, name, got, want)
			}
		}
	}
}
