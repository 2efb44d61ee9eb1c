package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

func alarmCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "alarm",
		Short: "Take alarms on",
		Long:  "Alarms are listed by `penstock show alarms`, and followed by `penstock watch --type alarm`.",
		Example: `  penstock show alarms
  penstock alarm acknowledge 17 --comment CHG4711`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("say what: penstock alarm acknowledge ID; penstock show alarms lists them")
			}
			return usage("there is nothing to do with alarms that is called %q; there is acknowledge", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(acknowledgeCommand())
	return c
}

func acknowledgeCommand() *cobra.Command {
	var s socketFlags
	var comment, output string
	c := &cobra.Command{
		Use:   "acknowledge ID",
		Short: "Say that you have taken an alarm on",
		Long: `Notes who you are and when, and tells the webhooks. The alarm stays until what it is about is over; one that
nothing observable ends, such as gateway_mac_changed, is cleared by it.`,
		Example: "  penstock alarm acknowledge 17 --comment CHG4711",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usage("--output %s: want text or json", output)
			}
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usage("%q is not the ID of an alarm: penstock show alarms lists them", args[0])
			}
			cl := s.client()
			defer cl.Close()
			a, err := cl.Acknowledge(c.Context(), id, comment)
			if err != nil {
				return refused(err)
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), a)
			}
			done := "acknowledged"
			if a.Cleared != nil {
				done += ", and cleared by it"
			}
			if ack := a.Acknowledged; ack != nil {
				done += fmt.Sprintf(" by %s at %s", ack.By, clock(&ack.Time))
			}
			fmt.Fprintf(c.OutOrStdout(), "alarm %d (%s, %s) %s\n", a.ID, a.Kind, a.Object, done)
			return nil
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a note for others, as a ticket's number")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	complete(c, "output", "text", "json")
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return alarmIDs(&s, args, typed), cobra.ShellCompDirectiveNoFileComp
	}
	s.register(c)
	return c
}
