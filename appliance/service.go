package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

func serviceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "service",
		Short: "Add, change, drain, remove and import virtual services and their servers",
		Long: "A virtual service is a VIP, a protocol and ports; its servers have the VIP, too, and answer clients\n" +
			"directly. VIPs are pushed with `penstock apply`, or made with --director. `penstock show services`,\n" +
			"`show servers` and `show flows` tell what becomes of the traffic.",
		Example: `  penstock service add red/http 10.10.1.100:80 --server web1=10.10.1.20:8080
  penstock service drain red/http web2 --wait
  penstock service rm red/http web2
  ipvsadm -Sn | penstock service import red`,
		Args: func(_ *cobra.Command, args []string) error {
			const actions = "add, set, drain, rm, list and import"
			if len(args) == 0 {
				return usage("an action is missing: penstock service %s", actions)
			}
			return usage("unknown action %q for services; the actions are %s", args[0], actions)
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(serviceAdd(), serviceSet(), serviceDrain(), serviceRm(), serviceList(), serviceImport())
	return c
}

// writeFlags are common to the commands that change services.
type writeFlags struct {
	socketFlags
	output string
	dryRun bool
}

func (f *writeFlags) register(c *cobra.Command) {
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text or json")
	complete(c, "output", "text", "json")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the changes, make none")
	f.socketFlags.register(c)
}

func (f *writeFlags) check() error {
	if f.output != "text" && f.output != "json" {
		return usage("--output %s: want text or json", f.output)
	}
	return nil
}

// change runs a transaction and prints what it changed.
func (f *writeFlags) change(c *cobra.Command, plan func(cl *client.Client) ([]core.Op, error)) error {
	if err := f.check(); err != nil {
		return err
	}
	cl := f.client()
	defer cl.Close()
	o := client.WriteOptions{DryRun: f.dryRun}
	r, err := cl.Guarded(c.Context(), o, func() ([]core.Op, error) { return plan(cl) })
	if err != nil {
		return refused(err)
	}
	return f.print(c, r)
}

func (f *writeFlags) print(c *cobra.Command, r core.Result) error {
	if f.output == "json" {
		return writeJSON(c.OutOrStdout(), r)
	}
	return printChanges(c.OutOrStdout(), r)
}

// splitKey takes TENANT/SERVICE apart.
func splitKey(kind, text string) (tenant, name string, err error) {
	tenant, name, ok := strings.Cut(text, "/")
	if !ok || !model.ValidName(tenant) || !model.ValidName(name) {
		return "", "", usage("%q is no %s: want TENANT/NAME, as red/http", text, kind)
	}
	return tenant, name, nil
}

// absentService returns an error for a service that the box does not have, with those that it has.
func absentService(ctx context.Context, cl *client.Client, key string, err error) error {
	if !client.Is(err, model.CodeNotFound) {
		return err
	}
	return absent(&query{Context: ctx, c: cl}, model.KindService, strings.Split(key, "/"))
}

// readService reads a service.
func readService(ctx context.Context, cl *client.Client, key string) (s model.Service, err error) {
	if err = cl.Object(ctx, model.KindService, key, &s); err != nil {
		err = absentService(ctx, cl, key, err)
	}
	return s, err
}

