package model

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxSocket is the longest path of a Unix socket: sun_path of unix(7) without its terminating zero.
const maxSocket = 107

// guest checks how a VIF's guest is set up.
func (v *validator) guest(r reporter, f *VIF) {
	v.oneOf(r, "guest", f.Guest, guestWords)
	switch s := f.GuestAgent; {
	case s == "" && len(f.GuestAddresses) > 0 && f.Guest != GuestManual:
		r("guest_agent", CodeRequired, "give the socket of the guest's QEMU guest agent, or leave guest_addresses out",
			"nothing leads to the guest that guest_addresses are for")
	case s == "":
	case !path.IsAbs(s) || path.Clean(s) != s || strings.ContainsFunc(s, control):
		r("guest_agent", CodeInvalid, "give an absolute path, as /run/qemu/vm1.qga", "%q is no absolute path", clip(s))
	case len(s) > maxSocket:
		r("guest_agent", CodeInvalid, fmt.Sprintf("a socket's path has at most %d octets", maxSocket),
			"the path has %d octets", len(s))
	}
	if len(f.GuestAddresses) > MaxAddresses {
		r("guest_addresses", CodeLimit, "", "%d addresses are more than the %d allowed", len(f.GuestAddresses),
			MaxAddresses)
	}
	for i, a := range f.GuestAddresses {
		field := fmt.Sprintf("guest_addresses[%d]", i)
		switch why := notUnicast(a); {
		case !a.IsValid():
			r(field, CodeRequired, "", "the address is missing")
		case a.Is4In6():
			r(field, CodeInvalid, fmt.Sprintf("write \"%s\"", a.Unmap()), "%s is an IPv4-mapped address", a)
		case a.Zone() != "" || a.IsLinkLocalUnicast() && a.Is6():
			r(field, CodeInvalid, "give an address that is not link-local", "%s is link-local", a)
		case why != "":
			r(field, CodeInvalid, "give a unicast address", "%s is %s", a, why)
		case slices.Index(f.GuestAddresses, a) < i:
			r(field, CodeDuplicate, "name every address once", "%s is at guest_addresses[%d] already", a,
				slices.Index(f.GuestAddresses, a))
		}
	}
}
