package planner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"penstock/ctrl/model"
)

// maxVLANs is how many VLANs there are (IEEE 802.1Q, 9.6).
const maxVLANs = 4094

// Options of a plan.
type Options struct {
	Paths int      // different paths of a pair, at most
	Slack int      // cost that a path may have more than the shortest
	VLANs []uint16 // that may be used, in this order
	Seed  uint64   // same input and seed, same plan
}

// Plan is the result.
type Plan struct {
	Topology *Topology
	VLANs    []VLAN
	Pairs    []Pair
	Method   string // "trees" or "packing"
}

// VLAN is a VLAN with the links that are its members, in their order in the topology.
type VLAN struct {
	VID   uint16
	Links []int
}

// Pair is a pair of edge switches with its paths.
type Pair struct {
	A, B     int // switches
	Shortest int
	Disjoint int // link-disjoint paths that were found one after the other
	Paths    []Path
}

// Path is a path of a pair.
type Path struct {
	VID  uint16
	Cost int
}

// allMost is the number of pairs times links up to which each method is tried in several ways, not once: 200 switches
// of 16 links each take some 8 s on one core then.
const allMost = 35_000_000

// Make plans a topology that Check accepts. The fault says how many VLANs are needed if there are too few.
func Make(t *Topology, o Options) (*Plan, *Fault) {
	g := t.graph()
	needs := g.needs(o.Paths, o.Slack, rand.New(rand.NewPCG(o.Seed, 2)))
	var best *search
	method := ""
	try := func(name string, run func(s *search)) {
		most := maxVLANs
		if best != nil {
			most = len(best.vlans) - 1
		}
		s := newSearch(g, needs, &o, most)
		if run(s); s.openPairs() == 0 && (best == nil || len(s.vlans) < len(best.vlans)) {
			best, method = s, name
		}
	}
	try("trees", func(s *search) {
		s.trees(max(1, len(needs)/200))
		s.pack(shortestFirst)
	})
	many := len(needs)*len(g.links) > allMost
	if !many {
		try("trees", func(s *search) { s.trees(1); s.pack(shortestFirst) })
	}
	for by := range orders {
		if !many || by == longestFirst {
			try("packing", func(s *search) { s.pack(by) })
		}
	}
	if best == nil {
		return nil, &Fault{"", fmt.Sprintf("more than %d VLANs would be needed", maxVLANs)}
	}
	if n := len(best.vlans); n > len(o.VLANs) {
		return nil, &Fault{"", fmt.Sprintf("%d VLANs are needed, and --vlans has %d", n, len(o.VLANs))}
	}
	best.enrich()
	if len(best.vlans) > len(o.VLANs) {
		best.vlans = best.vlans[:len(o.VLANs)]
		for i := range best.got {
			best.got[i] = slices.DeleteFunc(best.got[i], func(f found) bool { return f.vlan >= len(o.VLANs) })
		}
	}
	return best.plan(t, o, method), nil
}

func (s *search) plan(t *Topology, o Options, method string) *Plan {
	p := &Plan{Topology: t, Method: method}
	for i, links := range s.vlans {
		list := slices.Clone(links)
		sort.Ints(list)
		p.VLANs = append(p.VLANs, VLAN{o.VLANs[i], list})
	}
	for i := range s.needs {
		n := &s.needs[i]
		x := Pair{A: s.edges[n.a], B: s.edges[n.b], Shortest: n.shortest, Disjoint: len(n.paths)}
		for _, f := range s.best(i) {
			x.Paths = append(x.Paths, Path{o.VLANs[f.vlan], f.cost})
		}
		p.Pairs = append(p.Pairs, x)
	}
	return p
}

// best returns the paths of a pair, at most as many as were asked for: one more was found if the first ones had no
// shortest.
func (s *search) best(i int) []found {
	list := slices.Clone(s.got[i])
	for len(list) > s.paths {
		worst := 0
		for k := range list {
			if list[k].cost >= list[worst].cost {
				worst = k
			}
		}
		list = slices.Delete(list, worst, worst+1)
	}
	return list
}

// Table returns the path table.
func (p *Plan) Table() (list []model.Path) {
	for _, x := range p.Pairs {
		m := model.Path{A: p.Topology.Switches[x.A].MAC, B: p.Topology.Switches[x.B].MAC}
		if m.B < m.A {
			m.A, m.B = m.B, m.A
		}
		for _, way := range x.Paths {
			m.VLANs = append(m.VLANs, model.PathVLAN{VID: way.VID})
		}
		slices.SortFunc(m.VLANs, func(a, b model.PathVLAN) int { return int(a.VID) - int(b.VID) })
		list = append(list, m)
	}
	return list
}

// Trunks returns the VLANs of each link.
func (p *Plan) Trunks() [][]uint16 {
	trunks := make([][]uint16, len(p.Topology.Links))
	for _, v := range p.VLANs {
		for _, l := range v.Links {
			trunks[l] = append(trunks[l], v.VID)
		}
	}
	return trunks
}

