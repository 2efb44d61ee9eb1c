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
		Short: "Show the main job live: two tenants with the same addresses cross a fabric",
		Long: `Builds a fabric of two boxes, two edge switches and four VMs in network namespaces of this machine, runs this
binary in each, and draws the tenants' traffic while a path is taken away and brought back, and while first one
and then the other of two gateways fails. Needs root; sends nothing outside; leaves nothing behind. On a terminal of 100 columns the picture is live, else it is a line at a
time. Exit code 0: everything held that the summary says.`,
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
	c.Flags().BoolVar(&o.Keep, "keep", false, "leave the lab up until Ctrl-C, to look around")
	c.Flags().DurationVar(&o.Duration, "duration", 24*time.Second, "how long the traffic runs")
	return c
}
