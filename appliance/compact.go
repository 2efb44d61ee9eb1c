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
		Short: "Shrink the tables' file after many deletions; the box must not run",
		Long: `The file of the tables keeps the space of deleted rows for new ones. This command gives the space
back to the disk: it copies the file into the same directory, checks the copy, and replaces the file
by the copy. FILE is the configuration.`,
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
