package compile

import (
	"cmp"
	"fmt"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// listSubnets lists the subnets that can be reached from outside by group i. Where those of two tenants overlap, the
// tenant with the smaller ID has them: a frame from outside has no other mark of its tenant.
func (p *plan) listSubnets(i uint32) {
	var routers []*fib.Router
	for r := range p.snapRouters.s {
		if t := &p.snapRouters.s[r]; t.Tenant != 0 && t.Gateway == i {
			routers = append(routers, t)
		}
	}
	slices.SortFunc(routers, func(a, b *fib.Router) int { return cmp.Compare(a.Tenant, b.Tenant) })
	var v4 []fib.Subnet4
	var v6 []fib.Subnet6
	for _, r := range routers {
		v4, v6 = append(v4, r.Subnets4...), append(v6, r.Subnets6...)
	}
	g := p.snapGroups.at(i)
	g.Subnets4 = apart(v4, func(n *fib.Subnet4) (a, b [2]uint64) {
		return [2]uint64{0, uint64(n.Start)}, [2]uint64{0, uint64(n.End)}
	})
	g.Subnets6 = apart(v6, func(n *fib.Subnet6) (a, b [2]uint64) { return n.Start, n.End })
	p.giveBack(i, g)
}

// giveBack lists with each tenant behind group i the subnets that the group delivers to: only from there may the tenant
// send to the outside. Where nothing overlaps these are the router's own lists.
func (p *plan) giveBack(i uint32, g *fib.Group) {
	for n := range p.snapRouters.s {
		r := &p.snapRouters.s[n]
		if r.Tenant == 0 || r.Gateway != i {
			continue
		}
		out4 := common(r.Subnets4, func(x *fib.Subnet4) bool {
			o := fib.FindSubnet4(g.Subnets4, x.Start)
			return o != nil && *o == *x
		})
		out6 := common(r.Subnets6, func(x *fib.Subnet6) bool {
			o := fib.FindSubnet6(g.Subnets6, x.Start)
			return o != nil && *o == *x
		})
		if !slices.Equal(r.Outside4, out4) || !slices.Equal(r.Outside6, out6) {
			w := p.snapRouters.at(uint32(n))
			w.Outside4, w.Outside6 = out4, out6
		}
	}
}

// common returns the elements of list that keep holds for: list itself if all are.
func common[T any](list []T, keep func(*T) bool) []T {
	var out []T
	for i := range list {
		if keep(&list[i]) {
			out = append(out, list[i])
		}
	}
	if len(out) == len(list) {
		return list
	}
	return out
}

// apart sorts subnets and leaves out those that overlap one which came before them in the list.
func apart[T any](list []T, ends func(*T) (first, last [2]uint64)) []T {
	less := compare6
	type entry struct {
		first, last [2]uint64
		at          int
	}
	order := make([]entry, len(list))
	for i := range list {
		a, b := ends(&list[i])
		order[i] = entry{a, b, i}
	}
	slices.SortFunc(order, func(a, b entry) int { return cmp.Or(less(a.first, b.first), cmp.Compare(a.at, b.at)) })
	var kept []entry
	for _, e := range order {
		// Of those kept only the last ones can overlap e. Prefixes nest, so several may have to give way to a wider
		// one.
		wins := true
		for n := len(kept); n > 0 && less(kept[n-1].last, e.first) >= 0; n-- {
			wins = wins && e.at < kept[n-1].at
		}
		if !wins {
			continue
		}
		for len(kept) > 0 && less(kept[len(kept)-1].last, e.first) >= 0 {
			kept = kept[:len(kept)-1]
		}
		kept = append(kept, e)
	}
	out := make([]T, 0, len(kept))
	for _, e := range kept {
		out = append(out, list[e.at])
	}
	return out
}

// gatewayReason returns why a tenant's gateway group is not used as pushed, "" if it is.
func (c *Compiler) gatewayReason(t *model.Tenant) string {
	ref, ok := c.tenants[t.Name]
	if !ok {
		return ""
	}
	r := &c.snap.Load().Routers[ref.router]
	switch cut := len(r.Subnets4) + len(r.Subnets6) - len(r.Outside4) - len(r.Outside6); {
	case r.Gateway != 0 && cut > 0:
		return fmt.Sprintf(
			"%d of %d subnets are cut off from the outside: they overlap subnets of other tenants behind "+
				"the same gateway group; the status of each subnet names the tenant", cut,
			len(r.Subnets4)+len(r.Subnets6))
	case t.Gateway == "" || r.Gateway != 0 || r.Via4 != 0 || r.Via6 != [2]uint64{}:
		return ""
	}
	return fmt.Sprintf(
		"no default route: gateway group %q is not of this box, and none of gateway_addresses is in a subnet "+
			"of the tenant", t.Gateway)
}

// subnetReason returns why a subnet of a tenant with a gateway group cannot reach the outside, "" if it can.
func (c *Compiler) subnetReason(n *model.Subnet) string {
	ref, ok := c.tenants[n.Tenant]
	s := c.snap.Load()
	if !ok || s.Routers[ref.router].Gateway == 0 {
		return ""
	}
	r := &s.Routers[ref.router]
	g := &s.Groups[r.Gateway]
	other := fib.None // segment of a subnet of the group's that overlaps
	if start, end, is4 := range4(n.Prefix); is4 {
		if fib.FindSubnet4(r.Outside4, start) != nil {
			return ""
		}
		i, _ := slices.BinarySearchFunc(g.Subnets4, start,
			func(x fib.Subnet4, a uint32) int { return cmp.Compare(x.End, a) })
		if i < len(g.Subnets4) && g.Subnets4[i].Start <= end {
			other = g.Subnets4[i].Seg
		}
	} else {
		start, end := range6(n.Prefix)
		if fib.FindSubnet6(r.Outside6, start) != nil {
			return ""
		}
		i, _ := slices.BinarySearchFunc(g.Subnets6, start,
			func(x fib.Subnet6, a [2]uint64) int { return compare6(x.End, a) })
		if i < len(g.Subnets6) && compare6(g.Subnets6[i].Start, end) <= 0 {
			other = g.Subnets6[i].Seg
		}
	}
	by := "another tenant"
	if int(other) < len(c.segs) {
		by = "tenant " + c.segs[other].name.tenant
	}
	return "cut off from the outside, both ways: it overlaps a subnet of " + by +
		" behind the same gateway group; " +
		"the tenant with the smaller ID has the addresses"
}

func compare6(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }
