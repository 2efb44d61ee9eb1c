package model

import (
	"net/netip"

	"penstock/ctrl/model/strict"
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
	Kind: KindTenant, One: "tenant", Short: "Tenants",
	Key: []KeyPart{{Name: "name"}},
	Columns: []Column{
		{Head: "NAME", Member: "name"}, {Head: "ID", Member: "id", Number: true}, {Head: "ROUTER MAC", Member: "router_mac", Default: DefaultRouterMAC.String()},
	},
	Max: func(s Scheme) int {
		if s == Scheme16 {
			return MaxTenants16
		}
		return MaxTenants
	},
	decode: func(n *strict.Node, path, key string) (Object, []strict.Problem) {
		return decode(n, path, key, func(t *Tenant) []ident { return []ident{str("name", &t.Name)} })
	},
	validate: (*validator).tenants,
	objects:  mapOf[Tenant](func(s *State) *map[string]Tenant { return &s.Tenants }),
}
