package traffic_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"penstock/perf/traffic"
)

// frames makes the first n frames of a program.
func frames(g *traffic.Program, n int) [][]byte {
	out := make([][]byte, n)
	buf := make([]byte, g.MaxLen())
	for seq := range out {
		out[seq] = bytes.Clone(buf[:g.Make(uint64(seq), 0, buf)])
	}
	return out
}

// TestTurn: each stream has its share in every turn, and its frames do not depend on the others.
func TestTurn(t *testing.T) {
	g := program(t, twoWays)
	turn := 0
	for _, s := range g.Streams() {
		turn += s.Weight
	}
	alone := map[string][][]byte{}
	for i, s := range g.Streams() {
		name, _, sized := strings.Cut(s.Name, "/")
		set := map[string]string{}
		for _, other := range []string{"udp4", "tcp6", "ping", "ping6"} {
			set[other+":weight"] = "1"
		}
		if sized {
			set[name+":size"] = s.Name[len(name)+1:]
		}
		h, err := parse(t, twoWays).Program(traffic.Options{Set: set})
		if err != nil {
			t.Fatal(err)
		}
		for seq := range uint64(400) {
			if h.Streams()[h.Stream(seq)].Name == name {
				buf := make([]byte, h.MaxLen())
				alone[s.Name] = append(alone[s.Name], unsigned(buf[:h.Make(seq, 0, buf)]))
			}
		}
		if i == 0 && s.Weight != 3 {
			t.Errorf("weight of %s: %d", s.Name, s.Weight)
		}
	}
	next := map[string]int{}
	for seq, f := range frames(g, 20*turn) {
		s := g.Streams()[g.Stream(uint64(seq))]
		if n := next[s.Name]; n < len(alone[s.Name]) && !bytes.Equal(unsigned(f), alone[s.Name][n]) {
			t.Fatalf("packet %d of %s:\n%x, alone\n%x", n, s.Name, unsigned(f), alone[s.Name][n])
		}
		next[s.Name]++
		if (seq+1)%turn == 0 {
			for _, s := range g.Streams() {
				if next[s.Name] != s.Weight*(seq+1)/turn {
					t.Fatalf("%d frames of %s after %d, weight %d of %d", next[s.Name], s.Name, seq+1, s.Weight, turn)
				}
			}
		}
	}
}

// unsigned takes a frame's signature away: zeros, as the exports have.
func unsigned(f []byte) []byte {
	f = bytes.Clone(f)
	if _, _, ok := traffic.Signature(f); ok {
		clear(f[len(f)-traffic.SignatureLen:])
	}
	return f
}

