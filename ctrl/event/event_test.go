package event

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// note is the data of the events in these tests.
type note int

func (note) EventType() string { return "note" }

func TestResumeAndGap(t *testing.T) {
	l := New(Config{Size: 4})
	for i := range 10 {
		l.Publish(note(i))
	}
	ev, err := l.After(7).Next(t.Context(), 100)
	if err != nil || len(ev) != 3 || ev[0].Seq != 8 || ev[2].Data != note(9) {
		t.Fatalf("events after 7: %+v, error %v, want 8 to 10", ev, err)
	}
	r := l.After(2)
	ev, _ = r.Next(t.Context(), 100)
	if len(ev) != 1 || ev[0].Type != TypeGap || ev[0].Data != (Gap{3, 6, GapOverrun}) || ev[0].Seq != 6 {
		t.Fatalf("events after 2: %+v, want a gap first", ev)
	}
	if ev, _ = r.Next(t.Context(), 2); len(ev) != 2 || ev[0].Seq != 7 {
		t.Fatalf("events behind the gap: %+v, want the oldest kept", ev)
	}
	if ev, _ = l.After(999).Next(t.Context(), 1); ev[0].Type != TypeGap || ev[0].Data != (Gap{0, 6, GapUnknown}) {
		t.Fatalf("events after a number never given out: %+v, want a gap", ev)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := l.After(l.Last()).Next(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
}

func TestNumbersGoOnOverRestarts(t *testing.T) {
	var mark atomic.Uint64
	reserve := func(m uint64) error { mark.Store(m); return nil }
	l := New(Config{Reserve: reserve})
	l.Publish(note(0))
	seen := l.Last()
	l = New(Config{Reserve: reserve, Start: mark.Load()})
	l.Publish(note(0))
	if l.Last() <= seen {
		t.Fatalf("%d was given out again", l.Last())
	}
	ev, _ := l.After(seen).Next(t.Context(), 10)
	if ev[0].Type != TypeGap || ev[0].Data != (Gap{seen + 1, mark.Load() - block - 1, GapRestart}) {
		t.Fatalf("events %+v, want a gap for the restart", ev)
	}
	l.mu.Lock()
	l.next = l.reserved - block/2 // as after eight million events
	l.oldest = l.next
	before := l.reserved
	l.mu.Unlock()
	l.Publish(note(0))
	l.Publish(note(0))
	deadline := time.Now().Add(5 * time.Second)
	for mark.Load() != before+block {
		if time.Now().After(deadline) {
			t.Fatalf("mark %d, want %d", mark.Load(), before+block)
		}
		time.Sleep(time.Millisecond)
	}
	tries := 0
	l = New(Config{Reserve: func(uint64) error {
		if tries++; tries == 1 {
			return errors.New("disk full")
		}
		mark.Store(1)
		return nil
	}})
	for mark.Store(0); mark.Load() == 0; time.Sleep(time.Millisecond) {
		l.Publish(note(0))
		if time.Now().After(deadline) {
			t.Fatal("a failed reservation was not repeated, want it repeated at the next event")
		}
	}
}

// Readers that run beside publishers get every number once and in order, or a gap for the missing ones.
func TestConcurrent(t *testing.T) {
	l := New(Config{Size: 256})
	const writers, each = 4, 2000
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			r, want := l.After(0), uint64(1)
			for want <= writers*each {
				ev, err := r.Next(t.Context(), 50)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range ev {
					if e.Type == TypeGap {
						g := e.Data.(Gap)
						if g.From != want {
							t.Errorf("gap from %d, want %d", g.From, want)
						}
						want = g.To + 1
						continue
					}
					if e.Seq != want {
						t.Errorf("got %d, want %d", e.Seq, want)
						return
					}
					want++
				}
			}
		})
	}
	for range writers {
		wg.Go(func() {
			for i := range each {
				l.Publish(note(i))
			}
		})
	}
	wg.Wait()
}
