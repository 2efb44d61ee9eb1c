package balance_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// withOptions puts IPv4 options into the header of a frame.
func withOptions(f []byte, options ...byte) []byte {
	g := append(append(bytes.Clone(f[:34]), options...), f[34:]...)
	g[14] += byte(len(options) / 4)
	binary.BigEndian.PutUint16(g[16:], uint16(len(g)-14))
	g[24], g[25] = 0, 0
	binary.BigEndian.PutUint16(g[24:], checksum.Checksum(g[14:34+len(options)], 0))
	return g
}

// withExtension puts an extension header of 8 octets in front of the payload of an IPv6 frame.
func withExtension(f []byte, kind uint8, rest ...byte) []byte {
	g := append(append(bytes.Clone(f[:54]), append([]byte{f[20]}, rest...)...), f[54:]...)
	g[20] = kind
	binary.BigEndian.PutUint16(g[18:], uint16(len(g)-54))
	return g
}

// TestHeaders: requests with options, with extension headers, in an atomic fragment (RFC 6946), and with padding reach
// their server with nothing changed but MACs, TTL, port and checksums; the box's own answers fit them, too.
func TestHeaders(t *testing.T) {
	v4 := packet{sport: 36000, dport: 80, flags: syn, data: make([]byte, 40)}.frame(t)
	v6 := packet{from: "fd00:10::10", to: "fd00:10::100", sport: 36000, dport: 80, flags: syn,
		data: make([]byte, 40)}.frame(t)
	for _, tt := range []struct {
		name string
		f    []byte
		l4   int // offset of the TCP header
	}{
		{"IPv4 options", withOptions(v4, 1, 1, 1, 0, 7, 3, 4, 0), 42},
		{"IPv4, padding", append(bytes.Clone(v4), 0xaa, 0xaa, 0xaa), 34},
		{"IPv6 hop-by-hop", withExtension(v6, wire.ProtoHopByHop, 0, 1, 4, 0, 0, 0, 0), 62},
		{"IPv6 destination options", withExtension(v6, wire.ProtoDestOptions, 0, 1, 4, 0, 0, 0, 0), 62},
		{"IPv6 atomic fragment", withExtension(v6, wire.ProtoFragment, 0, 0, 0, 1, 2, 3, 4), 62},
		{"IPv6, padding", append(bytes.Clone(v6), 0xaa, 0xaa), 54},
	} {
		w := newWorld(t)
		w.serve(vip4, fib.Service{ID: 7, Proto: tcp, Port: 80, Reject: true}, web1)
		w.serve(vip6, fib.Service{ID: 7, Proto: tcp, Port: 80, Reject: true}, web1)
		w.receive(acc, tt.f)
		got := w.one(near)
		want := bytes.Clone(tt.f)
		wire.PutMAC(want[0:], web1MAC)
		wire.PutMAC(want[6:], fib.Mark|7)
		ttl, sum := 14+7, []byte(nil)
		if want[12] == 8 {
			ttl, sum = 14+8, want[24:26]
		}
		want[ttl]--
		if sum != nil {
			sum[0], sum[1] = 0, 0
			binary.BigEndian.PutUint16(sum, checksum.Checksum(want[14:tt.l4], 0))
		}
		h := wire.TCP(want[tt.l4:])
		h.SetChecksum(checksum.Update16(h.Checksum(), 80, 8080))
		h.SetDstPort(8080)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the server got\n%x, want\n%x", tt.name, got, want)
		}

		w.snap.Servers[0].Accept, w.snap.Servers[1].Accept = fib.AcceptNone, fib.AcceptNone
		w.retable(0)
		w.retable(1)
		w.receive(acc, tt.f)
		pkt := sent(t, w.one(acc))
		r := wire.TCP(pkt.NetworkLayer().LayerPayload())
		if r.Flags() != wire.TCPRst|wire.TCPAck || r.AckNum() != 1041 || r.SrcPort() != 80 || r.DstPort() != 36000 {
			t.Errorf("%s: without server answered %v, want a reset of sequence 1041", tt.name, pkt)
		}
	}
}
