package xsk

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
)

// Counters start here, so that each test passes the wrap of 32 bits early and often enough.
var starts = []uint32{0, 1, ^uint32(0) - 5, ^uint32(0) - 1000, 1 << 31}

const testFrame = 2048

func rings(size int, start uint32) (f fillRing, c compRing, r rxRing, t txRing) {
	word := func() *uint32 { w := start; return &w }
	f = fillRing{
		slots: make([]uint64, size), producer: word(), consumer: word(),
		flags: new(uint32), prod: start, cons: start,
	}
	c = compRing{slots: make([]uint64, size), producer: word(), consumer: word(), prod: start, cons: start}
	r = rxRing{slots: make([]Desc, size), producer: word(), consumer: word(), prod: start, cons: start}
	t = txRing{
		slots: make([]Desc, size), producer: word(), consumer: word(),
		flags: new(uint32), prod: start, cons: start,
	}
	return f, c, r, t
}

// TestProducerRings puts random batches and lets a model kernel take random amounts: what comes out is what went in,
// in order, and never more than fits.
func TestProducerRings(t *testing.T) {
	for _, start := range starts {
		for _, size := range []int{1, 2, 64, 4096} {
			fill, _, _, tx := rings(size, start)
			held := newFrameSet(1<<16, testFrame)
			rnd := rand.New(rand.NewPCG(uint64(start), uint64(size)))
			addrs, descs := make([]uint64, 2*size), make([]Desc, 2*size)
			var in, out uint64 // put and taken so far; the n-th entry has address n
			for in < 300_000 {
				n := rnd.IntN(len(addrs) + 1)
				for i := range n {
					addrs[i] = (in + uint64(i)) % (1 << 16) * testFrame
					descs[i] = Desc{Addr: addrs[i], Len: uint32(in + uint64(i)), Options: 7}
				}
				room := uint64(size) - (in - out)
				want := int(min(uint64(n), room))
				if got := fill.put(addrs[:n], &held); got != want {
					t.Fatalf("start %d size %d: fill.put(%d) = %d with %d free", start, size, n, got, room)
				}
				if got := tx.put(descs[:n], 0, &held); got != want {
					t.Fatalf("start %d size %d: tx.put(%d) = %d with %d free", start, size, n, got, room)
				}
				in += uint64(want)
				if *fill.producer != start+uint32(in) || *tx.producer != start+uint32(in) {
					t.Fatalf("producer words %d, %d after %d entries from %d", *fill.producer, *tx.producer, in, start)
				}
				f, x, p := fill.free(), tx.free(), tx.pending()
				if f != uint32(uint64(size)-(in-out)) || x != f || p != uint32(in-out) {
					t.Fatalf("free %d, %d, pending %d with %d of %d used", f, x, p, in-out, size)
				}
				for take := uint64(rnd.IntN(int(in-out) + 1)); take > 0; take-- {
					slot := (start + uint32(out)) % uint32(size)
					addr := out % (1 << 16) * testFrame
					if fill.slots[slot] != addr || tx.slots[slot] != (Desc{Addr: addr, Len: uint32(out)}) {
						t.Fatalf("entry %d: fill has %d, tx %+v", out, fill.slots[slot], tx.slots[slot])
					}
					out++
				}
				atomic.StoreUint32(fill.consumer, start+uint32(out))
				atomic.StoreUint32(tx.consumer, start+uint32(out))
			}
		}
	}
}

