package model

import (
	"fmt"
	"net/netip"
	"slices"
)

// mark is the MACs between director and agent: 02:4d:4b and the ID of a service (PROTOCOL.md#balancer).
const (
	mark     MAC = 0x024d4b << 24
	markMask MAC = 0xffffff << 24
)

// IsMark reports whether m is the mark of a service, which no station may have.
func (m MAC) IsMark() bool { return m&markMask == mark }

// notMark reports a MAC that is like the mark of a service.
func notMark(r reporter, field string, m MAC) {
	if m.IsMark() {
		r(field, CodeReserved, "choose a MAC address that does not begin with 02:4d:4b",
			"%s is like the marks by which boxes know balanced packets", m)
	}
}

// inSegment is an address or a MAC of a segment, by the segment's key.
type inSegment[T comparable] struct {
	segment string
	value   T
}

// vipAddr is what has an address or a MAC of the segment as a virtual one: a VIP, or a director's own address.
type vipAddr struct {
	key   string // of the VIP
	field string
	own   *Director
}

// vifMember is a member of a VIF.
type vifMember struct{ key, field string }

// vipWorld is what the VIPs of the tenants in scope are compared with.
type vipWorld struct {
	vifAddrs map[inSegment[netip.Addr]]vifMember
	vifMACs  map[inSegment[MAC]]vifMember
	addrs    map[inSegment[netip.Addr]]vipAddr
	macs     map[inSegment[MAC]]vipAddr
}

func (v *validator) vips() {
	keys := sorted(v, KindVIP, v.s.VIPs, func(x *VIP) string { return x.Tenant })
	if len(keys) == 0 {
		return
	}
	w := v.vipWorld()
	views := map[string]*segmentView{}
	for _, key := range keys {
		x := v.s.VIPs[key]
		r := v.at(KindVIP, key)
		v.name(r, "name", x.Name)
		v.oneOf(r, "mode", x.Mode, modeWords)
		v.oneOf(r, "ping", x.Ping, pingWords)
		v.oneOf(r, "arp", x.ARP, arpWords)
		if !v.refSegment(r, x.Tenant, x.Segment) {
			continue
		}
		segment := x.Tenant + "/" + x.Segment
		sv := views[segment]
		if sv == nil {
			t := v.s.Tenants[x.Tenant]
			sv = view(&t, v.nets[x.Tenant], x.Segment)
			views[segment] = sv
		}
		if v.virtual(r, sv, "address", x.Address) && v.virtualAddress(w, key, "address", &x, nil) {
			if mac := x.EffectiveMAC(); v.unicast(r, "mac", mac, "the VIP's MAC address") {
				v.virtualMAC(w, sv, key, "mac", segment, mac, nil)
			}
		}
		v.directors(r, w, sv, key, &x)
	}
}

// vipWorld lists the addresses and MACs of the VIFs in scope.
func (v *validator) vipWorld() *vipWorld {
	w := &vipWorld{map[inSegment[netip.Addr]]vifMember{}, map[inSegment[MAC]]vifMember{},
		map[inSegment[netip.Addr]]vipAddr{},
		map[inSegment[MAC]]vipAddr{}}
	for key, f := range v.s.VIFs {
		if !v.in(f.Tenant) {
			continue
		}
		segment := f.Tenant + "/" + f.Segment
		w.vifMACs[inSegment[MAC]{segment, f.MAC}] = vifMember{key, "mac"}
		for i, a := range f.Addresses {
			w.vifAddrs[inSegment[netip.Addr]{segment, a}] = vifMember{key, fmt.Sprintf("addresses[%d]", i)}
		}
		for i, a := range f.SharedAddresses {
			w.vifAddrs[inSegment[netip.Addr]{segment, a}] = vifMember{key, fmt.Sprintf("shared_addresses[%d]", i)}
		}
	}
	return w
}

// virtual checks the form of a virtual address and its place in the segment's subnets.
func (v *validator) virtual(r reporter, sv *segmentView, field string, a netip.Addr) bool {
	if a.Is6() && a.IsLinkLocalUnicast() {
		r(field, CodeInvalid, "give an address of one of the segment's subnets", "%s is link-local", a)
		return false
	}
	if !sv.addressOK(a, nil, true) {
		sv.addressFault(r, field, a, nil, true)
		return false
	}
	return true
}

