package compile

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
)

// publicTenant is the ID of the tenant whose addresses are reachable from outside (PROTOCOL.md#addressing).
const publicTenant = 2

// Group is the configuration of a gateway group. The rules of its values are the configuration's: here
// they are taken as checked.
type Group struct {
	Name    string
	MAC     model.MAC     // virtual MAC
	IPs     []netip.Addr  // addresses inside the tenant network, at most one of each family
	Public  bool          // the default route of the public tenant, unless that names a group itself
	Members []GroupMember // the preferred one first
	Policy  gateway.Policy

	// What the box knew of the group when it stopped: taken into account when the group is made, not later.
	Start       string   // the active member, "" = not known
	StartChosen bool     // by an operator
	Disabled    []string // members that were disabled
}

// GroupMember is the configuration of a member of a group.
type GroupMember struct {
	Name    string
	Port    string // an uplink port
	VLAN    uint16 // 0 = untagged
	Gateway netip.Addr
	MAC     model.MAC    // fixed MAC of the gateway; 0 = resolved by ARP
	Sources []netip.Addr // the box's addresses on that network, at most one of each family
	Senders []model.MAC  // MACs that the gateway also sends from
	Locked  bool         // frames are taken there from the gateway and Senders alone
}

// cloneGroups copies groups with their members, so that the caller may do with his as he likes.
func cloneGroups(groups []Group) []Group {
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].Members = slices.Clone(groups[i].Members)
	}
	return groups
}

// LiveGroup is a group that the dataplane has: its name, and how the dataplane addresses it.
type LiveGroup struct {
	Name    string
	Index   uint32
	Live    *fib.GroupLive
	Members []LiveMember // in order of preference
}

// LiveMember is a member of a LiveGroup.
type LiveMember struct {
	Name string
	Slot uint32
	Stat uint32 // see Engine.Member
	Live *fib.MemberLive
}

// LiveGroups lists the live groups in the order of the configuration.
func (c *Compiler) LiveGroups() []LiveGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]LiveGroup, 0, len(c.cfg.Groups))
	for i := range c.cfg.Groups {
		g := &c.cfg.Groups[i]
		ref := c.groups[g.Name]
		x := LiveGroup{Name: g.Name, Index: ref.index, Live: ref.live}
		for _, m := range g.Members {
			r := ref.members[m.Name]
			x.Members = append(x.Members, LiveMember{m.Name, r.slot, r.stat, r.live})
		}
		out = append(out, x)
	}
	return out
}

// groupRef is a live group. Its maps are never changed once they are committed.
type groupRef struct {
	index   uint32
	live    *fib.GroupLive
	members map[string]memberRef
}

type memberRef struct {
	slot uint32
	stat uint32
	live *fib.MemberLive
	spec GroupMember
}

// station is a group as a station of a segment: a row of the bindings table.
type station struct {
	row   rowKey
	group uint32
	ip4   []uint32
	ip6   [][2]uint64
}

// gateways brings the groups, and what tenants have of them, into line with the configuration and the state.
func (p *plan) gateways() error {
	rebuilt := map[uint32]bool{} // groups whose subnets are to be listed anew
	if p.reconfigured && (p.groups == nil || !reflect.DeepEqual(p.cfg.Groups, p.c.cfg.Groups)) {
		if err := p.diffGroups(); err != nil {
			return err
		}
		for name := range p.next.Tenants {
			p.regate[name] = true
		}
		for _, ref := range p.groups {
			rebuilt[ref.index] = true
		}
	}
	for name := range p.regate {
		p.gate(name, rebuilt)
	}
	for i := range rebuilt {
		if int(i) < len(p.snapGroups.s) && p.snapGroups.s[i].Live != nil {
			p.listSubnets(i)
		}
	}
	return nil
}

