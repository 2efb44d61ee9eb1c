package resolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestRingModel puts and takes at random, and compares with a queue.
func TestRingModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	o := ringOf(4096)
	var queue []Arrival
	waits, puts, full := 0, 0, 0 // octets
	for range 200_000 {
		if r.IntN(2) == 0 {
			a := Arrival{
				Port: uint16(r.Uint32()), Broadcast: r.IntN(2) == 0, From: r.Uint32(), Source: uint16(r.Uint32()),
				MAC: r.Uint64() & MaxMAC, Payload: bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(1500)),
			}
			if o.put(&a) {
				puts++
				waits += recordLen + len(a.Payload)
				queue = append(queue, a)
			} else if full++; waits+recordLen+len(a.Payload) < 4096/3 {
				t.Fatalf("no room for %d octets beside %d", len(a.Payload), waits)
			}
			continue
		}
		o.publish()
		most := 1 + r.IntN(4)
		want := queue[:min(most, len(queue))]
		n := o.take(most, func(a Arrival) {
			if len(want) == 0 || !same(a, want[0]) {
				t.Fatalf("took %+v, want %+v", a, want)
			}
			waits -= recordLen + len(a.Payload)
			want = want[1:]
		})
		if n != min(most, len(queue)) {
			t.Fatalf("%d taken, want %d", n, min(most, len(queue)))
		}
		queue = queue[n:]
		if o.empty() != (len(queue) == 0) {
			t.Fatalf("empty = %v with %d in the ring", o.empty(), len(queue))
		}
	}
	if puts < 50_000 || full < 1000 {
		t.Errorf("%d put and %d refused, want the ring both used and full", puts, full)
	}
}

func ringOf(n int) *messages { return &messages{mem: make([]byte, n)} }

func same(a, b Arrival) bool {
	p, q := a.Payload, b.Payload
	a.Payload, b.Payload = nil, nil
	return bytes.Equal(p, q) && a.Port == b.Port && a.Broadcast == b.Broadcast && a.From == b.From &&
		a.Source == b.Source && a.MAC == b.MAC
}

// TestShares: a flood of one opcode takes nothing from the others, nor a sort of events from another, and control takes
// from all in turn.
func TestShares(t *testing.T) {
	r := NewRing()
	reader := NewReader(r)
	payload := make([]byte, 1440)
	put := map[uint8]int{}
	for op := uint8(0); op < 10; op++ {
		for r.Put(op, &Arrival{Port: uint16(op), Payload: payload}) {
			put[op]++
		}
	}
	for op := uint8(0); op < 10; op++ {
		want := 0
		if op >= OpWhere && op <= OpPage {
			want = shares[op] / (recordLen + len(payload))
		}
		if got := put[op]; got < want-1 || got > want {
			t.Errorf("opcode %d: %d messages wait, want %d", op, got, want)
		}
	}
	for _, k := range []EventKind{MissMAC, NotHere, LearnMAC} {
		n := 0
		for r.Tell(&Event{Kind: k}) {
			n++
		}
		sort := map[EventKind]int{MissMAC: sortMiss, NotHere: sortNotHere, LearnMAC: sortLearn}[k]
		if want := eventShares[sort]; n != want {
			t.Errorf("events of kind %d: %d wait, want %d", k, n, want)
		}
	}
	if n := reader.TakeMessages(func(Arrival) {}); n != 0 {
		t.Errorf("%d messages before the worker's turn was over, want none", n)
	}
	r.Wake()
	taken := map[uint8]int{}
	for round := 0; ; round++ {
		in := map[uint8]int{}
		n := reader.TakeMessages(func(a Arrival) { in[uint8(a.Port)]++; taken[uint8(a.Port)]++ })
		if n == 0 {
			break
		}
		for op, k := range in {
			if k > fair {
				t.Errorf("round %d: %d messages of opcode %d, want %d at most", round, k, op, fair)
			}
		}
		if round == 0 && len(in) != OpPage {
			t.Errorf("the first round has %d opcodes, want %d", len(in), OpPage)
		}
	}
	for op, n := range put {
		if taken[op] != n {
			t.Errorf("opcode %d: %d taken, want %d", op, taken[op], n)
		}
	}
	if n := reader.TakeEvents(func(Event) {}); n != eventShares[0]+eventShares[1]+eventShares[2] {
		t.Errorf("%d events taken", n)
	}
}

// TestNoneIsMissed: workers and control race, everything is read in order, without any clock.
func TestNoneIsMissed(t *testing.T) {
	const messages = 50_000
	rings := []*Ring{NewRing(), NewRing()}
	r := NewReader(rings...)
	for i := range rings {
		go func() {
			b := make([]byte, 200)
			for n := range uint32(messages) {
				binary.BigEndian.PutUint32(b, n)
				a := Arrival{Port: uint16(i), From: n, Payload: b[:4+n%190]}
				for !rings[i].Put(OpHere, &a) {
					rings[i].Wake()
					time.Sleep(time.Microsecond)
				}
				rings[i].Tell(&Event{Kind: MissMAC})
				if n%8 == 7 {
					rings[i].Wake()
				}
			}
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	next := make([]uint32, len(rings))
	for slices.Max(next) < messages || slices.Min(next) < messages {
		if !r.Wait(ctx) {
			t.Fatalf("%v of %d messages were read, and nobody woke the reader for the rest", next, messages)
		}
		r.TakeMessages(func(a Arrival) {
			want := next[a.Port]
			if a.From != want || binary.BigEndian.Uint32(a.Payload) != want || len(a.Payload) != int(4+want%190) {
				t.Fatalf("got %d (%d octets) from worker %d, want %d", a.From, len(a.Payload), a.Port, want)
			}
			next[a.Port]++
		})
		r.TakeEvents(func(Event) {})
	}
}

func TestNoAllocation(t *testing.T) {
	r := NewRing()
	reader := NewReader(r)
	data := make([]byte, 1440)
	if n := testing.AllocsPerRun(1000, func() {
		r.Put(OpHere, &Arrival{Port: 1, Payload: data})
		r.Tell(&Event{Kind: LearnMAC})
		r.Wake()
		reader.TakeMessages(func(Arrival) {})
		reader.TakeEvents(func(Event) {})
	}); n != 0 {
		t.Errorf("%.1f allocations per message, want none", n)
	}
}

// BenchmarkRing is what a HERE costs on its way to control: alone, and in frames of 36.
func BenchmarkRing(b *testing.B) {
	for _, bodies := range []int{1, 36} {
		b.Run(map[int]string{1: "alone", 36: "36"}[bodies], func(b *testing.B) {
			m := Body{Op: OpHere, Tenant: 300, Segment: 7, MAC: 0x020000000101, Switch: 0x02000000000a, Port: 17}
			var payload []byte
			for range bodies {
				payload = m.Append(payload)
			}
			r := NewRing()
			reader := NewReader(r)
			heres := 0
			take := func(a Arrival) {
				for p := a.Payload; len(p) > 0; {
					_, n, _ := Parse(p)
					p, heres = p[n:], heres+1
				}
			}
			for n := 0; n < b.N; n += bodies {
				op, _, _ := Check(payload, false, 0xffff)
				r.Put(op, &Arrival{Payload: payload})
				if n/bodies&31 == 31 {
					r.Wake()
					for reader.TakeMessages(take) > 0 {
					}
				}
			}
		})
	}
}
