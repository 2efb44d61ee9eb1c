package table

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The memory outside the Go heap is invisible to the race detector: what these tests hold is what the readers see.

// readers runs checks in goroutines until stop is called, which returns the number of turns.
type readers struct {
	wg    sync.WaitGroup
	done  atomic.Bool
	turns []atomic.Int64
	mu    sync.Mutex
	err   error
}

func startReaders(t *testing.T, n int, check func(rng *rand.Rand) error) *readers {
	r := &readers{turns: make([]atomic.Int64, n)}
	t.Cleanup(func() { // none may be left when the table is closed
		r.done.Store(true)
		r.wg.Wait()
	})
	for i := range n {
		r.wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 5))
			for !r.done.Load() {
				for range 64 {
					if err := check(rng); err != nil {
						r.mu.Lock()
						r.err = err
						r.mu.Unlock()
						r.done.Store(true)
						return
					}
				}
				r.turns[i].Add(1)
			}
		})
	}
	return r
}

// grace waits until every reader has begun a new turn.
func (r *readers) grace() {
	for i := range r.turns {
		for was := r.turns[i].Load(); r.turns[i].Load() == was && !r.done.Load(); {
			runtime.Gosched()
		}
	}
}

func (r *readers) stop(t *testing.T) {
	t.Helper()
	r.done.Store(true)
	r.wg.Wait()
	if r.err != nil {
		t.Fatal(r.err)
	}
	turns := int64(0)
	for i := range r.turns {
		turns += r.turns[i].Load()
	}
	if turns == 0 {
		t.Fatal("the readers did nothing")
	}
	t.Logf("%d lookups while the writer was busy", turns*64)
}

