package planner

import "math/rand/v2"

// graph is a topology with dense indices.
type graph struct {
	links []edgeLink
	out   [][]arc // by switch
	edges []int   // edge switches
}

type edgeLink struct{ a, b, cost int }

// arc is a link as seen from one of its ends.
type arc struct{ to, link int }

func (t *Topology) graph() *graph {
	g := &graph{out: make([][]arc, len(t.Switches))}
	index := map[string]int{}
	for i, s := range t.Switches {
		if _, double := index[s.Name]; !double {
			index[s.Name] = i
		}
		if s.MAC != 0 {
			g.edges = append(g.edges, i)
		}
	}
	for i, l := range t.Links {
		a, known := index[l.A]
		b, known2 := index[l.B]
		e := edgeLink{a, b, max(1, l.Cost)}
		g.links = append(g.links, e)
		if !known || !known2 {
			continue // Check says so
		}
		g.out[e.a] = append(g.out[e.a], arc{e.b, i})
		g.out[e.b] = append(g.out[e.b], arc{e.a, i})
	}
	return g
}

const unreachable = 1 << 40

// item is a switch in the queue of Dijkstra's algorithm.
type item struct {
	cost, tie float64
	v         int
}

// before is a total order, but for entries of the same switch: the result does not depend on how the queue works.
func (a item) before(b item) bool {
	if a.cost != b.cost {
		return a.cost < b.cost
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return a.v < b.v
}

// queue is a binary heap. (container/heap allocates for each item, and takes three times the time.)
type queue []item

func (q *queue) push(x item) {
	list := append(*q, x)
	i := len(list) - 1
	for ; i > 0 && x.before(list[(i-1)/2]); i = (i - 1) / 2 {
		list[i] = list[(i-1)/2]
	}
	list[i] = x
	*q = list
}

func (q *queue) pop() item {
	list := *q
	top, x := list[0], list[len(list)-1]
	list = list[:len(list)-1]
	i := 0
	for k := 1; k < len(list); k = 2*i + 1 {
		if k+1 < len(list) && list[k+1].before(list[k]) {
			k++
		}
		if !list[k].before(x) {
			break
		}
		list[i], i = list[k], k
	}
	if len(list) > 0 {
		list[i] = x
	}
	*q = list
	return top
}

// spread finds, from the roots, each switch's cheapest way; of ways of equal cost the one with the least tie. It
// returns the costs, and the arc by which each switch is reached: link −1 for a root.
func (g *graph) spread(roots []int, tie func(link int) float64, banned func(link int) bool) (cost []int, by []arc) {
	return g.search(roots, nil, tie, banned)
}

// aim is a switch to be reached for at most a cost. far has the costs of all switches to it, over all links.
type aim struct {
	to, most int
	far      []int
	least    bool // there is no way for less than most
	next     int  // the least cost at which there may be one, of those above most
}

// search is spread that ends when the aim is reached, and leaves out what cannot be on the way there. Without an aim
// all switches are reached.
func (g *graph) search(roots []int, at *aim, tie func(link int) float64, banned func(link int) bool) (cost []int,
	by []arc) {
	n := len(g.out)
	cost, by = make([]int, n), make([]arc, n)
	ties := make([]float64, n)
	done := make([]bool, n)
	q := make(queue, 0, n)
	for v := range n {
		cost[v], by[v] = unreachable, arc{-1, -1}
	}
	for _, r := range roots {
		cost[r] = 0
		q.push(item{0, 0, r})
	}
	for len(q) > 0 {
		x := q.pop()
		if done[x.v] {
			continue
		}
		if at != nil && x.v == at.to {
			break
		}
		done[x.v] = true
		for _, e := range g.out[x.v] {
			if done[e.to] || banned != nil && banned(e.link) {
				continue
			}
			c, t := cost[x.v]+g.links[e.link].cost, ties[x.v]
			if at != nil && c+at.far[e.to] > at.most {
				at.next = min(at.next, c+at.far[e.to])
				continue
			}
			if tie != nil {
				t += tie(e.link)
			}
			if c < cost[e.to] || c == cost[e.to] && t < ties[e.to] {
				cost[e.to], ties[e.to], by[e.to] = c, t, arc{x.v, e.link}
				if at != nil && e.to == at.to && at.least && tie == nil {
					return cost, by // nothing is better
				}
				q.push(item{float64(c), t, e.to})
			}
		}
	}
	return cost, by
}

// way returns the links from a root to v.
func way(by []arc, v int) (links []int) {
	for by[v].link >= 0 {
		links = append(links, by[v].link)
		v = by[v].to
	}
	return links
}

// pair is two edge switches, by their positions in graph.edges, the smaller first.
type pair struct{ a, b int }

// need is what a pair is to get.
type need struct {
	pair
	shortest int     // cost
	paths    [][]int // link-disjoint ones, the shortest first
}

// needs finds for every pair the link-disjoint paths, one after the other. How many there are depends on which of
// equally cheap ones is taken first: where there may be more, it is tried again with other ones.
func (g *graph) needs(paths, slack int, rng *rand.Rand) []need {
	var list []need
	far := make([][]int, len(g.edges))
	for i, e := range g.edges {
		far[i], _ = g.spread([]int{e}, nil, nil)
	}
	for i, a := range g.edges {
		for j := i + 1; j < len(g.edges); j++ {
			b := g.edges[j]
			n := g.disjoint(a, b, paths, slack, far[j], nil)
			for range 2 {
				if len(n.paths) >= min(paths, len(g.out[a]), len(g.out[b])) {
					break
				}
				jitter := make([]float64, len(g.links))
				for l := range jitter {
					jitter[l] = rng.Float64()
				}
				m := g.disjoint(a, b, paths, slack, far[j], func(l int) float64 { return jitter[l] })
				if len(m.paths) > len(n.paths) {
					n = m
				}
			}
			n.pair = pair{i, j}
			list = append(list, n)
		}
	}
	return list
}

func (g *graph) disjoint(a, b, paths, slack int, far []int, tie func(link int) float64) (n need) {
	used := make([]bool, len(g.links))
	n.shortest = far[a]
	for c := far[a]; len(n.paths) < paths; {
		var by []arc
		if c, by = g.nearest(a, b, c, n.shortest+slack, far, tie, used); by == nil {
			break
		}
		p := way(by, b)
		for _, l := range p {
			used[l] = true
		}
		n.paths = append(n.paths, p)
	}
	return n
}

// nearestSteps is how many costs are tried one by one: with low bounds a search looks at few switches.
const nearestSteps = 4

// nearest finds the cheapest way that uses no used link, for a cost from least on; nil if all cost more than most.
func (g *graph) nearest(a, b, least, most int, far []int, tie func(link int) float64, used []bool) (int, []arc) {
	at := &aim{to: b, far: far}
	for step := 1; least <= most; step++ {
		at.most, at.least, at.next = least, true, unreachable
		if step == nearestSteps {
			at.most, at.least = most, least == most
		}
		cost, by := g.search([]int{a}, at, tie, func(link int) bool { return used[link] })
		if c := cost[b]; c <= at.most {
			return c, by
		}
		least = at.next
	}
	return 0, nil
}

// signatures are random words for the links: a path is known by their exclusive or.
func (g *graph) signatures(rng *rand.Rand) []uint64 {
	list := make([]uint64, len(g.links))
	for i := range list {
		list[i] = rng.Uint64()
	}
	return list
}