// TestTxLeave: a sender that leaves slots free puts in as many as a ring smaller by them would take, whatever the
// kernel has taken meanwhile.
func TestTxLeave(t *testing.T) {
	for _, start := range starts {
		const size = 64
		_, _, _, tx := rings(size, start)
		held := newFrameSet(1<<16, testFrame)
		rnd := rand.New(rand.NewPCG(uint64(start), size))
		var in, out int
		for in < 100_000 {
			n, leave := rnd.IntN(size+1), rnd.IntN(size+10)
			want := min(n, max(0, size-(in-out)-leave))
			if got := tx.put(make([]Desc, n), uint32(leave), &held); got != want {
				t.Fatalf("start %d: put(%d) leaving %d = %d with %d of %d used", start, n, leave, got, in-out, size)
			}
			in += want
			out += rnd.IntN(in - out + 1)
			atomic.StoreUint32(tx.consumer, start+uint32(out))
		}
	}
}

// TestConsumerRings is the same for the rings that the kernel fills.
func TestConsumerRings(t *testing.T) {
	for _, start := range starts {
		for _, size := range []int{1, 2, 64, 4096} {
			_, comp, rx, _ := rings(size, start)
			held := newFrameSet(1<<16, testFrame)
			rnd := rand.New(rand.NewPCG(uint64(start), uint64(size)))
			addrs, descs := make([]uint64, 2*size), make([]Desc, 2*size)
			var in, out uint64
			for out < 300_000 {
				for n := rnd.IntN(int(uint64(size)-(in-out)) + 1); n > 0; n-- {
					slot := (start + uint32(in)) % uint32(size)
					// Neither points at the start of its frame.
					comp.slots[slot] = in%(1<<16)*testFrame + 206
					rx.slots[slot] = Desc{Addr: in%(1<<16)*testFrame + 256, Len: uint32(in)}
					in++
				}
				atomic.StoreUint32(comp.producer, start+uint32(in))
				atomic.StoreUint32(rx.producer, start+uint32(in))
				n := rnd.IntN(len(addrs) + 1)
				want := int(min(uint64(n), in-out))
				if got := comp.get(addrs[:n], &held); got != want {
					t.Fatalf("start %d size %d: comp.get(%d) = %d with %d there", start, size, n, got, in-out)
				}
				if got := rx.get(descs[:n], &held); got != want {
					t.Fatalf("start %d size %d: rx.get(%d) = %d with %d there", start, size, n, got, in-out)
				}
				for i := range want {
					base := (out + uint64(i)) % (1 << 16) * testFrame
					if addrs[i] != base || descs[i] != (Desc{Addr: base + 256, Len: uint32(out + uint64(i))}) {
						t.Fatalf("entry %d: comp gave %d, rx %+v", out+uint64(i), addrs[i], descs[i])
					}
				}
				out += uint64(want)
				if *comp.consumer != start+uint32(out) || *rx.consumer != start+uint32(out) {
					t.Fatalf("consumer words %d, %d after %d entries from %d", *comp.consumer, *rx.consumer, out, start)
				}
			}
		}
	}
}

// TestRingsConcurrently runs process and model kernel in two goroutines over a million entries; under the race
// detector it shows that the words order the slots.
func TestRingsConcurrently(t *testing.T) {
	total := uint64(1_000_000)
	if testing.Short() {
		total = 400_000
	}
	start := ^uint32(0) - 100_000
	_, comp, _, tx := rings(512, start)
	held := newFrameSet(1<<16, testFrame)
	done := make(chan struct{})
	go func() { // the kernel: everything transmitted is complete at once
		defer close(done)
		for n, cons := uint64(0), start; n < total; {
			prod := atomic.LoadUint32(tx.producer)
			room := 512 - (cons - atomic.LoadUint32(comp.consumer))
			if cons == prod || room == 0 {
				runtime.Gosched()
			}
			for ; cons != prod && room > 0; room-- {
				comp.slots[cons%512] = tx.slots[cons%512].Addr
				cons++
				n++
			}
			atomic.StoreUint32(tx.consumer, cons)
			atomic.StoreUint32(comp.producer, cons)
		}
	}()
	descs, addrs := make([]Desc, 64), make([]uint64, 64)
	var in, out uint64
	for out < total {
		n := int(min(64, total-in))
		for i := range n {
			descs[i] = Desc{Addr: (in + uint64(i)) % (1 << 16) * testFrame, Len: 60}
		}
		in += uint64(tx.put(descs[:n], 0, &held))
		got := comp.get(addrs, &held)
		if got == 0 {
			runtime.Gosched()
		}
		for _, a := range addrs[:got] {
			if a != out%(1<<16)*testFrame {
				t.Fatalf("entry %d: got address %d", out, a)
			}
			out++
		}
	}
	<-done
	if n := held.len(); n != 0 {
		t.Errorf("%d frames still held when all are back", n)
	}
}

