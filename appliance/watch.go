package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
)

func watchCommand() *cobra.Command {
	var s socketFlags
	var since uint64
	var output string
	c := &cobra.Command{
		Use:     "watch",
		Short:   "Follow what changes and happens on the box",
		Long:    "Prints events as they come, until Ctrl-C. With --since it starts behind that sequence number, as far as the box remembers.",
		Example: "  penstock watch\n  penstock watch --since 1200 -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return &exitError{exitUsage, fmt.Errorf("--output %s: want text or json", output)}
			}
			o := client.WatchOptions{Resume: true}
			if c.Flags().Changed("since") {
				o.Since = &since
			}
			err := s.client().Watch(c.Context(), o, func(e client.Event) error {
				if output == "json" {
					b, err := json.Marshal(e)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", b)
					return err
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%8d  %s  %-10s %s\n", e.Seq, e.Time.Local().Format(time.DateTime+".000"), e.Type, e.Data)
				return err
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return refused(err)
		},
	}
	c.Flags().Uint64Var(&since, "since", 0, "sequence number of the last event already seen")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	s.register(c)
	return c
}
