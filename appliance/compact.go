package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"penstock/conf"
	"penstock/ctrl/store"
)

func compactCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compact [FILE]",
		Short: "Make the tables' file small again after much was deleted; the box must not run",
		Long: `The file of the tables keeps the room of what was deleted, for what comes next. This gives the room back to the disk.
The file is copied beside itself, the copy is checked, and then takes its place. FILE is the configuration.`,
		Example: `  penstock compact
  penstock compact /etc/penstock/penstock.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := defaultConfig
			if len(args) == 1 {
				path = args[0]
			}
			cfg, err := conf.Load(path)
			if err != nil {
				return &exitError{exitConfig, err}
			}
			db := filepath.Join(cfg.Box.StateDir, "penstock.db")
			before, after, err := store.Compact(db)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d KiB, before %d KiB\n", db, after>>10, before>>10)
			return nil
		},
	}
}
