package rig

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// seeds is the number of random runs of TestStorm.
const seeds = 8

const virtualRouter = model.MAC(0x00005e000107)

// storm makes frames whose fields are drawn from the values that have a meaning in smallWorld. Each carries the mark of
// its port in its last octets.
type storm struct{ *rand.Rand }

func pick[T any](s storm, l ...T) T { return l[s.IntN(len(l))] }

func (s storm) mac() model.MAC {
	return pick(s, localMAC, smallMAC, routerMAC, groupMAC, gatewayMAC, virtualRouter, remoteMAC(0), dbMAC, viaMAC,
		0xffffffffffff, 0x333300000001, 0x01005e000012, 0x020000009999, 0x0180c2000000)
}

func (s storm) ip() netip.Addr {
	return netip.MustParseAddr(pick(s, localIP, smallIP, routerIP, remoteIP(0), dbIP, viaIP, outsideIP, "192.0.2.9",
		"10.1.255.255", "0.0.0.0", "255.255.255.255", "224.0.0.18", "10.2.0.1", "10.1.0.77"))
}

func (s storm) ip6() netip.Addr {
	return netip.MustParseAddr(pick(s, localIP6, smallIP6, routerIP6, outsideIP6, "::", "ff02::1", "ff02::12",
		"fe80::ff:fe00:11", "fe80::50:53ff:fe00:1", "fd00:1::100", "2001:db8:9::9", "fd00:1::"))
}

func (s storm) frame(mark []byte) []byte {
	b := make([]byte, 12, 1700)
	wire.PutMAC(b, uint64(s.mac()))
	wire.PutMAC(b[6:], uint64(pick(s, s.mac()&^(1<<40), localMAC, localMAC, smallMAC, virtualRouter, gatewayMAC,
		remoteMAC(0))))
	if s.IntN(4) == 0 {
		b = binary.BigEndian.AppendUint32(b, 0x81000000|uint32(pick(s, 0, 7, 7, 9)))
	}
	size := pick(s, 0, 8, 20, 60, 530, 1200, 1372, 1400, 1450, 1500) + s.IntN(3)
	proto := pick(s, byte(6), 17, 17, 1, 58, 58, 112, 60, 44, 0)
	l4 := make([]byte, 24, size+48)
	switch proto {
	case 58, 1:
		l4[0] = pick(s, byte(8), 128, 133, 134, 135, 136, 137, 2, 3, 0, 143)
	case 6:
		binary.BigEndian.PutUint16(l4[12:], uint16(pick(s, 0x5000, 0x6000, 0xf000)|2))
		copy(l4[20:], []byte{2, 4, 0xff, 0xff})
	case 60, 44, 0:
		l4[0] = pick(s, byte(58), 6, 60, 44)
	default:
		binary.BigEndian.PutUint32(l4, pick(s, uint32(67<<16|68), 1067<<16|68, 546<<16|547, 68<<16|67))
	}
	if target := s.ip6().As16(); proto == 58 {
		copy(l4[8:], target[:])
	}
	l4 = append(append(l4, make([]byte, size)...), mark...)
	switch s.IntN(6) {
	case 0: // ARP
		b = append(b, 8, 6)
		a := make([]byte, wire.ARPLen)
		from, to := s.ip().As4(), s.ip().As4()
		wire.ARP(a).Set(uint16(1+s.IntN(2)), uint64(s.mac()), binary.BigEndian.Uint32(from[:]), uint64(s.mac()),
			binary.BigEndian.Uint32(to[:]))
		return append(append(b, a...), mark...)
	case 1: // LLC and others
		b = binary.BigEndian.AppendUint16(b, pick(s, uint16(60), 0x8870, 0x8847, 0x88a8, 0x1234))
		return append(append(b, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0), l4...)
	case 2, 3:
		b = append(b, 0x86, 0xdd)
		from, to := s.ip6().As16(), s.ip6().As16()
		h := make([]byte, 40)
		h[0], h[6], h[7] = 0x60, proto, pick(s, byte(255), 64, 1)
		binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
		copy(h[8:], from[:])
		copy(h[24:], to[:])
		if proto == 58 {
			wire.ICMPv6(l4).SetChecksum(0)
			sum := checksum.Sum(wire.IPv6(h).Addrs(), wire.ProtoICMPv6+uint32(len(l4)))
			wire.ICMPv6(l4).SetChecksum(checksum.Checksum(l4, sum))
		}
		return append(append(b, h...), l4...)
	}
	b = append(b, 8, 0)
	from, to := s.ip().As4(), s.ip().As4()
	return append(append(b, s.header(proto, from, to, len(l4))...), l4...)
}

