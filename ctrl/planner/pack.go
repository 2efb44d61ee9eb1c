package planner

import (
	"cmp"
	"slices"
)

// forest is a set of links without a loop.
type forest struct {
	parent []int
	links  tree
	in     []bool // by link
}

func newForest(g *graph) *forest {
	f := &forest{parent: make([]int, len(g.out)), in: make([]bool, len(g.links))}
	for i := range f.parent {
		f.parent[i] = i
	}
	return f
}

func (f *forest) find(v int) int {
	for f.parent[v] != v {
		f.parent[v] = f.parent[f.parent[v]]
		v = f.parent[v]
	}
	return v
}

// fits reports whether a path can be added without a loop, or is there.
func (f *forest) fits(g *graph, path []int) bool {
	type joined struct{ v, to int }
	var room [16]joined
	join := room[:0] // what the path has joined so far; paths are short
	find := func(v int) int {
		v = f.find(v)
		for again := true; again; {
			again = false
			for _, j := range join {
				if j.v == v {
					v, again = j.to, true
				}
			}
		}
		return v
	}
	for _, l := range path {
		if f.in[l] {
			continue
		}
		a, b := find(g.links[l].a), find(g.links[l].b)
		if a == b {
			return false
		}
		join = append(join, joined{a, b})
	}
	return true
}

func (f *forest) add(g *graph, path []int) {
	for _, l := range path {
		if !f.in[l] {
			f.in[l] = true
			f.links = append(f.links, l)
			f.parent[f.find(g.links[l].a)] = f.find(g.links[l].b)
		}
	}
}

// order is how pack takes the pairs.
type order uint8

const (
	longestFirst order = iota
	shortestFirst
	anyOrder
	orders
)

// pack adds VLANs for what is lacking: the paths of open pairs, as many as go into a tree, and the rest of the fabric
// over the least used links.
func (s *search) pack(by order) {
	for len(s.vlans) < s.most {
		list := s.lacking(by)
		if len(list) == 0 {
			return
		}
		f := newForest(s.graph)
		for _, p := range list {
			if f.fits(s.graph, p) {
				f.add(s.graph, p)
			}
		}
		s.add(s.complete(f))
	}
}

// lacking lists the paths of open pairs that they have not got.
func (s *search) lacking(by order) (list [][]int) {
	type entry struct {
		path []int
		key  float64
		at   int // in all
	}
	var all []entry
	for i := range s.needs {
		if !s.open(i) {
			continue
		}
		n := &s.needs[i]
		for k, p := range n.paths {
			sign := uint64(0)
			for _, l := range p {
				sign ^= s.sign[l]
			}
			if slices.ContainsFunc(s.got[i], func(f found) bool { return f.sign == sign }) ||
				k > 0 && len(s.got[i]) >= len(n.paths) {
				continue
			}
			key := s.rng.Float64()
			switch by {
			case longestFirst:
				key -= float64(2 * len(p))
			case shortestFirst:
				key += float64(2 * len(p))
			}
			if k == 0 && s.lacksShortest(i) {
				key -= 1000
			}
			all = append(all, entry{p, key, len(all)})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	for _, e := range all {
		list = append(list, e.path)
	}
	return list
}

// complete makes a forest a tree that spans the fabric.
func (s *search) complete(f *forest) tree {
	list := make([]int, len(s.links))
	for l := range list {
		list[l] = l
	}
	slices.SortStableFunc(list, func(a, b int) int {
		return cmp.Or(cmp.Compare(float64(s.links[a].cost)+s.use[a]*0.1, float64(s.links[b].cost)+s.use[b]*0.1),
			cmp.Compare(a, b))
	})
	for _, l := range list {
		if f.find(s.links[l].a) != f.find(s.links[l].b) {
			f.add(s.graph, []int{l})
		}
	}
	return f.links
}
