package flow

import (
	"math/rand/v2"
	"slices"
	"testing"

	"penstock/dataplane/fib"
)

func numbered(i int) Key {
	k := Key{VIP: 1 << 20, ClientPort: uint16(i), Port: 80, Proto: tcp}
	k.Client[1] = uint64(0x0a000000 + i>>16)
	return k
}

const server1 = fib.Ref(1<<20 | 1)

func insert(t testing.TB, tab *Table, i int) Slot {
	t.Helper()
	p, _, ok := find(tab, numbered(i))
	if ok {
		t.Fatalf("flow %d is there before it is inserted", i)
	}
	s, ok := tab.Insert(&p, server1, HalfOpen, false)
	if !ok {
		t.Fatalf("flow %d was not inserted", i)
	}
	return s
}

// establish inserts a flow and sends a second packet.
func establish(t testing.TB, tab *Table, i int) { tab.TCP(insert(t, tab, i), 0x10) }

func stat(tab *Table, i int) uint64 {
	tab.Stats.Publish()
	return tab.Stats.Load(i)
}

// TestPlan: a plan is told under its stamp, until the flow gets another state or server.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name   string
		stamp  uint32
		change func(tab *Table, s Slot)
		want   uint32
		ok     bool
	}{
		{"nothing", 5, func(*Table, Slot) {}, 9, true},
		{"another stamp", 6, func(*Table, Slot) {}, 0, true},
		{"a segment", 5, func(tab *Table, s Slot) { tab.TCP(s, 0x10) }, 9, true},
		{"FIN", 5, func(tab *Table, s Slot) { tab.TCP(s, tcpFIN) }, 0, false},
		{"another server", 5, func(tab *Table, s Slot) { tab.Rebind(s, server1+1, Established, false) }, 0, true},
		{"a new connection", 5, func(tab *Table, s Slot) {
			tab.Rebind(s, server1, HalfOpen, false)
			tab.TCP(s, 0x10)
		}, 0, true},
		{"time", 5, func(tab *Table, _ Slot) { tab.Turn(1e9 + int64(Established.Idle())*1e6) }, 0, false},
		{"removal", 5, func(tab *Table, s Slot) { tab.Remove(s) }, 0, false},
	} {
		tab := newTable(t, Config{Flows: 64, Servers: 8})
		tab.Turn(1e9)
		establish(t, tab, 7)
		_, s, _ := find(tab, numbered(7))
		tab.SetPlan(s, 5, 9)
		c.change(tab, s)
		k := numbered(7)
		list := make([]Hit, 1)
		list[0].Set(uint32(k.Client[1]), uint32(k.ClientPort)<<16|uint32(k.Port), HitWord(k.VIP, k.Proto))
		tab.Hits(list, c.stamp)
		if got := &list[0]; got.OK != c.ok || c.ok && got.Plan != c.want {
			t.Errorf("after %s: found %v with plan %d, want %v with %d", c.name, got.OK, got.Plan, c.ok, c.want)
		}
	}
}

// TestFlood: a flood of first packets costs no established flow: half-open flows are a quarter at most, the oldest of
// them goes first, and ten seconds after the flood none is left.
func TestFlood(t *testing.T) {
	const limit = 4096
	tab := newTable(t, Config{Flows: limit, Servers: 8})
	now := int64(1e9)
	tab.Turn(now)
	const kept = limit - limit/4
	for i := range kept {
		establish(t, tab, i)
	}
	for i := range 20 * limit {
		if i%100 == 0 {
			now += 1e6
			tab.Turn(now)
		}
		insert(t, tab, 1_000_000+i)
		if n := stat(tab, StatFlows+int(HalfOpen)); n > limit/4 || tab.Len() > limit {
			t.Fatalf("%d half-open flows of %d, want at most %d of %d", n, tab.Len(), limit/4, limit)
		}
	}
	for i := range limit / 4 {
		if _, _, ok := find(tab, numbered(1_000_000+20*limit-1-i)); !ok {
			t.Fatalf("the %d-th youngest half-open flow is gone, want the youngest %d", i, limit/4)
		}
	}
	for i := range kept {
		if _, _, ok := find(tab, numbered(i)); !ok {
			t.Errorf("established flow %d is gone", i)
		}
	}
	checkCounts(t, tab)
	if n := stat(tab, StatEvicted+int(HalfOpen)); n != 20*limit-limit/4 {
		t.Errorf("%d half-open flows were evicted, want %d", n, 20*limit-limit/4)
	}
	if n := stat(tab, StatEvicted+int(Established)); n != 0 {
		t.Errorf("%d established flows were evicted, want 0", n)
	}
	for now += 10e9; tab.Turn(now); {
	}
	if n := stat(tab, StatFlows+int(HalfOpen)); n != 0 || tab.Len() != kept {
		t.Errorf("after 10 s of quiet: %d half-open flows of %d, want 0 of %d", n, tab.Len(), kept)
	}
	checkCounts(t, tab)
}

