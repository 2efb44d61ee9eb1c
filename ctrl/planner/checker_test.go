package planner

import (
	"fmt"
	"slices"
	"testing"
)

// check holds a plan to what a plan promises. It shares nothing with the planner but its input and output: it works on
// names, and finds ways by breadth or by relaxing all links.
func check(t *testing.T, top *Topology, p *Plan, o Options) {
	t.Helper()
	type wire struct {
		a, b string
		cost int
	}
	wires := make([]wire, len(top.Links))
	for i, l := range top.Links {
		wires[i] = wire{l.A, l.B, max(l.Cost, 1)}
	}
	// relax returns the cheapest costs from a switch over some links (Bellman and Ford), and the link before each.
	relax := func(from string, use func(i int) bool) (map[string]int, map[string]int) {
		cost, last := map[string]int{from: 0}, map[string]int{}
		for again := true; again; {
			again = false
			for i, w := range wires {
				if !use(i) {
					continue
				}
				for _, d := range [2][2]string{{w.a, w.b}, {w.b, w.a}} {
					c, ok := cost[d[0]]
					if old, known := cost[d[1]]; ok && (!known || c+w.cost < old) {
						cost[d[1]], last[d[1]], again = c+w.cost, i, true
					}
				}
			}
		}
		return cost, last
	}
	follow := func(last map[string]int, from, to string) (links []int) {
		for at := to; at != from; {
			w := last[at]
			links = append(links, w)
			if wires[w].a == at {
				at = wires[w].b
			} else {
				at = wires[w].a
			}
		}
		slices.Sort(links)
		return links
	}
	seen := map[uint16]bool{}
	members := map[uint16]map[int]bool{}
	for _, v := range p.VLANs {
		if seen[v.VID] || !slices.Contains(o.VLANs, v.VID) {
			t.Fatalf("VLAN %d is used twice, or was not given", v.VID)
		}
		seen[v.VID] = true
		if len(v.Links) != len(top.Switches)-1 {
			t.Fatalf("VLAN %d has %d links, want %d: a tree", v.VID, len(v.Links), len(top.Switches)-1)
		}
		members[v.VID] = map[int]bool{}
		for _, l := range v.Links {
			members[v.VID][l] = true
		}
		cost, _ := relax(top.Switches[0].Name, func(i int) bool { return members[v.VID][i] })
		if len(cost) != len(top.Switches) {
			t.Fatalf("VLAN %d reaches %d switches, want all %d", v.VID, len(cost), len(top.Switches))
		}
	}
	pairs := map[string]Pair{}
	for _, x := range p.Pairs {
		pairs[top.Switches[x.A].Name+" "+top.Switches[x.B].Name] = x
	}
	for i, a := range top.Switches {
		if a.MAC == 0 {
			continue
		}
		all, _ := relax(a.Name, func(int) bool { return true })
		inVLAN := map[uint16]map[string]int{}
		lasts := map[uint16]map[string]int{}
		for vid, in := range members {
			inVLAN[vid], lasts[vid] = relax(a.Name, func(i int) bool { return in[i] })
		}
		for _, b := range top.Switches[i+1:] {
			if b.MAC == 0 {
				continue
			}
			x, ok := pairs[a.Name+" "+b.Name]
			if !ok {
				t.Fatalf("the pair %s, %s is missing", a.Name, b.Name)
			}
			// Link-disjoint paths, one after the other.
			gone := map[int]bool{}
			want := 0
			for want < o.Paths {
				cost, last := relax(a.Name, func(i int) bool { return !gone[i] })
				if c, ok := cost[b.Name]; !ok || c > all[b.Name]+o.Slack {
					break
				}
				for _, l := range follow(last, a.Name, b.Name) {
					gone[l] = true
				}
				want++
			}
			different, shortest := map[string]bool{}, false
			for _, path := range x.Paths {
				c := inVLAN[path.VID][b.Name]
				if c != path.Cost || c > all[b.Name]+o.Slack {
					t.Fatalf("%s, %s by VLAN %d: cost %d, told %d, shortest %d", a.Name, b.Name, path.VID, c, path.Cost,
						all[b.Name])
				}
				shortest = shortest || c == all[b.Name]
				different[fmt.Sprint(follow(lasts[path.VID], a.Name, b.Name))] = true
			}
			if !shortest {
				t.Fatalf("%s, %s: no shortest path", a.Name, b.Name)
			}
			if len(different) != len(x.Paths) || len(different) < want || len(x.Paths) > o.Paths {
				t.Fatalf("%s, %s: %d different paths in %d VLANs, want %d", a.Name, b.Name, len(different),
					len(x.Paths), want)
			}
		}
	}
}
