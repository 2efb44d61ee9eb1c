// Package perf measures the packet path without the kernel: nanoseconds per packet of the whole stage chain on real
// frames in a real UMEM layout, in batches as a worker forms them (perf/README.md#pipeline). ns/op is ns per packet.
//
// 16,384 frames of 2,048 octets go round, 32 MB, so that no frame is in the core's own caches by accident. Before each
// round, with the clock stopped, every frame gets a destination drawn at random from all bindings, and what the stages
// changed in it is put right. Besides the mean, the fastest and the median round are reported: on a shared machine
// other machines dominate the mean.
package perf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/integration/rig"
)

const (
	frames    = 16384
	frameSize = 2048
	udpPort   = 7472 // of form "udp"
	acc, fab  = 0, 1 // ports
	switchA   = model.MAC(0x0200000000aa)
	switchB   = model.MAC(0x0200000000bb)
	boxMAC    = model.MAC(0x020000000f01)
	sender    = model.MAC(0x02000000cc01)
	senderIP  = "10.0.0.1"
)

// remote is the MAC and address of the nth binding; its subnet is 10.128.0.0/9, behind the router for sender.
func remote(n int) (model.MAC, uint32) {
	return model.MAC(0x020100000000) + model.MAC(n), 0x0a800001 + uint32(n)
}

func bench(b *testing.B, segment string, bindings int, more ...model.VIF) *rig.Rig {
	b.Helper()
	return benchForm(b, fib.FormIP, segment, bindings, frames, more...)
}

// benchFrames is bench with so many frames in the pool.
func benchFrames(b *testing.B, segment string, bindings, frames int, more ...model.VIF) *rig.Rig {
	b.Helper()
	return benchForm(b, fib.FormIP, segment, bindings, frames, more...)
}

// benchForm is benchFrames with a form of encapsulation.
func benchForm(
	b *testing.B, form fib.Form, segment string, bindings, frames int, more ...model.VIF,
) *rig.Rig {
	b.Helper()
	state := &model.State{
		Tenants: map[string]model.Tenant{"red": {Name: "red", ID: 100}},
		Segments: map[string]model.Segment{
			"red/web": {Tenant: "red", Name: "web", ID: 7}, "red/db": {Tenant: "red", Name: "db", ID: 8},
		},
		Subnets: map[string]model.Subnet{
			"red/web": {
				Tenant: "red", Name: "web", Segment: "web", Prefix: netip.MustParsePrefix("10.0.0.0/24"),
				Router: netip.MustParseAddr("10.0.0.254"),
			},
			"red/db": {
				Tenant: "red", Name: "db", Segment: "db", Prefix: netip.MustParsePrefix("10.128.0.0/9"),
				Router: netip.MustParseAddr("10.255.255.254"),
			},
		},
		VIFs: map[string]model.VIF{
			"red/vm": {
				Tenant: "red", Name: "vm", Segment: "web", MAC: sender,
				Addresses: []netip.Addr{netip.MustParseAddr(senderIP)}, Port: "acc",
			},
		},
		Paths: map[string]model.Path{
			switchA.String() + "/" + switchB.String(): {
				A: switchA, B: switchB, VLANs: []model.PathVLAN{{VID: 101}, {VID: 102}, {VID: 103}, {VID: 104}},
			},
		},
	}
	for _, v := range more {
		state.VIFs[v.Tenant+"/"+v.Name] = v
	}
	uplink := compile.Port{Name: "fab", Role: fib.RoleFabric, SwitchMAC: switchA, SwitchPort: 1, Encap: form}
	if form.VXLAN() {
		uplink.SwitchMAC, uplink.SwitchPort, uplink.VTEPAddress = 0, 0, netip.MustParsePrefix("192.0.2.1/24")
		state.VTEPs = map[string]model.VTEP{"rack7": {Name: "rack7", Address: netip.MustParseAddr("192.0.2.7")}}
		for key, s := range state.Segments {
			s.VNI = 4089 + s.ID
			state.Segments[key] = s
		}
	}
	r, err := rig.New(rig.Options{
		Ports:   []compile.Port{{Name: "acc", Role: fib.RoleAccess, ClampMSS: true}, uplink},
		UDPPort: udpPort,
		MAC:     []model.MAC{0, boxMAC}, State: state, Capacity: bindings + len(more) + 16, Frames: frames + 64,
		FrameSize: frameSize,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	rows := make([]model.Binding, 0, bindings)
	for n := range bindings {
		mac, ip := remote(n)
		row := model.Binding{
			Tenant: "red", Segment: segment, MAC: mac, SwitchMAC: switchB, SwitchPort: uint16(1 + n%48),
		}
		if form.VXLAN() {
			row.SwitchMAC, row.SwitchPort, row.VTEP = 0, 0, "rack7"
		}
		if segment == "db" {
			row.Addresses = []netip.Addr{netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ip)))}
		}
		rows = append(rows, row)
	}
	for _, hop := range r.Compiler.NextHops() {
		r.Compiler.SetNextHop(hop, switchA)
	}
	if err := r.Put(rows); err != nil {
		b.Fatal(err)
	}
	// Ownership checks cost an atomic exchange per frame; tests have them on, figures do not.
	r.Pipeline.Verify = nil
	return r
}

// udp returns a frame of 60 octets.
func udp(dst, src model.MAC, srcIP, dstIP uint32, sport uint16) []byte {
	f := make([]byte, 60)
	putMAC(f, dst)
	putMAC(f[6:], src)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], 46)
	binary.BigEndian.PutUint32(ip[12:], srcIP)
	binary.BigEndian.PutUint32(ip[16:], dstIP)
	sumIPv4(ip)
	binary.BigEndian.PutUint16(ip[20:], sport)
	binary.BigEndian.PutUint16(ip[22:], 4789)
	binary.BigEndian.PutUint16(ip[24:], 26)
	return f
}