// Loss is what the fabric loses with one link or switch: pairs of other edge switches that have no path left.
type Loss struct {
	What  string
	Pairs int
}

// Losses returns the links and switches whose loss cuts pairs off, as the table stands: those that all paths of a pair
// have in common.
func (p *Plan) Losses() (list []Loss) {
	g := p.Topology.graph()
	links, switches := make([]int, len(p.Topology.Links)), make([]int, len(p.Topology.Switches))
	for i, paths := range p.linksOfPaths(g) {
		count(links, paths)
		for k, path := range paths {
			var through []int
			for _, l := range path {
				for _, v := range []int{g.links[l].a, g.links[l].b} {
					if v != p.Pairs[i].A && v != p.Pairs[i].B && !slices.Contains(through, v) {
						through = append(through, v)
					}
				}
			}
			paths[k] = through
		}
		count(switches, paths)
	}
	for l, x := range p.Topology.Links {
		if n := links[l]; n > 0 {
			list = append(list, Loss{fmt.Sprintf("link %s – %s", x.A, x.B), n})
		}
	}
	for v, x := range p.Topology.Switches {
		if n := switches[v]; n > 0 {
			list = append(list, Loss{"switch " + x.Name, n})
		}
	}
	return list
}

// count counts what all of the lists have.
func count(counts []int, lists [][]int) {
	if len(lists) == 0 {
		return
	}
	for _, x := range lists[0] {
		if !slices.ContainsFunc(lists[1:], func(list []int) bool { return !slices.Contains(list, x) }) {
			counts[x]++
		}
	}
}

// linksOfPaths returns the links of every path of every pair.
func (p *Plan) linksOfPaths(g *graph) [][][]int {
	trees := map[uint16]*graph{}
	for _, v := range p.VLANs {
		t := &graph{links: g.links, out: make([][]arc, len(g.out))}
		for _, l := range v.Links {
			e := g.links[l]
			t.out[e.a], t.out[e.b] = append(t.out[e.a], arc{e.b, l}), append(t.out[e.b], arc{e.a, l})
		}
		trees[v.VID] = t
	}
	type from struct {
		vid uint16
		a   int
	}
	all := make([][][]int, len(p.Pairs))
	ways := map[from][]arc{}
	for i, x := range p.Pairs {
		for _, path := range x.Paths {
			by := ways[from{path.VID, x.A}]
			if by == nil {
				_, by = trees[path.VID].spread([]int{x.A}, nil, nil)
				ways[from{path.VID, x.A}] = by
			}
			all[i] = append(all[i], way(by, x.B))
		}
	}
	return all
}

// Report is the plan for people.
func (p *Plan) Report() string {
	var b strings.Builder
	least, sum := 0, 0
	for i, x := range p.Pairs {
		if n := len(x.Paths); i == 0 || n < least {
			least = n
		}
		sum += len(x.Paths)
	}
	edges := 0
	for _, s := range p.Topology.Switches {
		if s.MAC != 0 {
			edges++
		}
	}
	fmt.Fprintf(&b, "switches        %d, %d of them edge switches\n", len(p.Topology.Switches), edges)
	fmt.Fprintf(&b, "links           %d\n", len(p.Topology.Links))
	fmt.Fprintf(&b, "VLANs           %d, by %s\n", len(p.VLANs), p.Method)
	fmt.Fprintf(&b, "paths per pair  at least %d, %.1f on average\n", least, float64(sum)/float64(max(1, len(p.Pairs))))
	trunks := p.Trunks()
	low, high, all := len(p.VLANs), 0, 0
	for _, list := range trunks {
		low, high, all = min(low, len(list)), max(high, len(list)), all+len(list)
	}
	fmt.Fprintf(&b, "VLANs per link  %d to %d, %.1f on average\n", low, high, float64(all)/float64(max(1, len(trunks))))
	losses := p.Losses()
	fmt.Fprintf(&b, "pairs cut off   by the loss of one link or switch: %d of these can\n", len(losses))
	for i, l := range losses {
		if i == 20 {
			fmt.Fprintf(&b, "                … %d more\n", len(losses)-i)
			break
		}
		fmt.Fprintf(&b, "                %s: %d pairs\n", l.What, l.Pairs)
	}
	b.WriteString("\ntrunk VLANs\n")
	for l, list := range trunks {
		x := p.Topology.Links[l]
		fmt.Fprintf(&b, "  %s – %s: %s\n", x.A, x.B, Ranges(list))
	}
	return b.String()
}

// Ranges writes ascending VLAN IDs with their ranges: 101, 110-119.
func Ranges(ids []uint16) string {
	var parts []string
	for first, last := range model.VLANRuns(ids) {
		if first == last {
			parts = append(parts, fmt.Sprint(first))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
