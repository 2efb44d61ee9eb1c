package steer_test

import (
	"testing"
	"time"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk/xsktest"
)

// TestAlone: what no socket takes stays away from the kernel if the port is nobody else's, and passes to it otherwise.
func TestAlone(t *testing.T) {
	for _, alone := range []bool{false, true} {
		xsktest.Namespace(t)
		a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
		attach(t, steer.Options{Ifindex: b.Index, Queues: 1, Alone: alone, Stamp: true})
		in, out := xsktest.Packet(t, b), xsktest.Packet(t, a)
		const frames = 20
		for n := range frames {
			if err := out.TrySend(xsktest.Frame(uint64(n), 60)); err != nil {
				t.Fatal(err)
			}
		}
		got := 0
		for in.Receive(200*time.Millisecond) != nil {
			got++
		}
		if want := map[bool]int{false: frames, true: 0}[alone]; got != want {
			t.Errorf("alone %v: the kernel saw %d frames, want %d", alone, got, want)
		}
	}
}
