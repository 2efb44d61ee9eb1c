package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"penstock/ctrl/printable"
)

func alarmCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "alarm",
		Short: "Acknowledge alarms",
		Long:  "`penstock show alarms` lists alarms; `penstock watch --type alarm` follows them.",
		Example: `  penstock show alarms
  penstock alarm acknowledge 17 --comment CHG4711`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("an action is missing: penstock alarm acknowledge ID; penstock show alarms lists the " +
					"alarms")
			}
			return usage("unknown action %q for alarms; the only action is acknowledge", args[0])
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
		Short: "Record that somebody takes care of an alarm",
		Long: `Stores the user and the time, and sends a notice to the webhooks. The alarm stays active until its
cause is over. An alarm whose end cannot be observed, such as gateway_mac_changed, is cleared by its
acknowledgement.`,
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
			fmt.Fprintln(c.OutOrStdout(),
				printable.Line(fmt.Sprintf("alarm %d (%s, %s) %s", a.ID, a.Kind, a.Object, done)))
			return nil
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a note for others, such as a ticket's number")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	complete(c, "output", "text", "json")
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return alarmIDs(&s, args, typed), cobra.ShellCompDirectiveNoFileComp
	}
	s.register(c)
	return c
}
