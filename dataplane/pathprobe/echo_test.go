package pathprobe

import (
	"bytes"
	"encoding/binary"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
)

var testKeys = []resolve.Key{{ID: 1, Octets: "0123456789abcdef"}, {ID: 2, Octets: "fedcba9876543210"}}

// TestEchoNoted: the ECHO of an own probe counts once; every other one is discarded under its reason.
func TestEchoNoted(t *testing.T) {
	for name, keys := range map[string][]resolve.Key{"without keys": nil, "with keys": testKeys} {
		w := newWorld(t, 2, usual, [fib.Targets]uint8{20})
		w.echo.SetKeys(keys)
		w.rtt = 1 << 40
		w.run(4*second, false)
		good := w.way[len(w.way)-1].frame
		if keys != nil { // signed again by the other box, with its own key
			good = bytes.Clone(good)
			seal := NewSeal(keys)
			good[42+6] = seal.ID()
			seal.Put(good[82:], good[42:82])
		}
		w.way = nil
		reseal := func(b []byte) []byte {
			if keys != nil {
				NewSeal(keys).Put(b[82:], b[42:82])
			}
			return b
		}
		change := func(at int, v ...byte) []byte {
			b := bytes.Clone(good)
			copy(b[at:], v)
			return reseal(b)
		}
		for _, tc := range []struct {
			what  string
			frame []byte
			want  drop.Reason
		}{
			{"another box", change(14+12, 10, 30, 0, 1), drop.ProbeUnasked},
			{"another VLAN", change(42+19, 0, 0, 99), drop.ProbeInvalid},
			{"another VLAN, all through", func() []byte {
				b := change(42+19, 0, 0, 150)
				b[14+5] = 150
				return b
			}(), drop.ProbeUnasked},
			{"another path", change(42+28, 0, 0, 0, 77), drop.ProbeUnasked},
			{"a free index", change(42+28, 0xff, 0xff, 0xff, 0xff), drop.ProbeUnasked},
			{"a later sequence", change(42+8, 0x7f), drop.ProbeUnasked},
			{"a negative sequence", change(42+8, 0xff), drop.ProbeUnasked},
			{"cut", good[:len(good)-1], drop.ProbeInvalid},
			{"longer", append(bytes.Clone(good), 0), drop.ProbeInvalid},
			{"good", good, drop.None},
			{"replayed", good, drop.ProbeUnasked},
		} {
			p := w.take(tc.frame)
			if tc.want == drop.None && p.Next != frame.NextTaken ||
				tc.want != drop.None && (p.Next != frame.NextDrop || p.Drop != tc.want) {
				t.Errorf("%s, %s: next %d, reason %v, want %v", name, tc.what, p.Next, p.Drop, tc.want)
			}
		}
		if keys == nil {
			continue
		}
		forged := bytes.Clone(good)
		forged[42+10]++
		for what, b := range map[string][]byte{"forged": forged, "unknown key": change(42+6, 9)} {
			if p := w.take(b); p.Drop != drop.ProbeTag {
				t.Errorf("%s: reason %v, want probe_tag", what, p.Drop)
			}
		}
	}
}

// TestLateEcho: an ECHO that is older than 2 s counts no more.
func TestLateEcho(t *testing.T) {
	w := newWorld(t, 1, Setting{Interval: 3 * second, Misses: 3, Goods: 5}, [fib.Targets]uint8{20})
	w.rtt = 1 << 40
	w.run(4*second, false)
	late := w.way[0].frame
	w.run(3*second, false)
	if p := w.take(late); p.Drop != drop.ProbeUnasked {
		t.Errorf("reason %v, want probe_unasked", p.Drop)
	}
}

// TestKeys: with keys the world works as without, also while boxes change the order of their keys.
func TestKeys(t *testing.T) {
	w := newWorld(t, 2, usual, [fib.Targets]uint8{20})
	w.echo.SetKeys(testKeys)
	other := NewSeal([]resolve.Key{testKeys[1], testKeys[0]})
	tagged := 0
	w.keeper.Send = func(_ uint16, b []byte) {
		if !other.Valid(b[86:102], b[46:86], b[46+6]) || len(b) != 102 {
			t.Errorf("a probe of %d octets without valid tag", len(b))
		}
		tagged++
		w.receive(b)
		c := w.way[len(w.way)-1].frame
		c[42+6] = other.ID()
		other.Put(c[82:], c[42:82])
	}
	w.run(20*second, true)
	w.wantStates("with keys", up, up)
	if tagged < 50 {
		t.Errorf("%d probes, want 50 and more", tagged)
	}
}

// TestEchoLimit: there is a limit on the echoes of all workers together.
func TestEchoLimit(t *testing.T) {
	w := newWorld(t, 1, Setting{}, [fib.Targets]uint8{})
	b := w.foreign()
	made := 0
	for range 10_000 {
		switch p := w.take(b); {
		case p.Next == frame.NextTx:
			made++
		case p.Drop != drop.ProbeLimit:
			t.Fatalf("reason %v, want probe_limit", p.Drop)
		}
	}
	if made != echoBurst {
		t.Errorf("%d echoes at once, want %d", made, echoBurst)
	}
}

// foreign returns a PROBE of box 20 behind the other switch, as it arrives.
func (w *world) foreign() []byte {
	var m message
	x := fib.Probe{VID: 101, Number: 20, DstShift: 16, DstMAC: ownSwitch, SrcMAC: otherSwitch, Own: otherSwitch,
		Source: 0x0a140001, DstBase: 0x0a000000}
	b := m.probe(&x, 5, 17, 12345, w.echo.seal.Load())
	return append(bytes.Clone(b[:12]), b[16:]...)
}

// TestNoAllocation: a PROBE is answered without memory, with keys and without.
func TestNoAllocation(t *testing.T) {
	for name, keys := range map[string][]resolve.Key{"without keys": nil, "with keys": testKeys} {
		w := newWorld(t, 1, Setting{}, [fib.Targets]uint8{})
		w.echo.SetKeys(keys)
		b := w.foreign()
		p := frame.Packet{}
		n := testing.AllocsPerRun(1000, func() {
			w.env.Now += ms
			p = frame.Packet{Off: frame.Headroom, Len: uint16(len(b)), L3: 14}
			copy(w.env.Mem[p.Off:], b)
			w.echo.Take(&p, w.env.Mem[int(p.Off)+42:int(p.Off)+len(b)])
		})
		if n != 0 || p.Next != frame.NextTx {
			t.Errorf("%s: %v allocations for an echo, next %d; want 0, %d", name, n, p.Next, frame.NextTx)
		}
		if id := binary.BigEndian.Uint16(w.env.Mem[p.Off+12:]); id != 0x8100 {
			t.Errorf("%s: the echo has no tag but %#x", name, id)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for name, keys := range map[string][]resolve.Key{"plain": nil, "tag": testKeys} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(nil, 1, Setting{}, [fib.Targets]uint8{})
			w.echo.SetKeys(keys)
			f := w.foreign()
			b.ReportAllocs()
			for b.Loop() {
				w.now += ms
				w.take(f)
			}
		})
	}
}
