package compile

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// TestRace changes links and next hops and asks for statuses while transactions and bulks run, and reads every
// snapshot as a worker does.
func TestRace(t *testing.T) {
	w := newWorld(t, "", append(testPorts(), Port{Name: "down", Role: fib.RoleDownlink, SwitchPort: 9}), 1000)
	w.c.cfg.Publish = nil
	small(w).commit()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(f func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		})
	}
	loop(func(i int) {
		w.c.SetLink(2+i%3, i%2 == 0, uint16(1500+i%2), uint64(i%4))
		w.c.SetBoxMAC(9, model.MAC(i%3))
	})
	loop(func(int) {
		w.c.Status(model.KindBinding, "RED/web/"+redVM2.String())
		w.c.PathStats()
		s := w.c.Snapshot()
		for i, g := range s.Segments {
			for _, l := range g.Remote {
				if s.Switches[switchOf(l)].MAC == 0 {
					t.Errorf("segment %d floods to a free switch", i)
				}
			}
		}
		if loc, ok := table.FindMAC(s.Bindings, s.Delta, 0, uint64(redVM2)); ok && loc&fib.LocLocal == 0 {
			_ = s.Switches[switchOf(loc)].Paths
		}
	})
	for i := range 300 {
		x := w.begin()
		x.tenant(model.Tenant{Name: fmt.Sprint("T", i%5), ID: uint32(10 + i%5 + i%2*10)})
		x.bind(model.Binding{Tenant: "RED", Segment: "web", MAC: redVM2, SwitchMAC: allSwitches[i%5],
			SwitchPort: uint16(1 + i%9)})
		if i%3 == 0 {
			if err := w.c.BulkBegin(core.BulkSize{Switches: []model.MAC{switchZ}}); err != nil {
				t.Fatal(err)
			}
			if err := w.c.BulkPut(x.ch.Puts); err != nil {
				t.Fatal(err)
			}
			w.c.BulkEnd()
			x.next = w.state
			x.done()
			continue
		}
		p, err := w.c.Plan(x.next, x.ch)
		if err != nil {
			t.Fatal(err)
		}
		w.c.Apply(p)
		x.done()
	}
	close(stop)
	wg.Wait()
	for i := range w.links { // where the links were left
		w.links[i].up, w.links[i].mtu, w.links[i].mac = w.c.ports[i].up, w.c.ports[i].mtu, w.c.ports[i].mac
	}
	w.check()
}

// big returns a world of n tenants with one segment each.
func big(t testing.TB, n, capacity int) *world {
	w := newWorld(t, model.Scheme24, testPorts(), capacity)
	w.c.cfg.Publish = nil
	for i := range w.links {
		w.c.SetLink(i, true, 1600, uint64(i+1))
	}
	s := &model.State{Tenants: map[string]model.Tenant{}, Segments: map[string]model.Segment{},
		VIFs: map[string]model.VIF{}, Paths: map[string]model.Path{}}
	for i := range n {
		name := fmt.Sprintf("tenant%05d", i)
		s.Tenants[name] = model.Tenant{Name: name, ID: uint32(i + 2)}
		s.Segments[name+"/net"] = model.Segment{Tenant: name, Name: "net", ID: 1}
	}
	for i := range min(n, 8000) { // as many as two ports have VLANs for
		name := fmt.Sprintf("tenant%05d", i)
		s.VIFs[name+"/vm"] = model.VIF{Tenant: name, Name: "vm", Segment: "net", MAC: redVM1,
			Port: fmt.Sprint("acc", i/4094%2), VLAN: uint16(i%4094 + 1)}
	}
	for i := range 500 {
		var v []model.PathVLAN
		for k := range 16 {
			v = append(v, model.PathVLAN{VID: uint16(100 + k)})
		}
		b := model.MAC(0x02dd00000000 + i)
		s.Paths[switchS.String()+"/"+b.String()] = model.Path{A: switchS, B: b, VLANs: v}
	}
	p, err := w.c.Plan(s, model.BindingChanges{})
	if err != nil {
		t.Fatal(err)
	}
	w.c.Apply(p)
	w.state = s
	return w
}