// TestEvictOld: a table full of established flows evicts old ones for new ones, and counts them. Eight buckets have
// some twelve entries: the oldest of these is on average among the oldest thirteenth of all.
func TestEvictOld(t *testing.T) {
	const limit = 16384
	tab := newTable(t, Config{Flows: limit, Servers: 8})
	now := int64(1e9)
	order := make([]int, limit) // the flow of each place in age
	for i := range limit {
		now += 1e6
		tab.Turn(now)
		establish(t, tab, i)
		order[i] = i
	}
	var places []float64
	next := limit
	for range 3000 {
		now += 1e6
		tab.Turn(now)
		before := stat(tab, StatEvicted+int(Established))
		establish(t, tab, next)
		if d := stat(tab, StatEvicted+int(Established)) - before; d != 1 {
			t.Fatalf("%d flows were evicted for one, want 1", d)
		}
		for at, f := range order {
			if _, _, ok := find(tab, numbered(f)); !ok {
				places = append(places, float64(at)/limit)
				order = slices.Delete(order, at, at+1)
				break
			}
		}
		order = append(order, next)
		next++
	}
	checkCounts(t, tab)
	var sum float64
	for _, p := range places {
		sum += p
	}
	slices.Sort(places)
	mean := sum / float64(len(places))
	t.Logf("the evicted flow is on average among the oldest %.1f %%, 99 of 100 among the oldest %.1f %%",
		100*mean, 100*places[len(places)*99/100])
	if len(places) != 3000 || mean > 0.12 {
		t.Errorf("%d of 3000 evictions found, at %.3f of the age on average; want all, at most 0.12", len(places), mean)
	}
}

// TestModelFull: a table that is full all the time keeps its limits, its counters and its list, whatever happens, and
// never finds a flow that it was not told of.
func TestModelFull(t *testing.T) {
	for _, limit := range []int{MinFlows, 100, 1000} {
		rng := rand.New(rand.NewPCG(uint64(limit), 2))
		tab := newTable(t, Config{Flows: limit, Servers: 16, V6: true})
		servers := map[Key]fib.Ref{}
		now := int64(1e9)
		for step := range 60_000 {
			if now += rng.Int64N(3e6); rng.IntN(5000) == 0 {
				now += 40e9
			}
			tab.Turn(now)
			k := randomKey(rng, 4*limit)
			p, s, ok := find(tab, k)
			server := 1<<20 | fib.Ref(rng.IntN(16))
			switch {
			case !ok:
				if rng.IntN(4) == 0 {
					ok = tab.Restore(&p, server, 1+State(rng.IntN(5)), true, int32(rng.IntN(9000)))
				} else {
					_, ok = tab.Insert(&p, server, HalfOpen, false)
				}
				if !ok {
					t.Fatalf("step %d: not inserted", step)
				}
				servers[k] = server
			case tab.Entry(s).Server() != servers[k]:
				t.Fatalf("step %d: server %x, want %x", step, tab.Entry(s).Server(), servers[k])
			case rng.IntN(10) == 0:
				tab.Rebind(s, server, HalfOpen, true)
				servers[k] = server
			case k.Proto == protoUDP:
				tab.Datagram(s)
			default:
				tab.TCP(s, []uint8{tcpSYN, 0x10, 0x10, 0x10, tcpFIN, tcpRST}[rng.IntN(6)])
			}
			if tab.Len() > limit || int(tab.count[HalfOpen]) > limit/4 {
				t.Fatalf("step %d: %d flows, %d half-open; want at most %d, %d", step, tab.Len(), tab.count[HalfOpen],
					limit, limit/4)
			}
			if step%500 == 0 {
				checkCounts(t, tab)
			}
		}
	}
}

