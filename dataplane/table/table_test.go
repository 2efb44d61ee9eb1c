package table

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
)

func newTable(tb testing.TB, capacity int) *Bindings {
	tb.Helper()
	t, err := NewBindings(Config{Capacity: capacity})
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

func randomBytes(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 99))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestAgainstModel runs some millions of operations on few keys: every kind of conflict, full tables, growth.
func TestAgainstModel(t *testing.T) {
	rounds, octets := 24, 1<<18
	if testing.Short() {
		rounds, octets = 4, 1<<16
	}
	for seed := range rounds {
		b, m := newTable(t, 1+seed*seed*3), newModel()
		s := script{data: randomBytes(uint64(seed), octets), macs: 8 << (seed % 6)}
		s.run(t, b, m)
	}
}

func FuzzBindings(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomBytes(seed, 200), uint8(seed*5))
	}
	f.Fuzz(func(t *testing.T, data []byte, capacity uint8) {
		b, m := newTable(t, int(capacity)+1), newModel()
		s := script{data: data, macs: 64}
		s.run(t, b, m)
	})
}

// TestFillRandom fills tables of all sizes to the brim: each must take exactly its capacity.
func TestFillRandom(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 20, 63, 64, 65, 200, 1000, 5000, 40_000, 300_000} {
		rows := manyRows(n + 1)
		b := filled(t, rows[:n])
		if err := b.Upsert(&rows[n]); !errors.Is(err, ErrFull) {
			t.Fatalf("row %d of %d: %v, want ErrFull", n+1, n, err)
		}
		s := b.Stats()
		if s.Refused != 1 || s.Rows != n || s.Capacity != n || s.ExtraIP4 != 0 || s.Rebuilds != 0 {
			t.Fatalf("stats of a full table of %d: %+v", n, s)
		}
		for i := range rows[:n] {
			r := &rows[i]
			if loc, ok := b.FindMAC(r.Seg, r.MAC); !ok || loc != r.Loc {
				t.Fatalf("FindMAC: %d, %v", loc, ok)
			}
			if mac, loc, ok := b.FindIP4(r.Seg, r.IP4[0]); !ok || mac != r.MAC || loc != r.Loc {
				t.Fatalf("FindIP4: %#x, %d, %v", mac, loc, ok)
			}
		}
		checkInside(t, b)
	}
}

// TestZeroBytes holds what findMAC relies on: the slots of the key's mark are found, free ones never are.
func TestZeroBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2_000_000 {
		m := mark(rng.Uint64() & 0xff >> (rng.Uint32() % 8)) // small ones often
		var marks uint64
		for i := range 8 {
			var other uint64
			switch rng.Uint32() % 4 {
			case 0:
				other = m
			case 1:
				other = mark(m ^ 1)
			case 2:
				other = mark(rng.Uint64())
			}
			marks |= other << (8 * i)
		}
		got := zeroBytes(marks ^ m*eachByte)
		for i := range 8 {
			other, found := marks>>(8*i)&0xff, got>>(8*i)&0xff != 0
			if other == m && !found || other == 0 && found {
				t.Fatalf("mark %#x in %#016x: %#016x", m, marks, got)
			}
		}
	}
}

// TestMemory holds the budget: 32 octets a binding at a million of them with an IPv4 address each, all included
// (perf/README.md#aims), and what the table says of itself.
func TestMemory(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 200_000
	}
	rows := manyRows(n)
	before := heap()
	b := newTable(t, n)
	if _, err := b.UpsertAll(rows); err != nil {
		t.Fatal(err)
	}
	onHeap := heap() - before
	mapped := cap(b.cur.Load().Bytes())
	if onHeap > 64<<10 {
		t.Errorf("%d octets on the Go heap", onHeap)
	}
	if b.Bytes() < mapped || b.Bytes() > 32*n || mapped+onHeap > 32*n {
		t.Errorf("Bytes() = %d; %d mapped, %d on the heap: want at most %d", b.Bytes(), mapped, onHeap, 32*n)
	}
	if s := b.Stats(); s.Rows != n || s.IndexedIP4 != n || s.ExtraIP4 != 0 {
		t.Errorf("statistics %+v: want %d rows and indexed addresses, and none in the extra table", s, n)
	}
	t.Logf("%.2f octets a binding; %d moves", float64(b.Bytes())/float64(n), b.Stats().Moves)
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestNoAllocation: neither the packet path nor the replacing of rows allocates.
func TestNoAllocation(t *testing.T) {
	rows := manyRows(2000)
	for i := range rows {
		if i%4 == 0 {
			rows[i].IP4 = append(rows[i].IP4, uint32(i))
			rows[i].IP6 = [][2]uint64{{1, uint64(i)}}
		}
	}
	b := newTable(t, 4000)
	if _, err := b.UpsertAll(rows); err != nil {
		t.Fatal(err)
	}
	var changes []Binding
	for i := range 100 {
		changes = append(changes, Binding{Seg: rows[i].Seg, MAC: rows[i].MAC, Loc: 1, IP4: []uint32{uint32(i)}})
	}
	d := NewDelta(b, changes[:50], changes[50:])
	static := NewStatic([]uint64{1, 2, 3}, []uint32{4, 5, 6})
	i := 0
	for name, f := range map[string]func(r *Binding){
		"touch": func(r *Binding) {
			sink += b.TouchMAC(r.Seg, r.MAC) + b.TouchIP4(r.Seg, r.IP4[0]) + b.TouchIP6(r.Seg, 1, uint64(i))
			h := b.HashIP4(r.Seg, r.IP4[0])
			at := b.SeekIP4(h, r.Seg, r.IP4[0])
			sink += b.TouchHash(h) + b.TouchIP4Hash(h) + b.TouchRow(at)
			_, loc, _ := FindIP4At(b, d, at, h, r.Seg, r.IP4[0])
			sink += uint64(loc)
		},
		"table": func(r *Binding) {
			b.FindMAC(r.Seg, r.MAC)
			b.FindMAC(r.Seg, uint64(i))
			b.FindIP4(r.Seg, r.IP4[0])
			b.FindIP4(r.Seg, uint32(i))
			b.FindIP6(r.Seg, 1, uint64(i))
		},
		"delta": func(r *Binding) {
			FindMAC(b, d, r.Seg, r.MAC)
			FindMACHash(b, d, b.HashMAC(r.Seg, r.MAC), r.Seg, r.MAC)
			FindIP4(b, d, r.Seg, r.IP4[0])
			FindIP6(b, d, r.Seg, 1, uint64(i))
		},
		"static": func(*Binding) {
			v, _ := static.Get(uint64(i & 3))
			sink += WeightedScore(uint32(Mix(v, 7)), 3)
		},
		"upsert": func(r *Binding) {
			r.Loc++
			_ = b.Upsert(r)
		},
		"delete": func(r *Binding) {
			r.IP6 = nil // the extra table grows now and then
			b.Delete(r.Seg, r.MAC)
			_ = b.Upsert(r)
		},
	} {
		if n := testing.AllocsPerRun(2000, func() {
			i++
			f(&rows[i%len(rows)])
		}); n != 0 {
			t.Errorf("%s: %.1f allocations", name, n)
		}
	}
}

