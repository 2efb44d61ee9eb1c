package dataplane

import (
	"bytes"
	"context"
	"testing"
	"time"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/resolve"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
)

// TestMessagesWakeControl: a binding message on the wire wakes control, which gets its octets; one that is cut is
// counted. The reader has no timer, so a message that woke nobody would never be read.
func TestMessagesWakeControl(t *testing.T) {
	x := newBench(t, 1, small(2))
	fabric := fib.Port{Role: fib.RoleFabric, Up: true, MTU: 1600, Fabric: fib.Fabric{
		SwitchMAC: 0x02000000000a, OwnMAC: 0x020000000001, Prefix: 10<<24 | 2<<16, HostMask: 0xffff, BoxIP: 0x0a020001,
		Number: 2,
	}}
	x.Publish(&fib.Snapshot{Generation: 2, ControlVID: 4000, Ports: []fib.Port{fabric, fabric}})
	x.start()
	here := (&resolve.Body{Op: resolve.OpHere, Sequence: 1_800_000_000_000_000_000, Tenant: 300, Segment: 7,
		MAC: 0x020000000101, IP4: 0x0a000001, Switch: 0x02000000000b, Port: 17}).Append(nil)
	frame := append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0b\x81\x00\x0f\xa0\x88\xb5"),
		bytes.Repeat(here, 36)...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const rounds = 10
	for i := range rounds {
		x.a.Send(frame[:len(frame)-1])
		x.a.Send(frame)
		if !x.WaitResolve(ctx) {
			t.Fatalf("round %d: control was not woken for a message", i)
		}
		n := x.TakeMessages(func(a resolve.Arrival) {
			if a.Port != 0 || !a.Broadcast || a.MAC != 0x02000000000b || !bytes.Equal(a.Payload, frame[18:]) {
				t.Errorf("%+v, want the broadcast of port 0 with % x", a, frame[18:])
			}
		})
		if n != 1 {
			t.Errorf("round %d: %d messages, want 1", i, n)
		}
	}
	x.end()
	if r := x.Ports()[0]; r.Punted != rounds || r.Drops[drop.MessageShort] != rounds {
		t.Errorf("%d frames for control and %d cut, want %d each", r.Punted, r.Drops[drop.MessageShort], rounds)
	}
}

// TestWaitOnWire: frames for a destination without binding wait in a worker that naps, and leave within milliseconds
// once another goroutine writes the binding, without a new snapshot. What still waits when the engine stops is dropped.
func TestWaitOnWire(t *testing.T) {
	const late = 0x0200000000cc
	x := newBench(t, 1, small(2))
	s := x.snap
	s.Generation, s.ControlVID, s.Limits = 2, 4000, s.Limits.Room(len(s.VIFs), len(s.Attachments), 1)
	x.Publish(&s)
	x.start()
	f := data(3, 77)
	wire.PutMAC(f, late)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events := func(mac uint64) {
		t.Helper()
		if !x.WaitResolve(ctx) {
			t.Fatal("control was not woken for a miss")
		}
		want := resolve.Event{Kind: resolve.MissMAC, Tenant: 100, Segment: 1, MAC: mac}
		if n := x.TakeEvents(func(e resolve.Event) {
			if e != want {
				t.Errorf("control is told %+v, want %+v", e, want)
			}
		}); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
	}
	vif, _ := s.VIFByMAC.Get(fib.VIFKey(1, target))
	// A machine that stands still for a second lets the packet time out: then another one is sent.
	mac, waited := uint64(late), false
	for ; !waited && mac < late+10; mac++ {
		wire.PutMAC(f, mac)
		x.a.Send(f)
		events(mac)
		if got := x.b.Receive(50 * time.Millisecond); got != nil {
			t.Errorf("% x arrives without a binding", got)
		}
		if err := x.bindings.Upsert(&table.Binding{MAC: mac, Loc: fib.LocLocal | vif}); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		got := x.b.Receive(2 * time.Second)
		if waited = bytes.Equal(got, f); waited {
			t.Logf("it leaves %v after the binding is there", time.Since(at))
		}
	}
	if !waited {
		t.Errorf("no frame leaves when its binding comes")
	}
	vain := mac - late // those that came too late, and the next one
	wire.PutMAC(f, mac)
	x.a.Send(f)
	events(mac)
	x.end()
	if n := x.Ports()[0].Drops[drop.ResolveTimeout]; n != vain {
		t.Errorf("%d dropped as resolve_timeout, want %d: with the one that waited when the engine stopped", n, vain)
	}
}
