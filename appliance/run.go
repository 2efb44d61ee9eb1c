package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"penstock/appliance/box"
	"penstock/conf"
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

// live is: configuration, check of the machine, then package box until a signal ends it.
func live(ctx context.Context, path string, hup <-chan os.Signal) error {
	cfg, err := conf.Load(path)
	if err != nil {
		return &exitError{exitConfig, err}
	}
	// All that this machine lacks is reported together, before anything is changed.
	errs, warnings := conf.Check(cfg, conf.Machine{})
	if len(errs) > 0 {
		return &exitError{exitConfig, errs}
	}
	b, err := box.New(cfg, path, box.Build{Version: version, Commit: commit})
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Run(ctx, hup, warnings)
}
