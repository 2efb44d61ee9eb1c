// Package model is the desired state as people and orchestrators name it: the resources that are pushed over the
// control socket, and their validation. It knows nothing of indices, packets or storage.
package model

// DefaultRouterMAC is the MAC of every virtual router unless the tenant names another: locally administered,
// the same on every box, so that a migrated VM's ARP cache stays right.
const DefaultRouterMAC MAC = 0x025053000001

// DefaultScheme is the addressing scheme of a fabric when the configuration names none.
const DefaultScheme = Scheme16

// Scheme is how the special addresses of a fabric are built (PROTOCOL.md#addressing).
type Scheme string

// The schemes.
const (
	Scheme16 Scheme = "10.p.t"
	Scheme24 Scheme = "p.t"
)
