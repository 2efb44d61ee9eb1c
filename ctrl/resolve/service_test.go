package resolve

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// TestAnnounce: a VIF that appears is known everywhere at once; one that goes is forgotten.
func TestAnnounce(t *testing.T) {
	w := newWorld(t, 4)
	w.pass(5 * time.Second)
	w.nodes[0].put(vif(100, 1), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.9.9.9"))
	if took := w.settle(time.Second); took > 200*time.Millisecond {
		t.Errorf("the VIF is known everywhere after %s, want 200 ms at most", took)
	}
	if r := w.nodes[3].rows[vif(100, 1)]; len(r.Addresses) != 3 || !r.Static || r.At != w.nodes[0].at {
		t.Errorf("the row at box 3: got %s, want three addresses, configured, at box 0", &r)
	}
	w.nodes[0].delete(vif(100, 1))
	w.pass(200 * time.Millisecond)
	if n := len(w.nodes[3].rows); n != 0 {
		t.Errorf("rows at box 3 after the VIF has gone: got %d, want 0", n)
	}
}

// TestMove: a VIF that moves is at its new place at once; the old box leaves it there when its own is deleted. A clock
// that is slow loses nothing.
func TestMove(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[1].skew = -3 * second
	w.nodes[0].put(vif(100, 1))
	w.settle(3 * time.Second)
	w.nodes[1].put(vif(100, 1))
	w.pass(200 * time.Millisecond)
	if r := w.nodes[2].rows[vif(100, 1)]; r.At != w.nodes[1].at {
		t.Errorf("after the move box 2 has %s, want it at box 1", &r)
	}
	if w.nodes[0].alarms["vif_conflict"] == "" {
		t.Error("two owners raise no alarm at the older one")
	}
	w.nodes[0].delete(vif(100, 1))
	w.pass(200 * time.Millisecond)
	for _, i := range []int{0, 2} {
		if r := w.nodes[i].rows[vif(100, 1)]; r.At != w.nodes[1].at {
			t.Errorf("after the move box %d has %s, want it at box 1", i, &r)
		}
	}
	if len(w.nodes[0].alarms) != 0 {
		t.Errorf("alarms after the move: got %v, want none", w.nodes[0].alarms)
	}
}

// TestRestart: a restart does not renew a claim, so a VIF that moved meanwhile stays where it went.
func TestRestart(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[0].put(vif(100, 1))
	w.nodes[0].put(vif(100, 2))
	w.settle(3 * time.Second)
	was := w.nodes[0].s.own[vif(100, 2)].row.Sequence
	w.nodes[0].stop()
	w.nodes[1].put(vif(100, 1))
	w.pass(time.Second)
	w.nodes[0].start()
	w.settle(5 * time.Second)
	if r := w.nodes[2].rows[vif(100, 1)]; r.At != w.nodes[1].at {
		t.Errorf("after the restart box 2 has %s, want it at box 1", &r)
	}
	if got := w.nodes[0].s.own[vif(100, 2)].row.Sequence; got != was {
		t.Errorf("the claim after the restart: got %d, want %d as before", got, was)
	}
	w.nodes[2].stop()
	w.nodes[2].start()
	if took := w.settle(3 * time.Second); took > 2*time.Second {
		t.Errorf("a box that starts knows all after %s, want 2 s at most", took)
	}
}

// TestWhere: what is missed is asked for, with growing pauses, and the owner answers.
func TestWhere(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[0].put(vif(100, 1))
	w.settle(3 * time.Second)
	w.nodes[2].forget(vif(100, 1))
	before := w.count[resolve.OpWhere]
	w.nodes[2].s.Events([]resolve.Event{{Kind: resolve.MissMAC, Tenant: 100, Segment: 7, MAC: uint64(vif(100, 1).MAC)}})
	w.pass(100 * time.Millisecond)
	if r := w.nodes[2].rows[vif(100, 1)]; r.At != w.nodes[0].at || w.count[resolve.OpWhere] != before+1 {
		t.Errorf("after a miss box 2 has %s after %d questions, want the row and one", &r,
			w.count[resolve.OpWhere]-before)
	}
	w.nodes[2].forget(vif(100, 1))
	w.nodes[2].s.Events([]resolve.Event{{Kind: resolve.MissIP4, Tenant: 100, Segment: 7, IP: [16]byte{10, 0, 0, 1}}})
	w.pass(100 * time.Millisecond)
	if r := w.nodes[2].rows[vif(100, 1)]; r.At != w.nodes[0].at {
		t.Errorf("after a miss of the address box 2 has %s, want the row", &r)
	}
	before = w.count[resolve.OpWhere]
	for range 100 {
		w.nodes[2].s.Events([]resolve.Event{{Kind: resolve.MissMAC, Tenant: 100, Segment: 7, MAC: 0x020000009999}})
		w.pass(100 * time.Millisecond)
	}
	if n := w.count[resolve.OpWhere] - before; n != 4 { // after 0, 1, 3 and 7 s
		t.Errorf("questions in 10 s for what does not exist: got %d, want 4", n)
	}
}

// TestNotHere: the sender of a packet for a VIF that is not here forgets it, and asks.
func TestNotHere(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[0].put(vif(100, 1))
	w.settle(3 * time.Second)
	stale := w.nodes[2].rows[vif(100, 1)]
	stale.At = w.nodes[1].at
	w.nodes[2].rows[vif(100, 1)] = stale // a message was lost
	w.nodes[1].s.Events([]resolve.Event{{Kind: resolve.NotHere, Tenant: 100, Segment: 7, MAC: uint64(vif(100, 1).MAC),
		Switch: uint64(w.nodes[2].at.Switch), Number: w.nodes[2].at.Port}})
	w.pass(200 * time.Millisecond)
	if r := w.nodes[2].rows[vif(100, 1)]; r.At != w.nodes[0].at {
		t.Errorf("after NOT-HERE box 2 has %s, want it at box 0", &r)
	}
}

// TestPushed: a pushed binding is not moved; the alarm says that another box contradicts, and clears. What a box does
// not hold is not pulled again and again.
func TestPushed(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[2].pushed[vif(100, 1)] = compile.Place{Switch: 0x02000000000c, Port: 99}
	w.nodes[2].unknown[200] = true
	w.nodes[0].put(vif(100, 1))
	w.nodes[0].put(vif(100, 2))
	w.nodes[1].put(vif(200, 3))
	w.settle(5 * time.Second)
	if w.nodes[2].alarms["binding_conflict"] == "" {
		t.Error("a contradicted binding raises no alarm")
	}
	w.pass(10 * time.Second)
	before := w.count[resolve.OpPull]
	w.pass(2 * time.Minute)
	if n := w.count[resolve.OpPull] - before; n != 0 {
		t.Errorf("pulls in two quiet minutes: got %d, want none", n)
	}
	w.nodes[2].unknown[200] = false
	w.nodes[2].s.Resync()
	w.settle(20 * time.Second)
}

// TestFull: a full table raises an alarm and stops comparing.
func TestFull(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[1].room = 3
	for i := range model.MAC(10) {
		w.nodes[0].put(vif(100, i))
	}
	w.pass(30 * time.Second)
	if w.nodes[1].alarms["table_full"] == "" || len(w.nodes[1].rows) != 3 {
		t.Errorf("a full table: %d rows, alarms %v, want 3 rows and the alarm", len(w.nodes[1].rows), w.nodes[1].alarms)
	}
	if n := w.count[resolve.OpPull]; n > 20 {
		t.Errorf("pulls of a box whose table is full: got %d, want few", n)
	}
}

// TestLoss: with lost messages all boxes agree after some time; with 2 % soon.
func TestLoss(t *testing.T) {
	for _, loss := range []float64{0, 0.02, 0.3} {
		w := newWorld(t, 6)
		w.loss = loss
		for i, n := range w.nodes {
			for k := range model.MAC(200) {
				n.put(vif(100+uint32(k)%3, model.MAC(i*1000)+k),
					netip.AddrFrom16([16]byte{0xfd, 14: byte(i), 15: byte(k)}))
			}
		}
		limit := 20 * time.Second
		if loss > 0.1 {
			limit = 5 * time.Minute
		}
		took := w.settle(limit)
		t.Logf("loss %.0f %%: 1,200 bindings of 6 boxes are everywhere after %s; bodies by opcode %v", 100*loss, took,
			w.count)
		if took > 2*time.Second && loss == 0 {
			t.Errorf("without loss: got %s, want 2 s at most", took)
		}
	}
}

// TestRandom: whatever happens, after some quiet all boxes agree with the owners.
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, 5)
		w.rng.Uint64()
		for range seed {
			w.rng.Uint64()
		}
		w.loss = []float64{0, 0.02, 0.2}[seed%3]
		for range 60 {
			n := w.nodes[w.rng.IntN(len(w.nodes))]
			key := vif(100+uint32(w.rng.IntN(2)), model.MAC(w.rng.IntN(30)))
			switch w.rng.IntN(10) {
			case 0:
				if n.down {
					n.start()
				} else {
					n.stop()
				}
			case 1, 2:
				n.delete(key)
			case 3:
				w.pass(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
			case 4: // it moves
				for _, o := range w.nodes {
					o.delete(key)
				}
				n.put(key)
			default:
				if !w.owned(key) {
					n.put(key, netip.AddrFrom16([16]byte{0xfd, 15: byte(w.rng.IntN(4) + 1)}))
				}
			}
		}
		for _, n := range w.nodes {
			if n.down {
				n.start()
			}
		}
		w.loss = min(w.loss, 0.02)
		w.settle(5 * time.Minute)
	}
}