func bulkRows(n int) []model.Binding {
	rows := make([]model.Binding, n)
	for i := range rows {
		rows[i] = model.Binding{Tenant: fmt.Sprintf("tenant%05d", i/16), Segment: "net",
			MAC:       model.MAC(0x020000000100 + i),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
			SwitchMAC: model.MAC(0x02dd00000000 + i*7%500), SwitchPort: uint16(i%40 + 1)}
	}
	return rows
}

// TestLarge measures pushes at the sizes that a box holds (PROTOCOL.md#sizes), with room for a slow
// machine: one VIF into 65,000 tenants, and a million bindings in bulk.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	n, many := 65_000, 1_000_000
	if raceEnabled {
		n, many = 6_500, 100_000
	}
	w := big(t, n, 1<<20)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best, least := time.Hour, time.Hour
	for i := range 5 {
		x := w.begin()
		own(&x.next.VIFs)
		x.next.VIFs["tenant06400/new"] = model.VIF{Tenant: "tenant06400", Name: "new", Segment: "net",
			MAC: model.MAC(0x020000000077 + i), Port: "acc1", VLAN: 4094 - uint16(i%2)}
		start, busy := time.Now(), threadTime(t)
		p, err := w.c.Plan(x.next, x.ch)
		if err != nil {
			t.Fatal(err)
		}
		w.c.Apply(p)
		best, least = min(best, time.Since(start)), min(least, threadTime(t)-busy)
		w.state = x.next
	}
	t.Logf("one VIF into %d tenants: %v, %v of CPU time", n, best, least)
	if least > 20*time.Millisecond && !raceEnabled {
		t.Errorf("one VIF into %d tenants took %v of CPU time", n, least)
	}
	rows := bulkRows(many)
	var macs []model.MAC
	for i := range 500 {
		macs = append(macs, model.MAC(0x02dd00000000+i))
	}
	start, busy := time.Now(), threadTime(t)
	if err := w.c.BulkBegin(core.BulkSize{Added: len(rows), Switches: macs}); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(rows); i += 4096 {
		if err := w.c.BulkPut(rows[i:min(i+4096, len(rows))]); err != nil {
			t.Fatal(err)
		}
	}
	w.c.BulkEnd()
	t.Logf("%d bindings in bulk: %v, %v of CPU time", len(rows), time.Since(start), threadTime(t)-busy)
	boxes := map[fib.Loc]bool{}
	for _, l := range w.c.Snapshot().Segments[0].Remote {
		boxes[l] = true
	}
	if len(boxes) != 16 {
		t.Errorf("segment 0 floods to %d boxes, want 16", len(boxes))
	}
}

// threadTime is the CPU time of this thread: on a busy machine, what the work costs.
func threadTime(t testing.TB) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkTransactionVIF(b *testing.B) {
	w := big(b, 65_000, 1<<20)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		x := w.begin()
		own(&x.next.VIFs)
		x.next.VIFs["tenant64000/new"] = model.VIF{Tenant: "tenant64000", Name: "new", Segment: "net",
			MAC: model.MAC(0x020000000077 + i), Port: "acc1", VLAN: 4094 - uint16(i%2)} // another attachment each time
		b.StartTimer()
		p, err := w.c.Plan(x.next, x.ch)
		if err != nil {
			b.Fatal(err)
		}
		w.c.Apply(p)
		w.state = x.next
	}
}

func BenchmarkTransactionTenant(b *testing.B) {
	w := big(b, 65_000, 1<<20)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		x := w.begin()
		x.tenant(model.Tenant{Name: "new", ID: uint32(100_000 + i)})
		b.StartTimer()
		p, err := w.c.Plan(x.next, x.ch)
		if err != nil {
			b.Fatal(err)
		}
		w.c.Apply(p)
		w.state = x.next
	}
}
