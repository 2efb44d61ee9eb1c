package box

import (
	"context"
	"errors"

	"penstock/ctrl/compile"
	"penstock/ctrl/event"
)

// reload is SIGHUP: like Reload, with the outcome in the log.
func (b *Box) reload(ctx context.Context) {
	if err := b.Reload(ctx); err != nil {
		b.log.Error("reload refused, the old configuration stays", "err", err)
	}
}

// Reload reads the configuration file and applies what changed, or refuses all of it. Implements api.Info.
func (b *Box) Reload(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next, err := b.loader.load(ctx, b.path, loadLimit)
	if err != nil {
		b.events.Publish(event.Reload{Error: err.Error()})
		return err
	}
	changes := b.cfg.Load().Diff(next)
	var errs []error
	for _, c := range changes {
		if !c.Live {
			errs = append(errs, errors.New(c.String()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		b.events.Publish(event.Reload{Error: err.Error()})
		return err
	}
	if len(changes) > 0 {
		known := b.gateways.State() // not what was saved when the box stopped: that may be long over
		err := b.core.Exclusive(ctx, func() error {
			return b.compiler.Reconfigure(func(c *compile.Config) { ApplyLive(c, next, known) })
		})
		if err != nil {
			b.events.Publish(event.Reload{Error: err.Error()})
			return err
		}
		b.engine.SetFlowRate(uint32(next.Balancer.NewFlowRate))
		b.setProbing(next)
		setLevel(b.level, next.Log.Level)
		b.cfg.Store(next)
		b.gateways.Refresh()
		b.places.Configure(placeSetting(next))
		b.alarms.SetReceivers(receivers(next))
	}
	b.log.Info("reloaded", "changes", len(changes))
	b.events.Publish(event.Reload{OK: true, Changes: len(changes)})
	return nil
}
