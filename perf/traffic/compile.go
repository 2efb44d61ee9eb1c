package traffic

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Options say what of a profile is wanted, and how.
type Options struct {
	Side   Side              // the port to make frames for; Both: all streams, in one sequence
	MTU    int               // of the port, in octets of IP packet; 0 = do not check
	SrcMAC *MAC              // source MAC of all streams' outermost Ethernet headers; nil = as the profile says
	DstMAC *MAC              // likewise of the destination
	Seed   uint64            // other random values
	Set    map[string]string // keys to replace, see Profile.Program
}

// Program prepares the frames of the profile for one port.
func (p *Profile) Program(o Options) (*Program, error) {
	q := *p
	if len(o.Set) > 0 || o.Seed != 0 {
		if err := q.parse(o.Set, o.Seed); err != nil {
			return nil, err
		}
	}
	c := &compiler{o: o, g: &Program{}, dir: filepath.Dir(p.file)}
	for i := range q.specs {
		if s := &q.specs[i]; o.Side == Both || s.side == o.Side || s.churn != nil {
			c.spec(s)
		}
	}
	switch {
	case len(c.errs) > 0:
		return nil, errors.Join(c.errs...)
	case len(c.users) == 0:
		return nil, fmt.Errorf("profile %s: no stream has side %s", p.Name, o.Side)
	}
	if err := c.schedule(); err != nil {
		return nil, fmt.Errorf("profile %s: %w", p.Name, err)
	}
	return c.g, nil
}

// compiler collects a program.
type compiler struct {
	o     Options
	g     *Program
	users []user
	errs  []error
	dir   string // of the profile
	full  bool   // there are too many streams
}

// user is what has a place of its own in the turn: a stream, or a round of them.
type user struct {
	lane, round, weight int
}

func (c *compiler) failf(s *spec, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("stream %s: "+format, append([]any{s.name}, args...)...))
}

func (c *compiler) spec(s *spec) {
	t := *s
	c.override(&t)
	_, largest := t.extent()
	if most := c.o.MTU + t.linkLen(); c.o.MTU > 0 && largest > most && t.pcap == "" {
		c.failf(s,
			"frames of %d octets need an MTU of %d, and the port has %d: "+
				"raise it, or make the frames smaller (size=%d)",
			largest, largest-t.linkLen(), c.o.MTU, most)
		return
	}
	switch {
	case t.pcap != "":
		c.capture(&t)
	case len(t.broken) > 0:
		c.malformed(&t)
	case t.churn != nil:
		c.churn(&t)
	default:
		c.sized(&t, t.name, func(s *spec, name string, weight int, b *builder) {
			lane := c.add(s, name, weight, b)
			c.users = append(c.users, user{lane: lane, round: -1, weight: weight})
		})
	}
}

// sized builds a frame for each size of s.
func (c *compiler) sized(s *spec, name string, each func(s *spec, name string, weight int, b *builder)) {
	if s.spread != nil {
		b := &builder{length: 0, seed: s.seed}
		n := *s.spread
		n.from -= fcsLen
		n.to -= fcsLen
		b.variable(n.variable("length", 2))
		b.spec(s, int(n.to))
		each(s, name, s.weight, b)
		return
	}
	for _, z := range s.sizes {
		full := name
		if len(s.sizes) > 1 {
			full = fmt.Sprintf("%s/%d", name, z.octets)
		}
		b := &builder{length: -1, seed: s.seed}
		b.spec(s, z.octets-fcsLen)
		each(s, full, s.weight*z.weight, b)
	}
}

// override puts the options' MACs into the outermost Ethernet header.
func (c *compiler) override(s *spec) {
	src, dst := &s.eth.src, &s.eth.dst
	if s.outer != nil {
		o := *s.outer
		s.outer = &o
		src, dst = &o.src, &o.dst
	}
	override(src, c.o.SrcMAC)
	override(dst, c.o.DstMAC)
}

func override(n *number, m *MAC) {
	if m != nil {
		*n = constant(bigEndian(m[:]))
	}
}

// add makes a stream of what is built, and returns its index.
func (c *compiler) add(s *spec, name string, weight int, b *builder) int {
	if b.values > maxValues || len(b.writes) > maxWrites || len(b.areas) > maxSums {
		c.failf(s, "%d fields vary: want at most %d", b.values, maxValues)
		return 0
	}
	i := c.lane(s, name, weight, b.lane(s.sign))
	o := &c.g.origins[i]
	o.inner, o.l3, o.l4, o.flowPort = b.inner, b.l3, b.l4, b.flowPort
	return i
}

func (c *compiler) lane(s *spec, name string, weight int, l lane) int {
	if len(c.g.lanes) == maxStreams {
		if !c.full {
			c.full = true
			c.failf(s, "with its sizes, kinds and steps the profile has more than %d streams: make fewer", maxStreams)
		}
		return 0
	}
	st := Stream{
		Name: name, Side: s.side, Weight: weight, Signed: l.sign, Len: float64(len(l.frame)), MaxLen: len(l.frame),
	}
	if l.length >= 0 {
		v := &l.vars[0]
		st.Len = float64(v.from) + float64(v.count.d-1)/2
		if v.op == opShort {
			st.Len = meanShort(v)
		}
	}
	c.g.lanes = append(c.g.lanes, l)
	c.g.streams = append(c.g.streams, st)
	c.g.origins = append(c.g.origins, origin{spec: *s})
	return len(c.g.lanes) - 1
}

// meanShort is the mean of a random length: the 2¹⁵ draws do not fall evenly on a range that does not divide them.
func meanShort(v *variable) float64 {
	sum := 0.0
	for d := range uint64(1 << 15) {
		sum += float64(d % v.count.d)
	}
	return float64(v.from) + sum/(1<<15)
}

// schedule spreads the users over a turn: each time it is the turn of the one that is furthest behind (smooth weighted
// round robin).
func (c *compiler) schedule() error {
	g := c.g
	common := 0
	for _, u := range c.users {
		common = gcd(u.weight, common)
	}
	total := 0
	for i := range c.users {
		c.users[i].weight /= common
		total += c.users[i].weight
	}
	if total > maxTurn {
		return fmt.Errorf("the weights come to a turn of %d frames: want at most %d; take rounder weights",
			total, maxTurn)
	}
	credit := make([]int, len(c.users))
	rank := make([]int, len(c.users))
	for range total {
		best := 0
		for i, u := range c.users {
			credit[i] += u.weight
			if credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= total
		u := c.users[best]
		g.slots = append(g.slots, slot{
			lane: uint16(max(0, u.lane)), weight: uint16(u.weight),
			rank: uint16(rank[best]), round: uint16(u.round + 1),
		})
		rank[best]++
	}
	g.turn = newDivisor(uint64(total))
	common, total = 0, 0
	for _, s := range g.streams {
		common = gcd(s.Weight, common)
		total += s.Weight
	}
	for i := range g.streams {
		s := &g.streams[i]
		g.maxLen = max(g.maxLen, s.MaxLen)
		g.meanLen += s.Len * float64(s.Weight) / float64(total)
		s.Weight /= common
	}
	return nil
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
