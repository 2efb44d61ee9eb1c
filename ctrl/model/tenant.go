package model

import (
	"net/netip"
)

// Tenant is an isolated customer. IDs 0 and 1 are reserved, 2 is the public tenant (PROTOCOL.md#addressing).
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

// Kind implements Object.
func (Tenant) Kind() Kind { return KindTenant }

// Key implements Object.
func (t Tenant) Key() string { return t.Name }

var tenantKind = Info{
	Kind: KindTenant, One: "tenant", Doc: "An isolated customer.",
	Key:     []KeyPart{{Name: "name"}},
	Example: Tenant{Name: "RED", ID: 7},
	Members: []Member{
		{Name: "id", Min: 2, Max: maxTenantID24,
			Doc: "Up to 65534 under the scheme 10.p.t. 0 and 1 are reserved, 2 is the public tenant. Unique."},
		{Name: "gateway", Doc: "The gateway group that is the default route, by its name in the box's configuration. " +
			"The public tenant has the box's public group if it names none."},
		{Name: "gateway_addresses", MaxItems: MaxGatewayAddresses, Doc: "Addresses, at most one of each family, at which " +
			"the gateway group is a station in the tenant's own subnets: there boxes that do not have the group " +
			"themselves find it, given a binding."},
		{Name: "labels", MaxItems: MaxLabels},
	},
	Short:    "Tenants",
	ShowArgs: []string{""},
	Columns: []Column{
		{Head: "NAME", Member: "name"}, {Head: "ID", Member: "id", Number: true},
		{Head: "ROUTER MAC", Member: "router_mac", Default: DefaultRouterMAC.String()},
	},
	Max: func(s Scheme) int {
		if s == Scheme16 {
			return MaxTenants16
		}
		return MaxTenants
	},
	validate: (*validator).tenants,
	objects:  mapOf[Tenant](func(s *State) *map[string]Tenant { return &s.Tenants }),
}
