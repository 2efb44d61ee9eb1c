package model

import (
	"net/netip"
)

// VIF is a virtual interface at an access port of this box.
type VIF struct {
	Tenant    string       `json:"tenant"`
	Name      string       `json:"name"`
	Segment   string       `json:"segment"`
	MAC       MAC          `json:"mac"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Port      string       `json:"port"`
	VLAN      uint16       `json:"vlan,omitempty"`       // 0 = untagged
	AntiSpoof string       `json:"anti_spoof,omitempty"` // "strict" (default), "mac", "off"

	// Allow lists the roles that the VIF may have beside that of a host: AllowDHCPServer, AllowRA, AllowVRRP. AntiSpoof
	// "off" allows all. An absent list is DefaultAllow; a list that is present, even if empty, replaces DefaultAllow.
	Allow []string `json:"allow,omitzero"`
	// SharedAddresses may be used by several VIFs of the segment, which agree on the owner themselves, with VRRP for
	// instance. A shared address makes no binding; the segment must flood unknown unicast.
	SharedAddresses []netip.Addr `json:"shared_addresses,omitempty"`

	// GuestAgent is the socket of the guest's QEMU guest agent, an absolute path. Through it the box gives the guest
	// the virtual addresses of its services and GuestAddresses (Guest: GuestByAgent), or only reads whether it has
	// them.
	GuestAgent     string       `json:"guest_agent,omitempty"`
	GuestAddresses []netip.Addr `json:"guest_addresses,omitempty"`
	Guest          string       `json:"guest,omitempty"` // GuestByAgent (default), GuestManual
}

// The values of VIF.Guest.
const (
	GuestByAgent = "agent"  // the box sets the guest up
	GuestManual  = "manual" // the box only reads what the guest has
)

// What VIF.Guest may be, the default first.
var guestWords = []string{GuestByAgent, GuestManual}

// What VIF.Allow may hold.
const (
	AllowDHCPServer = "dhcp-server" // answers of DHCP and DHCPv6 servers
	AllowRA         = "ra"          // IPv6 router advertisements and redirects
	AllowVRRP       = "vrrp"        // frames from the MACs of virtual routers (RFC 9568, 7.3)
)

var allowWords = [...]string{AllowDHCPServer, AllowRA, AllowVRRP}

// What VIF.AntiSpoof may be, the default first.
var spoofWords = []string{"strict", "mac", "off"}

// DefaultAllow is the value of an absent VIF.Allow: the DHCP server of a tenant is one of the tenant's hosts, and its
// answers reach that tenant only.
var DefaultAllow = []string{AllowDHCPServer}

// Kind implements Object.
func (VIF) Kind() Kind { return KindVIF }

// Key implements Object.
func (v VIF) Key() string { return v.Tenant + "/" + v.Name }

var vifKind = Info{
	Kind: KindVIF, One: "VIF", Doc: "A virtual interface at an access port of this box.",
	Key: []KeyPart{{Name: "tenant"}, {Name: "name"}},
	Example: VIF{Tenant: "RED", Name: "vm1", Segment: "web", MAC: 0x020000000001,
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.5")}, Port: "acc0"},
	Members: []Member{
		{Name: "segment", Named: true},
		{Name: "addresses", MaxItems: MaxAddresses},
		{Name: "port", Doc: "An access port of the configuration."},
		{Name: "vlan", Max: MaxVLAN, Doc: "0, the default, is untagged."},
		{Name: "anti_spoof", Words: spoofWords, Doc: "Default strict."},
		{Name: "allow", MaxItems: len(allowWords), Words: allowWords[:],
			Doc: "Roles that the VIF may have beside that of a host: answer as DHCP server, send router " +
				"advertisements and redirects, send from the MACs of virtual routers (VRRP). anti_spoof off " +
				"allows all. An absent list means dhcp-server; a list that is present replaces it, and an empty one " +
				"allows none."},
		{Name: "shared_addresses", MaxItems: MaxAddresses,
			Doc: "Addresses that several VIFs of the segment may use; the VIFs agree on the owner themselves, with " +
				"VRRP for instance. The segment needs unknown_unicast flood."},
		{Name: "guest_agent", Doc: "The socket of the guest's QEMU guest agent, an absolute path: through it the " +
			"guest gets the virtual addresses of its services and guest_addresses."},
		{Name: "guest_addresses", MaxItems: MaxAddresses,
			Doc: "Further addresses for the guest's loopback interface; they need guest_agent."},
		{Name: "guest", Words: guestWords,
			Doc: "agent, the default: the box sets the guest up. manual: it only reads whether the guest has the " +
				"addresses."},
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
		{Head: "GUEST", Member: "status.guest.state", Default: "none"},
	},
	Max:      always(MaxVIFs),
	Refs:     func(o Object) []Ref { v := o.(VIF); return []Ref{{KindSegment, v.Tenant + "/" + v.Segment}} },
	validate: (*validator).vifs,
	objects:  mapOf[VIF](func(s *State) *map[string]VIF { return &s.VIFs }),
}
