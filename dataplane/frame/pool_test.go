package frame

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

func TestPacketIsOneCacheLine(t *testing.T) {
	if s := reflect.TypeFor[Packet]().Size(); s != 64 {
		t.Fatalf("Packet takes %d octets, want 64: the batch would no longer fit the L1 cache as planned", s)
	}
}

// Several owners take and return at random; afterwards every frame is there exactly once.
func TestPoolKeepsEveryFrame(t *testing.T) {
	const frames, size, users = 5000, 2048, 4
	p, err := NewPool(frames, size, users)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(u)))
			c := p.NewCache()
			var mine []uint32
			for range 200_000 {
				if rng.IntN(2) == 0 {
					if a, ok := c.Get(); ok {
						mine = append(mine, a)
					}
				} else if len(mine) > 0 {
					i := rng.IntN(len(mine))
					c.Put(mine[i])
					mine[i] = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
				}
			}
			for _, a := range mine {
				c.Put(a)
			}
			c.Flush()
			if c.Lost() != 0 {
				t.Errorf("%d frames lost", c.Lost())
			}
		})
	}
	wg.Wait()
	if p.Free() != frames {
		t.Fatalf("%d frames in the pool, want %d", p.Free(), frames)
	}
	seen := map[uint32]bool{}
	c := p.NewCache()
	for range frames {
		a, ok := c.Get()
		if !ok || seen[a] || a%size != 0 || a >= frames*size {
			t.Fatalf("frame %#x: ok=%v, seen=%v", a, ok, seen[a])
		}
		seen[a] = true
	}
	if _, ok := c.Get(); ok {
		t.Fatal("more frames than there are")
	}
}

func TestHandoffKeepsOrderAndNumber(t *testing.T) {
	r := NewHandoff(64)
	const total = 300_000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := uint32(0); i < total; {
			if r.Put(Handed{Off: i}) {
				i++
			}
			if i%7 == 0 || i == total {
				r.Publish()
			} else if r.localHead-r.cachedTail > r.mask {
				r.Publish()
			}
		}
		r.Publish()
	})
	var got uint32
	buf := make([]Handed, 13)
	for got < total {
		n := r.Take(buf)
		for _, h := range buf[:n] {
			if h.Off != got {
				t.Fatalf("took %d, want %d", h.Off, got)
			}
			got++
		}
	}
	wg.Wait()
	if r.Len() != 0 {
		t.Fatalf("%d left", r.Len())
	}
}

func TestVerifyNotesASecondOwner(t *testing.T) {
	v := NewVerify(4, 2048)
	v.Move(2048+256, OwnerPool, OwnerFill)
	v.Move(2048, OwnerFill, OwnerBatch)
	if n, _ := v.Violations(); n != 0 {
		t.Fatalf("%d violations in a rightful life", n)
	}
	v.Move(2048, OwnerPool, OwnerTx)
	v.Move(1<<20, OwnerPool, OwnerTx)
	if n, first := v.Violations(); n != 2 || len(first) != 2 {
		t.Fatalf("violations = %d %v, want 2", n, first)
	}
	if c := v.Count(); c["pool"] != 3 || c["tx"] != 1 {
		t.Fatalf("count = %v", c)
	}
}

func TestSlots(t *testing.T) {
	r := NewSlots(2)
	if r.Peek() != nil || !r.Put(1, 2, []byte("a")) || !r.Put(1, 2, []byte("bc")) || r.Put(1, 2, nil) {
		t.Fatal("a ring of two takes two")
	}
	if s := r.Peek(); s == nil || string(s.Data[:s.Len]) != "a" || s.Port != 1 || s.Kind != 2 {
		t.Fatalf("peek = %v", s)
	}
	r.Drop()
	if r.Put(0, 0, make([]byte, SlotSize+1)) {
		t.Fatal("an oversized frame was taken")
	}
	if s := r.Peek(); string(s.Data[:s.Len]) != "bc" || r.Len() != 1 {
		t.Fatal("second slot wrong")
	}
}
