package balance_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// echoFrame is an echo request with size octets of data, larger than any link, from the client to the virtual address.
func echoFrame(v6 bool, size int) []byte {
	message := []byte{wire.ICMPv4Echo, 0, 0, 0, 0, 5, 0, 6}
	message = append(message, bytes.Repeat([]byte("penstock"), size/8+1)[:size]...)
	f := make([]byte, 0, 62+size)
	f = binary.BigEndian.AppendUint64(f, vipMAC<<16|clientMAC>>32)
	f = binary.BigEndian.AppendUint32(f, uint32(clientMAC&0xffffffff))
	if v6 {
		wire.PutMAC(f, vip6MAC)
		f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, wire.ProtoICMPv6, 64)
		for _, a := range []string{"fd00:10::10", "fd00:10::100"} {
			f = binary.BigEndian.AppendUint64(f, ip6(a)[0])
			f = binary.BigEndian.AppendUint64(f, ip6(a)[1])
		}
		message[0] = wire.ICMPv6Echo
		sum := checksum.Sum(f[22:54], wire.ProtoICMPv6+uint32(len(message)))
		binary.BigEndian.PutUint16(message[2:], checksum.Checksum(message, sum))
		return append(f, message...)
	}
	binary.BigEndian.PutUint16(message[2:], checksum.Checksum(message, 0))
	f = append(f, 8, 0, 0x45, 0x20, 0, 0, 0, 0, 0, 0, 64, wire.ProtoICMP, 0, 0)
	f = binary.BigEndian.AppendUint32(f, ip4("10.10.1.10"))
	f = binary.BigEndian.AppendUint32(f, ip4("10.10.1.100"))
	return append(f, message...)
}

// reassemble puts the message of fragments together, and returns it with the addresses that its checksum covers.
func reassemble(list [][]byte) (message, addrs []byte) {
	slices.SortFunc(list, func(a, b []byte) int { return int(offset(a)) - int(offset(b)) })
	for _, f := range list {
		if f[12] == 0x86 {
			message, addrs = append(message, f[62:]...), f[22:54]
		} else {
			message = append(message, f[34:14+binary.BigEndian.Uint16(f[16:])]...)
		}
	}
	return message, addrs
}

// TestEchoFragments: an echo request of any size is answered whole, in whatever order its fragments come.
func TestEchoFragments(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, tc := range []struct {
			size int
			back bool // the last fragment comes first
		}{{1500, false}, {4000, true}, {65507, false}, {65507, true}} {
			w := newWorld(t)
			whole := echoFrame(v6, tc.size)
			parts := fragments(whole, 1440, 0x12345678, 0)
			if tc.back {
				slices.Reverse(parts)
			}
			for _, f := range parts {
				w.receive(acc, f)
			}
			got := w.from(acc)
			if len(got) != len(parts) {
				t.Errorf("IPv6 %v, %+v: got %d fragments of the reply, want %d (drops %v)", v6, tc, len(got),
					len(parts), w.drops())
				continue
			}
			ttl, id, want := got[0][22], binary.BigEndian.Uint32(got[0][16:])&0xffff, uint32(0x5678)
			if v6 {
				ttl, id, want = got[0][21], binary.BigEndian.Uint32(got[0][58:]), 0x12345678
			}
			if ttl != 64 || id != want || wire.MAC(got[0]) != clientMAC {
				t.Errorf("IPv6 %v: got % x…, want TTL 64 and the ID %x, to the client", v6, got[0][:62], want)
			}
			message, addrs := reassemble(got)
			reply, sum, head := uint8(wire.ICMPv4EchoReply), uint32(0), 34
			if v6 {
				reply, head = wire.ICMPv6EchoReply, 54
				sum = checksum.Sum(addrs, wire.ProtoICMPv6+uint32(len(message)))
			} else if checksum.Checksum(got[1][14:34], 0) != 0 {
				t.Errorf("a fragment has the header % x, want a right checksum", got[1][14:34])
			}
			if message[0] != reply || checksum.Checksum(message, sum) != 0 ||
				!bytes.Equal(message[4:], whole[head+4:]) {
				t.Errorf("IPv6 %v, %+v: the reply begins with % x, checksum %x; want type %d, the request's data and 0",
					v6, tc, message[:8], checksum.Checksum(message, sum), reply)
			}
			if n := w.Balance.Counters.EchoReplies; n != 1 {
				t.Errorf("IPv6 %v, %+v: %d echo replies are counted, want 1", v6, tc, n)
			}
		}
	}
}

