package guest

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"penstock/ctrl/alarm"
)

// board keeps alarms as a list of texts by object.
type board struct {
	mu     sync.Mutex
	active map[string]string
	raised int
}

func newBoard() *board { return &board{active: map[string]string{}} }

func (b *board) Raise(r alarm.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active[r.Object] = r.Text
	b.raised++
}

func (b *board) Update(_ alarm.Kind, object, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active[object] = text
}

func (b *board) Clear(_ alarm.Kind, object string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.active, object)
}

func (b *board) Retain(func(string) bool, ...alarm.Kind) {}

func (b *board) of(vif string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.active[objectOf(vif)]
}

// running is a service that runs; stop ends it.
type running struct {
	*Service
	alarms *board
	stop   func()
}

func runService(t *testing.T, c Config) *running {
	t.Helper()
	b := newBoard()
	c.Alarms = b
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { s.Run(ctx); close(over) }()
	r := &running{Service: s, alarms: b}
	r.stop = func() {
		cancel()
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			t.Error("the service has not ended 10 s after it was told to")
		}
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// settled waits until the state of a VIF's guest is one of those given.
func (r *running) settled(t *testing.T, vif string, states ...string) *Status {
	t.Helper()
	end := time.Now().Add(15 * time.Second)
	for {
		st := r.Status(vif)
		if st != nil && slices.Contains(states, st.State) {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("VIF %s: its guest is %+v after 15 s, want %v", vif, st, states)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// undone waits until nothing is recorded of a guest.
func (r *running) undone(t *testing.T, socket string) {
	t.Helper()
	eventually(t, "the guest is undone", func() bool { return !r.records.has(socket) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 20 s it is still not so that %s", what)
		}
	}
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
