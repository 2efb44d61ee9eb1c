package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// subnetEdits are the changes of one list of subnets; Start identifies a subnet, since none overlap.
type subnetEdits[S any, K comparable] struct {
	gone map[K]bool
	add  []S
}

func (e *subnetEdits[S, K]) remove(start K) {
	if e.gone == nil {
		e.gone = map[K]bool{}
	}
	e.gone[start] = true
}

// merge returns a new list, sorted by start.
func (e *subnetEdits[S, K]) merge(old []S, start func(S) K, compare func(a, b K) int) []S {
	out := make([]S, 0, len(old)+len(e.add))
	for _, s := range old {
		if !e.gone[start(s)] {
			out = append(out, s)
		}
	}
	out = append(out, e.add...)
	slices.SortFunc(out, func(a, b S) int { return compare(start(a), start(b)) })
	if len(out) == 0 {
		return nil
	}
	return out
}

// subnetLists are the changes of a router's or a segment's subnets.
type subnetLists struct {
	v4 subnetEdits[fib.Subnet4, uint32]
	v6 subnetEdits[fib.Subnet6, [2]uint64]
}

func (e *subnetLists) apply(v4 *[]fib.Subnet4, v6 *[]fib.Subnet6) {
	*v4 = e.v4.merge(*v4, func(s fib.Subnet4) uint32 { return s.Start }, cmp.Compare[uint32])
	*v6 = e.v6.merge(*v6, func(s fib.Subnet6) [2]uint64 { return s.Start }, func(a, b [2]uint64) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
}

func (e *subnetLists) remove(prefix netip.Prefix) {
	if start, _, is4 := range4(prefix); is4 {
		e.v4.remove(start)
	} else {
		start, _ := range6(prefix)
		e.v6.remove(start)
	}
}

func (e *subnetLists) add(n *model.Subnet, seg uint32) {
	if start, end, is4 := range4(n.Prefix); is4 {
		s := fib.Subnet4{Start: start, End: end, Seg: seg}
		if n.Router.IsValid() {
			s.RouterIP = ip4(n.Router)
		}
		e.v4.add = append(e.v4.add, s)
	} else {
		s := fib.Subnet6{Seg: seg}
		s.Start, s.End = range6(n.Prefix)
		if n.Router.IsValid() {
			s.RouterIP = ip6(n.Router)
		}
		e.v6.add = append(e.v6.add, s)
	}
}

func (p *plan) diffSubnets() error {
	changes := diff(p.c.state.Subnets, p.next.Subnets, func(a, b model.Subnet) bool { return a == b })
	if len(changes) == 0 {
		return nil
	}
	routers, segs := map[uint32]*subnetLists{}, map[uint32]*subnetLists{}
	of := func(m map[uint32]*subnetLists, i uint32) *subnetLists {
		if m[i] == nil {
			m[i] = &subnetLists{}
		}
		return m[i]
	}
	for _, ch := range changes {
		if ch.new != nil {
			p.regate[ch.new.Tenant] = true
		}
		if ch.old == nil {
			continue
		}
		p.regate[ch.old.Tenant] = true
		if ref, ok := p.tenants.get(ch.old.Tenant); ok {
			of(routers, ref.router).remove(ch.old.Prefix)
		}
		if i, ok := p.segments.get(segName{ch.old.Tenant, ch.old.Segment}); ok {
			of(segs, i).remove(ch.old.Prefix)
		}
	}
	for _, ch := range changes {
		if ch.new == nil {
			continue
		}
		ref, ok := p.tenants.get(ch.new.Tenant)
		i, known := p.segments.get(segName{ch.new.Tenant, ch.new.Segment})
		if !ok || !known {
			return fail(model.KindSubnet, ch.key, "segment", ErrReference)
		}
		of(routers, ref.router).add(ch.new, i)
		of(segs, i).add(ch.new, i)
	}
	for i, e := range routers {
		r := p.snapRouters.at(i)
		e.apply(&r.Subnets4, &r.Subnets6)
	}
	for i, e := range segs {
		s := p.snapSegments.at(i)
		e.apply(&s.Subnets4, &s.Subnets6)
	}
	return nil
}

func (c *Compiler) subnetStatus(key string) *Status {
	n, ok := c.state.Subnets[key]
	if !ok {
		return nil
	}
	return &Status{Live: true, Reason: c.subnetReason(&n)}
}
