package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"penstock/conf"
	"penstock/ctrl/model"
	"penstock/ctrl/planner"
)

func pathsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "paths",
		Short: "Plan the VLANs and the path table of a fabric",
		Long: "The path table says which VLANs connect each pair of edge switches. It follows from the fabric's\n" +
			"topology, is computed offline, and is pushed to the boxes with `penstock apply`.",
		Example: "  penstock paths plan topology.toml -o paths.toml --svg topology.svg\n  penstock apply -f paths.toml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("an action is missing: penstock paths plan")
			}
			return usage("unknown action %q for paths; the action is plan", args[0])
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	c.AddCommand(pathsPlan())
	return c
}

func pathsPlan() *cobra.Command {
	var paths, slack int
	var seed uint64
	var vlans, tables, svg string
	c := &cobra.Command{
		Use:   "plan TOPOLOGY.toml",
		Short: "Compute VLANs and path table from the switches and links of a fabric",
		Long: `Every VLAN is a tree. Every pair of edge switches gets a shortest path, and as many different paths as
link-disjoint ones are found within the shortest and --slack, up to --paths. The same input and --seed
give the same plan. The report goes to standard output, the path table into a file for penstock apply.

  [[switch]]                  # one with a mac is an edge switch
  name = "leaf1"
  mac = "02:00:00:00:00:0a"
  [[link]]
  a = "leaf1"
  b = "spine1"
  cost = 1                    # default 1`,
		Example: "  penstock paths plan topology.toml --vlans 100-199 -o paths.toml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("want one topology: penstock paths plan TOPOLOGY.toml")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			o := planner.Options{Paths: paths, Slack: slack, Seed: seed}
			if paths < 1 || paths > model.MaxPathVLANs-1 {
				return usage("--paths %d: want 1 to %d", paths, model.MaxPathVLANs-1)
			}
			if slack < 0 || slack > 1000 {
				return usage("--slack %d: want 0 to 1000", slack)
			}
			var fault string
			if o.VLANs, fault = vlanRange(vlans); fault != "" {
				return usage("--vlans %s: %s", vlans, fault)
			}
			top, err := readTopology(args[0])
			if err != nil {
				return err
			}
			p, f := planner.Make(top, o)
			if f != nil {
				return &exitError{exitRefused, fmt.Errorf("%s: %s", args[0], f.Text)}
			}
			if tables != "" {
				if err := os.WriteFile(tables, []byte(pathTables(args[0], p)), 0o644); err != nil {
					return fmt.Errorf("write the tables: %w", err)
				}
			}
			if svg != "" {
				if err := os.WriteFile(svg, []byte(p.SVG()), 0o644); err != nil {
					return fmt.Errorf("write the picture: %w", err)
				}
			}
			_, err = fmt.Fprint(c.OutOrStdout(), p.Report())
			return err
		},
	}
	c.Flags().IntVar(&paths, "paths", 4, "different paths of a pair, at most")
	c.Flags().IntVar(&slack, "slack", 2, "cost that a path may have more than the shortest")
	c.Flags().StringVar(&vlans, "vlans", "100-1099", "VLAN IDs that may be used")
	c.Flags().Uint64Var(&seed, "seed", 1, "another number gives another plan")
	c.Flags().StringVarP(&tables, "output", "o", "", "file for the path table")
	c.Flags().StringVar(&svg, "svg", "", "file for a picture of the fabric")
	return c
}

// vlanRange reads "100-199,300".
func vlanRange(text string) (list []uint16, fault string) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.ParseUint(from, 10, 16)
		b, err2 := a, error(nil)
		if isRange {
			b, err2 = strconv.ParseUint(to, 10, 16)
		}
		if err != nil || err2 != nil || a < 1 || b > model.MaxVLAN || a > b {
			return nil, fmt.Sprintf("want VLAN IDs from 1 to %d and ranges, such as 100-199,300", model.MaxVLAN)
		}
		for v := a; v <= b; v++ {
			if !slices.Contains(list, uint16(v)) {
				list = append(list, uint16(v))
			}
		}
	}
	return list, ""
}

