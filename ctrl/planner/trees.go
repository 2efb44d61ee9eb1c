package planner

import (
	"math/rand/v2"
	"slices"
)

// tree is a VLAN: links that span the fabric without a loop.
type tree []int

// search is a plan in the making.
type search struct {
	*graph
	needs []need
	slack int
	sign  []uint64
	rng   *rand.Rand

	got   [][]found // by need: the different paths so far
	use   []float64 // by link: VLANs that use it
	roots []float64 // by switch: trees from it
	vlans []tree
	most  int       // VLANs there may be
	paths int       // of a pair, at most
	far   []float64 // by switch: how far it is from the edge switches, 0 to 1
	rich  bool      // every pair has what it needs: more shortest paths are useful, too
}

// found is a path that a VLAN gives to a pair.
type found struct {
	sign uint64
	cost int
	vlan int
}

func newSearch(g *graph, needs []need, o *Options, most int) *search {
	s := &search{graph: g, needs: needs, slack: o.Slack, paths: o.Paths,
		got: make([][]found, len(needs)), use: make([]float64, len(g.links)),
		roots: make([]float64, len(g.out)), most: most,
		rng: rand.New(rand.NewPCG(o.Seed, 1))}
	s.sign = g.signatures(s.rng)
	s.far = g.far()
	return s
}

// far returns how far each switch is from the edge switches, 0 for the nearest to 1 for the farthest: trees from the
// middle give more pairs a shortest path.
func (g *graph) far() []float64 {
	sum := make([]float64, len(g.out))
	for _, e := range g.edges {
		cost, _ := g.spread([]int{e}, nil, nil)
		for v, c := range cost {
			sum[v] += float64(c)
		}
	}
	low, high := slices.Min(sum), slices.Max(sum)
	for v := range sum {
		sum[v] = (sum[v] - low) / max(1, high-low)
	}
	return sum
}

// open reports whether a pair lacks a path, or a shortest one.
func (s *search) open(i int) bool { return len(s.got[i]) < len(s.needs[i].paths) || s.lacksShortest(i) }

func (s *search) lacksShortest(i int) bool {
	return !slices.ContainsFunc(s.got[i], func(f found) bool { return f.cost == s.needs[i].shortest })
}

func (s *search) openPairs() (n int) {
	for i := range s.needs {
		if s.open(i) {
			n++
		}
	}
	return n
}

// walk calls f for every pair with the path that a tree gives it.
func (s *search) walk(t tree, f func(need int, p found)) {
	out := make([][]arc, len(s.out))
	for _, l := range t {
		e := s.links[l]
		out[e.a] = append(out[e.a], arc{e.b, l})
		out[e.b] = append(out[e.b], arc{e.a, l})
	}
	position := make([]int, len(s.out))
	for i := range position {
		position[i] = -1
	}
	for i, v := range s.edges {
		position[v] = i
	}
	type step struct {
		v, from, cost int
		sign          uint64
	}
	var todo []step
	k := 0 // needs are in the order of their pairs
	costs, signs := make([]int, len(s.edges)), make([]uint64, len(s.edges))
	for i, root := range s.edges {
		for j := range costs {
			costs[j] = -1
		}
		for todo = append(todo[:0], step{root, -1, 0, 0}); len(todo) > 0; {
			x := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if p := position[x.v]; p > i {
				costs[p], signs[p] = x.cost, x.sign
			}
			for _, e := range out[x.v] {
				if e.to != x.from {
					todo = append(todo, step{e.to, x.v, x.cost + s.links[e.link].cost, x.sign ^ s.sign[e.link]})
				}
			}
		}
		for j := i + 1; j < len(s.edges); j++ {
			if costs[j] >= 0 {
				f(k, found{sign: signs[j], cost: costs[j]})
			}
			k++
		}
	}
}

// useful reports whether a path is one that a pair lacks.
func (s *search) useful(i int, p found) bool {
	n := &s.needs[i]
	switch {
	case s.rich && (p.cost > n.shortest || len(s.got[i]) >= s.paths):
		return false
	case !s.rich && (p.cost > n.shortest+s.slack || !s.open(i)):
		return false
	}
	if !s.rich && len(s.got[i]) >= len(n.paths) && p.cost > n.shortest {
		return false
	}
	return !slices.ContainsFunc(s.got[i], func(f found) bool { return f.sign == p.sign })
}

// gain is how many pairs a tree gives a path that they lack; a shortest one counts more.
func (s *search) gain(t tree) (n int) {
	s.walk(t, func(i int, p found) {
		if s.useful(i, p) {
			n++
			if p.cost == s.needs[i].shortest && s.lacksShortest(i) {
				n += 2
			}
		}
	})
	return n
}

// add makes a tree a VLAN.
func (s *search) add(t tree) {
	vlan := len(s.vlans)
	s.vlans = append(s.vlans, t)
	for _, l := range t {
		s.use[l]++
	}
	s.walk(t, func(i int, p found) {
		if s.useful(i, p) {
			p.vlan = vlan
			s.got[i] = append(s.got[i], p)
		}
	})
}

// span is the tree of the cheapest ways from a root, over the least used links.
func (s *search) span(root int) tree {
	jitter := make([]float64, len(s.links))
	for l := range jitter {
		jitter[l] = s.use[l] + s.rng.Float64()*0.01
	}
	_, by := s.spread([]int{root}, func(l int) float64 { return jitter[l] }, nil)
	var t tree
	for _, e := range by {
		if e.link >= 0 {
			t = append(t, e.link)
		}
	}
	return t
}

// candidates is how many roots are compared for a tree.
const candidates = 24

// enrich adds trees that give a quarter of the pairs one more shortest path: links that no VLAN uses are of no use.
func (s *search) enrich() {
	s.rich, s.most = true, maxVLANs
	s.trees(max(1, len(s.needs)/4))
}

// trees adds trees from the least used roots, the most useful first, while they are worth a VLAN.
func (s *search) trees(worth int) {
	for len(s.vlans) < s.most && (s.rich || s.openPairs() > 0) {
		order := make([]int, len(s.out))
		key := make([]float64, len(s.out))
		for v := range order {
			order[v], key[v] = v, s.roots[v]+s.far[v]/2+s.rng.Float64()*0.01
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case key[a] < key[b]:
				return -1
			case key[a] > key[b]:
				return 1
			}
			return a - b
		})
		best, most, root := tree(nil), 0, -1
		for _, v := range order[:min(candidates, len(order))] {
			t := s.span(v)
			if n := s.gain(t); n > most {
				best, most, root = t, n, v
			}
		}
		if most < worth {
			return
		}
		s.roots[root]++
		s.add(best)
	}
}
