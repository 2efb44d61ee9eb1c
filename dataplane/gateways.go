package dataplane

import (
	"errors"
	"time"

	"penstock/dataplane/gateway"
)

// ErrNotRunning is returned for commands to gateway groups before Start and after Stop.
var ErrNotRunning = errors.New("the dataplane is not running")

// Clock returns the time on the clock of gateway events and of fib.MemberLive: nanoseconds since the engine was made.
func (e *Engine) Clock() int64 { return int64(time.Since(e.start)) }

// GatewayEvents returns the ring of the gateway groups' events. It has one reader.
func (e *Engine) GatewayEvents() *gateway.Events { return e.gateways.Events }

// SetCarrier announces that the interface of a port has gained or lost carrier, was set up or down, or is gone. It
// returns when the groups with members behind the port have switched: in one turn of the first worker, without new
// tables.
func (e *Engine) SetCarrier(port int, up bool) error {
	return e.command(func(now int64) error { e.keeper.SetCarrier(now, port, up); return nil })
}

// SwitchGateway makes the member in a slot of a group the active one. gateway.None stands for the first other member
// that is up. It returns when the member is active. Errors: gateway.ErrNoMember, ErrNotUp, ErrNoOther, or
// ErrNotRunning.
func (e *Engine) SwitchGateway(group, slot uint32) error {
	return e.command(func(now int64) error { return e.gateways.Switch(now, group, slot) })
}

// DisableGateway takes a member out of service. For the last member that can be active, force must be set
// (gateway.ErrLast).
func (e *Engine) DisableGateway(group, slot uint32, force bool) error {
	return e.command(func(now int64) error { return e.gateways.Disable(now, group, slot, force) })
}

// EnableGateway puts a member back into service.
func (e *Engine) EnableGateway(group, slot uint32) error {
	return e.command(func(now int64) error { return e.gateways.Enable(now, group, slot) })
}

// command runs fn on the first worker's thread, between two turns.
func (e *Engine) command(fn func(now int64) error) error {
	e.runMu.RLock()
	defer e.runMu.RUnlock()
	if !e.running {
		return ErrNotRunning
	}
	var err error
	e.workers[0].do(func(*worker) { err = fn(e.Clock()) })
	return err
}
