package model

import (
	"net/netip"
	"time"
)

// VTEP is a tunnel endpoint that is no box: the far end of VXLAN (RFC 7348), behind a fabric port with encap "vxlan".
type VTEP struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	// Flood lets it have a copy of broadcasts, multicasts and unknown unicasts of the segments with a VNI.
	Flood bool `json:"flood,omitempty"`
	// Learning is how long a station behind it is remembered after its last frame: default DefaultLearning; 0 = none
	// is learned.
	Learning *Duration `json:"learning,omitempty"`
}

// The limits of VTEPs.
const (
	MaxVTEPs        = 1024
	MaxVNI          = 1<<24 - 1
	DefaultLearning = Duration(300 * time.Second)

	minLearning = 10 * time.Second
	maxLearning = 24 * time.Hour
)

// EffectiveLearning returns Learning with its default filled in.
func (e *VTEP) EffectiveLearning() time.Duration {
	if e.Learning == nil {
		return time.Duration(DefaultLearning)
	}
	return time.Duration(*e.Learning)
}

// Kind implements Object.
func (VTEP) Kind() Kind { return KindVTEP }

// Key implements Object.
func (e VTEP) Key() string { return e.Name }

var vtepKind = Info{
	Kind: KindVTEP, One: "VTEP", Doc: "A VXLAN tunnel endpoint that is no box.",
	Key:     []KeyPart{{Name: "name"}},
	Example: VTEP{Name: "rack7", Address: netip.MustParseAddr("192.0.2.7"), Flood: true},
	Members: []Member{
		{Name: "address", Doc: "The address that its packets come from, IPv4 or IPv6: a fabric port with encap " +
			"\"vxlan\" and a vtep_address of the same family leads there."},
		{Name: "flood", Doc: "It gets a copy of each broadcast, multicast and unknown unicast of the segments with " +
			"a VNI; default false."},
		{Name: "learning", Doc: "How long a station behind it is remembered after its last frame, from 10s to 24h; " +
			"0s: none is learned. Default 5m."},
	},
	Short:    "VXLAN tunnel endpoints, and what is behind them",
	ShowArgs: []string{"", "rack7 -o json"},
	Columns: []Column{
		{Head: "VTEP", Member: "name"}, {Head: "ADDRESS", Member: "address"}, {Head: "FLOOD", Member: "flood"},
		{Head: "LEARNING", Member: "learning", Default: "5m"}, {Head: "PORTS", Member: "status.ports"},
		{Head: "NEXT HOPS", Member: "status.next_hops", Default: "-"},
		{Head: "PUSHED", Member: "status.bindings", Number: true},
		{Head: "LEARNED", Member: "status.learned", Number: true},
		{Head: "RX", Member: "status.rx_packets", Number: true},
		{Head: "TX", Member: "status.tx_packets", Number: true},
	},
	Max:      always(MaxVTEPs),
	validate: (*validator).vteps,
	objects:  mapOf[VTEP](func(s *State) *map[string]VTEP { return &s.VTEPs }),
}

func (v *validator) vteps() {
	owner := map[netip.Addr]string{}
	for key, e := range v.s.VTEPs {
		if o, ok := owner[e.Address]; !ok || key < o {
			owner[e.Address] = key
		}
	}
	for key, e := range v.s.VTEPs {
		if v.scope != nil && !v.scope.Objects[KindVTEP][key] && owner[e.Address] == key {
			continue
		}
		r := v.at(KindVTEP, key)
		v.name(r, "name", e.Name)
		a := e.Address
		switch o := owner[a]; {
		case !a.IsValid():
			r("address", CodeRequired, "give the address that its packets come from", "the address is missing")
		case a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() ||
			a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			r("address", CodeInvalid, "give a unicast address of IPv4 or IPv6 that is routed",
				"%s cannot be a VTEP's", a)
		case o != key:
			r("address", CodeDuplicate, "give every VTEP its own address", "%s belongs to VTEP %s already", a, o).
				about(KindVTEP, o)
		}
		if l := e.Learning; l != nil && *l != 0 {
			l.between(r, "learning", minLearning, maxLearning)
		}
	}
}
