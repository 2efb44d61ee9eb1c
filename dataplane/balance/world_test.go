package balance_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"penstock/dataplane"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/maglev"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
)

// The world of the tests: tenant 100 with segment "web" (index 0, ID 1, 10.10.1.0/24 and fd00:10::/64) and "db" (index
// 1, ID 2, 10.10.2.0/24), joined by a router. The box has a client behind port acc, a real server behind port near, a
// fabric port, and a port out to a station that is no VIF. The client's address is 10.10.1.10, the VIP's 10.10.1.100.
const (
	acc, near, fab, out = 0, 1, 2, 3

	clientMAC uint64 = 0x02000000010a
	vipMAC    uint64 = 0x02560a0a0164
	vip6MAC   uint64 = 0x025600000100
	ownMAC    uint64 = 0x02560a0a0165
	routerMAC uint64 = 0x0200000001fe
	switchA   uint64 = 0x02000000000a
	switchB   uint64 = 0x02000000000b
	boxMAC    uint64 = 0x020000000f02
	outMAC    uint64 = 0x020000000f03
	web1MAC   uint64 = 0x020000000114 // behind port near
	web2MAC   uint64 = 0x020000000115 // on another box
	web3MAC   uint64 = 0x020000000116 // on another box
	farClient uint64 = 0x020000000130 // a client on another box
	dbMAC     uint64 = 0x02000000020a // a client in segment db, on this box

	chunk  = 2048
	frames = 512
)

// The indices of the world's virtual addresses.
const (
	vip4, vip6, own = 0, 1, 2
)

