package traffic

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"penstock/conf"
)

// number is the value of a header field: one, a range, or a list.
type number struct {
	hi       uint64 // upper half of an IPv6 address
	from, to uint64 // from is the only value if it does not vary
	step     uint64
	op       op
	list     []uint64
	seed     uint32
	varies   bool
}

func constant(v uint64) number { return number{from: v, to: v} }

// count returns how many values there are.
func (n *number) count() uint64 {
	if n.list != nil {
		return uint64(len(n.list))
	}
	return (n.to-n.from)/n.step + 1
}

const maxList = 1024

// number reads a field that may vary:
//
//	port = 9
//	port = { from = 1024, to = 65535, op = "random" }
//	port = { list = [80, 443], op = "inc" }
func (s *section) number(name string, k kind, def number) number {
	v, ok := s.m[name]
	if !ok {
		return def
	}
	m, ok := v.(map[string]any)
	if !ok {
		hi, lo, ok := k.parse(v)
		if !ok {
			s.failf(s.at(name), "found %s, want %s, or a range { from = …, to = … }", conf.Describe(v), k.want)
			return def
		}
		return number{hi: hi, from: lo, to: lo}
	}
	r := s.openRange(name, m, "from", "to", "step", "op", "list", "seed")
	n := number{step: 1, varies: true, seed: s.seedOf(r.path)}
	switch r.enum("op", "inc", "inc", "dec", "random") {
	case "dec":
		n.op = opDec
	case "random":
		n.op = opRandom
	}
	if r.has("seed") {
		n.seed = uint32(r.integer("seed", integer(1, 65535), 1))
	}
	if r.has("list") {
		for _, other := range []string{"from", "to", "step", "seed"} {
			if r.has(other) {
				r.failf(r.at(other), "a list has no %s: remove one of the two", other)
			}
		}
		return r.listed(k, n, def)
	}
	return r.ranged(k, n, def)
}

func (s *section) openRange(name string, m map[string]any, known ...string) *section {
	r := &section{s.reader, s.at(name), "", m}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, key) {
			r.failf(r.at(key), "unknown key%s", conf.Suggest(key, known, "a range has "))
		}
	}
	return r
}

func (s *section) listed(k kind, n, def number) number {
	values, ok := s.m["list"].([]any)
	if !ok || len(values) == 0 || len(values) > maxList {
		s.failf(s.at("list"), "found %s, want an array of 1 to %d values, each %s",
			conf.Describe(s.m["list"]), maxList, k.want)
		return def
	}
	good := true
	for i, v := range values {
		hi, lo, ok := k.parse(v)
		path := fmt.Sprintf("%s[%d]", s.at("list"), i)
		switch {
		case !ok:
			s.failf(path, "found %s, want %s", conf.Describe(v), k.want)
			good = false
		case i > 0 && (hi != n.hi || lo>>32 != n.list[0]>>32):
			s.failf(path, "differs from the first value in more than the last 32 bits: put it into a stream of its own")
			good = false
		}
		n.hi = hi
		n.list = append(n.list, lo)
	}
	if !good {
		return def
	}
	if n.op == opRandom {
		n.op = opShort
	}
	n.from, n.to = n.list[0], n.list[0]
	return n
}

func (s *section) ranged(k kind, n, def number) number {
	good := true
	read := func(name string) (hi, lo uint64) {
		if !s.need(name, k.want) {
			good = false
			return 0, 0
		}
		hi, lo, ok := k.parse(s.m[name])
		if !ok {
			s.failf(s.at(name), "found %s, want %s", conf.Describe(s.m[name]), k.want)
			good = false
		}
		return hi, lo
	}
	n.hi, n.from = read("from")
	var hi uint64
	hi, n.to = read("to")
	n.step = s.integer("step", integer(1, 1<<32-1), 1)
	switch {
	case !good:
	case hi < n.hi || hi == n.hi && n.to < n.from:
		s.failf(s.at("to"), "smaller than from: swap them; op = \"dec\" counts down")
		good = false
	case hi != n.hi || n.to>>32 != n.from>>32:
		s.failf(s.at("to"), "differs from \"from\" in more than the last 32 bits: make the range smaller")
		good = false
	case (n.to-n.from+1)%n.step != 0:
		s.failf(s.at("step"),
			"%d steps do not divide the %d values from %s to %s: change to or step, "+
				"so that the range is gone through evenly",
			n.step, n.to-n.from+1, show(s.m["from"]), show(s.m["to"]))
		good = false
	case n.op == opRandom && n.step != 1:
		s.failf(s.at("step"), "a random value has no step: remove it")
		good = false
	}
	if !good {
		return def
	}
	return n
}

func show(v any) string { return fmt.Sprint(v) }

// seedOf derives the seed of a random field, 1 … 65,535, from its path and the seed of the options. TRex takes such
// seeds.
func (r *reader) seedOf(path string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(path))
	return uint32((uint64(h.Sum32())+r.seed)%65535) + 1
}

// variable returns the variable that goes through the low octets of n.
func (n *number) variable(name string, octets uint8) variable {
	v := variable{
		op: n.op, from: uint32(n.from), step: uint32(n.step),
		count: newDivisor(n.count()), seed: n.seed, octets: octets, name: name,
	}
	for _, x := range n.list {
		v.list = append(v.list, uint32(x))
	}
	return v
}