func (w *world) owned(key compile.FabricKey) bool {
	for _, n := range w.nodes {
		if _, ok := n.vifs[key]; ok {
			return true
		}
	}
	return false
}

// TestSharedPlace: of two boxes at one place the one that was there later is silent, and both tell.
func TestSharedPlace(t *testing.T) {
	w := newWorld(t, 3)
	w.nodes[0].put(vif(100, 1))
	w.nodes[2].put(vif(100, 2))
	w.pass(20 * time.Second)
	w.nodes[2].at = w.nodes[0].at
	w.nodes[2].s.SetSelf(Self{At: w.nodes[0].at, MAC: 0x02000000fb02, Since: time.Unix(0, w.now)})
	w.pass(15 * time.Second)
	if w.nodes[0].alarms["place_conflict"] == "" || w.nodes[2].alarms["place_conflict"] == "" {
		t.Errorf("alarms: got %v and %v, want place_conflict at both", w.nodes[0].alarms, w.nodes[2].alarms)
	}
	if w.nodes[0].s.lost || !w.nodes[2].s.lost {
		t.Errorf("lost the place: got %v and %v, want the later one", w.nodes[0].s.lost, w.nodes[2].s.lost)
	}
	said := 0
	w.spy = func(from *node, _ []byte, broadcast bool) {
		if from.n == 2 && broadcast {
			said++
		}
	}
	w.pass(90 * time.Second)
	if said != 0 || !w.nodes[2].s.lost {
		t.Errorf("the box that has lost its place: %d broadcasts within 90 s, want none while the other speaks", said)
	}
	w.nodes[2].stop()
	w.pass(2 * time.Minute)
	if len(w.nodes[0].alarms) != 0 {
		t.Errorf("alarms after the other box has gone: got %v, want none", w.nodes[0].alarms)
	}
}

