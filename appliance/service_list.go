package main

import (
	"cmp"
	"encoding/json"

	"github.com/spf13/cobra"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// listed is a service with its servers.
type listed struct {
	Service json.RawMessage   `json:"service"`
	Servers []json.RawMessage `json:"servers"`
}

func serviceList() *cobra.Command {
	var s socketFlags
	var output string
	c := &cobra.Command{
		Use:   "list [TENANT[/SERVICE]]",
		Short: "List services with their servers",
		Long:  "What is pushed, and its state. `penstock show services` and `penstock show servers` have the counters.",
		Example: "  penstock service list\n  penstock service list red\n" +
			"  penstock service list red/http -o json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return usage("--output %s: want table or json", output)
			}
			q := &query{Context: c.Context(), c: s.client()}
			defer q.c.Close()
			if len(args) > 0 {
				q.arg = args[0]
			}
			return listServices(c, q, output)
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return serviceArguments(&s)(c, args, typed)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	complete(c, "output", "table", "json")
	s.register(c)
	return c
}

func listServices(c *cobra.Command, q *query, output string) error {
	var keys []string
	byKey := map[string]*listed{}
	err := objects(q, model.KindService, func(raw json.RawMessage) error {
		o, err := readObject(raw)
		if err == nil {
			key := o.key(model.KindService)
			keys = append(keys, key)
			byKey[key] = &listed{Service: raw, Servers: []json.RawMessage{}}
		}
		return err
	})
	if err != nil {
		return refused(err)
	}
	if len(keys) > 0 {
		err = objects(q, model.KindServer, func(raw json.RawMessage) error {
			o, err := readObject(raw)
			if of := byKey[o.text("tenant")+"/"+o.text("service")]; of != nil {
				of.Servers = append(of.Servers, raw)
			}
			return err
		})
		if err != nil {
			return refused(err)
		}
	}
	if output == "json" {
		l := status.Items[*listed]{Items: []*listed{}}
		for _, k := range keys {
			l.Items = append(l.Items, byKey[k])
		}
		return writeJSON(c.OutOrStdout(), l)
	}
	t := &sheet{}
	t.head("SERVICE", "PROTOCOL", "VIP", "PORT", "SCHEDULER", "SERVER", "AT", "TO PORT", "WEIGHT", "STATE")
	for _, k := range keys {
		if err := listService(t, k, byKey[k]); err != nil {
			return err
		}
	}
	if err := t.print(c.OutOrStdout()); err != nil || !t.empty() {
		return err
	}
	c.PrintErrln("(none)")
	return nil
}

// listService adds the rows of a service: its own, and one for each server.
func listService(t *sheet, key string, l *listed) error {
	o, err := readObject(l.Service)
	if err != nil {
		return err
	}
	port := o.text("port")
	if end := o.text("port_end"); end != "" {
		port += "-" + end
	}
	t.row(key, cmp.Or(o.text("protocol"), "tcp"), o.text("vip"), port, cmp.Or(o.text("scheduler"), "maglev"), "", "",
		"", "", o.state())
	for _, raw := range l.Servers {
		s, err := readObject(raw)
		if err != nil {
			return err
		}
		at := s.text("address")
		if at == "" {
			at = "VIF " + s.text("vif")
		}
		t.row("", "", "", "", "", s.text("name"), at, cmp.Or(s.text("port"), port), cmp.Or(s.text("weight"), "1"),
			s.state())
	}
	return nil
}
