package traffic_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/perf/traffic"
)

func builtin(t testing.TB, name string, o traffic.Options) *traffic.Program {
	t.Helper()
	p, err := traffic.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Program(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func parse(t testing.TB, text string) *traffic.Profile {
	t.Helper()
	p, err := traffic.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func program(t testing.TB, text string) *traffic.Program {
	t.Helper()
	g, err := parse(t, text).Program(traffic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestBuiltin makes frames of every built-in profile and has them read by somebody else.
func TestBuiltin(t *testing.T) {
	if len(traffic.Names()) == 0 {
		t.Fatal("no profile")
	}
	for _, name := range traffic.Names() {
		t.Run(name, func(t *testing.T) {
			g := builtin(t, name, traffic.Options{})
			a, b := make([]byte, g.MaxLen()), make([]byte, g.MaxLen())
			total, turns := 0, 0
			for seq := range uint64(20_000) {
				n := g.Make(seq, int64(seq)*1000, a)
				s := g.Streams()[g.Stream(seq)]
				if n < 60 || n > s.MaxLen {
					t.Fatalf("frame %d of stream %s has %d octets, want 60 to %d", seq, s.Name, n, s.MaxLen)
				}
				got, stamp, ok := traffic.Signature(a[:n])
				if ok != s.Signed || ok != g.Signed(seq) || ok && (got != seq || stamp != int64(seq)*1000) {
					t.Fatalf("frame %d of stream %s: signature %d, %d, %v", seq, s.Name, got, stamp, ok)
				}
				if m := g.Make(seq, int64(seq)*1000, b); m != n || !bytes.Equal(a[:n], b[:m]) {
					t.Fatalf("frame %d is not the same twice", seq)
				}
				total += n
				turns++
			}
			mean := float64(total) / float64(turns)
			if mean < g.MeanLen()*0.99 || mean > g.MeanLen()*1.01 {
				t.Errorf("mean length %v, MeanLen says %v", mean, g.MeanLen())
			}
		})
	}
}

// checkSums has gopacket compute all checksums of a frame and compares.
func checkSums(t testing.TB, frame []byte) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("frame %x: %v, want layers without an error", frame, e.Error())
	}
	var network gopacket.NetworkLayer
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
			if int(l.Length) != len(l.Contents)+len(l.Payload) {
				t.Fatalf("%x: IPv4 length %d", frame, l.Length)
			}
			if binary.BigEndian.Uint16(l.Contents[10:]) != naive(l.Contents, 10, 0) {
				t.Fatalf("%x: IPv4 checksum", frame)
			}
		case *layers.IPv6:
			network = l
		case *layers.UDP:
			if int(l.Length) != 8+len(l.Payload) {
				t.Fatalf("%x: UDP length %d", frame, l.Length)
			}
			if l.Checksum != 0 {
				if err := l.SetNetworkLayerForChecksum(network); err != nil {
					t.Fatal(err)
				}
				again(t, frame, l, l.Payload, l.Contents)
			}
		case *layers.TCP:
			if err := l.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
			again(t, frame, l, l.Payload, l.Contents)
		case *layers.ICMPv4:
			again(t, frame, l, l.Payload, l.Contents)
		case *layers.ICMPv6:
			if err := l.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
			again(t, frame, l, l.Payload, l.Contents)
		}
	}
}

// naive is the checksum of b with the field at off taken as zero.
func naive(b []byte, off int, s uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		if i != off {
			s += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// again serialises a layer with its checksum computed, and wants the same octets.
func again(t testing.TB, frame []byte, l gopacket.SerializableLayer, payload, want []byte) {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true}, l, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	got := b.Bytes()[:len(want)]
	if u, ok := l.(*layers.UDP); ok && u.Checksum == 0xffff && got[6] == 0 && got[7] == 0 {
		got[6], got[7] = 0xff, 0xff // RFC 768; gopacket sends 0
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%x:\ngot  %x\nwant %x", frame, want, got)
	}
}

const twoWays = `
title = "everything that varies"
[[stream]]
name = "udp4"
weight = 3
size = "68-200"
[stream.ethernet]
src = { from = "02:00:00:00:00:01", to = "02:00:00:00:00:0a" }
dst = { list = ["02:00:00:00:01:01", "02:00:00:00:02:02"], op = "random" }
[[stream.vlan]]
id = { from = 100, to = 109 }
pcp = 5
[stream.ipv4]
src = { from = "10.0.0.1", to = "10.0.255.254", op = "random" }
dst = { from = "10.1.0.1", to = "10.1.0.10", op = "dec" }
ttl = { from = 10, to = 19 }
id = { from = 0, to = 65535 }
dscp = 46
[stream.udp]
src_port = { from = 1000, to = 1099, step = 10 }
dst_port = { list = [5001, 5003, 5009] }
[[stream]]
name = "tcp6"
weight = 2
size = "100,101,1518:3"
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv6]
src = { from = "2001:db8::1", to = "2001:db8::ffff", op = "random" }
dst = "2001:db8::2"
flow_label = { from = 1, to = 1000 }
[stream.tcp]
src_port = { from = 1, to = 65535, op = "random" }
dst_port = 80
seq = { from = 0, to = 4294967295, op = "random" }
flags = "psh,ack"
mss = 1460
[[stream]]
name = "ping"
size = 99
fill = 170
[[stream.vlan]]
id = 7
[[stream.vlan]]
id = { from = 1, to = 4094 }
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv4]
src = "10.0.0.1"
dst = "10.0.0.2"
[stream.icmp]
id = { from = 1, to = 7 }
seq = { from = 0, to = 65535 }
[[stream]]
name = "ping6"
size = 98
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv6]
src = "fe80::1"
dst = { from = "fe80::2", to = "fe80::ff" }
[stream.icmp]
`

// TestChecksums: all lengths and checksums are right, for every field that varies.
func TestChecksums(t *testing.T) {
	g := program(t, strings.Replace(twoWays, "size = 98", "size = \"90-300\"\nsize_op = \"random\"", 1))
	buf := make([]byte, g.MaxLen())
	seen := map[string]int{}
	for seq := range uint64(30_000) {
		at := seq + seq*seq*6000 // up to 5·10¹²
		n := g.Make(at, int64(at), buf)
		checkSums(t, buf[:n])
		seen[g.Streams()[g.Stream(at)].Name]++
	}
	if len(seen) != 6 {
		t.Errorf("streams %v", seen)
	}
}

func TestAllocations(t *testing.T) {
	for _, name := range traffic.Names() {
		g := builtin(t, name, traffic.Options{})
		buf := make([]byte, g.MaxLen())
		seq := uint64(0)
		if n := testing.AllocsPerRun(2000, func() {
			m := g.Make(seq, 1, buf)
			traffic.Signature(buf[:m])
			seq++
		}); n != 0 {
			t.Errorf("%s: %v allocations a frame", name, n)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	for _, name := range traffic.Names() {
		b.Run("profile="+name, func(b *testing.B) {
			g := builtin(b, name, traffic.Options{})
			buf := make([]byte, g.MaxLen())
			b.ReportAllocs()
			seq := uint64(0)
			for b.Loop() {
				g.Make(seq, 1, buf)
				seq++
			}
		})
	}
}

func BenchmarkSignature(b *testing.B) {
	g := builtin(b, "size-64", traffic.Options{})
	buf := make([]byte, g.MaxLen())
	n := g.Make(1, 1, buf)
	for b.Loop() {
		if _, _, ok := traffic.Signature(buf[:n]); !ok {
			b.Fatal("no signature")
		}
	}
}
