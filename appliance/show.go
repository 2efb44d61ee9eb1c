package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane/drop"
)

// socketFlags are common to all subcommands that talk to a running box.
type socketFlags struct {
	path string
}

const defaultSocket = "/run/penstock/control.sock"

func (s *socketFlags) register(c *cobra.Command) {
	c.Flags().StringVarP(&s.path, "socket", "s", defaultSocket, "control socket of the box")
}

func (s *socketFlags) client() *client.Client { return client.New(s.path) }

// show is one thing that `penstock show` knows.
type show struct {
	name, short string
	print       func(ctx context.Context, c *client.Client, t *sheet, args []string) error
	raw         func(args []string) string // path of the JSON answer
}

// sheet collects what is printed: a heading and rows, aligned at the end.
type sheet struct {
	w *tabwriter.Writer
}

func (t *sheet) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, c)
	}
	fmt.Fprintln(t.w)
}

func shows() []show {
	fixed := func(p string) func([]string) string { return func([]string) string { return p } }
	return []show{
		{"box", "Summary of the box", showBox, fixed("/v1/box")},
		{"ports", "Ports: state, mode, rates of packets and drops", showPorts, fixed("/v1/stats/ports")},
		{"workers", "Workers: load, packets per turn, nanoseconds per packet", showWorkers, fixed("/v1/stats/workers")},
		{"drops", "Discarded frames by reason, and what to check", showDrops, fixed("/v1/stats/drops")},
		{"paths", "VLAN paths to the edge switches and what they carried", showPaths, fixed("/v1/stats/paths")},
		{"vifs", "Local VIFs and what they sent and were sent", showVIFs, fixed("/v1/stats/vifs")},
		{"tenants", "Tenants", showCollection(model.KindTenant, "NAME", "ID"), fixed("/v1/tenants")},
		{"segments", "Segments", showCollection(model.KindSegment, "KEY", "ID", "UNKNOWN_UNICAST"), fixed("/v1/segments")},
		{"subnets", "Subnets", showCollection(model.KindSubnet, "KEY", "SEGMENT", "PREFIX", "ROUTER"), fixed("/v1/subnets")},
		{"bindings", "Bindings; a tenant's, or a segment's with TENANT/SEGMENT", showBindings, func(args []string) string { return "/v1/bindings?" + bindingQuery(args).Encode() }},
	}
}

func showCommand() *cobra.Command {
	var s socketFlags
	c := &cobra.Command{
		Use:     "show",
		Short:   "Show what the box is, has and does",
		Example: "  penstock show ports\n  penstock show drops -o json\n  penstock show bindings red/web",
	}
	var output string
	c.PersistentFlags().StringVarP(&s.path, "socket", "s", defaultSocket, "control socket of the box")
	c.PersistentFlags().StringVarP(&output, "output", "o", "table", "table or json")
	for _, w := range shows() {
		sub := &cobra.Command{Use: w.name, Short: w.short, Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			cl := s.client()
			switch output {
			case "json":
				return showJSON(cmd.Context(), cl, cmd.OutOrStdout(), w.raw(args))
			case "table":
				tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				if err := w.print(cmd.Context(), cl, &sheet{tw}, args); err != nil {
					return refused(err)
				}
				return tw.Flush()
			}
			return &exitError{exitUsage, fmt.Errorf("--output %s: want table or json", output)}
		}}
		c.AddCommand(sub)
	}
	return c
}

// refused gives errors that the box answered their own exit code.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitRefused, err}
}