func TestGrow(t *testing.T) {
	rows := manyRows(20_000)
	for i := range rows {
		if i%5 == 0 {
			rows[i].IP6 = [][2]uint64{{2, uint64(i)}}
		}
	}
	b := newTable(t, 1000)
	if _, err := b.Grow(0); err == nil {
		t.Error("capacity 0 was accepted")
	}
	if _, err := b.Grow(MaxCapacity + 1); err == nil {
		t.Error("a capacity beyond the maximum was accepted")
	}
	done := 0
	for _, capacity := range []int{1000, 1001, 5000, 20_000} {
		release, err := b.Grow(capacity)
		if err != nil {
			t.Fatal(err)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		n, err := b.UpsertAll(rows[done:])
		if full := done+n < len(rows); errors.Is(err, ErrFull) != full || !full && err != nil {
			t.Fatalf("capacity %d, after %d more rows: %v", capacity, n, err)
		}
		if done += n; done != capacity || b.Len() != done {
			t.Fatalf("capacity %d took %d rows, Len() = %d", capacity, done, b.Len())
		}
	}
	if _, err := b.Grow(19_999); err == nil {
		t.Error("a capacity below Len was accepted")
	}
	// Close unmaps what was never released.
	if _, err := b.Grow(30_000); err != nil {
		t.Fatal(err)
	}
	m := newModel()
	for i := range rows {
		m.upsert(&rows[i])
	}
	m.check(t, b)
	before := b.resident.Load()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if left := b.resident.Load(); left != 0 || before == 0 {
		t.Errorf("%d of %d octets are left after Close", left, before)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestRebuild fills the arrays beyond what two choices can bear: the table makes more buckets by itself.
func TestRebuild(t *testing.T) {
	rows := manyRows(20_000)
	m := newModel()
	b := newTable(t, 1000)
	b.capacity.Store(int64(len(rows))) // as if many keys had fallen on few buckets
	for i := range rows {
		if err := b.Upsert(&rows[i]); err != nil {
			t.Fatal(err)
		}
		m.upsert(&rows[i])
	}
	s := b.Stats()
	if s.Rebuilds == 0 || s.ExtraIP4 == 0 {
		t.Fatalf("nothing was rebuilt or went to the extra table: %+v", s)
	}
	m.check(t, b)
	retired := len(b.retired)
	release, err := b.Grow(len(rows))
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if len(b.retired)+len(b.released) != 0 || retired != int(s.Rebuilds) {
		t.Fatalf("%d arrays were kept, %d are after the release", retired, len(b.retired)+len(b.released))
	}
	m.check(t, b)
	for i := range rows {
		if !b.Delete(rows[i].Seg, rows[i].MAC) {
			t.Fatalf("row %d is lost", i)
		}
	}
	newModel().check(t, b)
}

func TestRefused(t *testing.T) {
	for _, n := range []int{-1, 0, MaxCapacity + 1} {
		if _, err := NewBindings(Config{Capacity: n}); err == nil {
			t.Errorf("capacity %d was accepted", n)
		}
	}
	b := newTable(t, 10)
	if err := b.Upsert(&Binding{MAC: 1 << 48}); err == nil {
		t.Error("a MAC of 49 bits was accepted")
	}
	if b.Len() != 0 {
		t.Errorf("Len() = %d", b.Len())
	}
}
