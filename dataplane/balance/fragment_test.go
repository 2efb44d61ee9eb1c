package balance_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// fragments cuts the payload of an untagged IP frame into parts of at most size octets. In IPv6, the header chain goes
// on with the octets in options behind the fragment header, whose type is kind.
func fragments(f []byte, size int, id uint32, kind uint8, options ...byte) (list [][]byte) {
	v6 := f[12] == 0x86
	head := 34
	if v6 {
		head = 54
	}
	payload := append(slices.Clone(options), f[head:]...)
	if kind == 0 {
		kind = f[20]
	}
	for at := 0; at < len(payload); at += size {
		part := payload[at:min(at+size, len(payload))]
		more := uint16(1)
		if at+len(part) == len(payload) {
			more = 0
		}
		g := slices.Clone(f[:head])
		if v6 {
			next := kind
			if at > 0 && len(options) > 0 {
				next = wire.ProtoDestOptions // as the stacks that cut do
			}
			binary.BigEndian.PutUint16(g[18:], uint16(8+len(part)))
			g[20] = wire.ProtoFragment
			g = append(g, next, 0, byte(at>>8), byte(at)|byte(more))
			g = binary.BigEndian.AppendUint32(g, id)
		} else {
			binary.BigEndian.PutUint16(g[16:], uint16(20+len(part)))
			binary.BigEndian.PutUint16(g[18:], uint16(id))
			binary.BigEndian.PutUint16(g[20:], more<<13|uint16(at/8))
			binary.BigEndian.PutUint16(g[24:], 0)
			binary.BigEndian.PutUint16(g[24:], checksum.Checksum(g[14:34], 0))
		}
		list = append(list, append(g, part...))
	}
	return list
}

// TestFragments: all fragments of a datagram reach the server of the first one, in whatever order they come.
func TestFragments(t *testing.T) {
	options := []byte{wire.ProtoUDP, 0, 1, 4, 0, 0, 0, 0} // destination options
	for _, tt := range []struct {
		name    string
		from    string
		kind    uint8
		options []byte
		order   []int
	}{
		{"in order", "10.10.1.10", 0, nil, []int{0, 1, 2}},
		{"the last one first", "10.10.1.10", 0, nil, []int{2, 1, 0}},
		{"the first one in the middle", "10.10.1.10", 0, nil, []int{1, 0, 2}},
		{"IPv6, in order", "fd00:10::10", 0, nil, []int{0, 1, 2}},
		{"IPv6, the last one first", "fd00:10::10", 0, nil, []int{2, 1, 0}},
		{"IPv6, options behind the fragment header", "fd00:10::10", wire.ProtoDestOptions, options, []int{0, 1, 2}},
		{"IPv6, options, the last one first", "fd00:10::10", wire.ProtoDestOptions, options, []int{2, 1, 0}},
	} {
		for _, together := range []bool{true, false} {
			w := newWorld(t)
			to := "10.10.1.100"
			vip := uint32(vip4)
			if tt.from[0] == 'f' {
				to, vip = "fd00:10::100", vip6
			}
			w.serve(vip, fib.Service{ID: 7, Proto: udp, Port: 53},
				target{web1MAC, locWeb1, 5300, 1, fib.AcceptAll}, target{dbMAC, locWeb1, 5300, 1, fib.AcceptAll})
			whole := packet{from: tt.from, to: to, sport: 36000, dport: 53, proto: layers.IPProtocolUDP,
				data: bytes.Repeat([]byte("penstock"), 300)}.frame(t)
			parts := fragments(whole, 1000, 0x12345678, tt.kind, tt.options...)
			var list [][]byte
			for _, i := range tt.order {
				list = append(list, parts[i])
			}
			if together {
				w.receive(acc, list...)
			} else {
				for _, f := range list {
					w.receive(acc, f)
				}
			}
			got := w.from(near)
			if len(got) != len(parts) {
				t.Errorf("%s, together %v: the server got %d fragments, want %d (drops %v)",
					tt.name, together, len(got), len(parts), w.drops())
				continue
			}
			server := got[0][:6]
			var data []byte
			slices.SortFunc(got, func(a, b []byte) int { return int(offset(a)) - int(offset(b)) })
			for _, f := range got {
				if !bytes.Equal(f[:6], server) || wire.MAC(f[6:]) != fib.Mark|7 {
					t.Errorf("%s: a fragment went from %x to %x, want from the mark to the server %x",
						tt.name, f[6:12], f[:6], server)
				}
				if to[0] == 'f' {
					data = append(data, f[62:]...)
				} else {
					data = append(data, f[34:]...)
				}
			}
			data = data[len(tt.options):]
			if port := binary.BigEndian.Uint16(data[2:]); port != 5300 {
				t.Errorf("%s: the datagram is to port %d, want 5300", tt.name, port)
			}
			addrs := whole[26:34]
			if to[0] == 'f' {
				addrs = whole[22:54]
			}
			if checksum.Checksum(data, checksum.Sum(addrs, wire.ProtoUDP+uint32(len(data)))) != 0 {
				t.Errorf("%s: the datagram has a wrong checksum", tt.name)
			}
		}
	}
}

func offset(f []byte) uint16 {
	if f[12] == 0x86 {
		return binary.BigEndian.Uint16(f[56:]) &^ 7
	}
	return binary.BigEndian.Uint16(f[20:]) & 0x1fff
}

// TestOrphans: fragments whose first one never comes are dropped after a tenth of a second, each once; 64 wait at most.
func TestOrphans(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{ID: 7, Proto: udp, Port: 53}, web1)
	whole := packet{sport: 36000, dport: 53, proto: layers.IPProtocolUDP, data: make([]byte, 1600)}.frame(t)
	for id := range uint32(70) {
		w.receive(acc, fragments(whole, 1000, id, 0)[1])
	}
	if n := w.drops()["frag_orphan"]; n != 6 {
		t.Errorf("%d of 70 fragments are dropped at once (%v), want 6: 64 wait", n, w.drops())
	}
	w.tick(31e6)
	if n := w.drops()["frag_orphan"]; n == 6 || n == 70 {
		t.Errorf("%d fragments are dropped when the first have waited for 101 ms, want those alone", n)
	}
	w.tick(100e6)
	if n := w.drops()["frag_orphan"]; n != 70 {
		t.Errorf("%d fragments are dropped in the end, want all 70", n)
	}
}
