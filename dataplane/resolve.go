package dataplane

import (
	"context"

	"penstock/dataplane/resolve"
)

// TakeMessages calls fn for binding messages that other boxes have sent, and returns their number: 0 when there is
// none. It takes some of each opcode, so that the caller can do other things in between. The messages have the
// structure that resolve.Check looks for; their tags are not verified, and bodies with unknown opcodes may be among
// others. TakeMessages, TakeEvents and WaitResolve are for one goroutine at a time.
func (e *Engine) TakeMessages(fn func(resolve.Arrival)) (n int) { return e.resolver.TakeMessages(fn) }

// TakeEvents calls fn for what the packet path has to tell of bindings, and returns the number of events.
func (e *Engine) TakeEvents(fn func(resolve.Event)) (n int) { return e.resolver.TakeEvents(fn) }

// WaitResolve returns true when there is a message or an event to take, and false when ctx is done.
func (e *Engine) WaitResolve(ctx context.Context) bool { return e.resolver.Wait(ctx) }
