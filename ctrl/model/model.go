// Package model is the desired state as people and orchestrators name it: the resources that are pushed over the
// control socket, and their validation. It knows nothing of indices, packets or storage.
package model

import (
	"net/netip"
)

// Kind names a collection of resources, as it appears in URLs, transactions and events.
type Kind string

// The kinds. The key of a resource is its path below the collection.
const (
	KindTenant  Kind = "tenants"  // key: NAME
	KindSegment Kind = "segments" // key: TENANT/NAME
	KindSubnet  Kind = "subnets"  // key: TENANT/NAME
	KindVIF     Kind = "vifs"     // key: TENANT/NAME
	KindBinding Kind = "bindings" // key: TENANT/SEGMENT/MAC
	KindPath    Kind = "paths"    // key: MAC/MAC, the smaller first
)

// Tenant is an isolated customer. IDs 0 and 1 are reserved, 2 is the public tenant (spec/overlay.md).
type Tenant struct {
	Name      string            `json:"name"`
	ID        uint32            `json:"id"`
	RouterMAC *MAC              `json:"router_mac,omitempty"` // of the virtual router; default DefaultRouterMAC
	Labels    map[string]string `json:"labels,omitempty"`

	// Gateway is the gateway group that is the default route, by its name in the boxes' configuration. The public
	// tenant (ID 2) has the box's public group if it names none.
	Gateway string `json:"gateway,omitempty"`
	// GatewayAddresses are addresses, at most one of each family, at which the group is a station in the tenant's own
	// subnets: there boxes that do not have the group themselves find it, given a binding.
	GatewayAddresses []netip.Addr `json:"gateway_addresses,omitempty"`
}

// Segment is one MAC address space of a tenant: a bridge domain.
type Segment struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
	ID     uint32 `json:"id"` // 1 … 65,535 (10.p.t) or 16,777,215 (p.t)
	// UnknownUnicast is what becomes of frames to a MAC, and of questions for an address, that no binding knows: "drop"
	// (default) or "flood".
	UnknownUnicast string `json:"unknown_unicast,omitempty"`
	// RouterAdvertisements is what becomes of router advertisements that come from other boxes: "drop" (default) or
	// "accept", where routers of the tenant's own are VMs. Those of this box's VIFs are a matter of VIF.Allow.
	RouterAdvertisements string `json:"router_advertisements,omitempty"`
}

// Subnet belongs to one segment and names the virtual router's address in it.
type Subnet struct {
	Tenant  string       `json:"tenant"`
	Name    string       `json:"name"`
	Segment string       `json:"segment"`
	Prefix  netip.Prefix `json:"prefix"`
	Router  netip.Addr   `json:"router,omitzero"` // absent: no router in this subnet
}

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

// DefaultAllow is what a VIF may be beside a host when nothing is said: a tenant's DHCP server is one of its hosts, and
// reaches nobody but that tenant.
var DefaultAllow = []string{AllowDHCPServer}

// Binding says where a VIF hangs. A local VIF is its own binding and wins over a pushed one.
type Binding struct {
	Tenant     string       `json:"tenant"`
	Segment    string       `json:"segment"`
	MAC        MAC          `json:"mac"`
	Addresses  []netip.Addr `json:"addresses,omitempty"`
	SwitchMAC  MAC          `json:"switch_mac"`
	SwitchPort uint16       `json:"switch_port"` // 1 … 255
}

// Path says which VLANs connect a pair of edge switches, in both directions. A and B may be the same switch.
type Path struct {
	A     MAC        `json:"a"`
	B     MAC        `json:"b"`
	VLANs []PathVLAN `json:"vlans"`
}

// PathVLAN is one VLAN of a path entry.
type PathVLAN struct {
	VID    uint16 `json:"vid"`
	Weight uint16 `json:"weight,omitempty"` // 1 (default) … 100
}

// DefaultRouterMAC is the MAC of every virtual router unless the tenant names another: locally administered,
// the same on every box, so that a migrated VM's ARP cache stays right.
const DefaultRouterMAC MAC = 0x025053000001

// DefaultScheme is the addressing scheme of a fabric when the configuration names none.
const DefaultScheme = Scheme16

// Scheme is how the special addresses of a fabric are built (spec/overlay.md, "Addressing of the fabric").
type Scheme string

// The schemes.
const (
	Scheme16 Scheme = "10.p.t"
	Scheme24 Scheme = "p.t"
)
