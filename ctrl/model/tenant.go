package model

import (
	"fmt"
	"net/netip"
	"strings"
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
	// subnets: boxes without the group reach it there, given a binding.
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
		{Name: "gateway_addresses", MaxItems: MaxGatewayAddresses,
			Doc: "Addresses, at most one of each family, at which the gateway group is a station in the tenant's own " +
				"subnets: boxes without the group reach it there, given a binding."},
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

func control(c rune) bool { return c < ' ' || c == 0x7f }

func (v *validator) tenants() {
	owner := map[uint32]string{} // of the IDs in scope
	if v.scope == nil {
		owner = make(map[uint32]string, len(v.s.Tenants))
	} else {
		for key := range v.scope.Tenants {
			if t, ok := v.s.Tenants[key]; ok {
				owner[t.ID] = key
			}
		}
	}
	for key, t := range v.s.Tenants {
		if o, ok := owner[t.ID]; !ok && v.scope == nil || ok && v.before(key, o) {
			owner[t.ID] = key
		}
	}
	most, _ := v.maxIDs()
	allowed := fmt.Sprintf("choose an ID from 2 to %d; 0 and 1 are reserved", most)
	for key, t := range v.s.Tenants {
		if !v.in(key) {
			continue
		}
		r := v.at(KindTenant, key)
		v.name(r, "name", t.Name)
		switch {
		case t.ID == 0:
			r("id", CodeRequired, allowed, "the tenant has no ID, or the reserved ID 0")
		case t.ID == 1:
			r("id", CodeReserved, allowed, "tenant ID 1 is the box itself")
		case t.ID > most:
			hint := fmt.Sprintf("choose an ID from 2 to %d", most)
			if v.scheme() == Scheme16 {
				hint += ", or configure the fabric with scheme \"p.t\""
			}
			r("id", CodeInvalid, hint, "tenant ID %d is too large for the scheme %q", t.ID, v.scheme())
		case owner[t.ID] != key:
			o := owner[t.ID]
			r("id", CodeDuplicate, "give every tenant its own ID",
				"tenant ID %d belongs to tenant %s already", t.ID, o).about(KindTenant, o)
		}
		if t.RouterMAC != nil {
			if v.unicast(r, "router_mac", *t.RouterMAC, "the virtual router's MAC address") {
				notMark(r, "router_mac", *t.RouterMAC)
			}
		}
		v.gateway(r, &t)
		if len(t.Labels) > MaxLabels {
			r("labels", CodeLimit, "", "%d labels are more than the %d allowed", len(t.Labels), MaxLabels)
		}
		for k, l := range t.Labels {
			if k == "" || len(k) > MaxName || len(l) > 255 || strings.ContainsFunc(k+l, control) {
				r("labels", CodeInvalid, "keys have 1 to 63 octets, values up to 255, without control characters",
					"label %.64q is not valid", k)
			}
		}
	}
}
