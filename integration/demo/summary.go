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

// summary ends the traffic and prints the results. Its error lists the failed checks.
func (d *demo) summary(ctx context.Context) error {
	var bad []string
	d.printf("\nSummary of %.0f s; path %d was away from %.1f s to %.1f s\n", time.Since(d.started).Seconds(),
		d.top.Options.Trunks[pathAway],
		d.away[0].Seconds(), d.away[1].Seconds())
	d.printf("  TENANT  CLIENT               SERVER        TCP                            PING")
	for i, p := range d.pings {
		r, err := p.finish()
		if err != nil {
			return err
		}
		s := d.streams[i]
		s.stop()
		d.printf("  %-6s  %-19s  %-12s  %6.1f MB, no connection broke  %d of %d answered", p.Tenant,
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
	bad = append(bad, d.summaryMove()...)
	bad = append(bad, d.summaryOutside()...)
	bad = append(bad, d.summaryService()...)
	d.printf("\n  NODE  RECEIVED      SENT  DROPPED")
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
		d.printf("%s", strings.TrimRight(fmt.Sprintf("  %-4s  %8d  %8d  %7d  %s", n.Name, t.Rx, t.Tx, t.Drops,
			strings.Join(list, ", ")), " "))
	}
	for r := drop.Reason(0); r < drop.Count; r++ {
		if reasons[r.String()] {
			d.printf("        %s: %s", r, r.Info().Text)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("the demo did not hold: %s", strings.Join(bad, "; "))
	}
	d.printf("\nAll checks passed: tenants with the same addresses are isolated; a path failed and returned without " +
		"a lost ping")
	d.printf("or a broken connection; each gateway took over from the other, with an alarm that names the failed " +
		"one; no")
	d.printf("request failed while a server was drained and one added, nor %v after one was killed; a VM that moved "+
		"was", noticeTime)
	d.printf("reached again within %v; and on every node all frames are accounted for.", moveBound)
	return nil
}

// summaryOutside prints the loss by the gateways' failures, and returns the failed checks.
func (d *demo) summaryOutside() (bad []string) {
	d.printf("\n  GATEWAYS                     TOOK OVER  BLOCKED  (%d packets a second to %v)", outsideRate,
		lab.OutsideAddress)
	for _, f := range d.failures {
		d.printf("  %-27s  %-9s  %4d ms", fmt.Sprintf("%s (%.1f s)", f.What, f.At.Seconds()), f.Took,
			f.blocked(f.after).Milliseconds())
		for i, line := range wrap("alarm: "+f.Alarm, Columns-6) {
			d.printf("    %s%s", strings.Repeat(" ", 7*min(i, 1)), line)
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

// explore prints commands for the inspection of a lab that is kept.
func (d *demo) explore() {
	from, to := d.pair(d.top.Options.Tenants[0].Name)
	d.printf("\nThe lab stays up until Ctrl-C. In another terminal, as root:")
	for _, n := range d.nodes {
		d.printf("  %s show ports --rate 1s -s %s", d.Binary, n.Socket)
	}
	d.printf("  %s show gateways -s %s; ip -n %s link set eth0 down", d.Binary, d.gatewayNode().Socket,
		d.lab.FullName(d.top.Gateways[0].Name))
	d.printf("  %s watch --since 0 -s %s", d.Binary, d.top.Boxes[0].Socket)
	d.printf("  ip netns exec %s ping %v", d.lab.FullName(from.Namespace), address(to))
	d.printf("  ip netns exec %s tcpdump -eni %s", d.lab.FullName(to.Namespace), to.Interface)
}