func TestFrameSet(t *testing.T) {
	for _, size := range []uint32{2048, 4096} {
		const frames = 130
		f := newFrameSet(frames, size)
		model := map[uint64]bool{}
		rnd := rand.New(rand.NewPCG(1, uint64(size)))
		for range 10_000 {
			frame := rnd.Uint64N(frames)
			addr := frame*uint64(size) + rnd.Uint64N(uint64(size))
			if rnd.IntN(2) == 0 {
				f.add(addr)
				model[frame*uint64(size)] = true
			} else {
				f.remove(addr)
				delete(model, frame*uint64(size))
			}
		}
		f.add(1 << 40) // outside: ignored
		f.remove(^uint64(0))
		if f.len() != len(model) {
			t.Fatalf("%d frames in the set, want %d", f.len(), len(model))
		}
		last := -1
		f.take(func(a uint64) {
			if !model[a] || int(a) <= last {
				t.Fatalf("take gave %d, after %d", a, last)
			}
			delete(model, a)
			last = int(a)
		})
		if len(model) != 0 || f.len() != 0 {
			t.Errorf("%d frames not given, %d left", len(model), f.len())
		}
	}
}

// TestRingsDoNotAllocate goes through all four rings.
func TestRingsDoNotAllocate(t *testing.T) {
	s := memorySocket(1024)
	descs, addrs := make([]Desc, 64), make([]uint64, 64)
	if n := testing.AllocsPerRun(1000, func() { turn(s, descs, addrs) }); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
}

// memorySocket is a socket whose kernel is the function turn.
func memorySocket(size int) *Socket {
	s := &Socket{held: newFrameSet(1<<16, testFrame)}
	s.fill, s.comp, s.rx, s.tx = rings(size, 0)
	return s
}

// turn passes 64 frames once around: Fill, Receive, Send, Reclaim.
func turn(s *Socket, descs []Desc, addrs []uint64) {
	n := uint32(s.Fill(addrs))
	for i := range n {
		at := (*s.rx.producer + i) & uint32(len(s.rx.slots)-1)
		s.rx.slots[at] = Desc{Addr: s.fill.slots[at] + 256, Len: 60}
	}
	atomic.StoreUint32(s.fill.consumer, *s.fill.producer)
	atomic.StoreUint32(s.rx.producer, *s.rx.producer+n)
	s.Send(descs[:s.Receive(descs)])
	for i := range n {
		at := (*s.comp.producer + i) & uint32(len(s.comp.slots)-1)
		s.comp.slots[at] = s.tx.slots[at].Addr
	}
	atomic.StoreUint32(s.tx.consumer, *s.tx.producer)
	atomic.StoreUint32(s.comp.producer, *s.comp.producer+n)
	s.Reclaim(addrs)
}

// BenchmarkRings reports the cost of one frame's way through all four rings, model kernel included.
func BenchmarkRings(b *testing.B) {
	s := memorySocket(2048)
	const pool = 4096
	frames := make([]uint64, pool)
	for i := range frames {
		frames[i] = uint64(i) * 16 % (1 << 16) * testFrame
	}
	descs := make([]Desc, 64)
	b.ReportAllocs()
	i := 0
	for n := 0; n < b.N; n += 64 {
		turn(s, descs, frames[i:i+64])
		i = (i + 64) % pool
	}
}
