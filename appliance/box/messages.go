package box

import (
	"context"
	"fmt"
	"slices"
	"time"

	"penstock/ctrl/compile"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/place"
	protocol "penstock/ctrl/resolve"
	"penstock/ctrl/status"
	"penstock/ctrl/unicast"
	"penstock/dataplane/fib"
	"penstock/dataplane/resolve"
)

// newResolve makes the protocol by which boxes tell each other where VIFs are. Without a control VLAN there is none.
func (b *Box) newResolve() {
	cfg := b.cfg.Load()
	b.here.Store(-1)
	if cfg.Fabric.ControlVLAN == 0 {
		return
	}
	b.resolve = protocol.New(protocol.Config{
		Table: b.compiler, Wire: wire{b}, Keys: b.fabricKeys, Alarms: b.alarms, Log: b.log,
		Now:  func() int64 { return b.started.UnixNano() + int64(time.Since(b.started)) },
		File: b.claimsFile(),
		Heard: func(x protocol.Box) {
			b.log.Info("another box of the fabric", "place", placeText(x.At), "mac", x.MAC, "state", x.State)
			b.events.Publish(event.Box{Place: placeText(x.At), SwitchMAC: x.At.Switch.String(), SwitchPort: x.At.Port,
				MAC: x.MAC.String(), State: x.State})
		},
		Directors: b.directors.Binding, SyncRate: cfg.Fabric.SyncRate,
	})
}

// followMessages gives the binding messages of other boxes, and what the packet path tells, to those in control who
// want them, until ctx is done.
func (b *Box) followMessages(ctx context.Context) {
	var events []resolve.Event
	for b.engine.WaitResolve(ctx) {
		b.engine.TakeMessages(b.message) // some of each opcode: a flood of messages keeps no event waiting
		b.engine.TakeEvents(func(e resolve.Event) {
			b.learner.Event(&e)
			events = append(events, e)
		})
		if b.resolve != nil && len(events) > 0 {
			b.resolve.Events(events)
		}
		events = events[:0]
	}
}

// message takes a message. Without the protocol there are the claims of directors alone.
func (b *Box) message(a resolve.Arrival) {
	switch {
	case b.resolve != nil:
		b.resolve.Message(a)
	case !a.Broadcast:
		b.directors.Binding(a.Payload)
	}
}

// ownPause is the least time between two looks at the VIFs of this box.
const ownPause = 10 * time.Millisecond

// freedPause is the least time between two comparisons of all bindings with their owners because pushed rows went.
const freedPause = 10 * time.Second

