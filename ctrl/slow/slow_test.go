package slow

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"penstock/dataplane/drop"
	"penstock/dataplane/punt"
)

// engine is a packet path of one worker that the test plays.
type engine struct {
	ring *punt.Ring
	r    *punt.Reader
	sent [][]byte
}

func newEngine() *engine {
	ring := punt.NewRing(2)
	return &engine{ring: ring, r: punt.NewReader(ring)}
}

func (e *engine) Punts() *punt.Reader { return e.r }

func (e *engine) Inject(port int, frame []byte) bool {
	if port > 1 {
		return false
	}
	e.sent = append(e.sent, slices.Clone(frame))
	return true
}

// TestDispatch: a frame goes to the handler of its kind and to no other; kinds without one are counted; the path sleeps
// while nothing comes.
func TestDispatch(t *testing.T) {
	e := newEngine()
	p := New(e)
	type got struct {
		port int
		data string
	}
	var mu sync.Mutex
	var arp []got
	handler := func(port int, data []byte) {
		mu.Lock()
		defer mu.Unlock()
		arp = append(arp, got{port, string(data)})
	}
	if err := p.Handle(punt.ARP, handler); err != nil {
		t.Fatal(err)
	}
	for _, k := range []punt.Kind{punt.ARP, punt.None, punt.Count} {
		if p.Handle(k, handler) == nil {
			t.Errorf("kind %d took a handler, want an error", k)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	put := func(port uint16, k punt.Kind, data string) {
		t.Helper()
		if why := e.ring.Put(int64(time.Second), port, k, []byte(data)); why != drop.None {
			t.Fatalf("dropped as %s, want it taken", why)
		}
	}
	put(0, punt.ARP, "a")
	put(1, punt.LLDP, "b")
	put(1, punt.ARP, "c")
	e.ring.Wake()
	handled := func() bool { return p.Counters().Handled[punt.ARP] >= 2 }
	for deadline := time.Now().Add(10 * time.Second); !handled() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	c := p.Counters()
	if c.Handled[punt.ARP] != 2 || c.Unclaimed != 1 {
		t.Errorf("%d ARP frames handled and %d of others unclaimed, want 2 and 1", c.Handled[punt.ARP], c.Unclaimed)
	}
	if c.Wakeups < 1 || c.Wakeups > 3 {
		t.Errorf("woken %d times for 3 frames, want 1 to 3", c.Wakeups)
	}
	cancel()
	<-done
	mu.Lock()
	defer mu.Unlock()
	if want := []got{{0, "a"}, {1, "c"}}; !slices.Equal(arp, want) {
		t.Errorf("handler got %v, want %v", arp, want)
	}
}

func TestInject(t *testing.T) {
	e := newEngine()
	p := New(e)
	if !p.Inject(1, []byte("x")) || p.Inject(2, []byte("y")) {
		t.Error("the port that is there must take the frame, the other one must not")
	}
	if len(e.sent) != 1 || p.Counters().NotSent != 1 {
		t.Errorf("%d sent and %d counted as not sent, want one each", len(e.sent), p.Counters().NotSent)
	}
}
