package perf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/frame"
	"penstock/integration/rig"
)

const (
	virtualIP     = 0x0a000064 // 10.0.0.100
	virtualMAC    = model.MAC(0x02560a000064)
	benchServers  = 100
	benchService  = 4789 // udp sends to this port
	serverMAC     = model.MAC(0x020000dd0000)
	localServer   = model.MAC(0x020000de0001)
	benchServerTo = 9009
)

// benchBalance is a director with room for so many flows: the service has a hundred servers behind an edge switch, and
// with local one of this box beside, on port acc.
func benchBalance(b *testing.B, flows int, local bool) *rig.Rig {
	b.Helper()
	vip := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, virtualIP)))
	state := &model.State{
		Tenants:  map[string]model.Tenant{"red": {Name: "red", ID: 100}},
		Segments: map[string]model.Segment{"red/web": {Tenant: "red", Name: "web", ID: 7}},
		Subnets: map[string]model.Subnet{
			"red/web": {
				Tenant: "red", Name: "web", Segment: "web", Prefix: netip.MustParsePrefix("10.0.0.0/8"),
				Router: netip.MustParseAddr("10.255.255.254"),
			},
		},
		VIFs: map[string]model.VIF{
			"red/vm": {Tenant: "red", Name: "vm", Segment: "web", MAC: sender, Port: "acc", AntiSpoof: "mac"},
		},
		Paths: map[string]model.Path{
			switchA.String() + "/" + switchB.String(): {
				A: switchA, B: switchB, VLANs: []model.PathVLAN{{VID: 101}, {VID: 102}, {VID: 103}, {VID: 104}},
			},
		},
		VIPs: map[string]model.VIP{
			"red/www": {
				Tenant: "red", Name: "www", Segment: "web", Address: vip,
				Directors: []model.Director{{Box: "box", Address: netip.MustParseAddr("10.0.0.101")}},
			},
		},
		Services: map[string]model.Service{
			"red/udp": {
				Tenant: "red", Name: "udp", VIP: "www", ID: 7, Protocol: "udp", Port: benchService,
				Check: &model.Check{Type: "none"},
			},
		},
		Servers: map[string]model.Server{},
	}
	server := func(name string, addr netip.Addr) {
		state.Servers["red/udp/"+name] = model.Server{
			Tenant: "red", Service: "udp", Name: name, Address: addr, Port: benchServerTo,
		}
	}
	var rows []model.Binding
	for k := range benchServers {
		addr := netip.AddrFrom4([4]byte{10, 1, 0, byte(1 + k)})
		rows = append(rows, model.Binding{
			Tenant: "red", Segment: "web", MAC: serverMAC + model.MAC(k), SwitchMAC: switchB,
			SwitchPort: uint16(1 + k%48), Addresses: []netip.Addr{addr},
		})
		server(fmt.Sprintf("s%02d", k), addr)
	}
	if local {
		addr := netip.AddrFrom4([4]byte{10, 2, 0, 1})
		state.VIFs["red/web"] = model.VIF{
			Tenant: "red", Name: "web", Segment: "web", MAC: localServer, Port: "acc", Addresses: []netip.Addr{addr},
		}
		server("local", addr)
	}
	r, err := rig.New(rig.Options{
		Ports: []compile.Port{
			{Name: "acc", Role: fib.RoleAccess, ClampMSS: true},
			{Name: "fab", Role: fib.RoleFabric, SwitchMAC: switchA, SwitchPort: 1},
		},
		MAC: []model.MAC{0, boxMAC}, State: state, Bindings: rows, Frames: frames + 64, FrameSize: frameSize,
		Box: "box", Flows: flows,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	r.Pipeline.Verify = nil
	return r
}

// request is a datagram of client n to the virtual service.
func request(n uint32) []byte {
	return udp(virtualMAC, sender, 0x0a400000+n>>8, virtualIP, uint16(1024+n&0xff))
}

// BenchmarkBalance: access port → virtual service → flow table → rewriting → outer header → fabric port, of so many
// established flows at random.
func BenchmarkBalance(b *testing.B) {
	for _, f := range []struct {
		name string
		n    uint32
	}{{"1", 1}, {"10k", 10_000}, {"1M", 1_000_000}} {
		b.Run("flows="+f.name, func(b *testing.B) {
			r := benchBalance(b, max(1024, int(f.n)*5/4), false)
			establish(b, r, f.n)
			rng := rand.New(rand.NewPCG(1, 2))
			measure(b, r, acc, fab, func(int) []byte { return request(rng.Uint32N(f.n)) })
		})
	}
}

// establish sends every flow's first two packets, and expects a flow for each.
func establish(b *testing.B, r *rig.Rig, flows uint32) {
	b.Helper()
	s := r.Compiler.Snapshot()
	var batch frame.Batch
	now := int64(1)
	for done := uint32(0); done < flows; done += uint32(batch.N) {
		for range 2 {
			now += 1000
			r.SetTime(now)
			batch.N = int(min(frame.BatchSize, flows-done))
			for k := range batch.N {
				p := &batch.Pkt[k]
				p.Off, p.Port = uint32(k*frameSize+frame.Headroom), acc
				p.Len = uint16(copy(r.Mem[p.Off:], request(done+uint32(k))))
			}
			r.Process(acc, &batch, s)
			if n := len(r.Out(fab)); n != batch.N {
				b.Fatalf("%d of %d packets came out: dropped %v", n, batch.N, dropsOf(r, acc))
			}
		}
	}
	if n := r.Balance.Flows.Len(); n < int(flows) {
		b.Fatalf("%d flows in the table, want %d", n, flows)
	}
}

// BenchmarkBalanceNew: every packet is the first of its flow. The table, of 1,048,576 flows, is full of half-open ones.
func BenchmarkBalanceNew(b *testing.B) {
	r := benchBalance(b, 1<<20, false)
	n := uint32(0)
	measure(b, r, acc, fab, func(int) []byte { n++; return request(n & (1<<28 - 1)) })
}

// TestFlowOctets: a million IPv4 flows take no more than 48 octets each.
func TestFlowOctets(t *testing.T) {
	const n = 1_000_000
	table, err := flow.New(flow.Config{Flows: n, Servers: 256})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if got := float64(table.Octets()) / n; got > 48 {
		t.Errorf("memory of %d flows: got %.1f octets each, want at most 48", n, got)
	} else {
		t.Logf("memory of %d flows: %.1f octets each", n, got)
	}
}