func showJSON(ctx context.Context, c *client.Client, w io.Writer, path string) error {
	var v json.RawMessage
	if err := c.Get(ctx, path, &v); err != nil {
		return refused(err)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

func showBox(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
	var b status.Box
	if err := c.Get(ctx, "/v1/box", &b); err != nil {
		return err
	}
	t.row("name", b.Name)
	t.row("version", b.Version, b.Commit)
	t.row("up", time.Since(b.Started).Round(time.Second))
	t.row("ready", b.Ready)
	t.row("revision", b.Revision)
	t.row("scheme", b.Scheme)
	t.row("workers", fmt.Sprintf("%d, %s", b.Workers, b.Poll))
	t.row("bindings", fmt.Sprintf("%d of %d, %.1f MB", b.Bindings.Count, b.Bindings.Capacity, float64(b.Bindings.Bytes)/1e6))
	t.row("frames", fmt.Sprintf("%d of %d octets", b.Frames.All, b.Frames.Size))
	for _, o := range slices.Sorted(maps.Keys(b.Frames.ByOwner)) {
		t.row("  "+o, b.Frames.ByOwner[o])
	}
	if b.Frames.Violations > 0 {
		t.row("  VIOLATIONS", b.Frames.Violations, strings.Join(b.Frames.Breaches, "; "))
	}
	tot := b.Totals
	t.row("received", tot.Rx)
	t.row("sent", tot.Tx)
	t.row("dropped", tot.Drops)
	t.row("to control", tot.Punted)
	t.row("from control", tot.Injected)
	t.row("copies", tot.Copies)
	return nil
}

func showPorts(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
	var l status.Items[status.Port]
	if err := c.Get(ctx, "/v1/stats/ports", &l); err != nil {
		return err
	}
	t.row("NAME", "ROLE", "INTERFACE", "STATE", "MODE", "QUEUES", "MTU", "RX PACKETS", "TX PACKETS", "DROPS", "KERNEL DROPS")
	for _, p := range l.Items {
		state := "gone"
		if p.Open && p.Up {
			state = "up"
		} else if p.Open {
			state = "down"
		}
		t.row(p.Name, p.Role, p.Interface, state, strings.Trim(p.XDP+" "+p.Mode, " "), p.Queues, p.MTU, p.RxPackets, p.TxPackets, p.Drops,
			p.Kernel.RxDropped+p.Kernel.RxRingFull)
	}
	return nil
}

func showWorkers(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
	var l status.Items[status.Worker]
	if err := c.Get(ctx, "/v1/stats/workers", &l); err != nil {
		return err
	}
	t.row("WORKER", "TURNS", "BUSY", "SLEEPS", "FRAMES", "FRAMES/TURN", "NS/FRAME", "LONGEST TURN")
	for _, w := range l.Items {
		t.row(w.ID, w.Turns, w.BusyTurns, w.Sleeps, w.Frames, fmt.Sprintf("%.1f", w.PerTurn), fmt.Sprintf("%.0f", w.NsPerFrame), time.Duration(w.MaxGapNs))
	}
	return nil
}

func showDrops(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
	var d status.Drops
	if err := c.Get(ctx, "/v1/stats/drops", &d); err != nil {
		return err
	}
	texts := map[string]drop.Info{}
	for r := drop.Reason(0); r < drop.Count; r++ {
		texts[r.String()] = r.Info()
	}
	t.row("PORT", "REASON", "FRAMES", "MEANING", "CHECK")
	for _, port := range slices.Sorted(maps.Keys(d.Ports)) {
		reasons := d.Ports[port]
		for _, r := range slices.SortedFunc(maps.Keys(reasons), func(x, y string) int { return cmp.Compare(reasons[y], reasons[x]) }) {
			t.row(port, r, reasons[r], texts[r].Text, texts[r].Check)
		}
	}
	return nil
}

func showPaths(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
	var l status.Items[status.Path]
	if err := c.Get(ctx, "/v1/stats/paths", &l); err != nil {
		return err
	}
	t.row("EDGE SWITCH", "PORT", "VLAN", "LIVE", "PACKETS", "BYTES")
	for _, p := range l.Items {
		t.row(p.Switch, p.Port, p.VID, p.Live, p.Packets, p.Bytes)
	}
	return nil
}

func showVIFs(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
	var l status.Items[status.VIF]
	if err := c.Get(ctx, "/v1/stats/vifs", &l); err != nil {
		return err
	}
	t.row("VIF", "RX PACKETS", "RX BYTES", "TX PACKETS", "TX BYTES")
	for _, v := range l.Items {
		t.row(v.Key, v.RxPackets, v.RxBytes, v.TxPackets, v.TxBytes)
	}
	return nil
}

// each calls fn for every object of a collection.
func each(ctx context.Context, c *client.Client, kind model.Kind, q url.Values, fn func(map[string]any)) error {
	return c.Each(ctx, kind, q, func(data json.RawMessage) error {
		var o map[string]any
		if err := json.Unmarshal(data, &o); err != nil {
			return err
		}
		fn(o)
		return nil
	})
}

// showCollection prints the named fields of every object; KEY is TENANT/NAME.
func showCollection(kind model.Kind, columns ...string) func(context.Context, *client.Client, *sheet, []string) error {
	return func(ctx context.Context, c *client.Client, t *sheet, _ []string) error {
		head := make([]any, len(columns))
		for i, col := range columns {
			head[i] = strings.ReplaceAll(col, "_", " ")
		}
		t.row(head...)
		return each(ctx, c, kind, nil, func(o map[string]any) {
			cells := make([]any, len(columns))
			for i, col := range columns {
				v, ok := o[strings.ToLower(col)]
				if col == "KEY" {
					v, ok = fmt.Sprint(o["tenant"], "/", o["name"]), true
				}
				if !ok {
					v = "-"
				}
				cells[i] = v
			}
			t.row(cells...)
		})
	}
}

// bindingQuery turns TENANT or TENANT/SEGMENT into a filter.
func bindingQuery(args []string) url.Values {
	if len(args) == 0 {
		return nil
	}
	tenant, segment, ok := strings.Cut(args[0], "/")
	q := url.Values{"tenant": {tenant}}
	if ok {
		q.Set("segment", segment)
	}
	return q
}

func showBindings(ctx context.Context, c *client.Client, t *sheet, args []string) error {
	t.row("TENANT", "SEGMENT", "MAC", "ADDRESSES", "EDGE SWITCH", "PORT")
	return each(ctx, c, model.KindBinding, bindingQuery(args), func(o map[string]any) {
		var addrs []string
		if l, ok := o["addresses"].([]any); ok {
			for _, a := range l {
				addrs = append(addrs, fmt.Sprint(a))
			}
		}
		t.row(o["tenant"], o["segment"], o["mac"], strings.Join(addrs, " "), o["switch_mac"], o["switch_port"])
	})
}
