package box

import (
	"context"
	"slices"

	"penstock/ctrl/compile"
	"penstock/ctrl/event"
	"penstock/ctrl/guest"
	"penstock/ctrl/health"
	"penstock/ctrl/model"
)

// newGuests makes the set-up of guests. Without its records the box runs all the same.
func (b *Box) newGuests() {
	var err error
	b.guests, err = guest.New(guest.Config{Path: b.guestsFile(),
		Alarms: b.alarms, Log: b.log})
	if err != nil {
		b.log.Error("guests", "err", err)
	}
}

// followGuests says to the set-up of guests what the tables ask of them, after every change, until ctx is done.
func (b *Box) followGuests(ctx context.Context) {
	kinds := []string{string(model.KindVIF), string(model.KindVIP), string(model.KindService), string(model.KindServer)}
	r := b.events.After(b.events.Last())
	for due := true; ; {
		if due {
			b.guests.Set(guest.Of(b.core.State()))
		}
		list, err := r.Next(ctx, 1000)
		if err != nil {
			return
		}
		due = slices.ContainsFunc(list, func(e event.Event) bool {
			c, ok := e.Data.(event.Change)
			return e.Type == event.TypeGap || ok && slices.ContainsFunc(c.Kinds,
				func(k event.KindChange) bool { return slices.Contains(kinds, k.Kind) })
		})
	}
}

// live is the compiler, with the state of the guests in the status of their VIFs, and of the servers that this box
// checks in theirs.
type live struct {
	*compile.Compiler
	guests *guest.Service
	health *health.Checker
	box    *Box
}

// serverStatus is the status of a server of a service that this box directs.
type serverStatus struct {
	*compile.Status
	Health *health.Status `json:"health"`
}

// vifStatus is the status of a VIF that asks something of its guest.
type vifStatus struct {
	*compile.Status
	Guest *guest.Status `json:"guest"`
}

// Status implements core.Live.
func (l live) Status(kind model.Kind, key string) any {
	s := l.Compiler.Status(kind, key)
	if v, ok := s.(*compile.Status); ok && kind == model.KindVIF {
		if g := l.guests.Status(key); g != nil {
			return &vifStatus{v, g}
		}
	}
	if v, ok := s.(*compile.Status); ok && kind == model.KindVTEP && v != nil {
		l.box.vtepStatus(key, v)
	}
	if v, ok := s.(*compile.Status); ok && kind == model.KindBinding && v != nil {
		v.Held = l.box.heldUntil(key)
	}
	if v, ok := s.(*compile.Status); ok && kind == model.KindServer && v != nil {
		if h, ok := l.health.StatusOf(key); ok {
			return &serverStatus{v, &h}
		}
	}
	return s
}
