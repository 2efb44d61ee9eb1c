package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"penstock/ctrl/client"
	"penstock/ctrl/model"
	"penstock/ctrl/printable"
)

// socketFlags are common to all subcommands that talk to a running box.
type socketFlags struct {
	path string
}

func (s *socketFlags) register(c *cobra.Command) { s.add(c.Flags()) }

// add registers the flags; PENSTOCK_SOCKET of the environment is the default.
func (s *socketFlags) add(flags *pflag.FlagSet) {
	path := cmp.Or(os.Getenv("PENSTOCK_SOCKET"), client.DefaultSocket)
	flags.StringVarP(&s.path, "socket", "s", path, "control socket of the box; also PENSTOCK_SOCKET")
}

func (s *socketFlags) client() *client.Client { return client.New(s.path) }

// show is one subcommand of `penstock show`.
type show struct {
	name, arg, short string
	example          string
	kind             model.Kind // of pushed objects; "" = counters
	rates            bool       // --rate makes sense
	print            func(q *query, t *sheet) error
	flags            func(c *cobra.Command, q *query) // of the subcommand alone
	json             func(q *query) (any, error)
}

// query is a request of `penstock show`.
type query struct {
	context.Context
	c    *client.Client
	arg  string        // name, key or filter; "" = all
	rate time.Duration // 0 = counters since the start

	flows  *flowFilter
	origin string // of bindings; "" = all
}

func shows() []show {
	list := []show{
		{name: "box", short: "Summary of the box", example: "show box", print: showBox, json: jsonBox},
		{name: "ports", arg: "[NAME]", short: "Ports: state, mode, packets and drops; one port with all its counters",
			example: "show ports --rate 1s\n  penstock show ports fab0", rates: true, print: showPorts,
			json: jsonPorts},
		{name: "workers", arg: "[NUMBER]", short: "Workers: load, packets per turn, nanoseconds per packet",
			example: "show workers --rate 1s", rates: true, print: showWorkers, json: jsonWorkers},
		{name: "drops", arg: "[PORT]", short: "Discarded frames by reason, and what to check",
			example: "show drops\n  penstock show drops acc0 --rate 5s", rates: true, print: showDrops,
			json: jsonDrops},
		{name: "paths", arg: "[EDGE-SWITCH]", short: "VLAN paths to the edge switches, and their traffic",
			example: "show paths\n  penstock show paths 02:00:00:00:00:0b --rate 1s", rates: true, print: showPaths,
			json: jsonPaths},
		{name: "neighbors", arg: "[PORT]",
			short:   "LLDP: where the fabric ports are plugged in, and who is heard on each port",
			example: "show neighbors\n  penstock show neighbors fab0 -o json", print: showNeighbors,
			json: jsonNeighbors},
		{name: "boxes", arg: "[PLACE]",
			short:   "The other boxes of the fabric, and whether this box has all that they own",
			example: "show boxes\n  penstock show boxes 02:00:00:00:00:0b-9 -o json", print: showBoxes,
			json: jsonBoxes},
		{name: "gateways", arg: "[GROUP]",
			short:   "Gateway groups: the active member, since when and why, and the answers of each gateway",
			example: "show gateways\n  penstock show gateways out -o json", print: showGateways, json: jsonGateways},
		{name: "alarms", arg: "[active|cleared|all]",
			short:   "Alarms: what to replace or check, since when, and who acknowledged them",
			example: "show alarms\n  penstock show alarms all -o json", print: showAlarms, json: jsonAlarms},
		{name: "webhooks", arg: "[NAME]", short: "Receivers of alarms: waiting notices, and the last error",
			example: "show webhooks", print: showWebhooks, json: jsonWebhooks},
	}
	list = append(list, show{name: "flows", arg: "[TENANT/SERVICE]",
		short:   "Connections of virtual services that this box directs: client, server, state",
		example: "show flows red/http --state established\n  penstock show flows --client 10.10.1.0/24 -o json",
		print:   showFlows, json: jsonFlows,
		flags: func(c *cobra.Command, q *query) { new(flowFilter).register(c, q) }})
	for _, kind := range model.Kinds {
		if kind != model.KindPath { // `show paths` is of the paths that carry traffic
			list = append(list, kindShow(kind))
		}
	}
	return list
}

// kindShow returns the subcommand for a kind of pushed objects.
func kindShow(kind model.Kind) show {
	info := kind.Info()
	form := strings.ReplaceAll(info.KeyForm(), "/", "[/") + strings.Repeat("]", len(info.Key)-1)
	w := show{name: string(kind), arg: "[" + form + "]", short: info.Short, kind: kind, print: showKind(kind)}
	examples := make([]string, len(info.ShowArgs))
	for i, args := range info.ShowArgs {
		examples[i] = strings.TrimSpace("show " + w.name + " " + args)
	}
	w.example = strings.Join(examples, "\n  penstock ")
	switch kind { // with counters beside what was pushed, or flags
	case model.KindVIF:
		w.rates, w.print = true, showVIFs
	case model.KindService:
		w.rates, w.print = true, showServices
	case model.KindServer:
		w.rates, w.print = true, showServers
	case model.KindBinding:
		w.flags = func(c *cobra.Command, q *query) {
			c.Flags().StringVar(&q.origin, "origin", "", "only of this origin: "+strings.Join(model.Origins, ", "))
			complete(c, "origin", model.Origins...)
		}
	}
	return w
}

