package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"penstock/integration/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the main function live: two tenants with the same addresses cross a fabric",
		Long: `Builds a fabric of two boxes, two edge switches and nine VMs in network namespaces of this
machine, and runs this binary in each. It draws the tenants' traffic while a path fails and returns,
while a VM moves to the other box, while web servers behind a virtual address are drained, added and
killed, and while first one and then the other of two gateways fails. The demo needs root and nginx,
sends nothing to other machines and removes what it made. On a terminal of at least 100 columns the
picture is live, otherwise it is printed line by line. Exit code 0: every check of the summary passed.`,
		Example: `  sudo penstock demo
  sudo penstock demo --keep --duration 10s`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("the demo makes network namespaces: run it as root (sudo penstock demo)")
			}
			if o.Duration < time.Second {
				return usage("--duration %v: want 1s or more", o.Duration)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Binary, o.Out, o.Live = self, c.OutOrStdout(), fits(c.OutOrStdout(), demo.Columns, demo.Lines)
			o.Colour = os.Getenv("NO_COLOR") == ""
			err = demo.Run(c.Context(), o)
			if c.Context().Err() != nil {
				fmt.Fprintln(c.ErrOrStderr(), "\ninterrupted; everything is cleaned up")
				if err != nil {
					return errors.New("the demo did not finish")
				}
			}
			return err
		},
	}
	c.Flags().BoolVar(&o.Keep, "keep", false, "keep the network until Ctrl-C, for inspection")
	c.Flags().DurationVar(&o.Duration, "duration", 30*time.Second, "how long the traffic runs")
	return c
}
