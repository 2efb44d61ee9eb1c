package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// netRange is a subnet as its first and last address.
type netRange struct {
	first, last netip.Addr
	prefix      netip.Prefix
	key         string // of the subnet
	segment     string
	router      netip.Addr
}

// lastOf returns the last address of a masked prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (v *validator) subnets() {
	v.nets = map[string][]netRange{}
	for key, s := range v.s.Subnets {
		if !v.in(s.Tenant) {
			continue
		}
		r := v.at(KindSubnet, key)
		v.name(r, "name", s.Name)
		v.refSegment(r, s.Tenant, s.Segment)
		if !prefixOK(r, s.Prefix) {
			continue
		}
		n := netRange{s.Prefix.Addr(), lastOf(s.Prefix), s.Prefix, key, s.Segment, netip.Addr{}}
		if s.Router.IsValid() && routerOK(r, s.Router, n) {
			n.router = s.Router
		}
		v.nets[s.Tenant] = append(v.nets[s.Tenant], n)
	}
	for _, nets := range v.nets {
		slices.SortFunc(nets, func(a, b netRange) int {
			return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()),
				strings.Compare(a.key, b.key))
		})
		for i := 1; i < len(nets); i++ {
			// Prefixes nest or are apart: whatever overlaps a prefix and sorts before it contains it.
			widest := nets[i-1]
			if !widest.prefix.Contains(nets[i].first) {
				continue
			}
			r := v.at(KindSubnet, nets[i].key)
			r("prefix", CodeOverlap,
				"the subnets of one tenant must not overlap: choose a free prefix, or use another tenant",
				"%s overlaps subnet %s (%s)", nets[i].prefix, widest.key, widest.prefix).about(KindSubnet, widest.key)
			nets[i] = widest // so that the next is compared with the containing prefix
		}
	}
}

func prefixOK(r reporter, p netip.Prefix) bool {
	if !p.IsValid() {
		r("prefix", CodeRequired, "give a prefix like \"10.1.0.0/24\"", "the prefix is missing")
		return false
	}
	a := p.Addr()
	if a.Is4In6() {
		r("prefix", CodeInvalid, "write the IPv4 form", "%s is an IPv4-mapped prefix", p)
		return false
	}
	if p.Bits() == 0 {
		r("prefix", CodeReserved, "the default route is a gateway group, not a subnet", "%s is the default route", p)
		return false
	}
	if m := p.Masked(); m != p {
		r("prefix", CodeInvalid, fmt.Sprintf("write \"%s\"", m), "%s has bits set behind its length", p)
		return false
	}
	if why := notUnicast(a); why != "" && !(a.Is6() && a.IsUnspecified()) || a.Is4() && a.As4()[0] == 0 {
		r("prefix", CodeInvalid, "choose a unicast prefix", "%s is %s", p, cmp.Or(why, "of the network 0.0.0.0/8"))
		return false
	}
	if a.IsLinkLocalUnicast() && a.Is6() {
		r("prefix", CodeReserved, "link-local addresses need no subnet", "%s is link-local", p)
		return false
	}
	return true
}

// notUnicast returns the reason why an address cannot be that of a host, or "".
func notUnicast(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsMulticast():
		return "multicast"
	case a.IsLoopback():
		return "loopback"
	case a.Is4() && a.As4()[0] >= 240:
		return "of the reserved range 240.0.0.0/4"
	case a.Is4() && a.As4()[0] == 0:
		return "of the network 0.0.0.0/8"
	}
	return ""
}

func routerOK(r reporter, a netip.Addr, n netRange) bool {
	if a.Zone() != "" {
		r("router", CodeInvalid, "leave the zone out", "%s has a zone", a)
		return false
	}
	if !n.prefix.Contains(a) {
		r("router", CodeInvalid, fmt.Sprintf("choose an address from %s to %s", n.first, n.last),
			"%s is not inside %s", a, n.prefix)
		return false
	}
	if role := edgeAddress(a, n); role != "" {
		r("router", CodeInvalid, fmt.Sprintf("choose an address between %s and %s", n.first, n.last),
			"%s is the %s of %s", a, role, n.prefix)
		return false
	}
	return true
}

// edgeAddress returns the special role of an address of a subnet, or "" for a host's. Prefixes for two hosts or one
// have no special addresses (RFC 3021, RFC 6164).
func edgeAddress(a netip.Addr, n netRange) string {
	if n.prefix.Bits() >= n.first.BitLen()-1 {
		return ""
	}
	if a == n.first {
		if a.Is6() {
			return "subnet-router anycast address"
		}
		return "network address"
	}
	if a == n.last && a.Is4() {
		return "broadcast address"
	}
	return ""
}

