package route

import (
	"fmt"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

func parseOK(mem []byte, p *frame.Packet) bool { return parse.Access(mem, p) }

// renewer returns a function that undoes what Route has changed in the batch.
func renewer(mem []byte, b *frame.Batch, frames [][]byte) func() {
	was := *b
	return func() {
		*b = was
		for i, f := range frames {
			copy(mem[was.Pkt[i].Off:], f[:34])
		}
	}
}

func TestNoAllocation(t *testing.T) {
	s := snapshot(t)
	s.ICMPRate, s.ICMPBurst = 1<<30, 1<<30
	var frames [][]byte
	for len(frames) < frame.BatchSize {
		frames = append(frames, packet(t, "10.1.0.10", "10.2.0.11", 64), packet(t, "fd01::a", "fd02::c", 64),
			packet(t, "10.1.0.10", "10.2.0.11", 1), packet(t, "10.1.0.10", "10.2.0.99", 64))
	}
	mem, b := parsed(t, 0, frames...)
	renew := renewer(mem, b, frames)
	st := newState(mem, s)
	if n := testing.AllocsPerRun(100, func() { renew(); st.Route(b) }); n != 0 {
		t.Errorf("%v allocations per batch, want none", n)
	}
}

// BenchmarkRoute routes full batches to n bindings in turn. "renew" measures restoring the batch, "lookup" restoring
// the batch and the table's part: prefetch, search and find. The rest of "route" is the router's own part.
func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{1, 1000} {
		var rows []table.Binding
		for i := range n {
			rows = append(rows, table.Binding{
				Seg: 1, MAC: 0x020000100000 + uint64(i), Loc: fib.RemoteLoc(1, 1),
				IP4: []uint32{ip4("10.2.64.0") + uint32(i)},
			})
		}
		s := snapshot(b, rows...)
		s.Routers[0].Subnets4[1].End = ip4("10.2.255.255")
		var frames [][]byte
		for i := range frame.BatchSize {
			a := ip4("10.2.64.0") + uint32(i*997%n)
			frames = append(frames, packet(b, "10.1.0.10", fmt.Sprintf("10.2.%d.%d", a>>8&255, a&255), 64))
		}
		mem, batch := parsed(b, 0, frames...)
		renew := renewer(mem, batch, frames)
		st := newState(mem, s)
		var hops [frame.BatchSize]table.Hop
		lookup := func() {
			renew()
			for i, f := range frames {
				hops[i].Seg, hops[i].IP4, hops[i].V4 = 1, wire.IPv4(f[14:]).Dst(), true
			}
			st.touched += s.Bindings.SeekHops(hops[:])
			for i := range hops {
				mac, _, _ := table.FindHop4(s.Bindings, nil, &hops[i])
				st.touched += mac
			}
		}
		route := func() { renew(); st.Route(batch) }
		for name, f := range map[string]func(){"renew": renew, "lookup": lookup, "route": route} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				before := st.Counters.Routed
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
				if name == "route" && st.Counters.Routed-before < uint64(b.N)*frame.BatchSize {
					b.Fatalf("%d packets routed, want %d at least",
						st.Counters.Routed-before, uint64(b.N)*frame.BatchSize)
				}
			})
		}
	}
}

// BenchmarkNothing measures the cost of the stage for a batch without packets to route.
func BenchmarkNothing(b *testing.B) {
	s := snapshot(b)
	batch := &frame.Batch{N: frame.BatchSize}
	st := newState(nil, s)
	for b.Loop() {
		st.Route(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frame.BatchSize, "ns/pkt")
}
