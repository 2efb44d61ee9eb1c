package track

import (
	"math/rand/v2"
	"testing"
)

// naive judges arrivals by the definitions alone: everything is remembered and looked at.
type naive struct {
	window   uint64
	largest  map[int]uint64   // by queue: the largest number so far, plus 1
	arrivals map[int][]uint64 // by queue, without duplicates
	seen     map[uint64]bool
	top      uint64
	counts   Counts
}

func (m *naive) see(queue int, n uint64) Verdict {
	word := n / 64
	m.top = max(m.top, word)
	if m.top-word >= m.window/64 {
		m.counts.TooLate++
		return TooLate
	}
	if m.seen[n] {
		m.counts.Duplicates++
		return Duplicate
	}
	m.seen[n] = true
	m.counts.Received++
	if n+1 <= m.largest[queue] { // smaller than one that came before
		m.counts.Reordered++
		m.counts.Behind = max(m.counts.Behind, m.largest[queue]-1-n)
		for j, earlier := range m.arrivals[queue] {
			if earlier > n {
				m.counts.Extent = max(m.counts.Extent, uint64(len(m.arrivals[queue])-j))
				break
			}
		}
	}
	m.largest[queue] = max(m.largest[queue], n+1)
	m.arrivals[queue] = append(m.arrivals[queue], n)
	return New
}

func both(t *testing.T, total uint64, queues int) (*Tracker, *naive) {
	t.Helper()
	tr, err := NewTracker(total, queues)
	if err != nil {
		t.Fatal(err)
	}
	return tr, &naive{
		window: tr.Window(), top: tr.Window()/64 - 1, largest: map[int]uint64{},
		arrivals: map[int][]uint64{}, seen: map[uint64]bool{},
	}
}

// TestModel: random loss, duplicates, reordering and stragglers, on several queues, against the naive model.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		queues := 1 + rng.IntN(3)
		// Small windows, so that numbers leave them.
		tr, m := both(t, uint64(64+rng.IntN(4000)), queues)
		loss, dup, late := rng.Float64()*0.3, rng.Float64()*0.2, rng.Float64()*0.2
		var held []uint64
		check := func(n uint64) {
			q := int(n*2654435761>>7) % queues // a number's frames stay on their queue, duplicates too
			if rng.IntN(50) == 0 {
				q = rng.IntN(queues)
			}
			if got, want := tr.See(q, n), m.see(q, n); got != want {
				t.Fatalf("seed %d: number %d: verdict %d, want %d", seed, n, got, want)
			}
		}
		for n := uint64(0); n < 4000; n++ {
			if rng.IntN(1000) == 0 {
				n += uint64(rng.IntN(3000)) // a device that is silent for a while
			}
			switch r := rng.Float64(); {
			case r < loss:
				continue
			case r < loss+late:
				held = append(held, n)
				continue
			}
			check(n)
			if rng.Float64() < dup {
				check(n - uint64(rng.IntN(int(min(n, 5000))+1)))
			}
			for len(held) > 0 && rng.IntN(4) == 0 {
				i := rng.IntN(len(held))
				check(held[i])
				held = append(held[:i], held[i+1:]...)
			}
		}
		if got := tr.Counts(); got != m.counts {
			t.Fatalf("seed %d:\n%+v, want\n%+v", seed, got, m.counts)
		}
	}
}

// TestWholeWindow: as many numbers as the largest window holds, all exact: in order, then every one again, then the
// one that was left out.
func TestWholeWindow(t *testing.T) {
	tr, err := NewTracker(MaxWindow, 1)
	if err != nil {
		t.Fatal(err)
	}
	if tr.Window() != MaxWindow {
		t.Fatalf("a window of %d", tr.Window())
	}
	const absent = 12345
	for range 2 {
		for n := range uint64(MaxWindow) {
			if n != absent {
				tr.See(0, n)
			}
		}
	}
	if v := tr.See(0, absent); v != New {
		t.Errorf("the last one: verdict %d", v)
	}
	want := Counts{
		Received: MaxWindow, Duplicates: MaxWindow - 1, Reordered: 1,
		Extent: MaxWindow - 1 - absent, Behind: MaxWindow - 1 - absent,
	}
	if got := tr.Counts(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if v := tr.See(0, MaxWindow+64); v != New {
		t.Errorf("beyond: verdict %d", v)
	}
	if v := tr.See(0, 0); v != TooLate {
		t.Errorf("what has left the window: verdict %d", v)
	}
}

func TestWindowSizes(t *testing.T) {
	for total, want := range map[uint64]uint64{
		0: 64, 1: 64, 64: 64, 65: 128, 128: 128, 129: 256, 1000: 1024, 1 << 20: 1 << 20, 1<<20 + 1: 1 << 21,
		MaxWindow - 1: MaxWindow, MaxWindow: MaxWindow, MaxWindow + 1: MaxWindow, 1 << 62: MaxWindow,
	} {
		tr, err := NewTracker(total, 1)
		if err != nil || tr.Window() != want {
			t.Errorf("%d numbers: window %d, %v, want %d", total, tr.Window(), err, want)
		}
	}
	if _, err := NewTracker(1, 0); err == nil {
		t.Error("no queue: no error")
	}
}

// TestForgottenGaps: with more open gaps than are remembered the extent is marked as a lower bound.
func TestForgottenGaps(t *testing.T) {
	tr, _ := both(t, 1<<20, 1)
	for n := uint64(1); n < 2*(maxGaps+10); n += 2 {
		tr.See(0, n) // every other one
	}
	tr.See(0, 0)
	if c := tr.Counts(); !c.AtLeast || c.Reordered != 1 || c.Extent != maxGaps {
		t.Errorf("counts %+v, want a lower bound, 1 reordered with an extent of %d", c, maxGaps)
	}
	tr, m := both(t, 1<<20, 1)
	for n := uint64(1); n < 2*maxGaps; n += 2 {
		tr.See(0, n)
		m.see(0, n)
	}
	tr.See(0, 0)
	m.see(0, 0)
	if c := tr.Counts(); c != m.counts || c.AtLeast {
		t.Errorf("%+v, want %+v", c, m.counts)
	}
}

func TestSilence(t *testing.T) {
	var s Silence
	s.Begin(100)
	for _, at := range []int64{110, 120, 115, 150, 151, 160} {
		s.Arrived(at)
	}
	if g := s.Longest(); g != (Gap{120, 150}) || g.Length() != 30 {
		t.Errorf("longest gap %+v, want 120 to 150", g)
	}
	s.Mark(165)
	if g := s.Longest(); g != (Gap{}) {
		t.Errorf("after the mark: %+v", g)
	}
	s.Arrived(170) // a gap that began before the mark counts whole
	if g := s.Longest(); g != (Gap{160, 170}) {
		t.Errorf("longest gap %+v, want 160 to 170", g)
	}
	s.End(200)
	if g := s.Longest(); g != (Gap{170, 200}) {
		t.Errorf("at the end: %+v", g)
	}
	s.Begin(0)
	s.End(50) // nothing ever came
	if g := s.Longest(); g != (Gap{0, 50}) {
		t.Errorf("nothing came: %+v", g)
	}
	s.Begin(0)
	s.Arrived(60)
	s.End(50) // the last frame arrived after it was sent
	if g := s.Longest(); g != (Gap{0, 60}) {
		t.Errorf("longest gap %+v, want 0 to 60", g)
	}
}

func BenchmarkSee(b *testing.B) {
	tr, err := NewTracker(MaxWindow, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		tr.See(0, n)
		n++
	}
}
