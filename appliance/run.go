package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"penstock/conf"
	"penstock/ctrl/notify"
)

const defaultConfig = "/etc/penstock/penstock.toml"

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:     "run",
		Short:   "Run the box in the foreground",
		Example: "  penstock run --config /etc/penstock/penstock.toml",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c.Context(), path) },
	}
	c.Flags().StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	return c
}

// run is the life of a box, and ends within stopLimit of a signal, whatever hangs.
func run(ctx context.Context, path string) error {
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return interruptible(ctx, stopLimit, func() error { return live(ctx, path, hup) })
}

// live is: configuration, store, tables, rings filled, READY; then events until a signal ends it.
func live(ctx context.Context, path string, hup <-chan os.Signal) error {
	cfg, err := conf.Load(path)
	if err != nil {
		return &exitError{exitConfig, err}
	}
	// What this machine lacks is said before anything is touched, all at once.
	errs, warnings := conf.Check(cfg, conf.Machine{})
	if len(errs) > 0 {
		return &exitError{exitConfig, errs}
	}
	b, err := newBox(cfg, path)
	if err != nil {
		return err
	}
	defer b.close()
	for _, w := range warnings {
		b.log.Warn(w.Error())
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	sd := notify.FromEnv()
	b.notify(sd.Ready())
	b.log.Info("ready", "version", version, "config", path, "socket", cfg.Control.Socket, "revision", b.core.Revision())
	return b.follow(ctx, sd, hup)
}

// follow is the main loop. It waits for nothing but its events: reloads run beside it.
func (b *box) follow(ctx context.Context, sd *notify.Notifier, hup <-chan os.Signal) error {
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
			// systemd is told only as long as every worker turns.
			if now := b.engine.Progress(); now != progress {
				progress = now
				b.notify(sd.Watchdog())
			}
		case err := <-b.failed:
			return err
		}
	}
}