// TestEchoFragmentsOptions: what an echo request has of options and headers is not in the reply.
func TestEchoFragmentsOptions(t *testing.T) {
	w := newWorld(t)
	parts := fragments(echoFrame(false, 2000), 1000, 7, 0)
	for i, f := range parts {
		f = slices.Insert(slices.Clone(f), 34, 1, 1, 1, 0)
		f[14] = 0x46
		binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14))
		f[24], f[25] = 0, 0
		binary.BigEndian.PutUint16(f[24:], checksum.Checksum(f[14:38], 0))
		w.receive(acc, f)
		if got := w.one(acc); got[14] != 0x45 || len(got) != len(parts[i]) ||
			!bytes.Equal(got[38:], parts[i][38:]) {
			t.Errorf("fragment %d: got % x…, want it without options, its data unchanged", i, got[:40])
		}
	}
	w = newWorld(t)
	for _, f := range fragments(echoFrame(true, 2000), 1000, 7, 0) {
		g := slices.Insert(slices.Clone(f), 54, wire.ProtoFragment, 0, 1, 4, 0, 0, 0, 0)
		g[20] = wire.ProtoHopByHop
		binary.BigEndian.PutUint16(g[18:], uint16(len(g)-54))
		w.receive(acc, g)
		if got := w.one(acc); got[20] != wire.ProtoFragment || len(got) != len(f) || !bytes.Equal(got[66:], f[66:]) {
			t.Errorf("got % x…, want the fragment without options, its data unchanged", got[:66])
		}
	}
}

// TestNoEchoFragments: nobody answers the fragments of other messages, of a virtual address that does not answer, or
// those whose first one has not come.
func TestNoEchoFragments(t *testing.T) {
	for _, tc := range []struct {
		name   string
		set    func(w *world, parts [][]byte) [][]byte
		reason string
		n      uint64
	}{
		{"ping never", func(w *world, parts [][]byte) [][]byte {
			w.snap.VIPs[vip4].Ping = fib.PingNever
			return parts
		}, "vip_protocol", 3},
		{"no server", func(w *world, parts [][]byte) [][]byte {
			w.snap.VIPs[vip4].Usable = false
			return parts
		}, "vip_protocol", 3},
		{"a reply", func(_ *world, parts [][]byte) [][]byte {
			parts[0][34] = wire.ICMPv4EchoReply
			return parts
		}, "vip_protocol", 3},
		{"another code", func(_ *world, parts [][]byte) [][]byte {
			parts[0][35] = 1
			return parts
		}, "vip_protocol", 3},
		{"without the first", func(_ *world, parts [][]byte) [][]byte { return parts[1:] }, "frag_orphan", 2},
		{"of another datagram", func(_ *world, parts [][]byte) [][]byte {
			other := fragments(echoFrame(false, 4000), 1440, 8, 0)
			return other[1:]
		}, "frag_orphan", 2},
	} {
		w := newWorld(t)
		for _, f := range tc.set(w, fragments(echoFrame(false, 4000), 1440, 7, 0)) {
			w.receive(acc, f)
		}
		w.tick(200e6)
		if got := w.from(acc); len(got) != 0 || w.drops()[tc.reason] != tc.n {
			t.Errorf("%s: %d answers, drops %v; want none, and %d of %s", tc.name, len(got), w.drops(), tc.n, tc.reason)
		}
	}
}

// TestEchoFragmentsOfDirector: a director's own address answers, too, and gives what is no echo request to nobody.
func TestEchoFragmentsOfDirector(t *testing.T) {
	w := newWorld(t)
	f := echoFrame(false, 3000)
	wire.PutMAC(f, ownMAC)
	f[33] = 101
	parts := fragments(f, 1440, 7, 0)
	for _, p := range parts {
		w.receive(acc, p)
	}
	if got := w.from(acc); len(got) != len(parts) {
		t.Errorf("got %d fragments of the reply, want %d (drops %v)", len(got), len(parts), w.drops())
	}
}
