package model

import (
	"fmt"
	"net/netip"
	"strings"
)

// routerMAC returns the MAC of the tenant's virtual router.
func (t *Tenant) routerMAC() MAC {
	if t.RouterMAC != nil {
		return *t.RouterMAC
	}
	return DefaultRouterMAC
}

// view returns the data to check addresses of a segment. nets are the tenant's subnets, sorted.
func view(t *Tenant, nets []netRange, segment string) *segmentView {
	sv := &segmentView{routerMAC: t.routerMAC(), routers: map[netip.Addr]string{}}
	for i, n := range nets {
		if n.router.IsValid() {
			sv.routers[n.router] = n.key
		}
		if n.segment == segment && (i == 0 || nets[i-1].key != n.key) {
			sv.nets = append(sv.nets, n)
		}
	}
	return sv
}

type attachment struct {
	port string
	vlan uint16
}

type vifMAC struct {
	segment string // TENANT/SEGMENT
	mac     MAC
}

type vifAddr struct {
	segment string
	addr    netip.Addr
}

func (v *validator) vifs() {
	// first and before choose the owner of a value, so that the report does not depend on the order of a map.
	macs := map[vifMAC]string{}
	addrs := map[vifAddr]string{}
	owners := map[attachment]string{}
	for key, f := range v.s.VIFs {
		at := attachment{f.Port, f.VLAN}
		if o, ok := owners[at]; !ok || v.before(key, o) {
			owners[at] = key
		}
		if !v.in(f.Tenant) {
			continue
		}
		seg := f.Tenant + "/" + f.Segment
		first(macs, vifMAC{seg, f.MAC}, key)
		for _, a := range f.Addresses {
			first(addrs, vifAddr{seg, a}, key)
		}
	}
	views := map[string]*segmentView{}
	for key, f := range v.s.VIFs {
		if !v.in(f.Tenant) {
			continue
		}
		r := v.at(KindVIF, key)
		v.name(r, "name", f.Name)
		seg := f.Tenant + "/" + f.Segment
		known := v.refSegment(r, f.Tenant, f.Segment)
		sv := views[seg]
		if known && sv == nil {
			t := v.s.Tenants[f.Tenant]
			sv = view(&t, v.nets[f.Tenant], f.Segment)
			views[seg] = sv
		}
		if v.unicast(r, "mac", f.MAC, "the VIF's MAC address") {
			if o := macs[vifMAC{seg, f.MAC}]; o != key {
				r("mac", CodeDuplicate, "MAC addresses are unique within a segment", "%s belongs to VIF %s already",
					f.MAC, o).about(KindVIF, o)
			}
			notMark(r, "mac", f.MAC)
			if known && f.MAC == sv.routerMAC {
				r("mac", CodeReserved, "choose another MAC address, or give the tenant another router_mac",
					"%s is the virtual router's MAC address", f.MAC).
					about(KindTenant, f.Tenant)
			}
		}
		if known {
			sv.addresses(r, f.Addresses, true)
			v.shared(r, f, addrs)
		}
		for i, a := range f.Addresses {
			if o := addrs[vifAddr{seg, a}]; o != key {
				r(fmt.Sprintf("addresses[%d]", i), CodeDuplicate, "addresses are unique within a segment",
					"%s belongs to VIF %s already", a, o).about(KindVIF, o)
			}
		}
		v.attachment(r, f, owners)
		v.oneOf(r, "anti_spoof", f.AntiSpoof, spoofWords)
		v.allow(r, f)
		v.guest(r, &f)
	}
}

func first[K comparable](m map[K]string, k K, key string) {
	if o, ok := m[k]; !ok || key < o {
		m[k] = key
	}
}

// attachment checks the port and the VLAN of a VIF.
func (v *validator) attachment(r reporter, f VIF, owners map[attachment]string) {
	role, ok := v.ports[f.Port]
	switch {
	case f.Port == "":
		r("port", CodeRequired, v.portHint(), "the port is missing")
	case !ok:
		r("port", CodeNotFound, v.portHint(), "there is no port %q", clip(f.Port))
	case role != "access":
		r("port", CodeRole, v.portHint(), "port %s has the role %s; VIFs are attached to access ports", f.Port, role)
	}
	if f.VLAN > MaxVLAN {
		r("vlan", CodeInvalid, "VLAN IDs go from 1 to 4094; 0 means untagged", "%d is not a VLAN ID", f.VLAN)
		return
	}
	o := v.s.VIFs[owners[attachment{f.Port, f.VLAN}]]
	if ok && (o.Tenant != f.Tenant || o.Segment != f.Segment) {
		what := fmt.Sprintf("VLAN %d of port %s", f.VLAN, f.Port)
		if f.VLAN == 0 {
			what = "the untagged side of port " + f.Port
		}
		r("vlan", CodeConflict, "a (port, VLAN) belongs to one segment: choose another VLAN or port",
			"%s belongs to segment %s/%s (VIF %s)",
			what, o.Tenant, o.Segment, o.Key()).about(KindVIF, o.Key())
	}
}

// portHint lists the access ports of the configuration.
func (v *validator) portHint() string {
	var names []string
	for _, p := range v.opts.Ports {
		if p.Role == "access" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "the configuration has no port with role access"
	}
	if len(names) > 8 {
		names = append(names[:8:8], "…")
	}
	return "access ports: " + strings.Join(names, ", ")
}
