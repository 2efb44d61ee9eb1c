package dataplane

import (
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/flow"
)

// TestFlowReports: a box that directs nothing has no flow table; then the table, the servers' flows and the flows
// themselves are visible to readers while the workers run.
func TestFlowReports(t *testing.T) {
	x := newBench(t, 1, Config{Workers: 1, Frames: 1024, RingSize: 128, Flows: Flows{Limit: 4096}})
	x.start()
	if r := x.FlowTables(); len(r) != 1 || r[0].Limit != 0 {
		t.Errorf("before there is a VIP: reports %+v, want one without a table", r)
	}
	if n, known := x.ServerFlows(1<<fib.RefBits | 3); n != 0 || known {
		t.Errorf("before there is a VIP: a server has %d flows (known %v), want them unknown", n, known)
	}
	if next, n := x.ReadFlows(0, 0, make([]flow.Flow, 8)); next != 0 || n != 0 {
		t.Errorf("before there is a VIP: read %d flows and position %d, want none", n, next)
	}
	const server, other, vip = fib.Ref(1<<fib.RefBits | 3), fib.Ref(1<<fib.RefBits | 4), fib.Ref(1 << fib.RefBits)
	next := x.snap // a copy
	next.Generation = 2
	next.VIPs = []fib.VIP{{Ref: vip, Here: true}}
	next.Servers = make([]fib.Server, 8)
	x.Publish(&next)
	const flows = 1000
	x.workers[0].do(func(w *worker) {
		table := w.Balance.Flows
		for i := range uint16(flows) {
			k := flow.Key{Client: [2]uint64{0, 0x0a000001}, VIP: vip, ClientPort: i, Port: 80, Proto: 6}
			var p flow.Probe
			table.Prepare(&p, &k)
			to := server
			if i < 10 {
				to = other
			}
			if _, ok := table.Insert(&p, to, flow.Established, false); !ok {
				t.Errorf("flow %d was not inserted, want all %d in a table of 4096", i, flows)
			}
		}
		w.publish()
	})
	r := x.FlowTables()[0]
	if r.Limit != 4096 || r.Octets == 0 || r.Flows[flow.Established] != flows || r.Inserted != flows {
		t.Errorf("report %+v, want limit 4096, %d flows established and inserted, and memory", r, flows)
	}
	for ref, want := range map[fib.Ref]int{server: flows - 10, other: 10, 2<<fib.RefBits | 3: 0} {
		if n, known := x.ServerFlows(ref); n != want || !known {
			t.Errorf("server %#x has %d flows (known %v), want %d", ref, n, known, want)
		}
	}
	found := map[uint16]bool{}
	out := make([]flow.Flow, MaxReadFlows)
	for from := uint32(0); ; {
		next, n := x.ReadFlows(0, from, out)
		for _, f := range out[:n] {
			found[f.ClientPort] = true
			if f.State != flow.Established || f.Port != 80 || f.Client[1] != 0x0a000001 || f.VIP != vip {
				t.Errorf("flow %+v, want an established one of client 10.0.0.1 to port 80", f)
			}
		}
		if from = next; next == 0 {
			break
		}
	}
	if len(found) != flows {
		t.Errorf("read %d different flows, want %d", len(found), flows)
	}
	x.end()
	if next, n := x.ReadFlows(0, 0, out); next != 0 || n != 0 {
		t.Errorf("after the end: read %d flows and position %d, want none", n, next)
	}
}