func (s storm) header(proto byte, from, to [4]byte, n int) []byte {
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, pick(s, byte(64), 1), proto
	binary.BigEndian.PutUint16(h[2:], uint16(20+n))
	binary.BigEndian.PutUint16(h[6:], pick(s, uint16(0x4000), 0x4000, 0, 0x2000, 5))
	copy(h[12:], from[:])
	copy(h[16:], to[:])
	wire.IPv4(h).SetChecksum(checksum.Checksum(h, 0))
	return h
}

// outer encapsulates a frame for red.
func (s storm) outer(f []byte) []byte {
	b := make([]byte, 14, 1700)
	wire.PutMAC(b, uint64(boxMAC))
	wire.PutMAC(b[6:], uint64(ourSwitch))
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	h := s.header(143, [4]byte{10, 9, 0, byte(1 + s.IntN(2))}, [4]byte{10, 3, 0, 7}, len(f))
	h[6], h[7], h[8] = 0, 0, 64
	wire.IPv4(h).SetChecksum(0)
	wire.IPv4(h).SetChecksum(checksum.Checksum(h, 0))
	return append(append(b, h...), f...)
}

// message makes a binding message, or what is nearly one.
func (s storm) message() []byte {
	b := make([]byte, 12, 1700)
	wire.PutMAC(b, uint64(pick(s, 0xffffffffffff, 0xffffffffffff, boxMAC, localMAC)))
	wire.PutMAC(b[6:], uint64(pick(s, otherSwitch, ourSwitch)))
	if s.IntN(2) == 0 {
		b = binary.BigEndian.AppendUint32(b, 0x81000000|uint32(pick(s, 4000, 4000, 0, 101)))
	}
	var bodies []byte
	for range 1 + s.IntN(4) {
		m := resolve.Body{Op: uint8(s.IntN(10)), Flags: pick(s, uint16(0), resolve.FlagIPv6, resolve.FlagTag),
			Tenant: 7, Segment: 1, MAC: uint64(s.mac()), Switch: uint64(otherSwitch), Port: uint16(s.IntN(20))}
		bodies = m.Append(bodies)
	}
	bodies = bodies[:len(bodies)-pick(s, 0, 0, 0, 1)]
	if s.IntN(2) == 0 {
		return append(append(b, 0x88, 0xb5), bodies...)
	}
	b = append(append(b[:0], make([]byte, 12)...), 8, 0)
	wire.PutMAC(b, uint64(boxMAC))
	wire.PutMAC(b[6:], uint64(ourSwitch))
	udp := binary.BigEndian.AppendUint16([]byte{0xc0, 1, 0x1d, 0x2f}, uint16(8+len(bodies)))
	h := s.header(17, [4]byte{10, 9, 0, 1}, [4]byte{10, 3, 0, 1}, 8+len(bodies))
	return append(append(append(b, h...), append(udp, 0, 0)...), bodies...)
}

// asks makes a world one with binding messages, whose bindings are all unknown, and come while it runs.
func (s storm) asks(o *Options) (bindings []model.Binding) {
	o.MessageVLAN = 4000
	for key, g := range o.State.Segments {
		g.UnknownUnicast = ""
		o.State.Segments[key] = g
	}
	bindings, o.Bindings = o.Bindings, nil
	return bindings
}

