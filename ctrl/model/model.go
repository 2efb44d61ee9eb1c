// Package model is the desired state in the terms of people and orchestrators: the resources that are pushed over the
// control socket, and their validation. It has no indices, packets or storage.
package model

// DefaultRouterMAC is the MAC of every virtual router unless the tenant names another: locally administered, the same
// on every box, so that the ARP cache of a migrated VM stays valid.
const DefaultRouterMAC MAC = 0x025053000001

// DefaultScheme is the addressing scheme of a fabric whose configuration names none.
const DefaultScheme = Scheme16

// Scheme is the structure of the special addresses of a fabric (PROTOCOL.md#addressing).
type Scheme string

// The schemes.
const (
	Scheme16 Scheme = "10.p.t"
	Scheme24 Scheme = "p.t"
)