// diffGroups makes the table of groups from the configuration. What keeps its name keeps its index and what is known of
// it; a member that is another gateway now is a new one.
func (p *plan) diffGroups() error {
	old := p.groups
	p.groups = map[string]groupRef{}
	uplinks := make([][]fib.UplinkMember, len(p.ports))
	for i := range p.cfg.Groups {
		g := &p.cfg.Groups[i]
		ref, existed := old[g.Name]
		if !existed {
			ref = groupRef{index: p.groupIDs.alloc(), live: fib.NewGroupLive()}
		}
		if ref.index == 0 { // index 0 means "none" in the dataplane, and is never handed back
			ref.index = p.groupIDs.alloc()
		}
		t := fib.Group{Live: ref.live, MAC: uint64(g.MAC), Policy: g.Policy}
		if v4, v6 := addresses(g.IPs, nil, nil); true {
			t.IP4, t.IP6 = first(v4), first(v6)
		}
		members, err := p.diffMembers(g, ref, &t, uplinks)
		if err != nil {
			return err
		}
		if !existed {
			restore(g, members, ref.live)
		}
		ref.members = members
		p.groups[g.Name] = ref
		*p.snapGroups.at(ref.index) = t
	}
	for name, ref := range old {
		if _, stays := p.groups[name]; !stays {
			*p.snapGroups.at(ref.index) = fib.Group{}
			p.groupIDs.release(ref.index)
		}
		for m, was := range ref.members {
			if now := p.groups[name].members[m]; now.live != was.live {
				p.memberIDs.release(was.stat)
			}
		}
	}
	p.uplinks = uplinks
	return nil
}

func first[T any](list []T) (v T) {
	if len(list) > 0 {
		v = list[0]
	}
	return v
}

// diffMembers fills the members of t, and what the ports know of them.
func (p *plan) diffMembers(g *Group, ref groupRef, t *fib.Group,
	uplinks [][]fib.UplinkMember) (map[string]memberRef, error) {
	members := map[string]memberRef{}
	var taken [gateway.MaxMembers]bool
	for name, m := range ref.members {
		// A slot that changes hands could be sent to before the new member is known: it rests for one change.
		taken[m.slot] = true
		if i := slices.IndexFunc(g.Members, func(x GroupMember) bool { return x.Name == name }); i >= 0 &&
			sameGateway(&g.Members[i], &m.spec) {
			members[name] = m
		}
	}
	for i := range g.Members {
		spec := &g.Members[i]
		port := slices.IndexFunc(p.ports, func(x portState) bool { return x.Name == spec.Port })
		if port < 0 || p.ports[port].Role != fib.RoleUplink {
			return nil, fmt.Errorf("gateway group %q, member %q: port %q: %w", g.Name, spec.Name, spec.Port, ErrUplink)
		}
		m, kept := members[spec.Name]
		if !kept {
			slot := slices.Index(taken[:], false)
			if slot < 0 {
				return nil, fmt.Errorf("gateway group %q, member %q: %w: %d at most, those that go included", g.Name,
					spec.Name, ErrMembers, gateway.MaxMembers)
			}
			taken[slot] = true
			m = memberRef{slot: uint32(slot), stat: p.memberIDs.alloc(), live: &fib.MemberLive{}}
			if m.stat >= stats.Members {
				return nil, fmt.Errorf("gateway group %q, member %q: %w: %d in all groups at most", g.Name, spec.Name,
					ErrMembers, stats.Members)
			}
		}
		m.spec = *spec
		members[spec.Name] = m
		for int(m.slot) >= len(t.Members) {
			t.Members = append(t.Members, fib.Member{})
		}
		v4, v6 := addresses(spec.Sources, nil, nil)
		t.Members[m.slot] = fib.Member{
			Live: m.live, Port: uint16(port), VID: spec.VLAN, IP: ip4(spec.Gateway),
			Source: first(v4), Source6: first(v6),
			Static: uint64(spec.MAC), Locked: spec.Locked, Stat: m.stat,
		}
		for _, mac := range spec.Senders {
			t.Members[m.slot].Senders = append(t.Members[m.slot].Senders, uint64(mac))
		}
		t.Order = append(t.Order, uint8(m.slot))
		uplinks[port] = append(uplinks[port], fib.UplinkMember{VID: spec.VLAN, Slot: uint16(m.slot), Group: ref.index})
	}
	return members, nil
}

// sameGateway reports whether what is known of a's gateway holds for b's.
func sameGateway(a, b *GroupMember) bool {
	return a.Port == b.Port && a.VLAN == b.VLAN && a.Gateway == b.Gateway && a.MAC == b.MAC
}

