package planner

import (
	"container/heap"
	"math/rand/v2"
)

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

type queue []item

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.cost != b.cost {
		return a.cost < b.cost
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return a.v < b.v
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(item)) }
func (q *queue) Pop() any     { old := *q; x := old[len(old)-1]; *q = old[:len(old)-1]; return x }

// spread finds, from the roots, each switch's cheapest way; of ways of equal cost the one with the least tie. It
// returns the costs, and the arc by which each switch is reached: link −1 for a root.
func (g *graph) spread(roots []int, tie func(link int) float64, banned func(link int) bool) (cost []int, by []arc) {
	n := len(g.out)
	cost, by = make([]int, n), make([]arc, n)
	ties := make([]float64, n)
	done := make([]bool, n)
	q := queue{}
	for v := range n {
		cost[v], by[v] = unreachable, arc{-1, -1}
	}
	for _, r := range roots {
		cost[r] = 0
		q = append(q, item{0, 0, r})
	}
	heap.Init(&q)
	for q.Len() > 0 {
		x := heap.Pop(&q).(item)
		if done[x.v] {
			continue
		}
		done[x.v] = true
		for _, e := range g.out[x.v] {
			if done[e.to] || banned != nil && banned(e.link) {
				continue
			}
			c, t := cost[x.v]+g.links[e.link].cost, ties[x.v]
			if tie != nil {
				t += tie(e.link)
			}
			if c < cost[e.to] || c == cost[e.to] && t < ties[e.to] {
				cost[e.to], ties[e.to], by[e.to] = c, t, arc{x.v, e.link}
				heap.Push(&q, item{float64(c), t, e.to})
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
	for i, a := range g.edges {
		for j := i + 1; j < len(g.edges); j++ {
			b := g.edges[j]
			n := g.disjoint(a, b, paths, slack, nil)
			for range 2 {
				if len(n.paths) >= min(paths, len(g.out[a]), len(g.out[b])) {
					break
				}
				jitter := make([]float64, len(g.links))
				for l := range jitter {
					jitter[l] = rng.Float64()
				}
				m := g.disjoint(a, b, paths, slack, func(l int) float64 { return jitter[l] })
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

func (g *graph) disjoint(a, b, paths, slack int, tie func(link int) float64) (n need) {
	used := map[int]bool{}
	for len(n.paths) < paths {
		cost, by := g.spread([]int{a}, tie, func(link int) bool { return used[link] })
		c := cost[b]
		if len(n.paths) == 0 {
			n.shortest = c
		}
		if c > n.shortest+slack {
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

// signatures are random words for the links: a path is known by their exclusive or.
func (g *graph) signatures(rng *rand.Rand) []uint64 {
	list := make([]uint64, len(g.links))
	for i := range list {
		list[i] = rng.Uint64()
	}
	return list
}