// TestStorm: whatever stations, boxes and the outside send while the tables change, every frame is sent, punted or
// dropped once, and nothing that red, or blue, sends or receives reaches the other. In half of the runs bindings come
// while packets wait for them.
func TestStorm(t *testing.T) {
	for seed := range uint64(seeds) {
		s := storm{rand.New(rand.NewPCG(seed, 9))}
		o := smallWorld(pick(s, "here", "elsewhere"))
		var late []model.Binding
		if seed%2 == 1 {
			late = s.asks(&o)
		}
		r := start(t, o)
		var in, out uint64
		for round := range 300 {
			if round%20 == 0 {
				v := o.State.VIFs["red/vm1"]
				v.AntiSpoof = pick(s, "strict", "mac", "off")
				v.Allow = pick(s, nil, []string{}, []string{"vrrp"}, []string{"ra", "vrrp"})
				next := *o.State
				next.VIFs = map[string]model.VIF{"red/vm2": o.State.VIFs["red/vm2"],
					"blue/vm1": o.State.VIFs["blue/vm1"]}
				if s.IntN(3) > 0 {
					next.VIFs["red/vm1"] = v
				}
				if err := r.Apply(&next, model.BindingChanges{}); err != nil {
					t.Fatal(err)
				}
				for i := range r.Compiler.Snapshot().Groups {
					if g := &r.Compiler.Snapshot().Groups[i]; g.Live != nil {
						g.Live.Active.Store(0)
						g.Members[0].Live.SetGateway(uint64(gatewayMAC), true, false)
					}
				}
			}
			if n := round / 30; round%30 == 29 && n < len(late) {
				if err := r.Put(late[n : n+1]); err != nil {
					t.Fatal(err)
				}
				r.Tick(time.Duration(s.IntN(1200)) * time.Millisecond)
			}
			port := s.IntN(4)
			mark := []byte{0xde, 0xad, 0xbe, 0xef, byte('0' + port)}
			var list [][]byte
			for range 1 + s.IntN(64) {
				f := s.frame(mark)
				if port == fab0 && s.IntN(8) == 0 {
					f = s.message()
				} else if port == fab0 {
					f = s.outer(f)
				}
				list = append(list, f)
			}
			in += uint64(len(list))
			receive(t, r, port, list...)
			for to := range 4 {
				for _, f := range r.Sent(to) {
					out++
					blue := to == acc1 && f[12] != 0x81 // red has a VLAN there
					if to == fab0 && len(f) >= 38 && f[27] == 143 {
						blue = binary.BigEndian.Uint16(f[36:]) == 8 // the tenant in the outer destination
					}
					if blue && bytes.Contains(f, mark) && port != acc1 {
						t.Fatalf("seed %d: a frame of port %d reached blue: % x", seed, port, f[:60])
					}
				}
			}
			r.Tick(0)
			for to := range 4 {
				out += uint64(len(r.Sent(to)))
			}
		}
		for range 4 { // what waits goes
			r.Tick(time.Second)
			for to := range 4 {
				out += uint64(len(r.Sent(to)))
			}
		}
		if c := r.Await.Counters; seed%2 == 1 && (c.Waited < 20 || c.Found == 0 || r.Await.Waiting()) {
			t.Errorf("seed %d: %+v, waiting %v, want many that waited, some with success, and none at the end", seed, c,
				r.Await.Waiting())
		}
		r.Publish()
		var made, gone uint64
		for p := range 4 {
			of := func(c int) uint64 { return r.Pipeline.Ports.Of(p, c) }
			made += of(stats.RxPackets) + of(stats.Injected) + of(stats.Copies)
			gone += of(stats.Punted)
			for d := range drop.Count {
				gone += of(stats.Drops + int(d))
			}
		}
		if made != out+gone || made < in {
			t.Errorf("seed %d: %d received, injected and copied, %d sent, %d punted or dropped, want equal sums", seed,
				made, out, gone)
		}
	}
}
