package overlay

import (
	"math/rand/v2"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/stage"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

func paths(n int) []fib.Path {
	p := make([]fib.Path, n)
	for i := range p {
		p[i] = fib.Path{VID: uint16(101 + i), Weight: 1, MTU: 1600, Seed: uint32(i+1) * 2654435761}
	}
	return p
}

// chooser encapsulates a frame and returns the VLAN ID of the path it took.
func chooser(sw fib.Switch) func(hash uint32) uint16 {
	mem := make([]byte, 2048)
	s := &fib.Snapshot{Switches: []fib.Switch{sw}, Segments: []fib.Segment{{Tenant: 2, ID: 1}}, Ports: []fib.Port{{}}}
	env := &stage.Env{
		Mem: mem, Snap: s, Paths: stats.NewBlock(2 * stats.TrafficLen), Queues: make([]frame.Queue, 1),
	}
	st := NewState(env)
	b := &frame.Batch{N: 1}
	return func(hash uint32) uint16 {
		b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: 60, Hash: hash, Next: frame.NextEncap}
		st.Encapsulate(b)
		return wire.Ethernet(mem[st.Queues[0].Take()[0].Addr:]).Tag().VID()
	}
}

// TestPathChoice: each path carries its share of the flows, and a path that fails moves the flows of that path only.
func TestPathChoice(t *testing.T) {
	const flows = 200_000
	all := paths(4)
	var whole, without fib.Switch
	whole.SetPaths(all)
	without.SetPaths(append(append([]fib.Path{}, all[:2]...), all[3:]...))
	inWhole, inWithout := chooser(whole), chooser(without)
	rng := rand.New(rand.NewPCG(1, 2))
	share := map[uint16]int{}
	for range flows {
		h := rng.Uint32()
		before, after := inWhole(h), inWithout(h)
		share[before]++
		if before != all[2].VID && after != before {
			t.Fatalf("flow %#x moved from path %d to %d, want no move: its path has not failed", h, before, after)
		}
		if after == all[2].VID {
			t.Fatalf("flow %#x uses the failed path %d, want another one", h, after)
		}
	}
	for vid, n := range share {
		if n < flows/4*95/100 || n > flows/4*105/100 {
			t.Errorf("path %d carries %d of %d flows, want a quarter", vid, n, flows)
		}
	}
}

// TestWeightedPathChoice: each path carries a share of the flows in proportion to its weight.
func TestWeightedPathChoice(t *testing.T) {
	const flows = 200_000
	p := paths(3)
	p[2].Weight = 2
	var sw fib.Switch
	sw.SetPaths(p)
	in, share := chooser(sw), map[uint16]int{}
	rng := rand.New(rand.NewPCG(3, 4))
	for range flows {
		share[in(rng.Uint32())]++
	}
	for i, want := range []int{flows / 4, flows / 4, flows / 2} {
		if n := share[p[i].VID]; n < want*95/100 || n > want*105/100 {
			t.Errorf("path %d of weight %d carries %d flows, want about %d", p[i].VID, p[i].Weight, n, want)
		}
	}
}

// TestFromFabric: a packet from the fabric is delivered, flooded or dropped on this box, and never goes back to the
// fabric.
func TestFromFabric(t *testing.T) {
	s := &fib.Snapshot{Segments: []fib.Segment{{}, {UnknownUnicast: true}}}
	for _, tc := range []struct {
		name string
		seg  uint32
		loc  fib.Loc
		ok   bool
		next frame.Next
		why  drop.Reason
	}{
		{"local", 0, fib.LocLocal | 3, true, frame.NextDeliver, drop.None},
		{"on another box", 0, fib.RemoteLoc(1, 2), true, frame.NextDrop, drop.FabricRelay},
		{"unknown", 0, 0, false, frame.NextDrop, drop.FabricNotHere},
		{"unknown, flooding", 1, 0, false, frame.NextFlood, drop.None},
		{"on another box, flooding", 1, fib.RemoteLoc(1, 2), true, frame.NextDrop, drop.FabricRelay},
	} {
		p := frame.Packet{Seg: tc.seg, Flags: frame.FlagFromFabric, Next: frame.NextLookup}
		if fromFabric(&p, s, tc.loc, tc.ok); p.Next != tc.next || p.Drop != tc.why {
			t.Errorf("%s: next %d, drop %v; want %d, %v", tc.name, p.Next, p.Drop, tc.next, tc.why)
		}
	}
}