func showCommand() *cobra.Command {
	var s socketFlags
	var output string
	all := shows()
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the box's state, objects and counters",
		Long: `Prints counters and objects as tables, or with -o json as JSON for programs. Without a subcommand it
prints the summary of the box. A name restricts the output; an unknown name is an error that lists
the known ones.`,
		Example: `  penstock show
  penstock show ports --rate 1s
  penstock show drops -o json
  penstock show bindings red/web`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			names := make([]string, len(all))
			for i, w := range all {
				names[i] = w.name
			}
			return usage("unknown subject %q; want one of %s", args[0], strings.Join(names, ", "))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(c *cobra.Command, _ []string) error { return all[0].run(c, &s, output, &query{}) },
	}
	s.add(c.PersistentFlags())
	c.PersistentFlags().StringVarP(&output, "output", "o", "table", "table or json")
	complete(c, "output", "table", "json")
	for _, w := range all {
		q := &query{}
		sub := &cobra.Command{
			Use: strings.TrimSpace(w.name + " " + w.arg), Short: w.short, Example: "  penstock " + w.example,
			Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					q.arg = args[0]
				}
				return w.run(cmd, &s, output, q)
			},
		}
		if w.arg != "" {
			sub.Args = cobra.MaximumNArgs(1)
			sub.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string,
				cobra.ShellCompDirective) {
				return w.names(cmd, &s, args, typed), cobra.ShellCompDirectiveNoFileComp
			}
		}
		if w.rates {
			sub.Flags().DurationVar(&q.rate, "rate", 0, "measure for this time, such as 1s, and show rates")
		}
		if w.flags != nil {
			w.flags(sub, q)
		}
		c.AddCommand(sub)
	}
	return c
}

func (w *show) run(cmd *cobra.Command, s *socketFlags, output string, q *query) error {
	q.Context, q.c = cmd.Context(), s.client()
	defer q.c.Close()
	switch {
	case output != "table" && output != "json":
		return usage("--output %s: want table or json", output)
	case q.rate < 0:
		return usage("--rate %v: want a time above 0, such as 1s", q.rate)
	case output == "json" && q.rate > 0:
		return usage("--rate is for tables; with -o json take two samples and subtract")
	}
	if output == "json" {
		get := w.json
		if w.kind != "" {
			get = func(q *query) (any, error) { return jsonObjects(q, w.kind) }
		}
		v, err := get(q)
		if err != nil {
			return refused(err)
		}
		return writeJSON(cmd.OutOrStdout(), v)
	}
	t := &sheet{}
	if err := w.print(q, t); err != nil {
		return refused(err)
	}
	if err := t.print(cmd.OutOrStdout()); err != nil {
		return err
	}
	if t.empty() {
		fmt.Fprintln(cmd.ErrOrStderr(), "(none)")
	}
	if t.note != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), printable.Text(t.note))
	}
	return nil
}

// twice calls get; if rates are requested, it calls get again after q.rate. per divides a difference by the time
// between.
func twice[T any](q *query, get func() (T, error)) (before, after T, per func(after, before uint64) float64,
	err error) {
	start := time.Now()
	if after, err = get(); err != nil || q.rate == 0 {
		return before, after, nil, err
	}
	before = after
	select {
	case <-q.Done():
		return before, after, nil, q.Err()
	case <-time.After(q.rate):
	}
	after, err = get()
	dt := time.Since(start).Seconds()
	return before, after, func(now, then uint64) float64 {
		if now < then { // the box was restarted, or the object is new
			return 0
		}
		return float64(now-then) / dt
	}, err
}

// missing returns an error for an unknown name, with the known ones.
func missing(what, name string, there []string) error {
	const most = 20
	list := "there is none"
	if n := len(there); n > most {
		list = fmt.Sprintf("there are %s and %d more", strings.Join(there[:most], ", "), n-most)
	} else if n > 0 {
		list = "there are " + strings.Join(there, ", ")
	}
	return &exitError{exitRefused, fmt.Errorf("there is no %s %s; %s", what, name, list)}
}

// pick restricts items to those with the name q.arg; all if q.arg is empty.
func pick[T any](q *query, what string, items []T, name func(*T) string) ([]T, error) {
	if q.arg == "" {
		return items, nil
	}
	var out []T
	var there []string
	for i := range items {
		n := name(&items[i])
		if strings.EqualFold(n, q.arg) {
			out = append(out, items[i])
		}
		if !slices.Contains(there, n) {
			there = append(there, n)
		}
	}
	if out == nil {
		return nil, missing(what, q.arg, there)
	}
	return out, nil
}

// complete registers the values of a flag for the shell's completion.
func complete(c *cobra.Command, flag string, values ...string) {
	// The call fails only for a flag that does not exist, and every test of the command line would detect that.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// names returns completions for the argument; none if the box does not answer within a second.
func (w *show) names(cmd *cobra.Command, s *socketFlags, args []string, typed string) []string {
	if len(args) > 0 {
		return nil
	}
	const most = 200
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	q := &query{Context: ctx, c: s.client()}
	defer q.c.Close()
	var out []string
	add := func(name string) {
		if len(out) < most && strings.HasPrefix(name, typed) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if w.name == "gateways" {
		return gatewayNames(s, args, typed)
	}
	if w.name == "alarms" {
		for _, state := range alarmStates {
			add(state)
		}
		return out
	}
	if w.name == "flows" {
		_ = firstPage(q, model.KindService, func(o object) { add(o.key(model.KindService)) })
		return out
	}
	if w.kind != "" {
		_ = firstPage(q, w.kind, func(o object) { add(o.key(w.kind)) })
		return out
	}
	var l struct {
		Items []struct {
			Name   string      `json:"name"`
			Switch string      `json:"switch"`
			ID     json.Number `json:"id"`
		} `json:"items"`
	}
	from := map[string]string{"drops": "ports"}[w.name]
	if from == "" {
		from = w.name
	}
	_ = q.c.Get(ctx, "/v1/stats/"+from, &l)
	for _, it := range l.Items {
		add(it.Name + it.Switch + it.ID.String())
	}
	return out
}
