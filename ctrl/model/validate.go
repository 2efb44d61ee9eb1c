package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The most objects of a kind. Segments and subnets allow four per tenant of the 10.p.t scheme; paths are those of 500
// edge switches, every pair (PROTOCOL.md#sizes).
const (
	MaxTenants16 = 65_533  // scheme 10.p.t: IDs 2 … 65,534
	MaxTenants   = 262_144 // scheme p.t
	MaxSegments  = 262_144
	MaxSubnets   = 262_144
	MaxVIFs      = 10_000
	MaxPaths     = 131_072
	MaxPathVLANs = 64
	MaxAddresses = 16 // of one VIF or binding
	MaxLabels    = 32
	MaxWeight    = 100 // of a path's VLAN

	MaxGatewayAddresses = 2 // of one tenant: one of each family

	MaxSwitchPort = 255  // one octet of an address in the fabric
	MaxVLAN       = 4094 // IEEE 802.1Q, table 9-2
)

// The largest IDs of the scheme p.t.
const (
	maxTenantID24  = 1<<24 - 2
	maxSegmentID24 = 1<<24 - 1
)

// Scope restricts validation to what a transaction can have broken: everything of some tenants, and some objects that
// belong to no tenant.
type Scope struct {
	Tenants map[string]bool
	Objects map[Kind]map[string]bool // by key
}

// Add puts into scope what a write of an object can have broken.
func (s *Scope) Add(r Ref) {
	if t, ok := r.Tenant(); ok {
		if s.Tenants == nil {
			s.Tenants = map[string]bool{}
		}
		s.Tenants[t] = true
		return
	}
	if s.Objects == nil {
		s.Objects = map[Kind]map[string]bool{}
	}
	if s.Objects[r.Kind] == nil {
		s.Objects[r.Kind] = map[string]bool{}
	}
	s.Objects[r.Kind][r.Key] = true
}

// Validate checks the whole state and returns all its problems, sorted by kind, key and field.
func (s *State) Validate(opts Options) []Problem { return s.ValidateScope(opts, nil) }

// ValidateScope checks what is in scope, also against what is not; nil is everything. A state that was valid before
// a change to objects in scope is valid if this returns nothing.
func (s *State) ValidateScope(opts Options, scope *Scope) []Problem {
	v := &validator{s: s, opts: opts, scope: scope, ports: map[string]string{}}
	for _, p := range opts.Ports {
		v.ports[p.Name] = p.Role
	}
	if scope != nil && len(scope.Tenants) == 1 {
		for t := range scope.Tenants {
			v.only = t
		}
	}
	v.counts()
	order := map[Kind]int{}
	for at, i := range kinds {
		order[i.Kind] = at
		if i.validate != nil {
			i.validate(v)
		}
	}
	slices.SortStableFunc(v.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.Kind], order[b.Kind]), strings.Compare(a.Key, b.Key), strings.Compare(a.Field, b.Field))
	})
	return v.problems
}

type validator struct {
	s        *State
	opts     Options
	scope    *Scope
	only     string // the one tenant in scope, if it is one: spares hashing every name
	ports    map[string]string
	problems []Problem
	nets     map[string][]netRange // by tenant: subnets without faults of their own, sorted
}

func (v *validator) in(tenant string) bool {
	if v.only != "" {
		return tenant == v.only
	}
	return v.scope == nil || v.scope.Tenants[tenant]
}

func (v *validator) add(p Problem) { v.problems = append(v.problems, p) }

