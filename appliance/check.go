package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"penstock/conf"
	"penstock/ctrl/printable"
)

func checkCommand() *cobra.Command {
	var fileOnly bool
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file, and change nothing",
		Long: `Checks the file, then whether this machine has what the file requires: interfaces, queues, MTUs,
rights, kernel. All errors are printed, not only the first. Exit code 0: the box would start.`,
		Example: `  penstock check /etc/penstock/penstock.toml
  penstock check --file-only new.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := defaultConfig
			if len(args) == 1 {
				path = args[0]
			}
			var cfg *conf.Config
			// it may be a pipe
			err := interruptible(c.Context(), 0, func() (err error) { cfg, err = conf.Load(path); return err })
			if err != nil {
				return &exitError{exitConfig, err}
			}
			if !fileOnly {
				errs, warnings := conf.Check(cfg, conf.Machine{})
				for _, w := range warnings {
					fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", printable.Text(w.Error()))
				}
				if len(errs) > 0 {
					return &exitError{exitConfig, errs}
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: in order\n", path)
			return nil
		},
	}
	c.Flags().BoolVar(&fileOnly, "file-only", false, "check the file alone, not this machine")
	return c
}
