package model

import (
	"net/netip"
)

// VIF is a virtual interface that hangs from an access port of this box.
type VIF struct {
	Tenant    string       `json:"tenant"`
	Name      string       `json:"name"`
	Segment   string       `json:"segment"`
	MAC       MAC          `json:"mac"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Port      string       `json:"port"`
	VLAN      uint16       `json:"vlan,omitempty"`       // 0 = untagged
	AntiSpoof string       `json:"anti_spoof,omitempty"` // "strict" (default), "mac", "off"

	// Allow is what the VIF may be beside a host, unless AntiSpoof is "off", which allows everything: AllowDHCPServer,
	// AllowRA, AllowVRRP. Absent it is DefaultAllow; a list that is given, be it empty, is the whole of it.
	Allow []string `json:"allow,omitzero"`
	// SharedAddresses may be used by several VIFs of the segment, which settle among themselves whose they are: those of
	// VRRP, for instance. They are no binding; the segment must flood what is unknown.
	SharedAddresses []netip.Addr `json:"shared_addresses,omitempty"`
}

// What VIF.Allow may hold.
const (
	AllowDHCPServer = "dhcp-server" // answers of DHCP and DHCPv6 servers
	AllowRA         = "ra"          // IPv6 router advertisements and redirects
	AllowVRRP       = "vrrp"        // frames from the MACs of virtual routers (RFC 9568, 7.3)
)

var allowWords = [...]string{AllowDHCPServer, AllowRA, AllowVRRP}

// What VIF.AntiSpoof may be, the default first.
var spoofWords = []string{"strict", "mac", "off"}

// DefaultAllow is what a VIF may be beside a host when nothing is said: a tenant's DHCP server is one of its hosts, and
// reaches nobody but that tenant.
var DefaultAllow = []string{AllowDHCPServer}

// Kind implements Object.
func (VIF) Kind() Kind { return KindVIF }

// Key implements Object.
func (v VIF) Key() string { return v.Tenant + "/" + v.Name }

var vifKind = Info{
	Kind: KindVIF, One: "VIF", Doc: "A virtual interface that hangs from an access port of this box.",
	Key: []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Example: VIF{Tenant: "RED", Name: "vm1", Segment: "web", MAC: 0x020000000001,
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.5")}, Port: "acc0"},
	Members: []Member{
		{Name: "segment", Named: true},
		{Name: "addresses", MaxItems: MaxAddresses},
		{Name: "port", Doc: "An access port of the configuration."},
		{Name: "vlan", Max: MaxVLAN, Doc: "0, the default, is untagged."},
		{Name: "anti_spoof", Words: spoofWords, Doc: "Default strict."},
		{Name: "allow", MaxItems: len(allowWords), Words: allowWords[:], Doc: "What the VIF may be beside a host, unless " +
			"anti_spoof is off, which allows everything: answer as DHCP server, send router advertisements and " +
			"redirects, send from the MACs of virtual routers (VRRP). Absent: dhcp-server. A list that is given is the " +
			"whole of it; an empty one allows none."},
		{Name: "shared_addresses", MaxItems: MaxAddresses, Doc: "Addresses that several VIFs of the segment may use and " +
			"settle among themselves, as with VRRP. The segment needs unknown_unicast flood."},
	},
	Filters: []Filter{
		byTenant(func(v VIF) string { return v.Tenant }), bySegment(func(v VIF) string { return v.Segment }),
		byMember("port", "Only on this port.", func(v VIF) string { return v.Port }),
	},
	Short:    "VIFs of this box and what they sent and were sent",
	ShowArgs: []string{"", "red/vm1 --rate 1s"},
	Columns: []Column{
		{Head: "VIF", Member: "key"}, {Head: "SEGMENT", Member: "segment"}, {Head: "MAC", Member: "mac"},
		{Head: "ADDRESSES", Member: "addresses"},
		{Head: "PORT", Member: "port"}, {Head: "VLAN", Member: "vlan", Default: "untagged"},
	},
	Max:      always(MaxVIFs),
	Refs:     func(o Object) []Ref { v := o.(VIF); return []Ref{{KindSegment, v.Tenant + "/" + v.Segment}} },
	validate: (*validator).vifs,
	objects:  mapOf[VIF](func(s *State) *map[string]VIF { return &s.VIFs }),
}
