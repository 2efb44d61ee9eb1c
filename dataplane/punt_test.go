package dataplane

import (
	"context"
	"slices"
	"testing"
	"time"

	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire"
)

// TestPuntWakesControl: a frame for control wakes it, on a box that is idle otherwise, and an idle box wakes nobody.
// The reader has no timer, so a frame that woke nobody would never be read.
func TestPuntWakesControl(t *testing.T) {
	const own = 0x02ee00000001
	x := newBench(t, 1, small(2))
	downlink := fib.Port{Role: fib.RoleDownlink, Up: true, MTU: 1500}
	s := fib.Snapshot{Generation: 2, Ports: []fib.Port{downlink, downlink}}
	s.Edge.MAC, s.Edge.ByPort = own, []fib.EdgePort{{Number: 1}, {Number: 2}}
	x.Publish(&s)
	x.start()
	lldp := make([]byte, 60)
	wire.PutMAC(lldp[0:], 0x0180c200000e)
	wire.PutMAC(lldp[6:], source0)
	lldp[12], lldp[13] = 0x88, 0xcc

	var took []time.Duration
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 10 {
		// Meanwhile the workers fall asleep, and the limits recover.
		quiet, end := context.WithTimeout(ctx, 120*time.Millisecond)
		if x.Punts().Wait(quiet) {
			t.Fatalf("round %d: control was woken, and nothing had been received", i)
		}
		end()
		at := time.Now()
		x.a.Send(lldp)
		if !x.Punts().Wait(ctx) {
			t.Fatalf("round %d: control was not woken for a frame", i)
		}
		took = append(took, time.Since(at))
		n := x.Punts().Take(func(port int, k punt.Kind, data []byte) {
			if port != 0 || k != punt.LLDP || !slices.Equal(data, lldp) {
				t.Errorf("port %d, %s, % x, want the LLDP frame from port 0", port, k, data)
			}
		})
		if n != 1 {
			t.Errorf("round %d: %d frames, want 1", i, n)
		}
	}
	slices.Sort(took)
	t.Logf("from sending to control: median %v, longest %v", took[len(took)/2], took[len(took)-1])
	x.end()
	if r := x.Ports()[0]; r.Punts[punt.LLDP] != 10 || r.Punted != 10 {
		t.Errorf("%d frames counted as LLDP for control and %d in all, want 10", r.Punts[punt.LLDP], r.Punted)
	}
}