// followOwn tells the protocol of new tables and places, until ctx is done.
func (b *Box) followOwn(ctx context.Context) {
	if b.resolve == nil {
		return
	}
	segments, freed := b.compiler.Snapshot().SegmentByID, b.compiler.Freed()
	var again <-chan time.Time // when the last look was so lately that the next one waits
	var looked time.Time
	for {
		b.setSelf()
		b.resolve.Refresh()
		if s := b.compiler.Snapshot().SegmentByID; s != segments {
			segments = s
			b.resolve.Resync()
		}
		if n := b.compiler.Freed(); n != freed {
			if wait := freedPause - time.Since(looked); wait <= 0 {
				freed, looked, again = n, time.Now(), nil
				b.resolve.Resync()
			} else if again == nil {
				again = time.After(wait)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(ownPause):
		}
		select {
		case <-ctx.Done():
			return
		case <-b.owned:
		case <-again:
			again = nil
		}
	}
}

// setSelf says where this box is: at the first fabric port that has carrier and a place that is confirmed.
func (b *Box) setSelf() {
	s := b.compiler.Snapshot()
	index := map[string]int{}
	for i, p := range b.cfg.Load().Ports {
		index[p.Name] = i
	}
	for _, st := range b.places.States() {
		i, ok := index[st.Port]
		confirmed := st.Origin == place.OriginConfigured || st.Origin == place.OriginLLDP
		if !ok || i >= len(s.Ports) || s.Ports[i].Role != fib.RoleFabric || !s.Ports[i].Up || !confirmed {
			continue
		}
		b.here.Store(int32(i))
		b.resolve.SetSelf(protocol.Self{At: st.At, MAC: model.MAC(s.Ports[i].MAC), Since: st.Since})
		return
	}
	b.here.Store(-1)
	b.resolve.SetSelf(protocol.Self{})
}

// wire sends binding messages by the fabric port at which the box is.
type wire struct{ b *Box }

// Broadcast sends to all boxes: in the control VLAN, as any frame of a box with the MAC of its edge switch as source.
func (w wire) Broadcast(payload []byte) bool {
	return w.Chirp(w.b.cfg.Load().Fabric.ControlVLAN, payload)
}

// Paths returns the path VLANs by which the fabric port reaches edge switches.
func (w wire) Paths() (list []uint16) {
	port, s := int(w.b.here.Load()), w.b.compiler.Snapshot()
	for i := range s.Switches {
		for _, p := range s.Switches[i].Paths {
			if int(p.Port) == port {
				list = append(list, p.VID)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Chirp broadcasts in a VLAN.
func (w wire) Chirp(vlan uint16, payload []byte) bool {
	port, s := int(w.b.here.Load()), w.b.compiler.Snapshot()
	if port < 0 || port >= len(s.Ports) {
		return false
	}
	return w.b.slow.Inject(port, unicast.Broadcast(s.Ports[port].Fabric.SwitchMAC, vlan, payload))
}

// Unicast sends to the box at a place.
func (w wire) Unicast(to compile.Place, payload []byte) (ok bool) {
	w.b.compiler.Read(func(s *fib.Snapshot) {
		port := int(w.b.here.Load())
		if port < 0 || port >= len(s.Ports) {
			return
		}
		at := &s.Ports[port].Fabric
		for i := range s.Switches {
			if s.Switches[i].MAC != uint64(to.Switch) {
				continue
			}
			source := unicast.SourcePort(at.SwitchMAC, at.Number)
			var f []byte
			if port, f, ok = unicast.Frame(s, port, uint32(i), to.Port, unicast.PortBinding, source, payload); ok {
				ok = w.b.slow.Inject(port, f)
			}
			return
		}
	})
	return ok
}

// Boxes implements api.Info.
func (b *Box) Boxes() []status.FabricBox {
	list := []status.FabricBox{}
	if b.resolve == nil {
		return list
	}
	for _, x := range b.resolve.Boxes() {
		list = append(list, status.FabricBox{
			Place: placeText(x.At), SwitchMAC: x.At.Switch, SwitchPort: x.At.Port, MAC: x.MAC, State: x.State,
			First: x.First.UTC(), Heard: x.Heard.UTC(), Bindings: x.Bindings, Known: x.Known,
		})
	}
	return list
}

// Sync implements api.Info.
func (b *Box) Sync(place string) bool {
	if b.resolve == nil {
		return false
	}
	for _, x := range b.resolve.Boxes() {
		if placeText(x.At) == place {
			return b.resolve.Sync(x.At)
		}
	}
	return false
}

// claimAgain claims VIFs that were pushed, and that other boxes have claimed, for this box.
func (b *Box) claimAgain(keys []string) {
	for _, key := range keys {
		if k, ok := b.compiler.FabricKeyOfVIF(key); ok && b.resolve != nil {
			b.resolve.Again(k)
		}
	}
}

// heldUntil is until when a binding is held as it is, since its VIF moved too often; nil = it is not.
func (b *Box) heldUntil(key string) *time.Time {
	name, err := model.ParseBindingKey(key)
	if err != nil || b.resolve == nil {
		return nil
	}
	if k, ok := b.compiler.FabricKeyOf(name); ok {
		if until, held := b.resolve.Held(k); held {
			until = until.UTC()
			return &until
		}
	}
	return nil
}

// ReleaseBinding implements api.Info.
func (b *Box) ReleaseBinding(key model.BindingKey) bool {
	k, ok := b.compiler.FabricKeyOf(key)
	return ok && b.resolve != nil && b.resolve.Release(k)
}

func placeText(at compile.Place) string { return fmt.Sprintf("%s-%d", at.Switch, at.Port) }