const signed = "505301020002090018fae27693b4000000012c0000070200000001010a00000102000000000a0011" +
	"27e1ddd9cb78a1bf7e10c782049f4bde"

func testKey() resolve.Key {
	var k resolve.Key
	k.ID = 9
	for i := range 32 {
		k.Octets += string(rune(i))
	}
	return k
}

// TestTags: with keys only a message with the tag of one of them is taken, and any bit that flips spoils it.
func TestTags(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes[0]
	n.keys = []resolve.Key{testKey()}
	good, err := hex.DecodeString(signed)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(good) {
		b := append([]byte(nil), good...)
		b[bit/8] ^= 1 << (bit % 8)
		n.s.Message(resolve.Arrival{Broadcast: true, Payload: b})
	}
	if c := n.s.Counters(); len(n.rows) != 0 || c.Forged+c.Malformed != 448 {
		t.Errorf("448 flipped bits: got %d rows and %+v, want no row and 448 refused", len(n.rows), c)
	}
	n.s.Message(resolve.Arrival{Broadcast: true, Payload: good[:40]})
	other := testKey()
	other.ID = 8
	n.keys = []resolve.Key{other}
	n.s.Message(resolve.Arrival{Broadcast: true, Payload: good})
	if len(n.rows) != 0 {
		t.Errorf("without a tag, or with one of another key: got %d rows, want none", len(n.rows))
	}
	n.keys = []resolve.Key{other, testKey()}
	n.s.Message(resolve.Arrival{Broadcast: true, Payload: good})
	want := compile.FabricKey{Tenant: 300, Segment: 7, MAC: 0x020000000101}
	at := compile.Place{Switch: 0x0a | 2<<40, Port: 17}
	if r := n.rows[want]; r.Sequence != 1_800_000_000_000_000_000 || r.At != at {
		t.Errorf("the good message: got %s, want the binding", &r)
	}
}

