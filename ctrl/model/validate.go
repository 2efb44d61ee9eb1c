package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The most objects of a kind. The limits of segments and subnets are four per tenant of the 10.p.t scheme; the limit of
// paths is one per pair of 500 edge switches (PROTOCOL.md#sizes).
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

// Scope restricts validation to the objects that a transaction can have made invalid: all objects of some tenants, and
// some objects that belong to no tenant.
type Scope struct {
	Tenants map[string]bool
	Objects map[Kind]map[string]bool // by key

	written map[Ref]bool
}

// Add adds the objects that a write of an object can have made invalid.
func (s *Scope) Add(r Ref) {
	if s.written == nil {
		s.written = map[Ref]bool{}
	}
	s.written[r] = true
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

// ValidateScope checks the objects in scope, also against objects out of scope; a nil scope is the whole state. A state
// that was valid before a change to objects in scope is valid if ValidateScope returns no problem.
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
		return cmp.Or(cmp.Compare(order[a.Kind], order[b.Kind]), strings.Compare(a.Key, b.Key),
			strings.Compare(a.Field, b.Field))
	})
	return v.problems
}

type validator struct {
	s        *State
	opts     Options
	scope    *Scope
	only     string // the tenant of a scope with one tenant: saves hashing every name
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

// wrote reports whether the change in scope wrote the object. Of two objects that exclude each other it is the one that
// was written whose fault is reported.
func (v *validator) wrote(kind Kind, key string) bool {
	return v.scope != nil && v.scope.written[Ref{kind, key}]
}

func (v *validator) add(p Problem) { v.problems = append(v.problems, p) }

// at returns the reporter of one object's problems.
func (v *validator) at(kind Kind, key string) reporter {
	return func(field, code, hint, format string, args ...any) *Problem {
		v.add(Problem{Kind: kind, Key: key, Field: field, Code: code, Hint: hint,
			Message: fmt.Sprintf(format, args...)})
		return &v.problems[len(v.problems)-1]
	}
}

type reporter func(field, code, hint, format string, args ...any) *Problem

func (p *Problem) about(kind Kind, key string) { p.OtherKind, p.OtherKey = kind, key }

func (p *Problem) aboutMember(kind Kind, key, field string) {
	p.OtherKind, p.OtherKey, p.OtherField = kind, key, field
}

func (v *validator) counts() {
	for _, i := range kinds {
		if i.objects == nil || i.Max == nil {
			continue
		}
		if have, most := i.objects.count(v.s), i.Max(v.scheme()); have > most {
			v.add(Problem{Kind: i.Kind, Code: CodeLimit,
				Message: fmt.Sprintf("%d %s are more than the %d that one box holds", have, i.Kind, most),
				Hint:    "delete unused objects, or spread the tenants over more boxes"})
		}
	}
}

func (v *validator) scheme() Scheme {
	if v.opts.Scheme == "" {
		return DefaultScheme
	}
	return v.opts.Scheme
}

// maxIDs returns the largest tenant ID and the largest segment ID of the scheme. The all-ones tenant ID is the
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
		r(field, CodeInvalid, "the lowest bit of the first octet must be 0",
			"%s is a multicast or broadcast address", m)
	default:
		return true
	}
	return false
}

// before orders two owners of one value: an owner out of scope precedes one in scope; else the smaller key does.
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

// refTenant reports a tenant that does not exist.
func (v *validator) refTenant(r reporter, tenant string) bool {
	if tenant == "" {
		r("tenant", CodeRequired, "", "the tenant is missing")
		return false
	}
	if _, ok := v.s.Tenants[tenant]; !ok {
		r("tenant", CodeNotFound, "create the tenant first, or in the same transaction",
			"there is no tenant %q", clip(tenant)).about(KindTenant, tenant)
		return false
	}
	return true
}

// refSegment reports a tenant or segment that does not exist.
func (v *validator) refSegment(r reporter, tenant, segment string) bool {
	if !v.refTenant(r, tenant) {
		return false
	}
	if segment == "" {
		r("segment", CodeRequired, "name a segment of the tenant", "the segment is missing")
		return false
	}
	if _, ok := v.s.Segments[tenant+"/"+segment]; !ok {
		r("segment", CodeNotFound, "create the segment first, or in the same transaction",
			"tenant %s has no segment %q", clip(tenant), clip(segment)).
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

// oneOf checks a value of a closed list; an absent value is allowed and means the first.
func (v *validator) oneOf(r reporter, field, word string, words []string) {
	if word != "" && !slices.Contains(words, word) {
		r(field, CodeInvalid, "allowed: "+strings.Join(words, ", "), "%q is not a value of %s", clip(word), field)
	}
}
