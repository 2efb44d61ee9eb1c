package compile

import (
	"sync/atomic"
	"testing"
	"time"

	"penstock/dataplane/fib"
)

// TestRead: memory of the bindings table that lookups within Read may use is released after Read has returned.
func TestRead(t *testing.T) {
	c := &Compiler{cfg: Config{Publish: func(*fib.Snapshot) {}}}
	c.snap.Store(&fib.Snapshot{})
	var released atomic.Bool
	c.retired = append(c.retired, func() error { released.Store(true); return nil })
	done := make(chan struct{})
	c.Read(func(*fib.Snapshot) {
		go func() { c.release(); close(done) }()
		time.Sleep(20 * time.Millisecond)
		if released.Load() {
			t.Error("the memory was released within Read, want after it")
		}
	})
	<-done
	if !released.Load() || len(c.retired) != 0 {
		t.Errorf("released %v with %d left, want all released after Read", released.Load(), len(c.retired))
	}
}