func testTime(t *testing.T) time.Duration {
	if testing.Short() {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

// TestReadersUnderChurn keeps a table as full as can be, so that nearly every insertion moves rows and addresses, and
// looks for rows that are there all the time.
func TestReadersUnderChurn(t *testing.T) {
	const keep = 2000 // rows 0…keep-1 stay, the others come and go
	const capacity = 3000
	b := newTable(t, capacity)
	row := func(id, generation int) Binding {
		r := Binding{
			Seg: uint32(id%3) << 15,
			MAC: uint64(id) * 0x9e3779b1 & (1<<48 - 1),
			Loc: uint32(id)<<8 | uint32(generation&0xff),
			IP4: []uint32{0x0a000000 + uint32(id)},
		}
		if id%7 == 0 {
			r.IP4 = append(r.IP4, 0x0b000000+uint32(id))
			r.IP6 = [][2]uint64{{0xfd, uint64(id)}}
		}
		return r
	}
	for id := range keep {
		r := row(id, 0)
		if err := b.Upsert(&r); err != nil {
			t.Fatal(err)
		}
	}
	rd := startReaders(t, 2, func(rng *rand.Rand) error {
		id := rng.IntN(keep)
		r := row(id, 0)
		if loc, ok := b.FindMAC(r.Seg, r.MAC); !ok || loc>>8 != uint32(id) {
			return fmt.Errorf("row %d by MAC: %#x, %v", id, loc, ok)
		}
		for _, ip := range r.IP4 {
			if mac, loc, ok := b.FindIP4(r.Seg, ip); !ok || loc>>8 != uint32(id) || mac != r.MAC {
				return fmt.Errorf("row %d by address %#x: %#x, %#x, %v", id, ip, mac, loc, ok)
			}
		}
		for _, ip := range r.IP6 {
			if mac, loc, ok := b.FindIP6(r.Seg, ip[0], ip[1]); !ok || loc>>8 != uint32(id) || mac != r.MAC {
				return fmt.Errorf("row %d by address %#x: %#x, %#x, %v", id, ip, mac, loc, ok)
			}
		}
		gone := row(1_000_000+id, 0)
		if loc, ok := b.FindMAC(gone.Seg, gone.MAC); ok {
			return fmt.Errorf("a row that never was: %#x", loc)
		}
		// A row that comes and goes is whole when it is there.
		id = keep + rng.IntN(capacity)
		r = row(id, 0)
		if loc, ok := b.FindMAC(r.Seg, r.MAC); ok && loc>>8 != uint32(id) {
			return fmt.Errorf("row %d by MAC: %#x", id, loc)
		}
		if mac, loc, ok := b.FindIP4(r.Seg, r.IP4[0]); ok && (loc>>8 != uint32(id) || mac != r.MAC) {
			return fmt.Errorf("row %d by address: %#x, %#x", id, mac, loc)
		}
		return nil
	})
	// The others pass through first in, first out, so that the table is full all the time.
	rng := rand.New(rand.NewPCG(1, 1))
	passing := func(n int) int { return keep + n%capacity }
	end := time.Now().Add(testTime(t))
	for n := 0; !rd.done.Load() && (n%256 != 0 || time.Now().Before(end)); n++ {
		r := row(rng.IntN(keep), n)
		if err := b.Upsert(&r); err != nil {
			t.Fatal(err)
		}
		if n >= capacity-keep {
			r := row(passing(n-(capacity-keep)), 0)
			if !b.Delete(r.Seg, r.MAC) {
				t.Fatalf("row %#x is not there", r.MAC)
			}
		}
		r = row(passing(n), n)
		if err := b.Upsert(&r); err != nil {
			t.Fatal(err)
		}
		if n%20_000 == 10_000 {
			release, err := b.Grow(capacity + n/20_000%2*50)
			if err != nil {
				t.Fatal(err)
			}
			rd.grace()
			if err := release(); err != nil {
				t.Fatal(err)
			}
		}
	}
	rd.stop(t)
	checkInside(t, b)
	t.Logf("%+v", b.Stats())
}

// TestReadersUnderTakeover lets addresses change hands, and the place in which they are kept, without a gap.
func TestReadersUnderTakeover(t *testing.T) {
	b := newTable(t, 100)
	const seg = 0x20001
	put := func(mac uint64, loc uint32, ip4 []uint32, ip6 ...[2]uint64) {
		if err := b.Upsert(&Binding{Seg: seg, MAC: mac, Loc: loc, IP4: ip4, IP6: ip6}); err != nil {
			t.Error(err)
		}
	}
	// MAC m is always at m, or at m+100 in its second guise.
	const shared, own2, own3, a, z = 100, 102, 103, 201, 202
	shared6 := [2]uint64{0xfd, 1}
	put(1, 1, []uint32{shared}, shared6)
	put(2, 2, []uint32{own2})
	put(3, 3, []uint32{own3})
	put(4, 4, []uint32{a})
	passed4, passed6 := uint32(203), [2]uint64{0xfd, 2}
	put(5, 5, []uint32{passed4}, passed6)
	put(6, 6, nil)
	rd := hotReaders(t, func() error {
		legal := func(what string, mac uint64, loc uint32, ok bool, macs ...uint64) error {
			for _, m := range macs {
				if ok && mac == m && (loc == uint32(m) || loc == uint32(m)+100) {
					return nil
				}
			}
			return fmt.Errorf("%s: MAC %d, location %d, %v", what, mac, loc, ok)
		}
		mac, loc, ok := b.FindIP4(seg, shared)
		if err := legal("shared address", mac, loc, ok, 1, 2, 3); err != nil {
			return err
		}
		mac, loc, ok = b.FindIP6(seg, shared6[0], shared6[1])
		if err := legal("shared IPv6 address", mac, loc, ok, 1, 2, 3); err != nil {
			return err
		}
		mac, loc, ok = b.FindIP4(seg, own2)
		if err := legal("own address", mac, loc, ok, 2); err != nil {
			return err
		}
		// Rows 5 and 6 pass addresses to and fro, and go to their second locations only without them.
		if mac, loc, ok = b.FindIP4(seg, passed4); !ok || uint64(loc) != mac || mac != 5 && mac != 6 {
			return fmt.Errorf("passed address: MAC %d, location %d, %v", mac, loc, ok)
		}
		if mac, loc, ok = b.FindIP6(seg, passed6[0], passed6[1]); !ok || uint64(loc) != mac || mac != 5 && mac != 6 {
			return fmt.Errorf("passed IPv6 address: MAC %d, location %d, %v", mac, loc, ok)
		}
		// Row 4 has address a at 4, address z at 104, never another mixture.
		if mac, loc, ok = b.FindIP4(seg, a); ok && (mac != 4 || loc != 4) {
			return fmt.Errorf("address a: MAC %d, location %d", mac, loc)
		}
		if mac, loc, ok = b.FindIP4(seg, z); ok && (mac != 4 || loc != 104) {
			return fmt.Errorf("address z: MAC %d, location %d", mac, loc)
		}
		if loc, ok = b.FindMAC(seg, 4); !ok || loc != 4 && loc != 104 {
			return fmt.Errorf("row 4: location %d, %v", loc, ok)
		}
		return nil
	})
	end := time.Now().Add(testTime(t))
	for n := 0; !rd.done.Load() && (n%64 != 0 || time.Now().Before(end)); n++ {
		put(2, 102, []uint32{own2, shared})          // index → extra
		put(3, 103, []uint32{own3, shared}, shared6) // within extra
		put(1, 1, []uint32{shared}, shared6)         // extra → index
		put(2, 2, []uint32{own2}, shared6)
		put(4, 104, []uint32{z})
		put(3, 3, []uint32{own3})
		put(1, 101, []uint32{shared}, shared6)
		put(4, 4, []uint32{a})
		put(6, 6, []uint32{passed4}, passed6)
		put(5, 105, nil)
		put(5, 5, nil)
		put(5, 5, []uint32{passed4}, passed6)
		put(6, 106, nil)
		put(6, 6, nil)
		// Fill and empty the extra table now and then, so that its arrays are replaced.
		if n%16 == 0 {
			for m := range uint64(40) {
				put(1000+m, uint32(1000+m), nil, [2]uint64{m, m}, [2]uint64{m, m + 100})
			}
			for m := range uint64(40) {
				b.Delete(seg, 1000+m)
			}
		}
	}
	rd.stop(t)
}

// TestReadersUnderDelta publishes deltas and folds them as control does: a reader sees all of a transaction or
// nothing, before, during and after the fold.
func TestReadersUnderDelta(t *testing.T) {
	const rows, seg = 500, 7
	b := newTable(t, rows)
	type snapshot struct {
		generation uint32
		delta      *Delta
	}
	var current atomic.Pointer[snapshot]
	// In generation g row i is at g and has address i+g mod 2·rows, which was row i+1's; odd rows are missing in odd
	// generations.
	state := func(g uint32) (ups, dels []Binding) {
		for i := range uint32(rows) {
			r := Binding{Seg: seg, MAC: uint64(i), Loc: g, IP4: []uint32{1 + (i+g)%(2*rows)}}
			r.IP6 = [][2]uint64{{1, uint64(r.IP4[0])}}
			if g&1 != 0 && i&1 != 0 {
				dels = append(dels, r)
			} else {
				ups = append(ups, r)
			}
		}
		return ups, dels
	}
	publish := func(g uint32, d *Delta) { current.Store(&snapshot{g, d}) }
	ups, _ := state(0)
	if _, err := b.UpsertAll(ups); err != nil {
		t.Fatal(err)
	}
	publish(0, nil)
	rd := startReaders(t, 2, func(rng *rand.Rand) error {
		s := current.Load()
		g, d := s.generation, s.delta
		i := uint32(rng.IntN(rows))
		want := g&1 == 0 || i&1 == 0
		if loc, ok := FindMAC(b, d, seg, uint64(i)); ok != want || ok && loc != g {
			return fmt.Errorf("generation %d, row %d: %d, %v", g, i, loc, ok)
		}
		ip := (i+g)%(2*rows) + 1
		if mac, loc, ok := FindIP4(b, d, seg, ip); ok != want || ok && (loc != g || mac != uint64(i)) {
			return fmt.Errorf("generation %d, row %d by IPv4: %d, %d, %v", g, i, mac, loc, ok)
		}
		if mac, loc, ok := FindIP6(b, d, seg, 1, uint64(ip)); ok != want || ok && (loc != g || mac != uint64(i)) {
			return fmt.Errorf("generation %d, row %d by IPv6: %d, %d, %v", g, i, mac, loc, ok)
		}
		// The address rows further is nobody's in this generation.
		if mac, loc, ok := FindIP4(b, d, seg, (ip-1+rows)%(2*rows)+1); ok {
			return fmt.Errorf("generation %d: a vanished address: %d, %d", g, mac, loc)
		}
		return nil
	})
	end := time.Now().Add(testTime(t))
	for g := uint32(1); !rd.done.Load() && time.Now().Before(end); g++ {
		d := NewDelta(b, first(state(g)), second(state(g)))
		publish(g, d)
		rd.grace()
		if err := d.Fold(b); err != nil {
			t.Fatal(err)
		}
		publish(g, nil)
		rd.grace()
	}
	rd.stop(t)
}

func first(a, _ []Binding) []Binding  { return a }
func second(_, b []Binding) []Binding { return b }
