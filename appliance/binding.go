package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"penstock/ctrl/model"
)

func bindingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "binding",
		Short: "Release the binding of a VIF that moved too often",
		Long: "`penstock show bindings` lists bindings; `penstock show alarms` has vif_flapping for those that are " +
			"held.",
		Example: `  penstock show alarms
  penstock binding clear red/web/02:00:00:00:00:01`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("an action is missing: penstock binding clear TENANT/SEGMENT/MAC; penstock show alarms " +
					"names the bindings that are held")
			}
			return usage("unknown action %q for bindings; the only action is clear", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(clearCommand())
	return c
}

func clearCommand() *cobra.Command {
	var s socketFlags
	c := &cobra.Command{
		Use:   "clear TENANT/SEGMENT/MAC",
		Short: "Let a binding that is held follow its VIF again",
		Long: `A VIF that moves five times within three minutes is held where it is for nine minutes (alarm
vif_flapping). This ends the hold at once. Look for two stations with this MAC first.`,
		Example: "  penstock binding clear red/web/02:00:00:00:00:01",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := model.ParseBindingKey(args[0])
			if err != nil {
				return usage("%v", err)
			}
			cl := s.client()
			defer cl.Close()
			if err := cl.ReleaseBinding(c.Context(), key); err != nil {
				return refused(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "binding %s is released\n", key)
			return nil
		},
	}
	w := kindShow(model.KindBinding)
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return w.names(cmd, &s, args, typed), cobra.ShellCompDirectiveNoFileComp
	}
	s.register(c)
	return c
}