var (
	locClient = fib.LocLocal
	locWeb1   = fib.LocLocal | 1
	locDB     = fib.LocLocal | 2
	locFar    = fib.RemoteLoc(0, 3)
	key       = maglev.KeyOf([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
)

func ip4(s string) uint32 {
	b := netip.MustParseAddr(s).As4()
	return binary.BigEndian.Uint32(b[:])
}

func ip6(s string) [2]uint64 {
	b := netip.MustParseAddr(s).As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// unhex returns the octets of a hexadecimal text with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world is a pipeline with its tables.
type world struct {
	*dataplane.Pipeline
	t     testing.TB
	mem   []byte
	snap  *fib.Snapshot
	was   string // what a test may change in snap, at the last batch
	check *frame.Verify
	now   int64
	sent  [4][][]byte
	batch frame.Batch
}

func newWorld(t testing.TB) *world {
	t.Helper()
	pool, err := frame.NewPool(frames, chunk, 2)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, mem: make([]byte, frames*chunk), check: frame.NewVerify(frames, chunk), now: 1e9}
	w.snap = tables(t)
	w.Pipeline = dataplane.NewPipeline(w.mem, pool, w.check, 4, 16, 16)
	w.Pipeline.Flush = w.take
	w.Flows.Limit = 4096
	if err := w.Direct(256, true); err != nil {
		t.Fatal(err)
	}
	w.Prepare(stats.Indices{Services: stats.Used{N: 16}, Servers: stats.Used{N: 64}})
	t.Cleanup(func() { w.finish() })
	return w
}

// finish checks that no frame is lost and all are accounted for.
func (w *world) finish() {
	w.tick(1e9)
	w.Publish()
	if n, first := w.check.Violations(); n > 0 {
		w.t.Errorf("%d transfers of frames against the rules, want none: %v", n, first)
	}
	if n := w.check.Count()[frame.OwnerPool.String()]; n != frames {
		w.t.Errorf("frames by owner %v, want all %d in the pool", w.check.Count(), frames)
	}
	var in, gone uint64
	for p := range 4 {
		in += w.Ports.Of(p, stats.RxPackets) + w.Ports.Of(p, stats.Copies) + w.Ports.Of(p, stats.Injected)
		gone += w.Ports.Of(p, stats.TxPackets) + w.Ports.Of(p, stats.Punted)
		for r := range int(drop.Count) {
			gone += w.Ports.Of(p, stats.Drops+r)
		}
	}
	if in != gone {
		w.t.Errorf("%d frames came in, %d left, want as many", in, gone)
	}
	if err := w.Balance.Close(); err != nil {
		w.t.Error(err)
	}
}

func tables(t testing.TB) *fib.Snapshot {
	t.Helper()
	b, err := table.NewBindings(table.Config{Capacity: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, row := range []table.Binding{
		{Seg: 0, MAC: clientMAC, Loc: locClient,
			IP4: []uint32{ip4("10.10.1.10")}, IP6: [][2]uint64{ip6("fd00:10::10")}},
		{Seg: 0, MAC: web1MAC, Loc: locWeb1, IP4: []uint32{ip4("10.10.1.20")}, IP6: [][2]uint64{ip6("fd00:10::20")}},
		{Seg: 0, MAC: web2MAC, Loc: locFar, IP4: []uint32{ip4("10.10.1.21")}},
		{Seg: 0, MAC: web3MAC, Loc: locFar, IP4: []uint32{ip4("10.10.1.22")}},
		{Seg: 0, MAC: farClient, Loc: locFar,
			IP4: []uint32{ip4("10.10.1.48")}, IP6: [][2]uint64{ip6("fd00:10::48")}},
		{Seg: 1, MAC: dbMAC, Loc: locDB, IP4: []uint32{ip4("10.10.2.10")}},
		{Seg: 0, MAC: vipMAC, Loc: fib.VIPLoc(vip4), IP4: []uint32{ip4("10.10.1.100")}},
		{Seg: 0, MAC: vip6MAC, Loc: fib.VIPLoc(vip6), IP6: [][2]uint64{ip6("fd00:10::100")}},
		{Seg: 0, MAC: ownMAC, Loc: fib.VIPLoc(own), IP4: []uint32{ip4("10.10.1.101")}},
	} {
		if err := b.Upsert(&row); err != nil {
			t.Fatal(err)
		}
	}
	web4 := fib.Subnet4{Start: ip4("10.10.1.0"), End: ip4("10.10.1.255"), RouterIP: ip4("10.10.1.254"), Seg: 0}
	db4 := fib.Subnet4{Start: ip4("10.10.2.0"), End: ip4("10.10.2.255"), RouterIP: ip4("10.10.2.254"), Seg: 1}
	web6 := fib.Subnet6{Start: ip6("fd00:10::"), End: ip6("fd00:10::ffff:ffff:ffff:ffff"), RouterIP: ip6("fd00:10::fe")}
	sw := fib.Switch{MAC: switchB}
	sw.SetPaths([]fib.Path{{
		Port: fab, VID: 101, Weight: 1, MTU: 1600, DstMAC: switchB, SrcMAC: switchA, SrcPrefix: ip4("10.2.0.0"),
		DstBase: ip4("10.0.0.0"), HostMask: 0xffff, DstShift: 16,
	}})
	s := &fib.Snapshot{
		Generation: 1, Bindings: b, BalanceKey: key,
		Ports: []fib.Port{
			acc:  {Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 0, ClampMSS: true, MAC: 0x020000000f00},
			near: {Role: fib.RoleAccess, Up: true, MTU: 1500, Untagged: 1, MAC: 0x020000000f01},
			fab: {Role: fib.RoleFabric, Up: true, MTU: 1600, MAC: boxMAC, Untagged: fib.None, Fabric: fib.Fabric{
				SwitchMAC: switchA, OwnMAC: boxMAC, Prefix: ip4("10.2.0.0"), HostMask: 0xffff, BoxIP: ip4("10.2.0.1"),
				Number: 2, SwitchIdx: 1,
			}},
			out: {Role: fib.RoleAccess, Up: true, MTU: 1400, Untagged: fib.None, MAC: outMAC},
		},
		Attachments: []fib.Attachment{{Seg: 0, Port: acc}, {Seg: 0, Port: near}, {Seg: 1, Port: near, VID: 5}},
		VIFs: []fib.VIF{
			{MAC: clientMAC, Attach: 0, Seg: 0, Policy: fib.PolicyMAC},
			{MAC: web1MAC, Attach: 1, Seg: 0, Policy: fib.PolicyMAC},
			{MAC: dbMAC, Attach: 2, Seg: 1, Policy: fib.PolicyMAC},
		},
		VIFByMAC: table.NewStatic([]uint64{
			fib.VIFKey(0, clientMAC), fib.VIFKey(1, web1MAC), fib.VIFKey(2, dbMAC),
		}, []uint32{0, 1, 2}),
		Segments: []fib.Segment{
			{Tenant: 100, ID: 1, Router: 0, Subnets4: []fib.Subnet4{web4}, Subnets6: []fib.Subnet6{web6}},
			{Tenant: 100, ID: 2, Router: 0, Subnets4: []fib.Subnet4{db4}},
		},
		SegmentByID: table.NewStatic([]uint64{fib.SegmentKey(100, 1), fib.SegmentKey(100, 2)}, []uint32{0, 1}),
		Tenants:     table.NewStatic([]uint64{100}, []uint32{0}),
		Routers: []fib.Router{{
			Tenant: 100, MAC: routerMAC, Subnets4: []fib.Subnet4{web4, db4}, Subnets6: []fib.Subnet6{web6},
		}},
		Switches: []fib.Switch{sw, {MAC: switchA}},
		ICMPRate: 1000, ICMPBurst: 1000, Limits: fib.Limits{}.Room(3, 3, 1),
		VIPs: []fib.VIP{
			{Ref: ref(vip4), Tenant: 100, MAC: vipMAC, IP4: ip4("10.10.1.100"), Here: true, Usable: true},
			{Ref: ref(vip6), Tenant: 100, MAC: vip6MAC, V6: true, IP6: ip6("fd00:10::100"), Here: true, Usable: true},
			{Ref: ref(own), Tenant: 100, MAC: ownMAC, IP4: ip4("10.10.1.101"), Here: true, Own: true},
		},
	}
	tagged := new([4096]uint32)
	for i := range tagged {
		tagged[i] = fib.None
	}
	tagged[5] = 2
	s.Ports[near].Tagged = tagged
	return s
}

// ref is the Ref of an index with its first owner.
func ref(i uint32) fib.Ref { return i | 1<<fib.RefBits }

// target is a real server of a test.
type target struct {
	mac    uint64
	loc    fib.Loc
	port   uint16
	weight uint16
	accept fib.Accept
}

var (
	web1 = target{web1MAC, locWeb1, 8080, 1, fib.AcceptAll}
	web2 = target{web2MAC, locFar, 8080, 1, fib.AcceptAll}
	web3 = target{web3MAC, locFar, 8080, 1, fib.AcceptAll}
)

// serve adds a service to the virtual address, and its servers, and returns its index. The servers' indices follow one
// another.
func (w *world) serve(vip uint32, svc fib.Service, servers ...target) uint32 {
	s := w.snap
	i := uint32(len(s.Services))
	svc.Ref, svc.Tenant, svc.VIP, svc.PortEnd = ref(i), 100, vip, max(svc.PortEnd, svc.Port)
	if svc.ID == 0 {
		svc.ID = 7 + i
	}
	var names []maglev.Server
	for _, t := range servers {
		n := uint32(len(s.Servers))
		s.Servers = append(s.Servers, fib.Server{
			Ref: ref(n), MAC: t.mac, Source: fib.Mark | uint64(svc.ID), Service: i, Loc: t.loc, Port: t.port,
			Accept: t.accept,
		})
		if t.accept == fib.AcceptAll {
			svc.Members, svc.Weights = append(svc.Members, n), append(svc.Weights, t.weight)
			names = append(names, maglev.Server{Name: string(rune('a' + len(names))), Weight: t.weight})
		}
	}
	svc.Table = maglev.Build(&key, names, 251)
	s.Services = append(s.Services, svc)
	v := &s.VIPs[vip]
	if svc.Port == svc.PortEnd && svc.Port != 0 {
		var keys []uint64
		var values []uint32
		for j := range s.Services {
			if x := &s.Services[j]; x.VIP == vip && x.Port == x.PortEnd {
				keys, values = append(keys, fib.ServiceKey(x.Proto, x.Port)), append(values, uint32(j))
			}
		}
		v.Exact = table.NewStatic(keys, values)
	} else {
		v.Ranges = append(v.Ranges, fib.ServiceRange{Proto: svc.Proto, First: svc.Port, Last: svc.PortEnd, Service: i})
	}
	return i
}

// receive takes frames through the pipeline as one batch from a port.
func (w *world) receive(port int, list ...[]byte) {
	w.t.Helper()
	w.now += 1e6
	w.SetTime(w.now)
	b := &w.batch
	b.N = 0
	for _, f := range list {
		addr, ok := w.Cache.Get()
		if !ok {
			w.t.Fatal("no free frame")
		}
		w.check.Move(addr, frame.OwnerPool, frame.OwnerBatch)
		p := &b.Pkt[b.N]
		*p = frame.Packet{Off: addr + frame.Headroom, Port: uint16(port), Len: uint16(len(f))}
		copy(w.mem[p.Off:], f)
		b.N++
	}
	w.publish()
	w.Process(uint16(port), b, w.snap)
	for p := range uint16(4) {
		w.take(p)
	}
}

// publish gives tables that a test has changed in place to the pipeline as control does: as another snapshot.
func (w *world) publish() {
	if is := fmt.Sprint(w.snap.Servers, w.snap.Services, w.snap.Ports); is != w.was {
		s := *w.snap
		w.snap, w.was = &s, is
	}
}

// tick lets time pass.
func (w *world) tick(ns int64) {
	w.now += ns
	w.SetTime(w.now)
}

// take copies what waits for a port.
func (w *world) take(port uint16) {
	for _, d := range w.Out(port) {
		w.sent[port] = append(w.sent[port], append([]byte(nil), w.mem[d.Addr:d.Addr+uint64(d.Len)]...))
		w.Ports.Count(port, stats.TxPackets, 1)
		w.Free(uint32(d.Addr))
	}
}

// from returns what was sent from a port since the last call.
func (w *world) from(port int) [][]byte {
	s := w.sent[port]
	w.sent[port] = nil
	return s
}

// one returns the only frame that was sent, which was sent from the given port.
func (w *world) one(port int) []byte {
	w.t.Helper()
	var got []byte
	for p := range w.sent {
		for _, f := range w.from(p) {
			if p != port || got != nil {
				w.t.Fatalf("port %d sent %x, want one frame from port %d alone (drops: %v)", p, f, port, w.drops())
			}
			got = f
		}
	}
	if got == nil {
		w.t.Fatalf("no frame was sent, want one from port %d (drops: %v)", port, w.drops())
	}
	return got
}

// drops returns the drops so far by reason.
func (w *world) drops() map[string]uint64 {
	w.Publish()
	m := map[string]uint64{}
	for p := range 4 {
		for r := range int(drop.Count) {
			if n := w.Ports.Of(p, stats.Drops+r); n > 0 {
				m[drop.Reason(r).String()] += n
			}
		}
	}
	return m
}
