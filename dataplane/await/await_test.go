package await

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
)

const (
	vifs      = 64
	millis    = 1_000_000
	frameSize = 2048
	poolSize  = 4096
)

// world is a worker's state over tables with one segment and 64 VIFs of port 0.
func world(t *testing.T) (*State, *frame.Pool) {
	t.Helper()
	bindings, err := table.NewBindings(table.Config{Capacity: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bindings.Close() })
	pool, err := frame.NewPool(poolSize, frameSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &fib.Snapshot{
		ControlVID: 4000, Bindings: bindings,
		Segments:    []fib.Segment{{Tenant: 100, ID: 7, Router: fib.None}},
		SegmentByID: table.NewStatic([]uint64{fib.SegmentKey(100, 7)}, []uint32{0}),
		Attachments: []fib.Attachment{{}},
	}
	for i := range uint64(vifs) {
		s.VIFs = append(s.VIFs, fib.VIF{MAC: 0x020000000000 + i})
	}
	s.Limits = s.Limits.Room(vifs, 1, 1)
	env := &stage.Env{Snap: s, Pool: pool, Cache: pool.NewCache(), Ports: stats.NewPorts(1),
		Verify: frame.NewVerify(poolSize, frameSize), Now: millis}
	st := New(env, resolve.NewRing())
	t.Cleanup(func() {
		if n, first := env.Verify.Violations(); n != 0 {
			t.Errorf("%d breaches of ownership: %v", n, first)
		}
	})
	return st, pool
}

// packet takes a frame for a packet of a VIF.
func packet(t *testing.T, st *State, vif uint32) *frame.Packet {
	t.Helper()
	addr, ok := st.Cache.Get()
	if !ok {
		t.Fatal("no free frame")
	}
	st.Move(addr, frame.OwnerPool, frame.OwnerBatch)
	return &frame.Packet{Off: addr + frame.Headroom, Len: 60, VIF: vif, SrcMAC: st.Snap.VIFs[vif].MAC}
}

// waiting is what the model knows of a packet that waits.
type waiting struct {
	off  uint32
	till int64
}

// TestModel lets packets of many VIFs miss at random, lets bindings come at random and time pass, and compares with
// lists by target: who waits, who goes on and in which order, who is dropped.
func TestModel(t *testing.T) {
	for seed := range uint64(2) {
		st, pool := world(t)
		st.Room = 64
		r := rand.New(rand.NewPCG(seed, 1))
		model := map[uint64][]waiting{}
		waits, limited, full, found, late := 0, 0, 0, 0, 0
		var batch frame.Batch
		look := func() {
			for range 4 { // all places
				st.Now += millis
				st.Turn(&batch, func(_ uint16, b *frame.Batch) {
					for i := range b.N {
						p := &b.Pkt[i]
						mac := p.DstMAC
						list := model[mac]
						_, has := st.Snap.Bindings.FindMAC(0, mac)
						if len(list) == 0 || list[0].off != p.Off || !has && list[0].till > st.Now {
							t.Fatalf("seed %d: packet %#x to %#x goes on at %d (binding %v), the model has %v", seed,
								p.Off, mac, st.Now, has, list)
						}
						if !p.Has(frame.FlagWaited) || p.Next != frame.NextLookup {
							t.Fatalf("seed %d: flags %#x, next %d, want FlagWaited at NextLookup", seed, p.Flags,
								p.Next)
						}
						if has {
							found++
						} else {
							late++
						}
						model[mac] = list[1:]
						waits--
						st.Discard(0, drop.ResolveTimeout, p.Off, p.Len)
					}
				})
			}
			for mac, list := range model {
				_, has := st.Snap.Bindings.FindMAC(0, mac)
				if len(list) > 0 && (has || list[0].till <= st.Now-4*millis) {
					t.Fatalf("seed %d: %#x has a binding (%v) at %d, and %v still wait", seed, mac, has, st.Now, list)
				}
			}
		}
		for range 10_000 {
			switch n := r.IntN(100); {
			case n < 80:
				mac := 0x020100000000 + uint64(r.IntN(200))
				if _, has := st.Snap.Bindings.FindMAC(0, mac); has {
					continue
				}
				p := packet(t, st, uint32(r.IntN(vifs)))
				p.DstMAC = mac
				held := st.Miss(p, stage.Missed{Kind: resolve.MissMAC, Lo: mac, Again: frame.NextLookup})
				room := len(model[mac]) < PerTarget && waits < st.Room
				switch {
				case held && p.Next == frame.NextHeld && room:
					model[mac] = append(model[mac], waiting{p.Off, st.Now + Time})
					waits++
				case held && p.Next == frame.NextDrop && p.Drop == drop.ResolveFull && !room:
					full++
					st.Discard(0, p.Drop, p.Off, p.Len)
				case !held && len(model[mac]) == 0:
					limited++ // the VIF's limit
					st.Discard(0, drop.Unresolved, p.Off, p.Len)
				default:
					t.Fatalf("seed %d: held %v, next %d, %v with %d of %d waiting for it", seed, held, p.Next, p.Drop,
						len(model[mac]), waits)
				}
			case n < 90:
				st.Now += int64(r.IntN(40)) * millis
				look()
			case n < 95:
				mac := 0x020100000000 + uint64(r.IntN(200))
				if err := st.Snap.Bindings.Upsert(&table.Binding{MAC: mac, Loc: fib.RemoteLoc(0, 3)}); err != nil {
					t.Fatal(err)
				}
			default:
				st.Snap.Bindings.Delete(0, 0x020100000000+uint64(r.IntN(200)))
			}
			if n := st.Verify.Count()["waiting"]; r.IntN(50) == 0 && n != waits {
				t.Fatalf("seed %d: %d frames wait, want %d", seed, n, waits)
			}
		}
		if found < 100 || late < 100 || full < 100 {
			t.Errorf("seed %d: %d found, %d late, %d refused, %d limited: the test shows little", seed, found, late,
				full, limited)
		}
		st.Drain()
		st.Cache.Flush()
		if st.Waiting() || pool.Free() != poolSize {
			t.Errorf("seed %d: %d of %d frames are free at the end", seed, pool.Free(), poolSize)
		}
		for i := range st.targets {
			if st.targets[i].n != 0 {
				t.Errorf("seed %d: target %d has %d packets after Drain, want none", seed, i, st.targets[i].n)
			}
		}
		st.checkChains(t)
	}
}

// checkChains: without packets no target is in a chain, and all are free, each once.
func (st *State) checkChains(t *testing.T) {
	t.Helper()
	for i, w := range st.used {
		if w != 0 {
			t.Errorf("targets in use: word %d is %#x, want 0", i, w)
		}
	}
	for h, i := range st.heads {
		if i != none {
			t.Errorf("chain %d begins with target %d, want none", h, i)
		}
	}
	for name, walk := range map[string]func(uint16) uint16{
		"targets": func(i uint16) uint16 { return st.targets[i].next },
		"places":  func(i uint16) uint16 { return st.packets[i].next },
	} {
		first := st.freeT
		if name == "places" {
			first = st.freeP
		}
		seen := map[uint16]bool{}
		for i := first; i != none && !seen[i]; i = walk(i) {
			seen[i] = true
		}
		if len(seen) != MaxPackets {
			t.Errorf("%d %s are free, want %d; the first missing: %v", len(seen), name, MaxPackets,
				slices.Sorted(maps.Keys(seen))[:min(len(seen), 3)])
		}
	}
}

// TestRecent: told once in a while, and again when another one has taken the place.
func TestRecent(t *testing.T) {
	var r Recent
	const every = 1000
	if !r.Due(7, 1, every) || r.Due(7, 1000, every) || !r.Due(7, 1001, every) {
		t.Error("not due at 1 and 1001 alone, want it once in 1000")
	}
	other := uint64(7 + len(r)<<32)
	if !r.Due(other, 1002, every) || !r.Due(7, 1003, every) {
		t.Error("what has the same place is not due, want each in place of the other")
	}
}