// readTopology reads a topology, and reports everything that is wrong with it at once.
func readTopology(name string) (*planner.Topology, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the topology: %w", err)
	}
	doc, errs := conf.ReadDocument(name, text)
	t := &planner.Topology{}
	fail := func(path, format string, args ...any) {
		errs = append(errs, doc.Error(path, fmt.Sprintf(format, args...)))
	}
	for key := range doc.Tree {
		if key != "switch" && key != "link" {
			fail(key, "unknown key%s", conf.Suggest(key, []string{"switch", "link"}, "the tables are "))
		}
	}
	eachTable(doc.Tree["switch"], "switch", fail, []string{"name", "mac"}, func(at string, m map[string]any) {
		s := planner.Switch{Name: stringOf(m, at, "name", fail)}
		if _, ok := m["mac"]; ok {
			mac, err := model.ParseMAC(stringOf(m, at, "mac", fail))
			if err != nil || mac == 0 || mac.IsGroup() {
				fail(at+".mac", "found %s, want the MAC of an edge switch", conf.Describe(m["mac"]))
			}
			s.MAC = mac
		}
		t.Switches = append(t.Switches, s)
	})
	eachTable(doc.Tree["link"], "link", fail, []string{"a", "b", "cost"}, func(at string, m map[string]any) {
		l := planner.Link{A: stringOf(m, at, "a", fail), B: stringOf(m, at, "b", fail)}
		if v, ok := m["cost"]; ok {
			n, ok := v.(int64)
			if !ok || n < 1 || n > math.MaxInt32 {
				fail(at+".cost", "found %s, want an integer from 1 on", conf.Describe(v))
			}
			l.Cost = int(min(max(n, 1), math.MaxInt32))
		}
		t.Links = append(t.Links, l)
	})
	for _, f := range t.Check() {
		fail(f.Where, "%s", f.Text)
	}
	if len(errs) > 0 {
		return nil, &exitError{exitRefused, errors.New(strings.TrimSuffix(errs.Sorted().Error(), "\n"))}
	}
	return t, nil
}

func eachTable(v any, name string, fail func(path, format string, args ...any), keys []string,
	f func(at string, m map[string]any)) {
	var list []any
	switch v := v.(type) {
	case nil:
	case []any:
		list = v
	case []map[string]any:
		for _, m := range v {
			list = append(list, m)
		}
	default:
		fail(name, "found %s, want an array of tables: write [[%s]]", conf.Describe(v), name)
	}
	for i, e := range list {
		at := fmt.Sprintf("%s[%d]", name, i)
		m, ok := e.(map[string]any)
		if !ok {
			fail(at, "found %s, want a table", conf.Describe(e))
			continue
		}
		for key := range m {
			if !slices.Contains(keys, key) {
				fail(at+"."+key, "unknown key%s", conf.Suggest(key, keys, "the keys are "))
			}
		}
		f(at, m)
	}
}

func stringOf(m map[string]any, at, key string, fail func(path, format string, args ...any)) string {
	s, ok := m[key].(string)
	if _, there := m[key]; there && !ok {
		fail(at+"."+key, "found %s, want a string", conf.Describe(m[key]))
	}
	return s
}

// pathTables is the path table as TOML, with the VLANs of the trunks as comments.
func pathTables(from string, p *planner.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Path table of %s: %d VLANs.\n# Made by penstock paths plan; push it with penstock apply -f.\n"+
		"#\n", from, len(p.VLANs))
	b.WriteString("# VLANs of the trunks:\n")
	for l, list := range p.Trunks() {
		fmt.Fprintf(&b, "#   %s - %s: %s\n", p.Topology.Links[l].A, p.Topology.Links[l].B, planner.Ranges(list))
	}
	for _, x := range p.Table() {
		fmt.Fprintf(&b, "\n[[paths]]\na = %q\nb = %q\nvlans = [", x.A, x.B)
		for i, v := range x.VLANs {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "{ vid = %d }", v.VID)
		}
		b.WriteString("]\n")
	}
	return b.String()
}