// TestKeyChange: while the key of all boxes is changed, one after the other, no binding is lost.
func TestKeyChange(t *testing.T) {
	w := newWorld(t, 4)
	a, b := testKey(), resolve.Key{ID: 10, Octets: strings.Repeat("b", 32)}
	for i, n := range w.nodes {
		n.keys = []resolve.Key{a}
		n.put(vif(100, model.MAC(i)))
	}
	w.settle(5 * time.Second)
	for _, keys := range [][]resolve.Key{{a, b}, {b, a}, {b}} {
		for i, n := range w.nodes {
			n.keys = keys
			n.put(vif(100, model.MAC(100+i)))
			w.pass(12 * time.Second)
			if text := w.agree(); text != "" {
				t.Fatalf("while the key is changed: %s", text)
			}
		}
	}
	for _, n := range w.nodes {
		if c := n.s.Counters(); c.Forged != 0 {
			t.Errorf("box %d refused %d messages, want none", n.n, c.Forged)
		}
	}
}

// TestHostile: messages that are replayed, from elsewhere, or nonsense change nothing and are counted.
func TestHostile(t *testing.T) {
	w := newWorld(t, 2)
	w.nodes[0].put(vif(100, 1))
	var old [][]byte
	w.spy = func(from *node, payload []byte, _ bool) {
		if from == w.nodes[0] {
			old = append(old, append([]byte(nil), payload...))
		}
	}
	w.settle(3 * time.Second)
	w.nodes[0].put(vif(100, 1), netip.MustParseAddr("10.7.7.7"))
	w.settle(3 * time.Second)
	w.spy = nil
	for _, b := range old {
		w.nodes[1].s.Message(resolve.Arrival{Broadcast: true, Payload: b})
	}
	if text := w.agree(); text != "" {
		t.Errorf("after a replay: %s", text)
	}
	not := body{Op: resolve.OpNotHere, Sequence: ^uint64(0), Tenant: 100, Segment: 7, MAC: uint64(vif(100, 1).MAC),
		Switch: uint64(w.nodes[0].at.Switch), Port: uint16(w.nodes[0].at.Port)}
	w.nodes[1].s.Message(resolve.Arrival{From: address(compile.Place{Port: 77}), Payload: not.Append(nil)})
	if c := w.nodes[1].s.Counters(); c.Stranger != 1 || len(w.nodes[1].rows) != 1 {
		t.Errorf("NOT-HERE from another port: got %+v and %d rows, want a stranger and the row", c,
			len(w.nodes[1].rows))
	}
	for _, c := range []struct {
		address uint32
		port    uint16
		want    bool
	}{{0x0a110001, 17, true}, {0x0a110001, 10, false}, {0x0a0a0001, 10, true}, {0x0a000001, 10, true},
		{0x11000001, 17, true}, {0x11000001, 10, false}} {
		if got := from1(c.address, &body{Port: c.port}); got != c.want {
			t.Errorf("box address %#x and port %d: got %v, want %v", c.address, c.port, got, c.want)
		}
	}
	group := body{Op: resolve.OpHere, Sequence: 1, Tenant: 100, Segment: 7, MAC: 0x010000000001, Switch: 2 << 40,
		Port: 3}
	for _, b := range [][]byte{nil, {1}, make([]byte, 40), group.Append(nil)} {
		w.nodes[1].s.Message(resolve.Arrival{Broadcast: true, Payload: b})
	}
	if n := len(w.nodes[1].rows); n != 1 {
		t.Errorf("rows after nonsense: got %d, want 1", n)
	}
}

// TestVirtual: claims of virtual addresses go to the directors.
func TestVirtual(t *testing.T) {
	w := newWorld(t, 1)
	m := body{Op: resolve.OpHere, Sequence: 1, Tenant: 100, Segment: 7, MAC: 0x02560a0a0164, Switch: 2 << 40, Port: 3}
	w.nodes[0].s.Message(resolve.Arrival{From: address(compile.Place{Port: 3}), Payload: m.Append(nil)})
	if len(w.nodes[0].claimed) != 1 || len(w.nodes[0].rows) != 0 {
		t.Errorf("a claim of a virtual address: got %d for the directors and %d rows, want 1 and 0",
			len(w.nodes[0].claimed), len(w.nodes[0].rows))
	}
}

// FuzzMessage: no octets make the service fail.
func FuzzMessage(f *testing.F) {
	b, err := hex.DecodeString(signed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, true)
	for op := range uint8(8) {
		m := body{Op: op + 1, Sequence: 5, Tenant: 100, Segment: 7, MAC: 0x020000000001, IP4: 32, Switch: 2 << 40,
			Port: 3}
		m.SetSummary(resolve.Summary{Count: 3, Digest: 9, Held: 1})
		f.Add(m.Append(nil), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, broadcast bool) {
		w := newWorld(t, 1)
		w.nodes[0].put(vif(100, 1))
		w.nodes[0].s.Message(resolve.Arrival{Broadcast: broadcast, From: address(compile.Place{Port: 3}), Payload: b})
		w.pass(100 * time.Millisecond)
	})
}
