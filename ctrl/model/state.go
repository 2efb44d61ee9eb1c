package model

// State is the pushed state without the bindings: up to a million bindings are kept in the store and in the dataplane's
// table only. The comments of the Kind constants give the keys of the maps. A State that has passed Validate is
// consistent: every reference resolves, no subnets overlap.
type State struct {
	Tenants  map[string]Tenant
	Segments map[string]Segment
	Subnets  map[string]Subnet
	VIFs     map[string]VIF
	VIPs     map[string]VIP
	Services map[string]Service
	Servers  map[string]Server
	Paths    map[string]Path
	VTEPs    map[string]VTEP
}
