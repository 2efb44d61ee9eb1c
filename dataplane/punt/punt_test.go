package punt

import (
	"context"
	"strings"
	"testing"
	"time"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

const second = 1_000_000_000

// TestKinds: every kind has a name of its own, limits and a text.
func TestKinds(t *testing.T) {
	names := map[string]Kind{}
	for k := None + 1; k < Count; k++ {
		i := k.Info()
		named := i.Name != "" && i.Name == strings.ToLower(i.Name) && strings.HasSuffix(i.Text, ".")
		if !named || i.Rate == 0 || i.Burst == 0 {
			t.Errorf("kind %d is described as %+v, want a lower-case name, rate, burst and a sentence", k, i)
		}
		if other, taken := names[i.Name]; taken {
			t.Errorf("kinds %d and %d are both called %q", other, k, i.Name)
		}
		names[i.Name] = k
	}
	if None.Info() != (Info{}) || Count.Info() != (Info{}) {
		t.Error("None or Count is described, want the zero Info: they are no kinds")
	}
}

// flood puts 10,000 frames of a kind for a port within a second, and returns how often each verdict was given.
func flood(r *Ring, now int64, port uint16, k Kind) map[drop.Reason]int {
	got := map[drop.Reason]int{}
	for i := range 10_000 {
		got[r.Put(now+int64(i)*second/10_000, port, k, []byte{1})]++
	}
	return got
}

// TestShares: while control reads nothing, the flood of one kind from one port takes its own slots and no others; every
// other kind of every port still has all of its own.
func TestShares(t *testing.T) {
	const ports = 5
	r := NewRing(ports)
	frames, sorts := 0, 0
	for port := range uint16(ports) {
		for k := None + 1; k < Count; k++ {
			i := k.Info()
			if i.Box && port > 0 {
				continue
			}
			frames, sorts = frames+int(2*i.Burst), sorts+1
			got := flood(r, second, port, k)
			if want := int(2 * i.Burst); got[drop.None] != want {
				t.Errorf("port %d, %s: %d frames wait, want %d", port, k, got[drop.None], want)
			}
			allowed := min(int(i.Burst+i.Rate), 10_000)
			if full := got[drop.PuntFull]; full < allowed-int(2*i.Burst)-2 || full > allowed-int(2*i.Burst)+2 {
				t.Errorf("port %d, %s: %d frames found no slot, want some %d", port, k, full, allowed-int(2*i.Burst))
			}
			if n := got[drop.None] + got[drop.PuntFull] + got[drop.PuntLimit]; n != 10_000 {
				t.Errorf("port %d, %s: verdicts %v, want taken, punt_full and punt_limit only", port, k, got)
			}
		}
	}
	taken := map[[2]int]int{}
	n := NewReader(r).Take(func(port int, k Kind, _ []byte) { taken[[2]int{port, int(k)}]++ })
	for key, got := range taken {
		if want := int(2 * Kind(key[1]).Info().Burst); got != want {
			t.Errorf("port %d, %s: %d frames were read, want %d", key[0], Kind(key[1]), got, want)
		}
	}
	if len(taken) != sorts || n != frames {
		t.Errorf("%d frames of %d sorts were read, want %d of %d", n, len(taken), frames, sorts)
	}
	if got := flood(r, 3*second, 0, ARP); got[drop.None] != int(2*ARP.Info().Burst) {
		t.Errorf("%d frames wait after control has read all, want %d", got[drop.None], 2*ARP.Info().Burst)
	}
}

// TestRefused: what is no frame of a kind, a port or a length gets a reason.
func TestRefused(t *testing.T) {
	r := NewRing(2)
	for _, tc := range []struct {
		name string
		port uint16
		kind Kind
		n    int
		want drop.Reason
	}{
		{"no kind", 0, None, 60, drop.PuntUnwanted},
		{"outside the list", 0, Count, 60, drop.PuntUnwanted},
		{"far outside the list", 0, 255, 60, drop.PuntUnwanted},
		{"no port", 2, ARP, 60, drop.PuntUnwanted},
		{"the last port number", 65535, LLDP, 60, drop.PuntUnwanted},
		{"longer than a slot", 1, LLDP, frame.SlotSize + 1, drop.FrameLong},
		{"as long as a slot", 1, LLDP, frame.SlotSize, drop.None},
		{"empty", 1, ARP, 0, drop.None},
	} {
		if got := r.Put(second, tc.port, tc.kind, make([]byte, tc.n)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	r.Drop()
	r.Drop()
	r.Drop() // nothing is left: no effect
	if s := r.Peek(); s != nil {
		t.Errorf("%+v is left, want nothing", s)
	}
}

// TestSharedLimits: rings of two workers let through together what one may.
func TestSharedLimits(t *testing.T) {
	a, b := NewRing(1), NewRing(1)
	b.ShareLimits(a)
	n := 0
	for i := range 100 {
		if []*Ring{a, b}[i%2].Put(second, 0, ARP, nil) == drop.None {
			n++
		}
	}
	if n != int(ARP.Info().Burst) {
		t.Errorf("%d frames at once, want %d", n, ARP.Info().Burst)
	}
}

// TestWait: the reader wakes for what was put before it waited and while it waited, once each, and not otherwise.
func TestWait(t *testing.T) {
	a, b := NewRing(1), NewRing(1)
	r := NewReader(a, b)
	none := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if r.Wait(ctx) {
			t.Error("the reader was woken, want no frame and no wake-up")
		}
	}
	take := func(want int) {
		t.Helper()
		if n := r.Take(func(int, Kind, []byte) {}); n != want {
			t.Errorf("%d frames, want %d", n, want)
		}
	}
	none()
	a.Wake() // nothing is new
	none()
	a.Put(second, 0, ARP, nil)
	if !r.Wait(t.Context()) {
		t.Error("not woken for a frame that was there before")
	}
	take(1)
	a.Wake() // the frame has been read: nobody waited
	none()
	go func() {
		for !r.bell.Waits() {
			time.Sleep(time.Millisecond)
		}
		b.Put(second, 0, ARP, nil)
		b.Put(second, 0, LLDP, nil)
		b.Wake()
		b.Wake()
		a.Put(second, 0, LLDP, nil)
		a.Wake()
	}()
	for n := 0; n < 3; n += r.Take(func(int, Kind, []byte) {}) {
		if !r.Wait(t.Context()) {
			t.Fatalf("not woken for frames, %d of 3 have come", n)
		}
	}
	none()
}

// TestNoneIsMissed: writer and reader race, and every frame is read without any clock.
func TestNoneIsMissed(t *testing.T) {
	const frames = 20_000
	rings := []*Ring{NewRing(1), NewRing(1)}
	r := NewReader(rings...)
	var now int64
	for i := range rings {
		go func() {
			for n := range int64(frames) {
				for rings[i].Put(second*n, 0, ARP, []byte{byte(n)}) != drop.None {
					time.Sleep(time.Microsecond)
				}
				rings[i].Wake()
			}
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for now < 2*frames {
		if !r.Wait(ctx) {
			t.Fatalf("%d of %d frames were read, and nobody woke the reader for the rest", now, 2*frames)
		}
		now += int64(r.Take(func(int, Kind, []byte) {}))
	}
}

func TestNoAllocation(t *testing.T) {
	r := NewRing(2)
	reader := NewReader(r)
	data := make([]byte, 60)
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += second
		r.Put(now, 1, ARP, data)
		r.Put(now, 9, ARP, data)
		r.Wake()
		reader.Take(func(int, Kind, []byte) {})
	}); n != 0 {
		t.Errorf("%.1f allocations per frame, want none", n)
	}
}

// BenchmarkRing is what a frame costs on its way through the ring, limits apart: octets as a binding message has them.
func BenchmarkRing(b *testing.B) {
	r := NewRing(32)
	data := make([]byte, 114)
	now := int64(0)
	for i := range b.N {
		now += second
		r.Put(now, uint16(i)&31, ARP, data)
		if i&127 == 127 {
			for r.Peek() != nil {
				r.Drop()
			}
		}
	}
}
