package model

import (
	"fmt"
	"slices"
	"strings"
)

// BindingChecker checks bindings against a state. It serves one goroutine and caches segments, so that a stream of a
// million bindings is cheap. A checker is valid until the state changes.
type BindingChecker struct {
	s        *State
	byTenant map[string][]netRange
	views    map[[2]string]*segmentView // by tenant and segment; nil = no such segment
	tenant   string                     // of the last lookup
	segment  string
	last     *segmentView
}

// NewBindingChecker returns a checker for s, a state that has passed Validate.
func NewBindingChecker(s *State) *BindingChecker {
	return &BindingChecker{s: s, views: map[[2]string]*segmentView{}}
}

// ValidateBinding checks one binding. For many, use a BindingChecker.
func (s *State) ValidateBinding(b *Binding) []Problem { return NewBindingChecker(s).Check(b) }

func (c *BindingChecker) view(tenant, segment string) *segmentView {
	if c.last != nil && c.tenant == tenant && c.segment == segment {
		return c.last
	}
	key := [2]string{tenant, segment}
	sv, ok := c.views[key]
	if !ok {
		if _, exists := c.s.Segments[tenant+"/"+segment]; exists {
			t := c.s.Tenants[tenant]
			sv = view(&t, c.subnets(tenant), segment)
		}
		c.views[key] = sv
	}
	c.tenant, c.segment, c.last = tenant, segment, sv
	return sv
}

func (c *BindingChecker) subnets(tenant string) []netRange {
	if c.byTenant == nil {
		c.byTenant = map[string][]netRange{}
		for key, s := range c.s.Subnets {
			c.byTenant[s.Tenant] = append(c.byTenant[s.Tenant],
				netRange{s.Prefix.Addr(), lastOf(s.Prefix), s.Prefix, key, s.Segment, s.Router})
		}
		for _, nets := range c.byTenant {
			slices.SortFunc(nets, func(a, b netRange) int { return a.first.Compare(b.first) })
		}
	}
	return c.byTenant[tenant]
}

// OK reports whether Check finds no problem, without allocation of problems.
func (c *BindingChecker) OK(b *Binding) bool {
	sv := c.view(b.Tenant, b.Segment)
	if sv == nil || !unicastMAC(b.MAC) || b.MAC.IsMark() || b.MAC == sv.routerMAC ||
		!c.placeOK(b) || len(b.Addresses) > MaxAddresses {
		return false
	}
	for i, a := range b.Addresses {
		if !sv.addressOK(a, b.Addresses[:i], false) {
			return false
		}
	}
	return true
}

// placeOK reports whether a binding names an edge switch and its port, or else a VTEP.
func (c *BindingChecker) placeOK(b *Binding) bool {
	if b.VTEP == "" {
		return unicastMAC(b.SwitchMAC) && b.SwitchPort >= 1 && b.SwitchPort <= MaxSwitchPort
	}
	_, ok := c.s.VTEPs[b.VTEP]
	return ok && b.SwitchMAC == 0 && b.SwitchPort == 0 && c.s.Segments[b.Tenant+"/"+b.Segment].VNI != 0
}

func unicastMAC(m MAC) bool { return m != 0 && m>>48 == 0 && !m.IsGroup() }

// Check returns all problems of a binding.
func (c *BindingChecker) Check(b *Binding) []Problem {
	if c.OK(b) {
		return nil
	}
	v := &validator{s: c.s}
	r := v.at(KindBinding, b.Key())
	known := v.refSegment(r, b.Tenant, b.Segment)
	if v.unicast(r, "mac", b.MAC, "the VIF's MAC address") && known && b.MAC == c.view(b.Tenant, b.Segment).routerMAC {
		r("mac", CodeReserved, "the virtual router needs no binding", "%s is the virtual router's MAC address", b.MAC)
	}
	notMark(r, "mac", b.MAC)
	if known {
		c.view(b.Tenant, b.Segment).addresses(r, b.Addresses, false)
	}
	if b.VTEP != "" {
		v.bindingVTEP(r, b, known)
	} else {
		v.unicast(r, "switch_mac", b.SwitchMAC, "the edge switch's MAC address")
		if b.SwitchPort < 1 || b.SwitchPort > MaxSwitchPort {
			r("switch_port", CodeInvalid, "switch ports go from 1 to 255", "%s", portFault(b.SwitchPort))
		}
	}
	slices.SortStableFunc(v.problems, func(a, b Problem) int { return strings.Compare(a.Field, b.Field) })
	return v.problems
}

// bindingVTEP checks a binding to a VTEP; known says that its segment exists.
func (v *validator) bindingVTEP(r reporter, b *Binding, known bool) {
	const either = "name the VTEP, or the edge switch and its port"
	if b.SwitchMAC != 0 {
		r("switch_mac", CodeConflict, either, "the binding leads to a VTEP")
	}
	if b.SwitchPort != 0 {
		r("switch_port", CodeConflict, either, "the binding leads to a VTEP")
	}
	if _, ok := v.s.VTEPs[b.VTEP]; !ok {
		r("vtep", CodeNotFound, "create the VTEP first, or in the same transaction", "there is no VTEP %q",
			clip(b.VTEP)).about(KindVTEP, b.VTEP)
	}
	if known && v.s.Segments[b.Tenant+"/"+b.Segment].VNI == 0 {
		r("vtep", CodeConflict, "give the segment a vni", "segment %s/%s has no VNI", b.Tenant, b.Segment)
	}
}

func portFault(p uint16) string {
	if p == 0 {
		return "the switch port is missing or 0"
	}
	return fmt.Sprintf("%d is not a switch port", p)
}
