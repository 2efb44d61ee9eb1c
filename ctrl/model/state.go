package model

// State is everything that was pushed, except the bindings: of those there may be a million, and they live in the
// store and in the dataplane's table only. Maps are keyed as the Kind constants say. A State that has passed
// Validate is consistent: every reference resolves, nothing overlaps.
type State struct {
	Tenants  map[string]Tenant
	Segments map[string]Segment
	Subnets  map[string]Subnet
	VIFs     map[string]VIF
	Paths    map[string]Path
}
