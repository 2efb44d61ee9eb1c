package dataplane

import "testing"

// TestProgressStopsWithAnyWorker: a worker that hangs stops the progress, even if it is millions of turns ahead.
func TestProgressStopsWithAnyWorker(t *testing.T) {
	e, err := New(Config{Workers: 2, Frames: 256, RingSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	turn := func(w int, n uint64) {
		e.workers[w].loop.Add(loopTurns, n)
		e.workers[w].loop.Publish()
	}
	turn(0, 5_000_000)
	turn(1, 10)
	was := e.Progress()
	turn(0, 1)
	turn(1, 1)
	now := e.Progress()
	if now == was {
		t.Fatalf("progress %d after turns of both workers, want more than %d", now, was)
	}
	for range 3 {
		turn(1, 100)
		if e.Progress() != now {
			t.Fatalf("progress %d while worker 0 hangs, want it to stay %d", e.Progress(), now)
		}
	}
	turn(0, 1)
	if e.Progress() == now {
		t.Fatalf("progress %d after worker 0 is back, want more", now)
	}
}
