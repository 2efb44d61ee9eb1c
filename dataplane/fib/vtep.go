package fib

import (
	"cmp"
	"slices"

	"penstock/dataplane/table"
)

// VTEP is what the packet path knows of a VXLAN tunnel endpoint. It is a Switch, whose index and the port number 0 are
// the location of all that is behind it.
type VTEP struct {
	Rx    uint32 // index of the counters of what comes from it, among those of paths
	Learn int64  // nanoseconds after which control is told again of a station that goes on sending; 0 = never told
}

// VTEPLoc returns the location of what is behind the VTEP that is switch sw.
func VTEPLoc(sw uint32) Loc { return RemoteLoc(sw, 0) }

// IsVTEP reports whether a location is behind a VTEP: edge switches have no port 0.
func IsVTEP(l Loc) bool { return l&(LocLocal|0xff) == 0 }

// VTEP6 is a VTEP with an IPv6 address.
type VTEP6 struct {
	Address [2]uint64
	Switch  uint32
}

// SortVTEPs6 puts a list into the order that FindVTEP6 needs.
func SortVTEPs6(list []VTEP6) {
	slices.SortFunc(list, func(a, b VTEP6) int { return cmpAddress(a.Address, b.Address) })
}

func cmpAddress(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }

// FindVTEP6 returns the switch index of the VTEP with an address.
func FindVTEP6(list []VTEP6, address [2]uint64) (sw uint32, ok bool) {
	lo, hi := uint(0), uint(len(list))
	for lo < hi {
		m := (lo + hi) / 2
		x := &list[m]
		switch {
		case x.Address == address:
			return x.Switch, true
		case x.Address[0] < address[0] || x.Address[0] == address[0] && x.Address[1] < address[1]:
			lo = m + 1
		default:
			hi = m
		}
	}
	return 0, false
}

// VXLAN are the tables of VXLAN: nil in a Snapshot without VTEPs, segments with a VNI and ports of that form.
type VXLAN struct {
	Segments *table.Static // VNI → segment index
	VTEPs4   *table.Static // IPv4 address → switch index
	VTEPs6   []VTEP6       // sorted
}

// FromVTEP reports whether what a port receives comes from VTEPs.
func (s *Snapshot) FromVTEP(port uint16) bool {
	return uint(port) < uint(len(s.Ports)) && s.Ports[port].Role == RoleFabric && s.Ports[port].Fabric.Form.VXLAN()
}
