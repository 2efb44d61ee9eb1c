package model

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// VIP is a virtual address of a segment: the address of virtual services. All boxes answer for it, and the first living
// one of its directors serves it.
type VIP struct {
	Tenant    string     `json:"tenant"`
	Name      string     `json:"name"`
	Segment   string     `json:"segment"`
	Address   netip.Addr `json:"address"`
	MAC       *MAC       `json:"mac,omitempty"` // default: see EffectiveMAC
	Directors []Director `json:"directors,omitempty"`
	Mode      string     `json:"mode,omitempty"` // ModeStandby (default), ModeAnycast
	Ping      string     `json:"ping,omitempty"` // "up" (default), "always", "never"
	ARP       string     `json:"arp,omitempty"`  // "answer" (default), "drop"
}

// Director is a box that serves a VIP, in the order of preference.
type Director struct {
	Box     string     `json:"box"`           // its name in its configuration
	Address netip.Addr `json:"address"`       // its own address in the segment, of the family of the VIP
	MAC     *MAC       `json:"mac,omitempty"` // of the own address; default: see EffectiveMAC
}

// The values of VIP.Mode.
const (
	ModeStandby = "standby" // the first living director serves the VIP
	ModeAnycast = "anycast" // all directors serve it
)

// The values of the members, the default first.
var (
	modeWords = []string{ModeStandby, ModeAnycast}
	pingWords = []string{"up", "always", "never"}
	arpWords  = []string{"answer", "drop"}
)

// MaxVIPs is the most VIPs of one box, and MaxDirectors the most directors of a VIP.
const (
	MaxVIPs      = 10_000
	MaxDirectors = 16
)

// addressMAC returns the MAC of a virtual address that names none: 02:56 and the last four octets of the address.
func addressMAC(a netip.Addr) MAC {
	if !a.IsValid() {
		return 0
	}
	b := a.AsSlice()
	return 0x0256<<32 | MAC(binary.BigEndian.Uint32(b[len(b)-4:]))
}

// EffectiveMAC returns the MAC of the VIP, the same on all boxes.
func (v *VIP) EffectiveMAC() MAC {
	if v.MAC != nil {
		return *v.MAC
	}
	return addressMAC(v.Address)
}

// EffectiveMAC returns the MAC of the director's own address.
func (d *Director) EffectiveMAC() MAC {
	if d.MAC != nil {
		return *d.MAC
	}
	return addressMAC(d.Address)
}

// Director returns the position of a box in the list of directors, -1 if it is none.
func (v *VIP) Director(box string) int {
	return slices.IndexFunc(v.Directors, func(d Director) bool { return d.Box == box })
}

// Anycast reports whether all directors serve the VIP.
func (v *VIP) Anycast() bool { return v.Mode == ModeAnycast }

// Kind implements Object.
func (VIP) Kind() Kind { return KindVIP }

// Key implements Object.
func (v VIP) Key() string { return v.Tenant + "/" + v.Name }

var vipKind = Info{
	Kind: KindVIP, One: "VIP", Doc: "A virtual address of a segment: the address of virtual services.",
	Key: []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Example: VIP{Tenant: "RED", Name: "www", Segment: "web", Address: netip.MustParseAddr("10.1.0.100"),
		Directors: []Director{{Box: "box1", Address: netip.MustParseAddr("10.1.0.101")}}},
	Members: []Member{
		{Name: "segment", Named: true},
		{Name: "address", Doc: "Neither the address of a VIF nor the virtual router's, a gateway group's or another " +
			"VIP's."},
		{Name: "mac", Doc: "Default: 02:56 and the last four octets of the address."},
		{Name: "directors", MaxItems: MaxDirectors, Doc: "The boxes that serve the VIP, in the order of preference."},
		{Name: "directors.box", Doc: "The box's name, box.name of its configuration."},
		{Name: "directors.address", Doc: "The box's own address in the segment, for health checks: of the VIP's " +
			"family, in one of the segment's subnets, and no other object's."},
		{Name: "directors.mac", Doc: "MAC of that address; default: 02:56 and its last four octets."},
		{Name: "mode", Words: modeWords,
			Doc: "standby, the default: the first living director serves the VIP. anycast: all serve it."},
		{Name: "ping", Words: pingWords,
			Doc: "When the VIP answers echo requests. Default up: while one of its services has a usable server."},
		{Name: "arp", Words: arpWords,
			Doc: "Treatment of ARP requests and neighbour solicitations for the address. Default answer; drop: " +
				"nobody answers."},
	},
	Filters: []Filter{
		byTenant(func(v VIP) string { return v.Tenant }), bySegment(func(v VIP) string { return v.Segment }),
	},
	Short:    "Virtual addresses and the boxes that serve them",
	ShowArgs: []string{"red"},
	Columns: []Column{
		{Head: "VIP", Member: "key"}, {Head: "SEGMENT", Member: "segment"}, {Head: "ADDRESS", Member: "address"},
		{Head: "MODE", Member: "mode", Default: ModeStandby},
		{Head: "DIRECTOR", Member: "status.director", Default: "none"}, {Head: "HERE", Member: "status.here"},
		{Head: "EDGE SWITCH", Member: "status.switch_mac"}, {Head: "SWITCH PORT", Member: "status.switch_port"},
	},
	Max:      always(MaxVIPs),
	Refs:     func(o Object) []Ref { v := o.(VIP); return []Ref{{KindSegment, v.Tenant + "/" + v.Segment}} },
	validate: (*validator).vips,
	objects:  mapOf[VIP](func(s *State) *map[string]VIP { return &s.VIPs }),
}
