package box

import (
	"context"
	"os"
	"time"

	"penstock/conf"
	"penstock/ctrl/notify"
)

// Run starts the box, notifies systemd that it is ready, and serves until ctx is done or a required part fails. A
// signal on hup reloads the configuration. Run logs the warnings first.
func (b *Box) Run(ctx context.Context, hup <-chan os.Signal, warnings conf.Errors) error {
	for _, w := range warnings {
		b.log.Warn(w.Error())
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	sd := notify.FromEnv()
	b.notify(sd.Ready())
	b.log.Info("ready", "version", b.build.Version, "config", b.path, "socket", b.cfg.Load().Control.Socket,
		"revision", b.core.Revision())
	return b.follow(ctx, sd, hup)
}

// follow is the main loop. It waits for nothing but its events: reloads run beside it.
func (b *Box) follow(ctx context.Context, sd *notify.Notifier, hup <-chan os.Signal) error {
	watchdog := time.NewTicker(time.Second)
	if every := sd.WatchdogInterval(); every > 0 {
		watchdog.Reset(every / 3)
	}
	defer watchdog.Stop()
	progress := b.engine.Progress()
	reloaded := make(chan struct{}, 1)
	reloading, again := false, false
	reload := func() {
		reloading, again = true, false
		b.notify(sd.Reloading())
		b.task(func() { b.reload(ctx); reloaded <- struct{}{} })
	}
	for {
		select {
		case <-ctx.Done():
			b.notify(sd.Stopping())
			b.log.Info("stopping")
			return nil
		case <-hup:
			if again = reloading; !again {
				reload()
			}
		case <-reloaded:
			reloading = false
			b.notify(sd.Ready())
			if again {
				reload()
			}
		case <-watchdog.C:
			b.notify(sd.Flush())
			// systemd is notified only as long as every worker turns.
			if now := b.engine.Progress(); now != progress {
				progress = now
				b.notify(sd.Watchdog())
			}
		case err := <-b.failed:
			return err
		}
	}
}

// notify logs an error of the service manager, unless it is the last one logged.
func (b *Box) notify(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != b.notified {
		b.log.Warn("systemd notification", "err", err)
	}
	b.notified = text
}
