package box

import (
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/flowfile"
	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
	"penstock/dataplane/table"
)

// TestFlowOf: a saved flow resolves to the service that its packets go to now, or not at all.
func TestFlowOf(t *testing.T) {
	const count = 1 << fib.RefBits
	exact := func(port uint16, service uint32) *table.Static {
		return table.NewStatic([]uint64{fib.ServiceKey(6, port)}, []uint32{service})
	}
	s := &fib.Snapshot{
		VIPs:     []fib.VIP{{Ref: count, Exact: exact(80, 0)}, {Ref: count | 1, V6: true, Exact: exact(80, 1)}},
		Services: []fib.Service{{VIP: 0}, {VIP: 1}},
		Servers:  []fib.Server{{Ref: count}, {Ref: count | 1, Service: 1}, {Ref: 2*count | 2}},
	}
	v4, v6 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00:1:2::3")
	good := flowfile.Flow{Client: v4, ClientPort: 5, Port: 80, Proto: 6, State: flow.Closing, OffTable: true,
		Age: 3 * time.Second}
	for _, c := range []struct {
		name   string
		edit   func(f *flowfile.Flow)
		server fib.Ref
		ok     bool
		vip    fib.Ref
		client [2]uint64
	}{
		{"IPv4", func(*flowfile.Flow) {}, count, true, count, [2]uint64{0, 0x0a010203}},
		{"IPv6", func(f *flowfile.Flow) { f.Client = v6 }, count | 1, true, count | 1,
			[2]uint64{0xfd00_0001_0002_0000, 3}},
		{"no server of that name", func(*flowfile.Flow) {}, 0, false, 0, [2]uint64{}},
		{"a former server", func(*flowfile.Flow) {}, count | 2, false, 0, [2]uint64{}},
		{"no such index", func(*flowfile.Flow) {}, count | 9, false, 0, [2]uint64{}},
		{"the other family", func(f *flowfile.Flow) { f.Client = v6 }, count, false, 0, [2]uint64{}},
		{"another port now", func(f *flowfile.Flow) { f.Port = 81 }, count, false, 0, [2]uint64{}},
		{"another protocol", func(f *flowfile.Flow) { f.Proto = 17 }, count, false, 0, [2]uint64{}},
	} {
		f := good
		c.edit(&f)
		x, ok := flowOf(s, &f, c.server)
		if ok != c.ok {
			t.Errorf("%s: resolved %v, want %v", c.name, ok, c.ok)
			continue
		}
		if !ok {
			continue
		}
		want := flow.Flow{
			Key:    flow.Key{Client: c.client, VIP: c.vip, ClientPort: 5, Port: 80, Proto: 6, V6: f.Client.Is6()},
			Server: c.server, State: flow.Closing, OffTable: true, Age: 3000,
		}
		if x != want {
			t.Errorf("%s: %+v, want %+v", c.name, x, want)
		}
		if got := clientOf(&x); got != f.Client {
			t.Errorf("%s: the client is %v again, want %v", c.name, got, f.Client)
		}
	}
}
