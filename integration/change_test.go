package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// TestTransactionsAreAtomic changes a path (snapshot) and a binding (large table) together, over and over, under
// traffic: every frame must leave by the old of both or by the new of both.
func TestTransactionsAreAtomic(t *testing.T) {
	f := startFabric(t, oneBox())
	edge, raw := f.edge(t, "box1"), f.raw(t, "red-raw1")
	target := f.VM("red-vm2")
	states := []struct {
		vlan uint16
		port uint8
	}{{101, 2}, {102, 5}}
	change := func(i int) []lab.Operation {
		b := f.Binding(target)
		b.SwitchPort = uint16(states[i].port)
		d := lab.Documents{Bindings: []model.Binding{b}, Paths: f.Paths([]uint16{states[i].vlan})}
		return d.Operations()
	}
	f.push("box1", change(0))

	const rounds = 150
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range rounds {
			f.push("box1", change((i+1)%2))
		}
	}()
	seen := make(map[string]int)
	for port := uint16(1000); ; port++ {
		must(t,
			raw.Send(bytesOf(endpoint.UDP4(f.host("red-raw1"), f.host("red-vm2"), 0, port, 9,
				[]byte("one or the other")))))
		got, err := edge.Encapsulated(time.Second)
		must(t, err)
		seen[fmt.Sprint(got.VID, got.Dst)]++
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	t.Logf("%d transactions; frames: %v", rounds, seen)
	for i, s := range states {
		key := fmt.Sprint(s.vlan, endpoint.Special(f.Options.Scheme, s.port, 100))
		if seen[key] < 20 {
			t.Errorf("%d frames in state %d (%s)", seen[key], i, key)
		}
		delete(seen, key)
	}
	if len(seen) != 0 {
		t.Errorf("frames of half a transaction: %v", seen)
	}
}

// TestVIFMoves moves a VIF to another box and back: by deleting it here, making it there and pushing the bindings.
func TestVIFMoves(t *testing.T) {
	o := rawPair()
	// An access port with nothing on it waits for the VIF on box2.
	spare := lab.VMSpec{Tenant: "blue", Segment: "web", Name: "spare", Box: "box2", MAC: 0x020000000001, Raw: true}
	watcher := o.VMs[1]
	watcher.Name, watcher.MAC = "red-vm3", 0x020000000003
	watcher.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.3/24")}
	o.VMs = append(o.VMs, spare, watcher)
	f := startFabric(t, o)
	f.push("box2", []lab.Operation{{Op: "delete", Kind: model.KindVIF, Key: "blue/spare"}})
	from, moving := f.host("red-vm3"), f.host("red-vm1")
	tx := f.raw(t, "red-vm3")
	places := map[string]*endpoint.Raw{"box1": f.raw(t, "red-vm1"), "box2": f.raw(t, "spare")}
	home, binding := f.VM("red-vm1").VIF(), f.Binding(f.VM("red-vm1"))
	key, bindingKey := "red/red-vm1", "red/web/"+moving.MAC.String()
	moved := home
	moved.Port = f.VM("spare").Port
	there := binding
	there.SwitchMAC, there.SwitchPort = f.Node("swb").MAC, 2

	check := func(t *testing.T, at string, port uint16) {
		t.Helper()
		frame := bytesOf(endpoint.UDP4(from, moving, 0, port, 9, []byte("where are you")))
		must(t, tx.Send(frame))
		for name, rx := range places {
			_, err := rx.Find(200*time.Millisecond, func(b []byte) bool { return bytes.Equal(b, frame) })
			if (err == nil) != (name == at) {
				t.Errorf("the VIF is on %s; %s receives its frame: %v", at, name, err == nil)
			}
		}
	}
	check(t, "box1", 1)
	f.push("box1", []lab.Operation{{Op: "delete", Kind: model.KindVIF, Key: key},
		{Op: "put", Kind: model.KindBinding, Key: bindingKey, Value: there}})
	f.push("box2", []lab.Operation{{Op: "delete", Kind: model.KindBinding, Key: bindingKey},
		{Op: "put", Kind: model.KindVIF, Key: key, Value: moved}})
	check(t, "box2", 2)
	f.push("box2", []lab.Operation{{Op: "delete", Kind: model.KindVIF, Key: key},
		{Op: "put", Kind: model.KindBinding, Key: bindingKey, Value: binding}})
	f.push("box1", []lab.Operation{{Op: "delete", Kind: model.KindBinding, Key: bindingKey},
		{Op: "put", Kind: model.KindVIF, Key: key, Value: home}})
	check(t, "box1", 3)
}

// TestUnknownUnicast expects unknown unicast to be flooded in a segment with unknown_unicast = "flood", and dropped in
// others.
func TestUnknownUnicast(t *testing.T) {
	f := startFabric(t, rawPair())
	from := f.host("red-vm1")
	tx, rx := f.raw(t, "red-vm1"), f.raw(t, "red-vm2")
	frame := bytesOf(endpoint.UDP4(from, endpoint.Host{MAC: 0x0200000000ee, IPv4: f.host("red-vm2").IPv4}, 0, 1, 2,
		[]byte("anybody there?")))
	for _, mode := range []string{"drop", "flood", "drop"} {
		segment := f.Options.Segments[0]
		segment.UnknownUnicast = mode
		for _, n := range f.Boxes {
			f.push(n.Name, []lab.Operation{{Op: "put", Kind: model.KindSegment, Key: segment.Tenant + "/" +
				segment.Name, Value: segment}})
		}
		before := f.drops("box1")
		must(t, tx.Send(frame))
		want := 0
		if mode == "flood" {
			want = 1
		}
		got, err := rx.Gather(want, time.Second, func(b []byte) bool { return bytes.Equal(b, frame) })
		must(t, err)
		if mode == "flood" {
			if len(got) != 1 || !bytes.Equal(got[0], frame) {
				t.Errorf("%s: %d frames at the other VIF", mode, len(got))
			}
			continue
		}
		if len(got) != 0 {
			t.Errorf("unknown unicast %s: got frames % x, want none", mode, got)
		}
		f.expectDrops(t, "box1", before, map[string]uint64{"unresolved": 1})
	}
}