// at makes the reporter of one object's problems.
func (v *validator) at(kind Kind, key string) reporter {
	return func(field, code, hint, format string, args ...any) *Problem {
		v.add(Problem{Kind: kind, Key: key, Field: field, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
		return &v.problems[len(v.problems)-1]
	}
}

type reporter func(field, code, hint, format string, args ...any) *Problem

func (p *Problem) about(kind Kind, key string) { p.OtherKind, p.OtherKey = kind, key }

func (v *validator) counts() {
	for _, i := range kinds {
		if i.objects == nil || i.Max == nil {
			continue
		}
		if have, most := i.objects.count(v.s), i.Max(v.scheme()); have > most {
			v.add(Problem{Kind: i.Kind, Code: CodeLimit,
				Message: fmt.Sprintf("%d %s are more than the %d that one box holds", have, i.Kind, most),
				Hint:    "delete what is not used, or spread the tenants over more boxes"})
		}
	}
}

func (v *validator) scheme() Scheme {
	if v.opts.Scheme == "" {
		return DefaultScheme
	}
	return v.opts.Scheme
}

// idBits returns the largest tenant ID and the largest segment ID of the scheme. The all-ones tenant ID is the
// broadcast address of the port's prefix and hence not a special IP.
func (v *validator) maxIDs() (tenant, segment uint32) {
	if v.scheme() == Scheme24 {
		return maxTenantID24, maxSegmentID24
	}
	return 1<<16 - 2, 1<<16 - 1
}

func (v *validator) name(r reporter, field, name string) {
	if name == "" {
		r(field, CodeRequired, nameHint, "the name is missing")
	} else if !ValidName(name) {
		r(field, CodeInvalid, nameHint, "%q is not a name", name)
	}
}

func (v *validator) unicast(r reporter, field string, m MAC, what string) bool {
	switch {
	case m == 0:
		r(field, CodeRequired, "give "+what+", as \"02:00:00:00:00:01\"", "%s is missing or zero", what)
	case m>>48 != 0:
		r(field, CodeInvalid, "", "%s has more than 48 bits", what)
	case m.IsGroup():
		r(field, CodeInvalid, "the lowest bit of the first octet must be 0", "%s is a multicast or broadcast address", m)
	default:
		return true
	}
	return false
}

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
	for key, t := range v.s.Tenants {
		if !v.in(key) {
			continue
		}
		r := v.at(KindTenant, key)
		v.name(r, "name", t.Name)
		switch {
		case t.ID == 0:
			r("id", CodeRequired, fmt.Sprintf("choose an ID from 2 to %d; 0 and 1 are reserved", most), "the tenant has no ID, or the reserved ID 0")
		case t.ID == 1:
			r("id", CodeReserved, fmt.Sprintf("choose an ID from 2 to %d; 0 and 1 are reserved", most), "tenant ID 1 is the box itself")
		case t.ID > most:
			hint := fmt.Sprintf("choose an ID from 2 to %d", most)
			if v.scheme() == Scheme16 {
				hint += ", or configure the fabric with scheme \"p.t\""
			}
			r("id", CodeInvalid, hint, "tenant ID %d is too large for the scheme %q", t.ID, v.scheme())
		case owner[t.ID] != key:
			r("id", CodeDuplicate, "give every tenant its own ID", "tenant ID %d belongs to tenant %s already", t.ID, owner[t.ID]).about(KindTenant, owner[t.ID])
		}
		if t.RouterMAC != nil {
			v.unicast(r, "router_mac", *t.RouterMAC, "the virtual router's MAC address")
		}
		v.gateway(r, &t)
		if len(t.Labels) > MaxLabels {
			r("labels", CodeLimit, "", "%d labels are more than the %d allowed", len(t.Labels), MaxLabels)
		}
		for k, l := range t.Labels {
			if k == "" || len(k) > MaxName || len(l) > 255 || strings.ContainsFunc(k+l, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				r("labels", CodeInvalid, "keys have 1 to 63 octets, values up to 255, without control characters", "label %.64q is not valid", k)
			}
		}
	}
}

// before orders two owners of one value: the one that is out of scope was there first, else the smaller key.
func (v *validator) before(a, b string) bool {
	ta, tb := tenantOf(a), tenantOf(b)
	if ia, ib := v.in(ta), v.in(tb); ia != ib {
		return ib
	}
	return a < b
}

func tenantOf(key string) string {
	t, _, _ := strings.Cut(key, "/")
	return t
}

// refTenant reports a tenant that is not there.
func (v *validator) refTenant(r reporter, tenant string) bool {
	if tenant == "" {
		r("tenant", CodeRequired, "", "the tenant is missing")
		return false
	}
	if _, ok := v.s.Tenants[tenant]; !ok {
		r("tenant", CodeNotFound, "create the tenant first, or in the same transaction", "there is no tenant %q", clip(tenant)).about(KindTenant, tenant)
		return false
	}
	return true
}

// refSegment reports a tenant or segment that is not there.
func (v *validator) refSegment(r reporter, tenant, segment string) bool {
	if !v.refTenant(r, tenant) {
		return false
	}
	if segment == "" {
		r("segment", CodeRequired, "name a segment of the tenant", "the segment is missing")
		return false
	}
	if _, ok := v.s.Segments[tenant+"/"+segment]; !ok {
		r("segment", CodeNotFound, "create the segment first, or in the same transaction", "tenant %s has no segment %q", clip(tenant), clip(segment)).
			about(KindSegment, tenant+"/"+segment)
		return false
	}
	return true
}

func clip(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return s
}

func (v *validator) segments() {
	type id struct {
		tenant string
		id     uint32
	}
	owner := map[id]string{}
	for key, s := range v.s.Segments {
		if !v.in(s.Tenant) {
			continue
		}
		k := id{s.Tenant, s.ID}
		if o, ok := owner[k]; !ok || key < o {
			owner[k] = key
		}
	}
	_, most := v.maxIDs()
	for key, s := range v.s.Segments {
		if !v.in(s.Tenant) {
			continue
		}
		r := v.at(KindSegment, key)
		v.name(r, "name", s.Name)
		v.refTenant(r, s.Tenant)
		if s.ID == 0 {
			r("id", CodeRequired, fmt.Sprintf("choose an ID from 1 to %d", most), "the segment has no ID, or the ID 0")
		} else if s.ID > most {
			r("id", CodeInvalid, fmt.Sprintf("choose an ID from 1 to %d", most), "segment ID %d is too large for the scheme %q", s.ID, v.scheme())
		} else if o := owner[id{s.Tenant, s.ID}]; o != key {
			r("id", CodeDuplicate, "give every segment of a tenant its own ID", "segment ID %d belongs to segment %s already", s.ID, o).about(KindSegment, o)
		}
		v.oneOf(r, "unknown_unicast", s.UnknownUnicast, unicastWords)
		v.oneOf(r, "router_advertisements", s.RouterAdvertisements, advertisementWords)
	}
}

// oneOf checks a word; absent is allowed and means the first.
func (v *validator) oneOf(r reporter, field, word string, words []string) {
	if word != "" && !slices.Contains(words, word) {
		r(field, CodeInvalid, "allowed: "+strings.Join(words, ", "), "%q is not a value of %s", clip(word), field)
	}
}

func (v *validator) paths() {
	for key, p := range v.s.Paths {
		if v.scope != nil && !v.scope.Objects[KindPath][key] {
			continue
		}
		r := v.at(KindPath, key)
		v.unicast(r, "a", p.A, "the edge switch's MAC address")
		v.unicast(r, "b", p.B, "the edge switch's MAC address")
		if p.B < p.A {
			r("a", CodeInvalid, "the smaller MAC address goes first", "the edge switches are in the wrong order")
		}
		if len(p.VLANs) == 0 {
			r("vlans", CodeRequired, "name at least one VLAN, or delete the path", "the path has no VLAN")
		}
		if len(p.VLANs) > MaxPathVLANs {
			r("vlans", CodeLimit, "", "%d VLANs are more than the %d allowed", len(p.VLANs), MaxPathVLANs)
		}
		for i, l := range p.VLANs {
			field := fmt.Sprintf("vlans[%d].", i)
			if l.VID < 1 || l.VID > MaxVLAN {
				r(field+"vid", CodeInvalid, "VLAN IDs go from 1 to 4094", "%d is not a VLAN ID", l.VID)
			} else if j := slices.IndexFunc(p.VLANs, func(o PathVLAN) bool { return o.VID == l.VID }); j < i {
				r(field+"vid", CodeDuplicate, "name every VLAN once", "VLAN %d stands at vlans[%d] already", l.VID, j)
			}
			if l.Weight < 1 || l.Weight > MaxWeight {
				r(field+"weight", CodeInvalid, "weights go from 1 (the default) to 100", "%d is not a weight", l.Weight)
			}
		}
	}
}
