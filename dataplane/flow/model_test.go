package flow

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"penstock/dataplane/fib"
)

const (
	protoTCP = tcp
	protoUDP = 17
)

// model is the table's rules over a map.
type model struct {
	flows map[Key]*Flow
	last  map[Key]int64 // nanoseconds of the last packet
	now   int64
}

func newModel() *model { return &model{flows: map[Key]*Flow{}, last: map[Key]int64{}} }

func (m *model) turn(now int64) {
	m.now = now
	for k, f := range m.flows {
		if now/1e6-m.last[k]/1e6 >= int64(f.State.Idle()) {
			delete(m.flows, k)
		}
	}
}

func newTable(tb testing.TB, c Config) *Table {
	tb.Helper()
	t, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	return t
}

// find does as a stage does for one packet.
func find(t *Table, k Key) (p Probe, s Slot, ok bool) {
	var list [1]Probe
	t.Prepare(&list[0], &k)
	t.Touch(list[:])
	s, ok = t.Find(&list[0])
	return list[0], s, ok
}

func randomKey(rng *rand.Rand, n int) Key {
	i := rng.IntN(n)
	k := Key{VIP: 1<<20 | fib.Ref(i%3), ClientPort: uint16(i), Port: uint16(80 + i%2), Proto: protoTCP}
	k.Client[1] = uint64(0x0a000000 + i/16)
	if i%5 == 0 {
		k.Proto = protoUDP
	}
	if i%4 == 0 {
		k.V6, k.Client[0] = true, 0xfd<<56
	}
	return k
}

// TestModel: a table that never is full does what the rules over a map do, with any order of packets and pauses.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testModel(t, seed) })
	}
}

func testModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	tab := newTable(t, Config{Flows: 4096, Servers: 64, V6: true})
	m := newModel()
	now := int64(1e9)
	for step := range 15_000 {
		now += rng.Int64N(2e6)
		if rng.IntN(2000) == 0 {
			now += rng.Int64N(70e9)
		}
		for tab.Turn(now) {
		}
		m.turn(now)
		k := randomKey(rng, 1000)
		p, s, ok := find(tab, k)
		want := m.flows[k]
		if ok != (want != nil) {
			t.Fatalf("step %d: %+v found: %v, want %v", step, k, ok, want != nil)
		}
		server := 1<<20 | fib.Ref(rng.IntN(64))
		switch {
		case !ok:
			if _, ok = tab.Insert(&p, server, HalfOpen, server&1 == 0); !ok {
				t.Fatalf("step %d: not inserted", step)
			}
			m.flows[k] = &Flow{Key: k, Server: server, State: HalfOpen, OffTable: server&1 == 0}
		case rng.IntN(20) == 0:
			tab.Rebind(s, server, HalfOpen, server&1 == 0)
			want.Server, want.State, want.OffTable = server, HalfOpen, server&1 == 0
		case rng.IntN(30) == 0:
			tab.Remove(s)
			delete(m.flows, k)
			continue
		case k.Proto == protoUDP:
			tab.Datagram(s)
			want.State = UDP
		default:
			flags := []uint8{tcpSYN, 0, 0, 0, tcpFIN, tcpRST}[rng.IntN(6)]
			tab.TCP(s, flags)
			switch {
			case flags == tcpRST:
				want.State = Closed
			case flags == tcpFIN && want.State != Closed:
				want.State = Closing
			case flags == 0 && want.State == HalfOpen:
				want.State = Established
			}
		}
		m.last[k] = now
		compare(t, tab, m.flows[k], find1(t, tab, k))
		if step%4096 == 0 {
			compareAll(t, tab, m)
		}
	}
	compareAll(t, tab, m)
}

func find1(t *testing.T, tab *Table, k Key) Slot {
	t.Helper()
	_, s, ok := find(tab, k)
	if !ok {
		t.Fatalf("%+v is gone", k)
	}
	return s
}

