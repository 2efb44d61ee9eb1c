package director

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// net is some directors whose messages are lost and delayed at random, and cut off.
type net struct {
	rng   *rand.Rand
	now   int64
	boxes []*box
	queue []mail

	deaf    bool // no hellos arrive
	nowhere bool // directors do not know each other's place
}

type box struct {
	name    string
	v       vip
	self    Place
	started int64
	heard   map[string]int64
	sent    int64
	cut     bool
	net     *net
}

type mail struct {
	at       int64
	from, to *box
	claim    *here // nil: a hello
}

func (b *box) alive(name string) bool {
	at, ok := b.heard[name]
	return ok && b.net.now-at < silence
}

func (b *box) placeOf(_ *vip, name string) (Place, bool) {
	for _, x := range b.net.boxes {
		if x.name == name && !b.net.nowhere {
			return x.self, true
		}
	}
	return Place{}, false
}

func newNet(seed uint64, n int) *net {
	w := &net{rng: rand.New(rand.NewPCG(seed, 8)), now: 1e18}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("d", i))
	}
	for i := range n {
		w.boxes = append(w.boxes, &box{name: names[i], v: vip{key: "v", own: i, directors: names},
			self: Place{10, uint8(i + 1)}, started: w.now, heard: map[string]int64{}, net: w})
	}
	return w
}

func (w *net) send(from, to *box, claim *here) {
	if w.rng.IntN(50) != 0 {
		w.queue = append(w.queue, mail{w.now + w.rng.Int64N(3e6), from, to, claim})
	}
}

// turn runs 10 ms.
func (w *net) turn() {
	w.now += int64(tick)
	queue := w.queue
	w.queue = nil
	for _, m := range queue {
		switch {
		case m.at > w.now:
			w.queue = append(w.queue, m)
		case m.from.cut || m.to.cut:
		case m.claim == nil && w.deaf:
		case m.claim == nil:
			if back := !m.to.alive(m.from.name); back && m.to.v.mine {
				h := m.to.v.here()
				w.send(m.to, m.from, &h)
			}
			m.to.heard[m.from.name] = w.now
		default:
			if _, answer := m.to.v.hear(m.claim, w.now, m.to.self); answer {
				h := m.to.v.here()
				w.send(m.to, m.from, &h)
			}
		}
	}
	for _, b := range w.boxes {
		claimed := b.v.decide(w.now, b.started, b.self, b)
		due := w.now-b.sent >= helloEvery
		if due {
			b.sent = w.now
		}
		tells := claimed || b.v.mine && w.now-b.v.toldDirectors >= claimEvery
		if tells {
			b.v.toldDirectors = w.now
		}
		for _, x := range w.boxes {
			if x == b {
				continue
			}
			if due {
				w.send(b, x, nil)
			}
			if tells {
				h := b.v.here()
				w.send(b, x, &h)
			}
		}
	}
}

func (w *net) claimants() (list []string) {
	for _, b := range w.boxes {
		if !b.cut && b.v.mine {
			list = append(list, b.name)
		}
	}
	return list
}

// TestMachineRandom cuts directors off at random, with loss and delay: when all is quiet, exactly one of those that
// live holds the claim, all of them know, and it is the one that held it, if it lived all the time.
func TestMachineRandom(t *testing.T) {
	for seed := range uint64(20) {
		w := newNet(seed, 2+int(seed%3))
		for range 60 {
			before := w.claimants()
			victim := w.boxes[w.rng.IntN(len(w.boxes))]
			wasCut := victim.cut
			victim.cut = !victim.cut && w.rng.IntN(3) != 0
			if wasCut && !victim.cut && w.rng.IntN(2) == 0 { // it was a restart
				victim.v = vip{key: "v", own: victim.v.own, directors: victim.v.directors}
				victim.started, victim.heard = w.now, map[string]int64{}
			}
			for range 500 {
				w.turn()
			}
			list, alive := w.claimants(), 0
			for _, b := range w.boxes {
				if !b.cut {
					alive++
				}
			}
			if alive == 0 {
				continue
			}
			if len(list) != 1 {
				t.Fatalf("seed %d: %v hold the claim, want one of %d living directors", seed, list, alive)
			}
			for _, b := range w.boxes {
				holder, _ := b.placeOf(nil, list[0])
				if !b.cut && b.v.at != holder {
					t.Fatalf("seed %d: %s thinks that %+v directs, want %s", seed, b.name, b.v.at, list[0])
				}
			}
			if len(before) == 1 && before[0] != victim.name && list[0] != before[0] && !wasCut {
				t.Fatalf("seed %d: %s holds the claim, want %s, which has lived all the time", seed, list[0], before[0])
			}
		}
	}
}

// TestMachineTakeover: the next in the list claims 300 ms after the last hello, and the third does not.
func TestMachineTakeover(t *testing.T) {
	w := newNet(3, 3)
	for range 200 {
		w.turn()
	}
	if got := w.claimants(); len(got) != 1 || got[0] != "d0" {
		t.Fatalf("%v hold the claim after the start, want d0", got)
	}
	w.boxes[0].cut = true
	began := w.now
	for len(w.claimants()) == 0 && w.now-began < 1e9 {
		w.turn()
	}
	if took := w.now - began; took > silence+int64(tick) || took < silence-helloEvery-int64(tick) {
		t.Errorf("the takeover took %d ms, want 200 to 310", took/1e6)
	}
	if got := w.claimants(); len(got) != 1 || got[0] != "d1" {
		t.Errorf("%v hold the claim, want d1", got)
	}
}

// TestMachineLeave: a box that has left the list serves until another one claims, at most three seconds, and 300 ms
// more.
func TestMachineLeave(t *testing.T) {
	w := newNet(4, 2)
	for range 200 {
		w.turn()
	}
	a, b := w.boxes[0], w.boxes[1]
	a.v.own, a.v.directors = -1, []string{"d1"}
	w.turn()
	if !a.v.serves(w.now) {
		t.Error("d0 does not serve after it has left, want it to until d1 claims")
	}
	b.v.own, b.v.directors = 0, []string{"d1"}
	for range 5 {
		w.turn()
	}
	if !b.v.mine || a.v.mine || !a.v.serves(w.now) {
		t.Errorf("d1 holds the claim: %v, d0 %v and serves %v; want d1, and d0 to serve on", b.v.mine, a.v.mine,
			a.v.serves(w.now))
	}
	for range 50 {
		w.turn()
	}
	if a.v.serves(w.now) {
		t.Error("d0 serves half a second after d1 has claimed, want it to have ended")
	}
}

// TestMachineDeaf: two directors that hear each other's claims and no hellos change places three times a second at
// most; and not at all if they do not know each other's place.
func TestMachineDeaf(t *testing.T) {
	for _, placed := range []bool{true, false} {
		w := newNet(5, 2)
		w.deaf, w.nowhere = true, !placed
		for range 200 {
			w.turn()
		}
		changes, before := 0, w.boxes[0].v.mine
		for range 500 {
			w.turn()
			if now := w.boxes[0].v.mine; now != before {
				changes, before = changes+1, now
			}
		}
		if limit := map[bool]int{true: 34, false: 1}[placed]; changes > limit {
			t.Errorf("places known %v: %d changes in 5 s, want at most %d", placed, changes, limit)
		}
		if n := len(w.claimants()); n > 2 || !placed && n != 1 {
			t.Errorf("places known %v: %d hold the claim, want one", placed, n)
		}
	}
}