// serviceArguments completes a service, then its servers.
func serviceArguments(s *socketFlags) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		q := &query{Context: ctx, c: s.client()}
		defer q.c.Close()
		var out []string
		kind, cut := model.KindService, ""
		filter := ""
		if len(args) > 0 {
			tenant, service, _ := strings.Cut(args[0], "/")
			kind, cut = model.KindServer, args[0]+"/"
			filter = "&tenant=" + tenant + "&service=" + service
		}
		var l struct {
			Items []json.RawMessage `json:"items"`
		}
		_ = q.c.Get(ctx, "/v1/"+string(kind)+"?status=false&limit=200"+filter, &l)
		for _, raw := range l.Items {
			if o, err := readObject(raw); err == nil {
				name := strings.TrimPrefix(o.key(kind), cut)
				if strings.HasPrefix(name, typed) && !slices.Contains(args, name) {
					out = append(out, name)
				}
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func serviceRm() *cobra.Command {
	var f writeFlags
	c := &cobra.Command{
		Use:   "rm TENANT/SERVICE [SERVER…]",
		Short: "Remove servers of a service, or the whole service with its servers",
		Long: `Without SERVER the service goes with all its servers. Replies of connections that exist are still
translated for the service's drain_timeout; new packets of the connections find no server any more. To
let connections end first, drain the servers.`,
		Example: "  penstock service rm red/http web2\n  penstock service rm red/http",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, _, err := splitKey("service", args[0]); err != nil {
				return err
			}
			return f.change(c, func(cl *client.Client) ([]core.Op, error) {
				return removal(c.Context(), cl, args[0], args[1:])
			})
		},
		ValidArgsFunction: serviceArguments(&f.socketFlags),
	}
	f.register(c)
	return c
}

// removal returns the operations that remove servers, or a service with all its servers.
func removal(ctx context.Context, cl *client.Client, service string, names []string) ([]core.Op, error) {
	all, err := serversOf(ctx, cl, service)
	if err != nil {
		return nil, err
	}
	var ops []core.Op
	for _, o := range all {
		if len(names) == 0 || slices.Contains(names, o.text("name")) {
			ops = append(ops, core.Op{Verb: core.Delete, Kind: model.KindServer, Key: o.key(model.KindServer)})
		}
	}
	if len(names) == 0 {
		return append(ops, core.Op{Verb: core.Delete, Kind: model.KindService, Key: service}), nil
	}
	if err := known(service, names, all); err != nil {
		return nil, err
	}
	return ops, nil
}

// serversOf reads the servers of a service; an unknown service is an error.
func serversOf(ctx context.Context, cl *client.Client, service string) (all []object, err error) {
	if _, err := readService(ctx, cl, service); err != nil {
		return nil, err
	}
	err = each(&query{Context: ctx, c: cl, arg: service}, model.KindServer, func(o object) { all = append(all, o) })
	return all, err
}

// known reports the first name that is no server of the service.
func known(service string, names []string, all []object) error {
	var there []string
	for _, o := range all {
		there = append(there, o.text("name"))
	}
	for _, n := range names {
		if !slices.Contains(there, n) {
			return missing("server of "+service, n, there)
		}
	}
	return nil
}

func serviceDrain() *cobra.Command {
	var f writeFlags
	var wait bool
	var most time.Duration
	c := &cobra.Command{
		Use:   "drain TENANT/SERVICE SERVER…",
		Short: "Let the connections of servers end, and give them no new ones",
		Long: `A draining server keeps its TCP connections to their end, at most for the service's drain_timeout, and
its UDP flows for 30 s. New connections go to the other servers from now on. --wait returns when no
flow is left, and fails with exit code 1 when some are left after --timeout. To take the server back:
penstock service set TENANT/SERVICE SERVER state=enabled.`,
		Example: "  penstock service drain red/http web2\n" +
			"  penstock service drain red/http web2 web3 --wait --timeout 5m",
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if _, _, err := splitKey("service", args[0]); err != nil {
				return err
			}
			switch {
			case wait && f.dryRun:
				return usage("--wait does not go with --dry-run, which drains nothing")
			case most <= 0:
				return usage("--timeout %v: want a time above 0, such as 5m", most)
			}
			names := args[1:]
			err := f.change(c, func(cl *client.Client) ([]core.Op, error) {
				all, err := serversOf(c.Context(), cl, args[0])
				if err == nil {
					err = known(args[0], names, all)
				}
				var ops []core.Op
				for _, n := range names {
					ops = append(ops, core.Op{Verb: core.Patch, Kind: model.KindServer, Key: args[0] + "/" + n,
						Value: []byte(`{"state":"` + model.StateDraining + `"}`)})
				}
				return ops, err
			})
			if err != nil || !wait {
				return err
			}
			return f.await(c, args[0], names, most)
		},
		ValidArgsFunction: serviceArguments(&f.socketFlags),
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the flows have ended")
	c.Flags().DurationVar(&most, "timeout", 10*time.Minute, "with --wait: for this time at most")
	f.register(c)
	return c
}

// await waits until servers are drained.
func (f *writeFlags) await(c *cobra.Command, service string, names []string, most time.Duration) error {
	cl := f.client()
	defer cl.Close()
	end := time.Now().Add(most)
	for {
		left, flows := []string{}, uint64(0)
		for _, n := range names {
			var s struct {
				Status struct {
					State string `json:"state"`
					Flows uint64 `json:"flows"`
				} `json:"status"`
			}
			err := cl.Object(c.Context(), model.KindServer, service+"/"+n, &s)
			if client.Is(err, model.CodeNotFound) { // removed meanwhile
				continue
			}
			if err != nil {
				return refused(err)
			}
			if s.Status.State != "drained" {
				left, flows = append(left, n), flows+s.Status.Flows
			}
		}
		switch {
		case len(left) == 0:
			if f.output == "text" {
				fmt.Fprintf(c.OutOrStdout(), "drained: %s\n", strings.Join(names, ", "))
			}
			return nil
		case time.Now().After(end):
			return fmt.Errorf("after %v %s of %s still %s %s", most, strings.Join(left, ", "), service,
				map[bool]string{true: "has", false: "have"}[len(left) == 1], count(flows, "flow"))
		}
		select {
		case <-c.Context().Done():
			return c.Context().Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