func compare(t *testing.T, tab *Table, want *Flow, s Slot) {
	t.Helper()
	e := tab.Entry(s)
	if e.Server() != want.Server || e.State() != want.State || e.OffTable() != want.OffTable {
		t.Fatalf("%+v: server %x, %v, off %v; want %x, %v, %v", want.Key, e.Server(), e.State(), e.OffTable(),
			want.Server, want.State, want.OffTable)
	}
}

// compareAll compares what Read tells, and the counters.
func compareAll(t *testing.T, tab *Table, m *model) {
	t.Helper()
	got := map[Key]Flow{}
	buf := make([]Flow, 50)
	for from := uint32(0); ; {
		next, n := tab.Read(from, buf)
		for _, f := range buf[:n] {
			if _, twice := got[f.Key]; twice {
				t.Fatalf("%+v is there twice", f.Key)
			}
			got[f.Key] = f
		}
		if from = next; next == 0 {
			break
		}
	}
	if len(got) != len(m.flows) {
		t.Fatalf("%d flows, want %d", len(got), len(m.flows))
	}
	live := map[fib.Ref]uint32{}
	for k, want := range m.flows {
		f := *want
		f.Age = int32(m.now/1e6 - m.last[k]/1e6)
		if got[k] != f {
			t.Fatalf("%+v, want %+v", got[k], f)
		}
		live[f.Server]++
	}
	checkCounts(t, tab)
	for s := range tab.Servers.Len() {
		ref := 1<<20 | fib.Ref(s)
		expiredToo := tab.Len() - len(m.flows) // the background scan has not seen these
		if n := tab.Live(ref); n < live[ref] || n > live[ref]+uint32(expiredToo) {
			t.Fatalf("server %d has %d live flows, want %d", s, n, live[ref])
		}
	}

}

// checkCounts compares the counters with the entries, and the list of half-open entries with both.
func checkCounts(t *testing.T, tab *Table) {
	t.Helper()
	var count [8]uint32
	var total, off uint32
	live := map[fib.Ref]uint32{}
	for i := range tab.buckets {
		for j := range tab.buckets[i] {
			e := &tab.buckets[i][j]
			if !e.used() {
				if *e != (Entry{}) {
					t.Fatalf("free entry %v is not zero", *e)
				}
				continue
			}
			count[e.State()]++
			total++
			live[e.Server()]++
			if e.OffTable() {
				off++
			}
			a, b := tab.pair(e[0], e[1]&entryKey)
			if uint32(i) != a && uint32(i) != b {
				t.Fatalf("an entry of the buckets %d and %d lies in %d", a, b, i)
			}
		}
	}
	if count != tab.count || total != tab.total {
		t.Fatalf("counted %v, %d in all; the entries are %v, %d", tab.count, tab.total, count, total)
	}
	tab.Stats.Publish()
	for s := HalfOpen; s < States; s++ {
		if n := tab.Stats.Load(StatFlows + int(s)); n != uint64(count[s]) {
			t.Fatalf("counter of %v flows: %d, want %d", s, n, count[s])
		}
	}
	if n := tab.Stats.Load(StatOffTable); n != uint64(off) {
		t.Fatalf("counter of off-table flows: %d, want %d", n, off)
	}
	for s, n := range live {
		if got := tab.Live(s); got != n {
			t.Fatalf("server %x: %d live flows, want %d", s, got, n)
		}
	}
	n, prev, age := uint32(0), uint32(0), int32(1<<30)
	for s := tab.oldest; s != 0; s = tab.entry(s - 1).next() {
		e := tab.entry(s - 1)
		if e.State() != HalfOpen || e.prev() != prev || int32(tab.now-e.last()) > age {
			t.Fatalf("the list of half-open entries is broken at %d: %v", s-1, *e)
		}
		prev, age = s, int32(tab.now-e.last())
		n++
	}
	if n != count[HalfOpen] || tab.newest != prev {
		t.Fatalf("the list has %d half-open entries and ends at %d, want %d and %d",
			n, tab.newest, count[HalfOpen], prev)
	}
}
