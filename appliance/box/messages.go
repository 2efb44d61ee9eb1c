package box

import (
	"context"

	"penstock/dataplane/resolve"
)

// followMessages gives the binding messages of other boxes to those in control who want them, until ctx is done.
func (b *Box) followMessages(ctx context.Context) {
	for b.engine.WaitResolve(ctx) {
		for b.engine.TakeMessages(b.message) > 0 && ctx.Err() == nil {
		}
		b.engine.TakeEvents(func(resolve.Event) {})
	}
}

// message takes a claim of a director.
func (b *Box) message(a resolve.Arrival) {
	if !a.Broadcast {
		b.directors.Binding(a.Payload)
	}
}
