package dataplane

import "testing"

// A worker that hangs stops the progress, be it millions of turns ahead of the others.
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
		t.Fatal("both workers turned, and that is no progress")
	}
	for range 3 {
		turn(1, 100)
		if e.Progress() != now {
			t.Fatal("progress although worker 0 hangs")
		}
	}
	turn(0, 1)
	if e.Progress() == now {
		t.Fatal("no progress although worker 0 is back")
	}
}