// segmentView holds the data to check addresses of a segment.
type segmentView struct {
	routerMAC MAC
	routers   map[netip.Addr]string // router address → subnet, of the whole tenant
	nets      []netRange            // subnets of the segment
}

// addresses checks the addresses of a VIF or binding; with inSubnet the addresses must lie in the segment's subnets.
func (sv *segmentView) addresses(r reporter, as []netip.Addr, inSubnet bool) {
	sv.list(r, "addresses", as, inSubnet)
}

// addressOK reports whether an address has no fault; addressFault reports the fault.
func (sv *segmentView) addressOK(a netip.Addr, before []netip.Addr, inSubnet bool) bool {
	if !a.IsValid() || a.Is4In6() || a.Zone() != "" || notUnicast(a) != "" {
		return false
	}
	for _, o := range before {
		if o == a {
			return false
		}
	}
	if len(sv.routers) > 0 {
		if _, ok := sv.routers[a]; ok {
			return false
		}
	}
	return !inSubnet || len(sv.nets) == 0 || a.Is6() && a.IsLinkLocalUnicast() || sv.inSubnet(a)
}

func (sv *segmentView) find(a netip.Addr) (netRange, bool) {
	i, ok := slices.BinarySearchFunc(sv.nets, a, func(n netRange, a netip.Addr) int { return n.first.Compare(a) })
	if !ok {
		i--
	}
	if i >= 0 && sv.nets[i].prefix.Contains(a) {
		return sv.nets[i], true
	}
	return netRange{}, false
}

func (sv *segmentView) inSubnet(a netip.Addr) bool {
	n, ok := sv.find(a)
	return ok && edgeAddress(a, n) == ""
}

func (sv *segmentView) addressFault(r reporter, field string, a netip.Addr, before []netip.Addr, inSubnet bool) {
	subnet, isRouter := sv.routers[a]
	switch why := notUnicast(a); {
	case !a.IsValid():
		r(field, CodeRequired, "", "the address is missing")
	case a.Is4In6():
		r(field, CodeInvalid, fmt.Sprintf("write \"%s\"", a.Unmap()), "%s is an IPv4-mapped address", a)
	case a.Zone() != "":
		r(field, CodeInvalid, "leave the zone out", "%s has a zone", a)
	case why != "":
		r(field, CodeInvalid, "give a unicast address", "%s is %s", a, why)
	case slices.Contains(before, a):
		list, _, _ := strings.Cut(field, "[")
		r(field, CodeDuplicate, "name every address once",
			"%s is at %s[%d] already", a, list, slices.Index(before, a))
	case isRouter:
		r(field, CodeReserved, "choose another address",
			"%s is the virtual router's address in subnet %s", a, subnet).about(KindSubnet, subnet)
	default:
		n, ok := sv.find(a)
		if ok {
			r(field, CodeInvalid, "choose another address",
				"%s is the %s of subnet %s (%s)", a, edgeAddress(a, n), n.key, n.prefix).about(KindSubnet, n.key)
			return
		}
		var have []string
		for _, n := range sv.nets[:min(len(sv.nets), 4)] {
			have = append(have, n.prefix.String())
		}
		r(field, CodeNotFound, "the segment's subnets: "+strings.Join(have, ", "),
			"%s is in no subnet of the segment", a)
	}
}

// gateway checks a tenant's gateway group and its addresses in form only. Each box checks whether it has the group and
// the subnets of the addresses: one document serves all boxes, and a tenant's subnets may be pushed later.
func (v *validator) gateway(r reporter, t *Tenant) {
	if t.Gateway != "" && !ValidName(t.Gateway) {
		r("gateway", CodeInvalid, nameHint, "%q cannot be the name of a gateway group", clip(t.Gateway))
	}
	seen := map[bool]netip.Addr{}
	for i, a := range t.GatewayAddresses {
		field := fmt.Sprintf("gateway_addresses[%d]", i)
		switch why := notUnicast(a); {
		case !a.IsValid():
			r(field, CodeRequired, "", "the address is missing")
			continue
		case a.Is4In6():
			r(field, CodeInvalid, fmt.Sprintf("write \"%s\"", a.Unmap()), "%s is an IPv4-mapped address", a)
			continue
		case a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast():
			r(field, CodeInvalid, "give an address of one of the tenant's subnets", "%s is link-local", a)
			continue
		case why != "":
			r(field, CodeInvalid, "give a unicast address", "%s is %s", a, why)
			continue
		}
		if o, ok := seen[a.Is4()]; ok {
			r(field, CodeLimit, "give one IPv4 and one IPv6 address at most", "%s is of the same family as %s", a, o)
		}
		seen[a.Is4()] = a
	}
}