// TestOverlay compares the outer header, octet by octet, with the table of PROTOCOL.md#encapsulation.
func TestOverlay(t *testing.T) {
	outer := strings.NewReplacer(
		"tenant = 2", "tenant = { from = 500, to = 509 }\nvlan = 101\npcp = 5\nttl = 63",
		"segment = 1", "segment = 513",
	).Replace(over)
	g := program(t, head+"size = 200\n"+outer+eth+ip4+"dscp = 46\n"+udp)
	for k, f := range frames(g, 30) {
		header := unhex(t,
			"02 00 00 00 0b 00 | 02 00 00 00 0a 00 | 81 00 a0 65 | 08 00 | "+
				"45 b8 00 b2 00 65 40 00 3f 8f 00 00 | 0a 01 02 01 | 0a 02 00 00")
		binary.BigEndian.PutUint16(header[36:], uint16(500+k%10))
		binary.BigEndian.PutUint16(header[28:], naive(header[18:38], 10, 0))
		if !bytes.Equal(f[:38], header) {
			t.Fatalf("packet %d:\n%x, want\n%x", k, f[:38], header)
		}
		checkSums(t, f[38:])
		if len(f) != 196 || !bytes.Equal(f[38:52], unhex(t, "02 00 00 00 00 02 02 00 00 00 00 01 08 00")) {
			t.Fatalf("packet %d: %d octets, %x", k, len(f), f)
		}
	}
	outer = strings.NewReplacer(
		"tenant = 2", "tenant = { from = 65536, to = 16777214, op = \"random\" }\nscheme = \"p.t\"",
		"segment = 1", "segment = 70000",
	).Replace(over)
	wide := program(t, head+"size = 200\n"+outer+eth+ip4+udp)
	seen := map[uint32]bool{}
	for k, f := range frames(wide, 1000) {
		dst := binary.BigEndian.Uint32(f[30:])
		seen[dst] = true
		if src := binary.BigEndian.Uint32(f[26:]); src != 1<<24|70000 || dst>>24 != 2 || dst&0xffffff < 65536 {
			t.Fatalf("packet %d: from %#x to %#x", k, src, dst)
		}
		if binary.BigEndian.Uint16(f[24:]) != naive(f[14:34], 10, 0) {
			t.Fatalf("packet %d: checksum", k)
		}
	}
	if len(seen) < 950 {
		t.Errorf("1,000 random tenants are %d", len(seen))
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMACs: the options' addresses replace those of the outermost header, and no others.
func TestMACs(t *testing.T) {
	src, dst := traffic.MAC{2, 2, 2, 2, 2, 1}, traffic.MAC{2, 2, 2, 2, 2, 2}
	for _, name := range []string{"size-64", "tenants-1", "churn", "malformed"} {
		p, err := traffic.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := builtin(t, name, traffic.Options{})
		g, err := p.Program(traffic.Options{SrcMAC: &src, DstMAC: &dst})
		if err != nil {
			t.Fatal(err)
		}
		for seq, f := range frames(g, 100) {
			want := frames(plain, 100)[seq]
			s := g.Streams()[g.Stream(uint64(seq))].Name
			if strings.Contains(s, "eth-") || strings.Contains(s, "arp") { // the malformed ones change them
				continue
			}
			if !bytes.Equal(f[:6], dst[:]) || !bytes.Equal(f[6:12], src[:]) || !bytes.Equal(f[12:], want[12:]) {
				t.Fatalf("%s, %s, frame %d:\n%x\n%x", name, s, seq, f, want)
			}
		}
	}
}

// TestChurn follows every connection as both ends would.
func TestChurn(t *testing.T) {
	type conn struct {
		client, server uint32 // next sequence number of each
		segments       int
		open           bool
		fins           int
	}
	for _, how := range []string{"fin", "rst", "none"} {
		for _, requests := range []int{0, 1, 3} {
			p, err := traffic.Builtin("churn")
			if err != nil {
				t.Fatal(err)
			}
			o := traffic.Options{
				Set: map[string]string{
					"churn.close": how, "churn.requests": fmt.Sprint(requests),
					"churn.concurrent": "50", "flows": "500",
				},
			}
			g, err := p.Program(o)
			if err != nil {
				t.Fatal(err)
			}
			steps := map[string]int{"fin": 6, "rst": 4, "none": 3}[how] + 2*requests
			if len(g.Streams()) != steps {
				t.Fatalf("%s, %d requests: %d streams, want %d", how, requests, len(g.Streams()), steps)
			}
			conns := map[string]*conn{}
			done := 0
			bySide := map[traffic.Side][][]byte{}
			for seq, f := range frames(g, 300*steps) {
				checkSums(t, f)
				s := g.Streams()[g.Stream(uint64(seq))]
				bySide[s.Side] = append(bySide[s.Side], unsigned(f))
				pkt := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.NoCopy)
				ip, tcp := pkt.Layer(layers.LayerTypeIPv4).(*layers.IPv4), pkt.Layer(layers.LayerTypeTCP).(*layers.TCP)
				fromClient := s.Side == traffic.A
				key := fmt.Sprint(ip.SrcIP, tcp.SrcPort, ip.DstIP, tcp.DstPort)
				if !fromClient {
					key = fmt.Sprint(ip.DstIP, tcp.DstPort, ip.SrcIP, tcp.SrcPort)
				}
				c := conns[key]
				if c == nil {
					c = &conn{}
					conns[key] = c
				}
				data := uint32(len(tcp.Payload))
				if int(ip.Length) != 20+4*int(tcp.DataOffset)+int(data) || data > 0 != tcp.PSH {
					t.Fatalf("%s: %d octets of data in an IP packet of %d", s.Name, data, ip.Length)
				}
				own, other := &c.client, &c.server
				if !fromClient {
					own, other = other, own
				}
				switch {
				case tcp.SYN && !tcp.ACK:
					if !fromClient || c.open && how != "none" || c.segments%steps != 0 || len(tcp.Options) == 0 {
						t.Fatalf("%s of %s: %+v", s.Name, key, c)
					}
					c.open, c.fins = true, 0
					*own = tcp.Seq + 1
				case tcp.SYN:
					if fromClient || tcp.Ack != c.client {
						t.Fatalf("%s of %s: ack %d, want %d", s.Name, key, tcp.Ack, c.client)
					}
					*own = tcp.Seq + 1
				default:
					if !c.open || tcp.Seq != *own || !tcp.ACK || tcp.Ack != *other {
						t.Fatalf("%s of %s: seq %d, ack %d, want %d, %d", s.Name, key, tcp.Seq, tcp.Ack, *own, *other)
					}
					*own += data
					if tcp.FIN {
						*own++
						c.fins++
					}
				}
				c.segments++
				if c.segments%steps == 0 {
					done++
					if c.open = how == "none"; how == "fin" && c.fins != 2 || how == "rst" && !tcp.RST {
						t.Fatalf("%s: not closed: %+v", key, c)
					}
				}
			}
			if done != 300 {
				t.Errorf("%s, %d requests: %d connections are through, want 300", how, requests, done)
			}
			// Each side alone sends the same frames in the same order.
			for side, want := range bySide {
				o.Side = side
				h, err := p.Program(o)
				if err != nil {
					t.Fatal(err)
				}
				for seq, f := range frames(h, len(want)) {
					if !bytes.Equal(unsigned(f), want[seq]) {
						t.Fatalf("side %v, frame %d: %x, in both %x", side, seq, f, want[seq])
					}
				}
			}
		}
	}
}

// TestMalformed: every kind is a frame of its own, differs from a good one, and has good headers but for what is wrong.
func TestMalformed(t *testing.T) {
	for _, name := range []string{"malformed", "malformed-overlay"} {
		g := builtin(t, name, traffic.Options{})
		seen := map[string]string{}
		for seq, f := range frames(g, 400) {
			s := g.Streams()[g.Stream(uint64(seq))]
			kind, bad := strings.CutPrefix(s.Name, "bad/")
			if bad == s.Signed {
				t.Fatalf("%s: signed %v", s.Name, s.Signed)
			}
			if !bad {
				kind = "good"
			}
			text := string(unsigned(f))
			for other, o := range seen {
				if (o == text) != (other == kind) {
					t.Fatalf("%s and %s", kind, other)
				}
			}
			seen[kind] = text
			inner := f
			if name == "malformed-overlay" {
				inner = f[34:]
				if kind != "overlay-checksum" && binary.BigEndian.Uint16(f[24:]) != naive(f[14:34], 10, 0) {
					t.Errorf("%s: outer header checksum", kind)
				}
			}
			if inner[12] == 8 && inner[13] == 0 && kind != "ip4-checksum" {
				h := 4 * int(inner[14]&15)
				if binary.BigEndian.Uint16(inner[24:]) != naive(inner[14:14+max(20, h)], 10, 0) {
					t.Errorf("%s: IPv4 header checksum", kind)
				}
			}
		}
		kinds := 1
		for _, k := range traffic.Kinds() {
			if name == "malformed-overlay" || !strings.HasPrefix(k.Name, "overlay-") {
				kinds++
				if seen[k.Name] == "" {
					t.Errorf("%s: no frame of kind %s", name, k.Name)
				}
			}
		}
		if len(seen) != kinds {
			t.Errorf("%s: %d kinds, want %d: %v", name, len(seen), kinds, slices.Sorted(maps.Keys(seen)))
		}
		a, b := 0, 0 // as many good ones as bad ones, as the titles say
		for _, s := range g.Streams() {
			if s.Signed {
				a += s.Weight
			} else {
				b += s.Weight
			}
		}
		if a != b {
			t.Errorf("%s: %d good, %d malformed", name, a, b)
		}
	}
}

func writeCapture(t *testing.T, name string, ng bool, link layers.LinkType, cut int, data ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var write func(gopacket.CaptureInfo, []byte) error
	if ng {
		w, err := pcapgo.NewNgWriter(f, link)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Flush()
		write = w.WritePacket
	} else {
		w := pcapgo.NewWriter(f)
		if err := w.WriteFileHeader(65535, link); err != nil {
			t.Fatal(err)
		}
		write = w.WritePacket
	}
	for _, d := range data {
		if err := write(gopacket.CaptureInfo{CaptureLength: len(d), Length: len(d) + cut}, d); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestCapture(t *testing.T) {
	source := frames(builtin(t, "churn", traffic.Options{Set: map[string]string{"churn.concurrent": "3"}}), 30)
	for _, ng := range []bool{false, true} {
		path := writeCapture(t, "x.pcap", ng, layers.LinkTypeEthernet, 0, source...)
		dir, file := filepath.Split(path)
		text := "title = \"t\"\n[[stream]]\nname = \"replay\"\n[stream.pcap]\nfile = \"" + file + "\"\n"
		p, err := traffic.Parse(filepath.Join(dir, "p.toml"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		g, err := p.Program(traffic.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for seq, f := range frames(g, 100) {
			if !bytes.Equal(f, source[seq%30]) || g.Signed(uint64(seq)) {
				t.Fatalf("frame %d: %x, want %x", seq, f, source[seq%30])
			}
		}
		p, err = traffic.Parse(filepath.Join(dir, "p.toml"),
			[]byte(text+"[stream.ethernet]\ndst = \"02:00:00:00:77:77\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		src := traffic.MAC{2, 1, 1, 1, 1, 1}
		if g, err = p.Program(traffic.Options{SrcMAC: &src}); err != nil {
			t.Fatal(err)
		}
		for seq, f := range frames(g, 30) {
			if !bytes.Equal(f[12:], source[seq][12:]) || !bytes.Equal(f[:12], unhex(t, "020000007777 020101010101")) {
				t.Fatalf("frame %d: %x", seq, f)
			}
		}
		if _, err := p.Program(traffic.Options{MTU: 500}); err == nil ||
			!strings.Contains(err.Error(), "too many for an MTU of 500") {
			t.Errorf("MTU: %v", err)
		}
	}
	for _, tc := range []struct{ path, want string }{
		{filepath.Join(t.TempDir(), "none"), "no such file"},
		{t.TempDir(), "not a regular file"},
		{writeCapture(t, "empty", false, layers.LinkTypeEthernet, 0), "no frame in it"},
		{writeCapture(t, "raw", false, layers.LinkTypeRaw, 0, source[0]), "want Ethernet"},
		{
			writeCapture(t, "cut", true, layers.LinkTypeEthernet, 5, source[0]),
			"frame 1: only 60 of 65 octets were captured",
		},
		{writeCapture(t, "short", false, layers.LinkTypeEthernet, 0, source[0], source[0][:13]), "frame 2: 13 octets"},
		{writeCapture(t, "long", false, layers.LinkTypeEthernet, 0, make([]byte, 20000)), "frame 1: 20000 octets"},
	} {
		if _, err := traffic.ReadCapture(tc.path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.path, err, tc.want)
		}
	}
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("this is no capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := traffic.ReadCapture(junk); err == nil || !strings.Contains(err.Error(), "neither pcap nor pcapng") {
		t.Error(err)
	}
}

func FuzzCapture(f *testing.F) {
	for _, ng := range []bool{false, true} {
		var b bytes.Buffer
		if ng {
			w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
			if err != nil {
				f.Fatal(err)
			}
			_ = w.WritePacket(gopacket.CaptureInfo{CaptureLength: 60, Length: 60}, make([]byte, 60))
			_ = w.Flush()
		} else {
			w := pcapgo.NewWriter(&b)
			_ = w.WriteFileHeader(65535, layers.LinkTypeEthernet)
			_ = w.WritePacket(gopacket.CaptureInfo{CaptureLength: 60, Length: 60}, make([]byte, 60))
		}
		f.Add(b.Bytes())
	}
	path := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		capture, err := traffic.ReadCapture(path)
		if err != nil {
			return
		}
		for i, x := range capture.Frames {
			if len(x) < 14 {
				t.Fatalf("frame %d has %d octets, want an error", i+1, len(x))
			}
		}
	})
}

// TestSet: what is set on the command line is as if it stood in the file.
func TestSet(t *testing.T) {
	text := twoWays
	for _, tc := range []struct {
		set      map[string]string
		old, new string
	}{
		{map[string]string{"tcp6:size": "200"}, `size = "100,101,1518:3"`, "size = 200"},
		{
			map[string]string{"udp.dst_port": "{ from = 7, to = 9 }"},
			"dst_port = { list = [5001, 5003, 5009] }", "dst_port = { from = 7, to = 9 }",
		},
		{map[string]string{"tcp.flags": "syn"}, `"psh,ack"`, `"syn"`},
		{map[string]string{"fill": "1"}, "fill = 170", "fill = 1"},
		{
			map[string]string{"udp4:ipv4.dst": "10.7.7.7"},
			`dst = { from = "10.1.0.1", to = "10.1.0.10", op = "dec" }`, `dst = "10.7.7.7"`,
		},
		{map[string]string{"udp4:vlan.id": "9"}, "id = { from = 100, to = 109 }", "id = 9"},
	} {
		if strings.Count(text, tc.old) != 1 {
			t.Fatalf("%q stands %d times", tc.old, strings.Count(text, tc.old))
		}
		g, err := parse(t, text).Program(traffic.Options{Set: tc.set})
		if err != nil {
			t.Fatal(err)
		}
		want := frames(program(t, strings.Replace(text, tc.old, tc.new, 1)), 300)
		for seq, f := range frames(g, 300) {
			if !bytes.Equal(f, want[seq]) {
				t.Fatalf("%v, frame %d:\n%x, want\n%x", tc.set, seq, f, want[seq])
			}
		}
	}
	for n, want := range map[string]int{"1": 1, "7": 7, "65533": 65533} {
		g := builtin(t, "tenants-1k", traffic.Options{Set: map[string]string{"tenants": n}})
		seen := map[uint16]bool{}
		for _, f := range frames(g, want+10) {
			seen[binary.BigEndian.Uint16(f[32:])] = true
		}
		if len(seen) != want || !seen[2] || !seen[uint16(1+want)] {
			t.Errorf("tenants=%s: %d", n, len(seen))
		}
	}
	a, b := builtin(t, "syn-flood", traffic.Options{}), builtin(t, "syn-flood", traffic.Options{Seed: 1})
	same := 0
	other := frames(b, 100)
	for seq, f := range frames(a, 100) {
		if bytes.Equal(f, other[seq]) {
			same++
		}
	}
	if same > 5 {
		t.Errorf("another seed, and %d of 100 frames are the same", same)
	}
}

// TestFlows counts what the names of the profiles promise.
func TestFlows(t *testing.T) {
	for name, want := range map[string]int{
		"size-64": 1000, "size-imix": 1000, "flows-1": 1, "flows-10k": 10_000,
		"flows-1m": 1_000_000, "vip-udp": 10_000, "tenants-1k": 1000, "tenants-65k": 65_533,
	} {
		g := builtin(t, name, traffic.Options{})
		seen := map[[12]byte]bool{}
		buf := make([]byte, g.MaxLen())
		n := want
		if name == "size-imix" { // the frames of 1518 octets are every twelfth
			n *= 12
		}
		for seq := range uint64(n) {
			g.Make(seq, 0, buf)
			seen[[12]byte(buf[26:38])] = true // addresses and ports; of the overlay the special addresses
		}
		if len(seen) != want {
			t.Errorf("%s: %d flows, want %d", name, len(seen), want)
		}
	}
}
