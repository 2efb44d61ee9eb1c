package box

import (
	"context"
	"time"

	"penstock/conf"
	"penstock/ctrl/conflict"
	"penstock/dataplane/punt"
)

// watchConflicts raises alarms about stations that claim virtual addresses, until ctx is done.
func (b *Box) watchConflicts(ctx context.Context) error {
	w := conflict.New(conflict.Config{
		Alarms: b.alarms, State: b.core.State, Now: time.Now,
		Port: func(i int) (string, bool) {
			ports := b.cfg.Load().Ports
			if i < 0 || i >= len(ports) {
				return "unknown", false
			}
			return ports[i].Name, ports[i].Role == conf.RoleFabric
		},
	})
	b.task(func() { w.Run(ctx) })
	return b.slow.HandleStation(punt.VIPConflict, w.Punt)
}