// virtualAddress reports a virtual address that something else has.
func (v *validator) virtualAddress(w *vipWorld, key, field string, x *VIP, own *Director) bool {
	r, before := v.at(KindVIP, key), len(v.problems)
	a := x.Address
	if own != nil {
		a = own.Address
	}
	k := inSegment[netip.Addr]{x.Tenant + "/" + x.Segment, a}
	if vif, ok := w.vifAddrs[k]; ok {
		r(field, CodeDuplicate, "choose an address that no VIF has; a server has the VIP inside of its guest alone",
			"%s belongs to VIF %s already", a, vif.key).aboutMember(KindVIF, vif.key, vif.field)
	}
	t := v.s.Tenants[x.Tenant]
	if slices.Contains(t.GatewayAddresses, a) {
		r(field, CodeReserved, "choose another address", "%s is the gateway group's address, see gateway_addresses of "+
			"tenant %s", a, x.Tenant).about(KindTenant, x.Tenant)
	}
	for _, g := range v.opts.Gateways {
		if g.carries(&t) && slices.Contains(g.Addresses, a) {
			r(field, CodeReserved, "choose another address", "%s is the address of gateway group %s", a, g.Name)
		}
	}
	o, taken := w.addrs[k]
	switch {
	case !taken:
		w.addrs[k] = vipAddr{key, field, own}
	case own != nil && o.own != nil:
		if o.own.Box != own.Box || o.own.EffectiveMAC() != own.EffectiveMAC() {
			r(field, CodeDuplicate, "give every director an address of its own; the VIPs of one director may share it",
				"%s belongs to box %s with MAC %s already, by VIP %s", a, o.own.Box, o.own.EffectiveMAC(), o.key).
				about(KindVIP, o.key)
		}
	default:
		what := "the address of VIP"
		if o.own != nil {
			what = "the address of a director of VIP"
		}
		r(field, CodeDuplicate, "choose another address", "%s is %s %s already", a, what, o.key).about(KindVIP, o.key)
	}
	return len(v.problems) == before
}

// virtualMAC reports the MAC of a virtual address that something else has.
func (v *validator) virtualMAC(w *vipWorld, sv *segmentView, key, field, segment string, m MAC, own *Director) {
	r := v.at(KindVIP, key)
	notMark(r, field, m)
	k := inSegment[MAC]{segment, m}
	if m == sv.routerMAC {
		r(field, CodeReserved, "choose another MAC address", "%s is the virtual router's MAC address", m).
			about(KindTenant, tenantOf(segment))
	}
	if vif, ok := w.vifMACs[k]; ok {
		r(field, CodeDuplicate, "MAC addresses are unique within a segment", "%s belongs to VIF %s already", m,
			vif.key).aboutMember(KindVIF, vif.key, vif.field)
	}
	o, taken := w.macs[k]
	switch {
	case !taken:
		w.macs[k] = vipAddr{key, field, own}
	case own != nil && o.own != nil && o.own.Box == own.Box && o.own.Address == own.Address:
	default:
		r(field, CodeDuplicate, "MAC addresses are unique within a segment: set mac",
			"%s belongs to VIP %s already (%s)", m, o.key, o.field).about(KindVIP, o.key)
	}
}

// directors checks the directors of a VIP and their own addresses.
func (v *validator) directors(r reporter, w *vipWorld, sv *segmentView, key string, x *VIP) {
	if len(x.Directors) > MaxDirectors {
		r("directors", CodeLimit, "", "%d directors are more than the %d allowed", len(x.Directors), MaxDirectors)
		return
	}
	for i := range x.Directors {
		d := &x.Directors[i]
		field := fmt.Sprintf("directors[%d].", i)
		if !ValidName(d.Box) {
			r(field+"box", CodeRequired, "give the name of a box, box.name of its configuration", "%q names no box",
				clip(d.Box))
		} else if j := x.Director(d.Box); j < i {
			r(field+"box", CodeDuplicate, "name every box once", "box %s is at directors[%d] already", d.Box, j)
			continue
		}
		if !v.virtual(r, sv, field+"address", d.Address) {
			continue
		}
		if x.Address.IsValid() && d.Address.Is4() != x.Address.Is4() {
			r(field+"address", CodeInvalid, "give an address of the family of the VIP",
				"%s and %s are of different families",
				d.Address, x.Address)
			continue
		}
		if !v.virtualAddress(w, key, field+"address", x, d) {
			continue
		}
		if mac := d.EffectiveMAC(); v.unicast(r, field+"mac", mac, "the MAC address of the director's own address") {
			v.virtualMAC(w, sv, key, field+"mac", x.Tenant+"/"+x.Segment, mac, d)
		}
	}
}

// GatewayRef is a gateway group of the configuration, for validation.
type GatewayRef struct {
	Name      string
	Public    bool
	Addresses []netip.Addr
}

// carries reports whether the group is the tenant's default route.
func (g *GatewayRef) carries(t *Tenant) bool {
	return t.Gateway == g.Name && t.Gateway != "" || t.Gateway == "" && t.ID == publicTenant && g.Public
}

// publicTenant is the ID of the tenant whose addresses are reachable from outside (PROTOCOL.md#addressing).
const publicTenant = 2
