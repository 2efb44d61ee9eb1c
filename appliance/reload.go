package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	var s socketFlags
	c := &cobra.Command{
		Use:   "reload",
		Short: "Apply the changed configuration file to the running box",
		Long: `Reads the configuration file again and applies what can change while the box runs. If anything in it
needs a restart, or the file is wrong, nothing is changed and the reasons are printed.`,
		Example: `  penstock reload
  penstock reload --socket /run/penstock/control.sock`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.client().Reload(c.Context()); err != nil {
				return refused(err)
			}
			fmt.Fprintln(c.OutOrStdout(), "reloaded")
			return nil
		},
	}
	s.register(c)
	return c
}
