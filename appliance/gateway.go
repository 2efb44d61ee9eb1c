package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/client"
	"penstock/ctrl/status"
)

func gatewayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Switch gateways, disable and enable them",
		Long:  "`penstock show gateways` shows the gateway groups; `penstock watch --type gateway,alarm` follows them.",
		Example: `  penstock gateway switch out
  penstock gateway switch out isp2
  penstock gateway disable out isp1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("an action is missing: penstock gateway switch, disable or enable; " +
					"penstock show gateways lists the groups")
			}
			return usage("unknown action %q for gateways; the actions are switch, disable, enable", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(
		gatewayAction("switch GROUP [MEMBER]", "Make another member the active one",
			`Without MEMBER the first other member that is up becomes active. No frame is lost: the box still accepts
frames from the previous gateway. The member stays active until it fails, or until the next switch.`,
			"  penstock gateway switch out\n  penstock gateway switch out isp2 --expect isp1", 1,
			(*client.Client).SwitchGateway, false),
		gatewayAction("disable GROUP MEMBER", "Take a member out of service, for maintenance",
			`If the member is active, another member takes over first. A disabled member is still probed, and stays
disabled over a restart of the box. To disable the last member that is fit, --force is needed.`,
			"  penstock gateway disable out isp1", 2,
			(*client.Client).DisableGateway, true),
		gatewayAction("enable GROUP MEMBER", "Put a member back into service",
			"The member becomes active only if no other member is, or if preemption is configured.",
			"  penstock gateway enable out isp1", 2,
			(*client.Client).EnableGateway, false),
	)
	return c
}

// gatewayRequest is the client's method for one of the actions.
type gatewayRequest func(*client.Client, context.Context, string, client.GatewayOptions) (status.GatewayGroup, error)

// gatewayAction is a command that sends request for a group; need is the number of arguments that are required.
func gatewayAction(use, short, long, example string, need int, request gatewayRequest, forcible bool) *cobra.Command {
	var s socketFlags
	var o client.GatewayOptions
	var output string
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.RangeArgs(need, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usage("--output %s: want text or json", output)
			}
			if len(args) > 1 {
				o.Member = args[1]
			}
			cl := s.client()
			defer cl.Close()
			g, err := request(cl, c.Context(), args[0], o)
			if err != nil {
				return refused(err)
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), g)
			}
			fmt.Fprintln(c.OutOrStdout(), describeGroup(&g))
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			return gatewayNames(&s, args, typed), cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.Flags().StringVar(&o.ExpectActive, "expect", "", "do nothing if another member than this is active")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	complete(c, "output", "text", "json")
	if forcible {
		c.Flags().BoolVar(&o.Force, "force", false, "disable even the last member that is fit")
	}
	s.register(c)
	return c
}

// describeGroup returns a group's state in one line.
func describeGroup(g *status.GatewayGroup) string {
	var parts []string
	for _, m := range g.Members {
		state := m.State
		if m.Active {
			state = "active, " + state
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", m.Name, state))
	}
	text := "no member is active"
	if g.Active != "" {
		text = g.Active + " is active"
	}
	return fmt.Sprintf("%s: %s; %s", g.Name, text, strings.Join(parts, ", "))
}

func gatewayGroups(q *query) (l status.Items[status.GatewayGroup], err error) {
	if err = q.c.Get(q, "/v1/gateways", &l); err == nil {
		l.Items, err = pick(q, "gateway group", l.Items, func(g *status.GatewayGroup) string { return g.Name })
	}
	return l, err
}

// gatewayNames returns completions: groups, then members; none if the box does not answer within a second.
func gatewayNames(s *socketFlags, args []string, typed string) (names []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	q := &query{Context: ctx, c: s.client()}
	defer q.c.Close()
	l, _ := gatewayGroups(q)
	for _, g := range l.Items {
		switch {
		case len(args) == 0:
			names = append(names, g.Name)
		case len(args) == 1 && g.Name == args[0]:
			for _, m := range g.Members {
				names = append(names, m.Name)
			}
		}
	}
	var out []string
	for _, n := range names {
		if strings.HasPrefix(n, typed) {
			out = append(out, n)
		}
	}
	return out
}

func jsonGateways(q *query) (any, error) {
	l, err := gatewayGroups(q)
	return l, err
}

// showGateways prints a line per member; with a group's name every value of that group.
func showGateways(q *query, t *sheet) error {
	l, err := gatewayGroups(q)
	if err != nil {
		return err
	}
	if q.arg != "" && len(l.Items) == 1 {
		showGroup(&l.Items[0], t)
		return nil
	}
	t.head("GROUP", "MEMBER", "", "STATE", "SINCE", "WHY", "PORT", "GATEWAY", "MAC", "RTT", "MISSED", "LATE",
		"FAILURES")
	for _, g := range l.Items {
		for _, m := range g.Members {
			t.row(g.Name, m.Name, activeMark(&m), m.State, ago(m.Since), m.Why, attachment(&m), m.IP, m.MAC,
				rtt(m.Probes.RTT), m.Probes.Missed, m.Probes.Late, m.Failures)
		}
	}
	return nil
}

func showGroup(g *status.GatewayGroup, t *sheet) {
	active := g.Active
	if active == "" {
		active = "none"
	}
	for _, r := range [][2]any{
		{"name", g.Name}, {"virtual MAC", g.MAC}, {"addresses", strings.Join(g.Addresses, " ")},
		{"public", fmt.Sprint(g.Public)},
		{"active", active}, {"since", ago(g.Since)}, {"why", g.Why}, {"switches", g.Switches},
		{"announcements", g.Announced},
	} {
		t.row(r[0], fmt.Sprint(r[1]))
	}
	for i := range g.Members {
		m := &g.Members[i]
		held := ""
		if m.Held != nil {
			held = ", held down for another " + time.Until(*m.Held).Round(time.Second).String()
		}
		for _, r := range [][2]string{
			{"member " + m.Name, strings.TrimSpace(m.State + " " + activeMark(m))},
			{"  since", ago(m.Since)}, {"  why", m.Why + held},
			{"  gateway", strings.TrimSpace(m.IP + " " + m.MAC)},
			{"  behind", attachment(m) + ", the box is " + m.Address + onlyFrom(m)},
			{"  probes", fmt.Sprintf("%d sent, %d answered, %d missed, %d excused by data, %d timers late",
				m.Probes.Sent, m.Probes.Answered, m.Probes.Missed, m.Probes.Excused, m.Probes.Late)},
			{"  last answer", cmp.Or(rtt(m.Probes.RTT), "none")}, {"  failures", fmt.Sprint(m.Failures)},
			{"  received", fmt.Sprintf("%d packets, %d octets", m.RxPackets, m.RxBytes)},
			{"  sent", fmt.Sprintf("%d packets, %d octets", m.TxPackets, m.TxBytes)},
		} {
			t.row(r[0], r[1])
		}
	}
}

// onlyFrom lists the MACs that a member accepts frames from; "" if it accepts all.
func onlyFrom(m *status.Gateway) string {
	if len(m.Sources) == 0 {
		return ""
	}
	return ", frames are taken from " + strings.Join(m.Sources, " ")
}

func activeMark(m *status.Gateway) string {
	if m.Active {
		return "active"
	}
	return ""
}

func attachment(m *status.Gateway) string {
	if m.VLAN != 0 {
		return fmt.Sprintf("%s VLAN %d", m.Port, m.VLAN)
	}
	return m.Port
}

func rtt(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Duration(ns).Round(time.Microsecond / 10).String()
}

// ago returns the time since t.
func ago(t *time.Time) string {
	if t == nil {
		return ""
	}
	return time.Since(*t).Round(time.Second).String()
}
