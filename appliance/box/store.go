package box

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/gateway"
	"penstock/ctrl/store"
)

// openStore opens the tables' store, which also keeps a second box out of the state directory, and then tidies up
// there.
func (b *Box) openStore() (err error) {
	dir := b.cfg.Load().Box.StateDir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("box.state_dir: %w", err)
	}
	o := store.Options{Traces: []string{b.alarmFile(), b.gatewayState()}}
	if b.store, err = store.Open(filepath.Join(dir, "penstock.db"), o); err != nil {
		return err
	}
	if err := errors.Join(gateway.Clean(b.gatewayState()), cleanBackups(dir)); err != nil {
		b.log.Warn("what interrupted writes left in box.state_dir cannot be removed", "err", err)
	}
	return nil
}

// watchStore raises and clears the store's alarm, and makes the store try again after a write of unknown outcome, until
// ctx is done.
func (b *Box) watchStore(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last := ""
	for {
		text := ""
		if err := b.store.Verify(); err != nil {
			text = fmt.Sprintf("The tables' store refuses writes: %v. The dataplane continues with its present "+
				"tables; pushes are refused.", err)
		}
		switch {
		case text == "":
			b.alarms.Clear(alarm.StoreFailing, "store")
		case text != last:
			b.alarms.Raise(alarm.Report{Kind: alarm.StoreFailing, Object: "store", Text: text})
		}
		last = text
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