// TestGuard: what comes above the rate is not inserted and is counted, what comes below it is.
func TestGuard(t *testing.T) {
	tab := newTable(t, Config{Flows: 100_000, Servers: 8, Rate: 1000})
	n, in := 0, 0
	for now := int64(1e9); now < 11e9; now += 500_000 { // 2,000 a second for 10 s
		tab.Turn(now)
		p, _, _ := find(tab, numbered(n))
		if _, ok := tab.Insert(&p, server1, HalfOpen, false); ok {
			in++
		}
		n++
	}
	if in < 10_000 || in > 10_200 || stat(tab, StatGuard) != uint64(n-in) {
		t.Errorf("%d of %d flows inserted, %d counted as too many; want 10,000 and what comes at once, and the rest",
			in, n, stat(tab, StatGuard))
	}
	for now := int64(20e9); now < 30e9; now += 1_100_000 {
		tab.Turn(now)
		p, _, _ := find(tab, numbered(1_000_000+n))
		n++
		if _, ok := tab.Insert(&p, server1, HalfOpen, false); !ok {
			t.Fatal("a flow below the rate was not inserted")
		}
	}
}

// TestRestore: news of the past does not undo what has happened since.
func TestRestore(t *testing.T) {
	tab := newTable(t, Config{Flows: 100, Servers: 8})
	tab.Turn(100e9)
	establish(t, tab, 1)
	tab.Turn(105e9)
	for _, c := range []struct {
		name      string
		flow      int
		state     State
		age       int32
		want      bool
		server    fib.Ref
		wantState State
		lastAge   int32
	}{
		{"older news", 1, Closing, 6000, false, server1, Established, 5000},
		{"newer news", 1, Closing, 1000, true, server1 + 1, Closing, 0},
		{"expired", 2, Established, Established.Idle(), false, 0, None, 0},
		{"new", 3, Established, 60_000, true, server1 + 1, Established, 60_000},
		{"half-open", 4, HalfOpen, 5000, true, server1 + 1, HalfOpen, 0},
	} {
		var p Probe
		k := numbered(c.flow)
		tab.Prepare(&p, &k)
		if got := tab.Restore(&p, server1+1, c.state, true, c.age); got != c.want {
			t.Errorf("%s: Restore says %v, want %v", c.name, got, c.want)
		}
		s, ok := tab.Find(&p)
		if ok != (c.wantState != None) {
			t.Errorf("%s: found %v, want %v", c.name, ok, c.wantState != None)
		} else if ok {
			e := tab.Entry(s)
			age := int32(tab.now - e.last())
			if e.Server() != c.server || e.State() != c.wantState || age != c.lastAge {
				t.Errorf("%s: server %x, %v, %d ms; want %x, %v, %d ms",
					c.name, e.Server(), e.State(), age, c.server, c.wantState, c.lastAge)
			}
		}
	}
	checkCounts(t, tab)
}

// TestCounts: the number of a server's flows ends with its index's next owner.
func TestCounts(t *testing.T) {
	tab := newTable(t, Config{Flows: 100, Servers: 2})
	tab.Turn(1e9)
	insert(t, tab, 1)
	s := insert(t, tab, 2)
	next := server1 + 1<<20
	if got := tab.Live(server1); got != 2 {
		t.Errorf("%d live flows, want 2", got)
	}
	tab.Rebind(s, next, HalfOpen, false)
	if a, b := tab.Live(server1), tab.Live(next); a != 0 || b != 1 {
		t.Errorf("%d and %d live flows of the former and the new server, want 0 and 1", a, b)
	}
	_, s, _ = find(tab, numbered(1))
	tab.Remove(s)
	if got := tab.Live(next); got != 1 {
		t.Errorf("%d live flows after one of the former server went, want 1", got)
	}
	tab.GrowServers(NewCounts(10))
	_, s, _ = find(tab, numbered(2))
	tab.Rebind(s, 1<<20|9, HalfOpen, false)
	if a, b := tab.Live(next), tab.Live(1<<20|9); a != 0 || b != 1 {
		t.Errorf("%d and %d live flows after more servers came, want 0 and 1", a, b)
	}
}

