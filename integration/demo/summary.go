package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"penstock/ctrl/status"
	"penstock/dataplane/drop"
	"penstock/integration/lab"
)

// summary ends the traffic and says what was seen. Its error lists what did not hold.
func (d *demo) summary(ctx context.Context) error {
	var bad []string
	d.say("\nSummary of %.0f s; path %d was away from %.1f s to %.1f s\n", time.Since(d.started).Seconds(),
		d.top.Options.Trunks[pathAway],
		d.away[0].Seconds(), d.away[1].Seconds())
	d.say("  TENANT  WHO ASKED            WHO ANSWERED  TCP                            PING")
	for i, p := range d.pings {
		r, err := p.finish()
		if err != nil {
			return err
		}
		s := d.streams[i]
		s.stop()
		d.say("  %-6s  %-19s  %-12s  %6.1f MB, no connection broke  %d of %d answered", p.Tenant,
			fmt.Sprintf("%s: %v?", s.From.Name, address(s.To)), s.greeting,
			float64(s.octets.Load())/1e6, r.Received, r.Sent)
		if r.Received < r.Sent-1 { // the last one may still be on its way
			bad = append(bad, fmt.Sprintf("tenant %s lost %d pings", p.Tenant, r.Sent-r.Received))
		}
		if s.octets.Load() == 0 {
			bad = append(bad, fmt.Sprintf("tenant %s: no data came through", p.Tenant))
		}
	}
	d.streams = nil
	bad = append(bad, d.summaryOutside()...)
	d.say("\n  NODE  RECEIVED      SENT  DROPPED")
	reasons := map[string]bool{}
	for _, n := range d.nodes {
		box, err := n.balanced(ctx)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		drops, err := n.drops(ctx)
		if err != nil {
			return err
		}
		var list []string
		for _, r := range slices.Sorted(maps.Keys(drops.Total)) {
			list = append(list, fmt.Sprintf("%s %d", r, drops.Total[r]))
			reasons[r] = true
		}
		t := box.Totals
		d.say("%s", strings.TrimRight(fmt.Sprintf("  %-4s  %8d  %8d  %7d  %s", n.Name, t.Rx, t.Tx, t.Drops,
			strings.Join(list, ", ")), " "))
	}
	for r := drop.Reason(0); r < drop.Count; r++ {
		if reasons[r.String()] {
			d.say("        %s: %s", r, r.Info().Text)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("the demo did not hold: %s", strings.Join(bad, "; "))
	}
	d.say("\nIt held: tenants with the same addresses never met, a path went and came back without a lost ping or")
	d.say("a broken connection, either gateway took over from the other and an alarm said which to look at, and on")
	d.say("every node each frame is accounted for.")
	return nil
}

// summaryOutside says what the gateways' failures cost, and returns what did not hold.
func (d *demo) summaryOutside() (bad []string) {
	d.say("\n  GATEWAYS                     TOOK OVER  BLOCKED  (%d packets a second to %v)", outsideRate,
		lab.OutsideAddress)
	for _, f := range d.failures {
		d.say("  %-27s  %-9s  %4d ms", fmt.Sprintf("%s (%.1f s)", f.What, f.At.Seconds()), f.Took,
			f.blocked(f.after).Milliseconds())
		for i, line := range wrap("alarm: "+f.Alarm, Columns-6) {
			d.say("    %s%s", strings.Repeat(" ", 7*min(i, 1)), line)
		}
		if f.Took == "" || f.Alarm == "" {
			bad = append(bad, fmt.Sprintf("%s: taken over by %q, alarm %q", f.What, f.Took, f.Alarm))
		}
	}
	for i, g := range d.outside.gateways {
		if d.outside.got[i].Load() == 0 {
			bad = append(bad, "nothing ever went through "+g.Name)
		}
	}
	return bad
}

// wrap breaks a text into lines of so many columns, seven less from the second on.
func wrap(text string, columns int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > columns:
			lines = append(lines, line)
			if len(lines) == 1 {
				columns -= 7
			}
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// balanced waits until the box's sum is right: what it received, injected and
// copied is what it sent, punted and dropped.
func (n *node) balanced(ctx context.Context) (b status.Box, err error) {
	err = retry(ctx, 5*time.Second, func() error {
		if b, err = n.box(ctx); err != nil {
			return err
		}
		if t := b.Totals; !t.Balanced {
			return fmt.Errorf("%s: received %d + injected %d + copies %d ≠ sent %d + punted %d + dropped %d", n.Name,
				t.Rx, t.Injected, t.Copies, t.Tx, t.Punted, t.Drops)
		}
		return nil
	})
	return b, err
}

// explore says how to look around in a lab that is left up.
func (d *demo) explore() {
	from, to := d.pair(d.top.Options.Tenants[0].Name)
	d.say("\nThe lab stays up until Ctrl-C. In another terminal, as root:")
	for _, n := range d.nodes {
		d.say("  %s show ports --rate 1s -s %s", d.Binary, n.Socket)
	}
	d.say("  %s show gateways -s %s; ip -n %s link set eth0 down", d.Binary, d.gatewayNode().Socket,
		d.lab.FullName(d.top.Gateways[0].Name))
	d.say("  %s watch --since 0 -s %s", d.Binary, d.top.Boxes[0].Socket)
	d.say("  ip netns exec %s ping %v", d.lab.FullName(from.Namespace), address(to))
	d.say("  ip netns exec %s tcpdump -eni %s", d.lab.FullName(to.Namespace), to.Interface)
}
