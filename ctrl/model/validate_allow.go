package model

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// allow checks the roles that a VIF may have beside that of a host.
func (v *validator) allow(r reporter, f VIF) {
	all := allowWords[:]
	for i, a := range f.Allow {
		field := fmt.Sprintf("allow[%d]", i)
		switch {
		case !slices.Contains(all, a):
			r(field, CodeInvalid, "allowed: "+strings.Join(all, ", "), "%q is not a value of allow", clip(a))
			return
		case slices.Contains(f.Allow[:i], a):
			r(field, CodeDuplicate, "name every one once",
				"%q is at allow[%d] already", a, slices.Index(f.Allow, a))
			return
		}
	}
}

// shared checks addresses that several VIFs of a segment may use; addrs are the addresses of single VIFs.
func (v *validator) shared(r reporter, f VIF, addrs map[vifAddr]string) {
	const field = "shared_addresses"
	if len(f.SharedAddresses) == 0 {
		return
	}
	seg := f.Tenant + "/" + f.Segment
	if v.s.Segments[seg].UnknownUnicast != "flood" {
		r(field, CodeConflict, "set unknown_unicast = \"flood\" for the segment: the VIFs answer for a shared address "+
			"themselves, so requests must reach them",
			"segment %s drops unknown unicast", seg).about(KindSegment, seg)
	}
	t := v.s.Tenants[f.Tenant]
	view(&t, v.nets[f.Tenant], f.Segment).list(r, field, f.SharedAddresses, true)
	for i, a := range f.SharedAddresses {
		if o, ok := addrs[vifAddr{seg, a}]; ok {
			r(fmt.Sprintf("%s[%d]", field, i), CodeDuplicate,
				"take it out of addresses there: an address belongs to one VIF, or is shared",
				"%s is an address of VIF %s alone", a, o).about(KindVIF, o)
		}
	}
}

// list checks addresses of a VIF or binding; see addresses.
func (sv *segmentView) list(r reporter, name string, as []netip.Addr, inSubnet bool) {
	if len(as) > MaxAddresses {
		r(name, CodeLimit, "", "%d addresses are more than the %d allowed", len(as), MaxAddresses)
		return
	}
	for i, a := range as {
		if !sv.addressOK(a, as[:i], inSubnet) {
			sv.addressFault(r, fmt.Sprintf("%s[%d]", name, i), a, as[:i], inSubnet)
		}
	}
}