func putMAC(b []byte, m model.MAC) {
	binary.BigEndian.PutUint16(b, uint16(m>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(m))
}

func sumIPv4(ip []byte) {
	ip[10], ip[11] = 0, 0
	var s uint32
	for i := 0; i < 20; i += 2 {
		s += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	s = s>>16 + s&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(s>>16+s))
}

// measure runs b.N packets of port through the pipeline. fill writes frame i of a round.
func measure(b *testing.B, r *rig.Rig, port uint16, want uint16, fill func(i int) []byte) {
	b.Helper()
	s := r.Compiler.Snapshot()
	length := make([]uint16, frames)
	round := func() {
		for i := range frames {
			length[i] = uint16(copy(r.Mem[i*frameSize+frame.Headroom:], fill(i)))
		}
	}
	var batch frame.Batch
	now := int64(1)
	sent := 0
	round()
	b.ReportAllocs()
	b.ResetTimer()
	var rounds []float64
	began := time.Now()
	for done, i := 0, 0; done < b.N; i += frame.BatchSize {
		if i == frames {
			rounds = append(rounds, float64(time.Since(began).Nanoseconds())/frames)
			b.StopTimer()
			round()
			b.StartTimer()
			i, began = 0, time.Now()
		}
		now += 5000
		r.SetTime(now)
		batch.N = min(frame.BatchSize, b.N-done)
		for k := range batch.N {
			p := &batch.Pkt[k]
			p.Off, p.Len, p.Port = uint32((i+k)*frameSize+frame.Headroom), length[i+k], port
		}
		r.Process(port, &batch, s)
		sent += len(r.Out(want))
		done += batch.N
	}
	b.StopTimer()
	reportRounds(b, rounds)
	if sent != b.N {
		for i, p := range dropsOf(r, port) {
			b.Logf("dropped %d: %s", p, i)
		}
		b.Fatalf("%d of %d packets came out of port %d", sent, b.N, want)
	}
}

// reportRounds reports the fastest and the median of rounds' ns a packet, if there are any. Other work on the machine
// disturbs the fastest round least: compare this figure on a shared machine.
func reportRounds(b *testing.B, rounds []float64) {
	if len(rounds) > 0 {
		b.ReportMetric(middle(rounds), "median-ns/op")
		b.ReportMetric(rounds[0], "min-ns/op")
	}
}

func sizes(b *testing.B, run func(b *testing.B, bindings int)) {
	for _, s := range []struct {
		name string
		n    int
	}{{"1k", 1000}, {"1M", 1_000_000}} {
		b.Run(fmt.Sprintf("bindings=%s", s.name), func(b *testing.B) { run(b, s.n) })
	}
}

// BenchmarkEncap: access port → lookup → path choice → outer header → fabric port.
func BenchmarkEncap(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		r := bench(b, "web", n)
		rng := rand.New(rand.NewPCG(1, 2))
		measure(b, r, acc, fab, func(int) []byte {
			k := rng.IntN(n)
			mac, ip := remote(k)
			return udp(mac, sender, 0x0a000001, ip, uint16(rng.Uint32()))
		})
	})
}

// BenchmarkEncapSenders: the same with 1,000 bindings and frames of several VIFs of the port in turns at random, so
// that the cache of senders helps less, or hardly at all with more senders than cache entries.
func BenchmarkEncapSenders(b *testing.B) {
	const n = 1000
	for _, senders := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			var vifs []model.VIF
			for i := range senders {
				vifs = append(vifs, model.VIF{
					Tenant: "red", Name: fmt.Sprintf("v%d", i), Segment: "web",
					MAC: sender + 1 + model.MAC(i), Port: "acc",
				})
			}
			r := bench(b, "web", n, vifs...)
			rng := rand.New(rand.NewPCG(1, 2))
			measure(b, r, acc, fab, func(int) []byte {
				mac, ip := remote(rng.IntN(n))
				return udp(mac, vifs[rng.IntN(senders)].MAC, 0x0a000001, ip, uint16(rng.Uint32()))
			})
		})
	}
}

// BenchmarkRoute: the same through the virtual router into another subnet.
func BenchmarkRoute(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		r := bench(b, "db", n)
		rng := rand.New(rand.NewPCG(1, 2))
		measure(b, r, acc, fab, func(int) []byte {
			_, ip := remote(rng.IntN(n))
			return udp(model.DefaultRouterMAC, sender, 0x0a000001, ip, uint16(rng.Uint32()))
		})
	})
}

// BenchmarkDecap: fabric port → outer header off → delivery to the access port.
func BenchmarkDecap(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		r := bench(b, "web", n)
		rng := rand.New(rand.NewPCG(1, 2))
		measure(b, r, fab, acc, func(int) []byte {
			mac, ip := remote(rng.IntN(n))
			return encapsulated(udp(sender, mac, ip, 0x0a000001, uint16(rng.Uint32())))
		})
	})
}

// encapsulated puts the outer headers in front as the edge switch delivers them: from its MAC, without tag.
func encapsulated(inner []byte) []byte {
	f := make([]byte, 34+len(inner))
	putMAC(f, boxMAC)
	putMAC(f[6:], switchA)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 63, 143
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(inner)))
	binary.BigEndian.PutUint16(ip[4:], 101)
	ip[6] = 0x40
	copy(ip[12:], []byte{10, 2, 0, 7})
	copy(ip[16:], []byte{10, 1, 0, 100})
	sumIPv4(ip)
	copy(f[34:], inner)
	return f
}