// restore puts what the box knew when it stopped into a new group.
func restore(g *Group, members map[string]memberRef, live *fib.GroupLive) {
	if m, ok := members[g.Start]; ok {
		live.Start, live.StartChosen = m.slot, g.StartChosen
	}
	for _, name := range g.Disabled {
		if m, ok := members[name]; ok {
			live.Disabled |= 1 << m.slot
		}
	}
}

// gate gives a tenant's virtual router its default route, and puts the group into the tenant's segments where it has an
// address.
func (p *plan) gate(tenant string, rebuilt map[uint32]bool) {
	for _, k := range p.stations.at(tenant) {
		s := p.stationRows.at(k)
		p.stationRows.remove(k)
		p.touch(k)
		if g := &p.snapSegments.s[k.seg]; g.Tenant != 0 && g.Gateway == s.group {
			p.snapSegments.at(k.seg).Gateway = 0
		}
	}
	p.stations.remove(tenant)
	t, ok := p.next.Tenants[tenant]
	ref, live := p.tenants.get(tenant)
	if !ok || !live {
		for i := range p.snapGroups.s { // the group of a removed slot is unknown
			rebuilt[uint32(i)] = true
		}
		return
	}
	r := p.snapRouters.s[ref.router]
	rebuilt[r.Gateway] = true
	r.Gateway, r.Via4, r.Via6 = 0, 0, [2]uint64{}
	g := p.groupOf(&t)
	if g == nil {
		r.Outside4, r.Outside6 = nil, nil
	}
	if g != nil {
		r.Gateway = p.groups[g.Name].index
		rebuilt[r.Gateway] = true
		p.putStations(tenant, g, &t, &r)
	} else if t.Gateway != "" || t.ID == publicTenant { // another box has the group: it is found by its address
		for _, a := range t.GatewayAddresses {
			if seg, ok := segmentOf(&r, a); !ok {
				continue
			} else if a.Unmap().Is4() {
				r.Via4, r.Via4Seg = ip4(a), seg
			} else {
				r.Via6, r.Via6Seg = ip6(a), seg
			}
		}
	}
	if !reflect.DeepEqual(r, p.snapRouters.s[ref.router]) {
		*p.snapRouters.at(ref.router) = r
	}
}

// groupOf returns the group of this box that carries a tenant to the outside, or nil.
func (p *plan) groupOf(t *model.Tenant) *Group { return groupFor(p.cfg.Groups, t) }

func groupFor(groups []Group, t *model.Tenant) *Group {
	for i := range groups {
		if g := &groups[i]; t.Gateway != "" && g.Name == t.Gateway || t.Gateway == "" &&
			t.ID == publicTenant && g.Public {
			return g
		}
	}
	return nil
}

// putStations makes the group a station of every segment of the tenant in which it has an address.
func (p *plan) putStations(tenant string, g *Group, t *model.Tenant, r *fib.Router) {
	index := p.groups[g.Name].index
	var list []station
	for _, a := range slices.Concat(g.IPs, t.GatewayAddresses) {
		seg, ok := segmentOf(r, a)
		if !ok {
			continue
		}
		row := rowKey{seg, uint64(g.MAC)}
		i := slices.IndexFunc(list, func(s station) bool { return s.row == row })
		if i < 0 {
			i = len(list)
			list = append(list, station{row: row, group: index})
		}
		list[i].ip4, list[i].ip6 = addresses([]netip.Addr{a}, list[i].ip4, list[i].ip6)
	}
	if len(list) == 0 {
		return
	}
	var rows []rowKey
	for _, s := range list {
		rows = append(rows, s.row)
		p.stationRows.set(s.row, s)
		p.touch(s.row)
		p.snapSegments.at(s.row.seg).Gateway = index
	}
	p.stations.set(tenant, rows)
}

// segmentOf returns the segment whose subnet holds the address.
func segmentOf(r *fib.Router, a netip.Addr) (uint32, bool) {
	if a = a.Unmap(); a.Is4() {
		if n := fib.FindSubnet4(r.Subnets4, ip4(a)); n != nil && n.RouterIP != ip4(a) {
			return n.Seg, true
		}
	} else if n := fib.FindSubnet6(r.Subnets6, ip6(a)); n != nil && n.RouterIP != ip6(a) {
		return n.Seg, true
	}
	return 0, false
}

// at returns what the map has for k.
func (e *edit[K, V]) at(k K) (v V) {
	v, _ = e.get(k)
	return v
}
