package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/ctrl/alarm"
	"penstock/ctrl/client"
	"penstock/ctrl/event"
	"penstock/ctrl/gateway"
	"penstock/ctrl/printable"
)

func watchCommand() *cobra.Command {
	var s socketFlags
	var o client.WatchOptions
	var since uint64
	var output string
	c := &cobra.Command{
		Use:   "watch",
		Short: "Follow the box's events",
		Long: `Prints events as they occur, until Ctrl-C. With --since it starts after that sequence number, as far
as the box remembers events; 0 prints all that it remembers. If the box restarts, the command waits
for it.`,
		Example: `  penstock watch
  penstock watch --type port,reload
  penstock watch --since 1200 -o json
  penstock watch --since 0 --once`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usage("--output %s: want text or json", output)
			}
			for _, name := range o.Types {
				if !slices.Contains(event.Types(), name) {
					return usage("--type %s: unknown type of events; want one of %s", name,
						strings.Join(event.Types(), ", "))
				}
			}
			cl := s.client()
			defer cl.Close()
			rev, err := cl.Revision(c.Context()) // the command does not wait for a box that does not run
			if err != nil {
				return refused(err)
			}
			o.Resume, o.Since = true, &rev.Events
			if c.Flags().Changed("since") {
				o.Since = &since
			}
			err = cl.Watch(c.Context(), o, func(e client.Event) error {
				var text []byte
				if output == "json" {
					if text, err = json.Marshal(e); err != nil {
						return err
					}
					text = printable.JSON(text)
				} else {
					text = fmt.Appendf(nil, "%8d  %s  %-10s %s", e.Seq, e.Time.Local().Format(time.DateTime+".000"),
						printable.Line(e.Type), printable.Line(describe(e)))
				}
				_, err := c.OutOrStdout().Write(append(text, '\n'))
				return err
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return refused(err)
		},
	}
	c.Flags().Uint64Var(&since, "since", 0, "sequence number of the last event already seen")
	c.Flags().StringSliceVar(&o.Types, "type", nil, "only events of these types, such as change or port,reload: "+
		strings.Join(event.Types(), ", "))
	c.Flags().BoolVar(&o.Once, "once", false, "end after the last event that exists")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	complete(c, "output", "text", "json")
	complete(c, "type", event.Types()...)
	s.register(c)
	return c
}

// describe formats an event's data as text.
func describe(e client.Event) string {
	switch e.Type {
	case event.TypeChange:
		var ch event.Change
		if json.Unmarshal(e.Data, &ch) == nil {
			return describeChange(ch)
		}
	case event.TypeGateway:
		var g gateway.Event
		if json.Unmarshal(e.Data, &g) == nil {
			return describeGateway(&g)
		}
	case event.TypeAlarm:
		var a alarm.Event
		if json.Unmarshal(e.Data, &a) == nil {
			return describeAlarm(a)
		}
	case event.TypeGap:
		var g event.Gap
		if json.Unmarshal(e.Data, &g) == nil {
			return describeGap(g)
		}
	}
	return describeMembers(e.Data)
}

// describeGap names the missing events. Sequence numbers jump at a restart: they do not give the number of events.
func describeGap(g event.Gap) string {
	switch g.Reason {
	case event.GapRestart:
		return fmt.Sprintf("the box restarted; events before %d are gone", g.To+1)
	case event.GapUnknown:
		return fmt.Sprintf("this box never had the requested events; its own begin with %d", g.To+1)
	}
	return fmt.Sprintf("events %d to %d are no longer remembered", g.From, g.To)
}

func describeGateway(e *gateway.Event) string {
	who := e.Group + "/" + e.Member
	switch e.Kind {
	case "member":
		if e.From == e.To {
			return fmt.Sprintf("%s is %s: %s", who, e.To, e.Why)
		}
		return fmt.Sprintf("%s is %s, was %s: %s", who, e.To, e.From, e.Why)
	case "active":
		now, was := cmp.Or(e.Member, "none"), cmp.Or(e.Old, "none")
		return fmt.Sprintf("%s: %s is active, was %s: %s", e.Group, now, was, e.Why)
	case "mac-learned":
		return fmt.Sprintf("%s is at %s", who, e.MAC)
	case "mac-changed":
		return fmt.Sprintf("%s is at %s, was at %s", who, e.MAC, e.OldMAC)
	case "mac-conflict":
		return fmt.Sprintf("%s answers from %s too, and stays at %s", who, e.MAC, e.OldMAC)
	case "mac-shared":
		return fmt.Sprintf("%s and %s/%s are both at %s", who, e.Group, e.Other, e.MAC)
	case "announced":
		return fmt.Sprintf("%s: %s after the switch", who, count(e.Count, "announcement"))
	}
	return e.Kind + " " + who
}

func describeAlarm(e alarm.Event) string {
	a := &e.Alarm
	s := fmt.Sprintf("%s: %s %d, %s, %s", e.Action, a.Severity, a.ID, a.Kind, a.Object)
	switch {
	case e.Action == alarm.ActionAcknowledge:
		return s + ", by " + acknowledged(a)
	case e.Action == alarm.ActionClear:
		return fmt.Sprintf("%s, after %v", s, a.Cleared.Sub(a.Raised).Round(time.Millisecond))
	case a.Count > 1:
		s += fmt.Sprintf(", %d times", a.Count)
	}
	return s + ": " + a.Text
}

func describeChange(ch event.Change) string {
	const most = 3 // keys named per kind
	parts := []string{fmt.Sprintf("revision %d", ch.Revision)}
	for _, k := range ch.Kinds {
		var n []string
		for _, x := range []struct {
			n    int
			what string
		}{{k.Created, "created"}, {k.Updated, "updated"}, {k.Deleted, "deleted"}} {
			if x.n > 0 {
				n = append(n, fmt.Sprintf("%d %s", x.n, x.what))
			}
		}
		s := k.Kind + " " + strings.Join(n, ", ")
		if all := k.Created + k.Updated + k.Deleted; len(k.Keys) > 0 {
			s += " (" + strings.Join(k.Keys[:min(most, len(k.Keys))], " ")
			if all > most {
				s += " …"
			}
			s += ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// describeMembers prints an object as name=value.
func describeMembers(data json.RawMessage) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil {
		return string(data)
	}
	var parts []string
	for name, v := range m {
		var s string
		if json.Unmarshal(v, &s) != nil || s == "" || strings.ContainsAny(s, " \"\n") {
			s = string(bytes.TrimSpace(v))
		}
		parts = append(parts, name+"="+s)
	}
	slices.SortFunc(parts, func(x, y string) int { return cmp.Compare(x, y) })
	return strings.Join(parts, " ")
}