// TestNoAllocation: nothing of what a packet does takes memory.
func TestNoAllocation(t *testing.T) {
	tab := newTable(t, Config{Flows: 1000, Servers: 8, V6: true})
	notes := NewNotes(100)
	var frags Fragments
	now, i := int64(1e9), 0
	list := make([]Probe, 8)
	if n := testing.AllocsPerRun(5000, func() {
		now += 1e5
		tab.Turn(now)
		for j := range list {
			k := numbered(i)
			k.V6 = j%2 == 0
			tab.Prepare(&list[j], &k)
			i++
		}
		tab.Touch(list)
		for j := range list {
			if s, ok := tab.Find(&list[j]); ok {
				tab.TCP(s, 0x10)
			} else if s, ok = tab.Insert(&list[j], server1, HalfOpen, true); ok {
				tab.TCP(s, 0x10)
			}
		}
		nk := noteKey(i)
		notes.Request(&nk, serviceA, tcpSYN, now)
		notes.Reply(&nk, 0x10, now)
		fk := FragmentKey{ID: uint32(i)}
		frags.Note(&fk, Noted{Server: server1}, now)
		frags.Find(&fk, now)
	}); n != 0 {
		t.Errorf("%.2f allocations a batch, want 0", n)
	}
}

// TestNews: control learns of off-table flows that are new, change their state or get another server, not of others,
// nor of what it has told itself; and of lost news.
func TestNews(t *testing.T) {
	tab := newTable(t, Config{Flows: 10_000, Servers: 8})
	var news News
	tab.SetNews(&news)
	tab.Turn(1e9)
	out := make([]Flow, 2*newsLen)
	want := func(what string, list ...Flow) {
		t.Helper()
		n, lost := news.Take(out)
		if lost || n != len(list) {
			t.Fatalf("%s: %d news, lost %v; want %d", what, n, lost, len(list))
		}
		for i, f := range list {
			if f.OffTable = true; out[i] != f {
				t.Errorf("%s: %+v, want %+v", what, out[i], f)
			}
		}
	}
	insert(t, tab, 1)
	want("a flow of the table")
	p, _, _ := find(tab, numbered(2))
	s, _ := tab.Insert(&p, server1, HalfOpen, true)
	want("a new flow", Flow{Key: numbered(2), Server: server1, State: HalfOpen})
	tab.TCP(s, 0x10)
	tab.TCP(s, 0x10)
	want("established", Flow{Key: numbered(2), Server: server1, State: Established})
	tab.Rebind(s, server1+1, Established, true)
	want("moved", Flow{Key: numbered(2), Server: server1 + 1, State: Established})
	tab.Rebind(s, server1, HalfOpen, true)
	want("opened again", Flow{Key: numbered(2), Server: server1, State: HalfOpen})
	_, s, _ = find(tab, numbered(1))
	tab.SetOffTable(s, true)
	tab.SetOffTable(s, true)
	want("no longer of the table", Flow{Key: numbered(1), Server: server1, State: HalfOpen})
	p, _, _ = find(tab, numbered(3))
	tab.Restore(&p, server1, Established, true, 0)
	tab.Restore(&p, server1+1, Closing, true, 0)
	want("told by control")
	for i := range newsLen + 1 {
		p, _, _ := find(tab, numbered(10+i))
		tab.Insert(&p, server1, HalfOpen, true)
	}
	if n, lost := news.Take(out); n != newsLen || !lost {
		t.Errorf("%d news, lost %v; want %d and that some are lost", n, lost, newsLen)
	}
	want("after that")
}
