package compile

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

func routerMAC(t model.Tenant) uint64 {
	if t.RouterMAC != nil {
		return uint64(*t.RouterMAC)
	}
	return uint64(model.DefaultRouterMAC)
}

func (p *plan) diffTenants() {
	changes := diff(p.c.state.Tenants, p.next.Tenants, func(a, b model.Tenant) bool {
		return a.ID == b.ID && routerMAC(a) == routerMAC(b) && a.Gateway == b.Gateway && slices.Equal(a.GatewayAddresses, b.GatewayAddresses)
	})
	for _, ch := range changes {
		p.regate[ch.key] = true
		ref, _ := p.tenants.get(ch.key)
		if ch.new == nil {
			*p.snapRouters.at(ref.router) = fib.Router{}
			p.routerIDs.release(ref.router)
			p.tenants.remove(ch.key)
			p.tenantKeys, p.goneTenants = true, true
			continue
		}
		if ch.old == nil {
			ref.router = p.routerIDs.alloc()
		}
		if ref.id != ch.new.ID {
			p.tenantKeys = true
			if ch.old != nil {
				p.renumbered[ref.router] = ch.new.ID
			}
		}
		ref.id = ch.new.ID
		p.tenants.set(ch.key, ref)
		r := p.snapRouters.at(ref.router)
		r.Tenant, r.MAC = ref.id, routerMAC(*ch.new)
	}
}

func (p *plan) diffSegments() error {
	for _, ch := range diff(p.c.state.Segments, p.next.Segments, func(a, b model.Segment) bool { return a == b }) {
		p.segmentKeys = true
		if ch.new == nil {
			name := segName{ch.old.Tenant, ch.old.Name}
			i, _ := p.segments.get(name)
			p.segments.remove(name)
			p.goneSegs = append(p.goneSegs, i)
			*p.snapSegments.at(i) = fib.Segment{}
			continue
		}
		name := segName{ch.new.Tenant, ch.new.Name}
		ref, ok := p.tenants.get(name.tenant)
		if !ok {
			return fail(model.KindSegment, ch.key, "tenant", ErrReference)
		}
		i, ok := p.segments.get(name)
		if !ok {
			i = p.segIDs.alloc()
			p.segments.set(name, i)
			*p.seg(i) = segInfo{name: name}
			*p.snapSegments.at(i) = fib.Segment{}
		}
		s := p.snapSegments.at(i)
		s.Tenant, s.ID, s.Router = ref.id, ch.new.ID, ref.router
		s.UnknownUnicast = ch.new.UnknownUnicast == "flood"
		s.FabricRA = ch.new.RouterAdvertisements == "accept"
	}
	if p.goneTenants {
		for i := range p.snapSegments.s {
			if s := &p.snapSegments.s[i]; s.Tenant != 0 && p.snapRouters.s[s.Router].Tenant == 0 {
				return fmt.Errorf("segment %d of deleted tenant %d: %w", s.ID, s.Tenant, ErrReference)
			}
		}
	}
	p.renumberSegments()
	return nil
}

// renumberSegments brings the segments of tenants with a new ID into line.
func (p *plan) renumberSegments() {
	if len(p.renumbered) == 0 {
		return
	}
	for i := range p.snapSegments.s {
		s := &p.snapSegments.s[i]
		if id, ok := p.renumbered[s.Router]; ok && s.Tenant != 0 {
			p.snapSegments.at(uint32(i)).Tenant = id
			p.segmentKeys = true
		}
	}
}

// checkGone frees the indices of deleted segments. Nothing may be left that refers to them: an index that is handed out
// again while something still points to it would let frames cross from one tenant to another.
func (p *plan) checkGone() error {
	if len(p.goneSegs) == 0 {
		return nil
	}
	for _, a := range p.snapAttachments.s {
		if a.Seg == fib.None || p.snapSegments.s[a.Seg].Tenant != 0 {
			continue
		}
		if ref, _ := p.attach.get(attachKey{a.Port, a.VID}); ref.vifs > 0 {
			name := p.c.segs[a.Seg].name
			return fail(model.KindSegment, name.tenant+"/"+name.segment, "", fmt.Errorf("a VIF %w", ErrReference))
		}
	}
	for _, i := range p.goneSegs {
		s := p.seg(i)
		if s.pushed > 0 {
			return fail(model.KindSegment, s.name.tenant+"/"+s.name.segment, "", ErrInUse)
		}
		*s = segInfo{}
		p.segIDs.release(i)
	}
	return nil
}

// subnetEdits are the changes of one list of subnets; Start identifies a subnet, since none overlap.
type subnetEdits[S any, K comparable] struct {
	gone map[K]bool
	add  []S
}

func (e *subnetEdits[S, K]) remove(start K) {
	if e.gone == nil {
		e.gone = map[K]bool{}
	}
	e.gone[start] = true
}

// merge returns a new list, sorted by start.
func (e *subnetEdits[S, K]) merge(old []S, start func(S) K, compare func(a, b K) int) []S {
	out := make([]S, 0, len(old)+len(e.add))
	for _, s := range old {
		if !e.gone[start(s)] {
			out = append(out, s)
		}
	}
	out = append(out, e.add...)
	slices.SortFunc(out, func(a, b S) int { return compare(start(a), start(b)) })
	if len(out) == 0 {
		return nil
	}
	return out
}

// subnetLists are the changes of a router's or a segment's subnets.
type subnetLists struct {
	v4 subnetEdits[fib.Subnet4, uint32]
	v6 subnetEdits[fib.Subnet6, [2]uint64]
}

func (e *subnetLists) apply(v4 *[]fib.Subnet4, v6 *[]fib.Subnet6) {
	*v4 = e.v4.merge(*v4, func(s fib.Subnet4) uint32 { return s.Start }, cmp.Compare[uint32])
	*v6 = e.v6.merge(*v6, func(s fib.Subnet6) [2]uint64 { return s.Start }, func(a, b [2]uint64) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
}

func (e *subnetLists) remove(prefix netip.Prefix) {
	if start, _, is4 := range4(prefix); is4 {
		e.v4.remove(start)
	} else {
		start, _ := range6(prefix)
		e.v6.remove(start)
	}
}

func (e *subnetLists) add(n *model.Subnet, seg uint32) {
	if start, end, is4 := range4(n.Prefix); is4 {
		s := fib.Subnet4{Start: start, End: end, Seg: seg}
		if n.Router.IsValid() {
			s.RouterIP = ip4(n.Router)
		}
		e.v4.add = append(e.v4.add, s)
	} else {
		s := fib.Subnet6{Seg: seg}
		s.Start, s.End = range6(n.Prefix)
		if n.Router.IsValid() {
			s.RouterIP = ip6(n.Router)
		}
		e.v6.add = append(e.v6.add, s)
	}
}

func (p *plan) diffSubnets() error {
	changes := diff(p.c.state.Subnets, p.next.Subnets, func(a, b model.Subnet) bool { return a == b })
	if len(changes) == 0 {
		return nil
	}
	routers, segs := map[uint32]*subnetLists{}, map[uint32]*subnetLists{}
	of := func(m map[uint32]*subnetLists, i uint32) *subnetLists {
		if m[i] == nil {
			m[i] = &subnetLists{}
		}
		return m[i]
	}
	for _, ch := range changes {
		if ch.new != nil {
			p.regate[ch.new.Tenant] = true
		}
		if ch.old == nil {
			continue
		}
		p.regate[ch.old.Tenant] = true
		if ref, ok := p.tenants.get(ch.old.Tenant); ok {
			of(routers, ref.router).remove(ch.old.Prefix)
		}
		if i, ok := p.segments.get(segName{ch.old.Tenant, ch.old.Segment}); ok {
			of(segs, i).remove(ch.old.Prefix)
		}
	}
	for _, ch := range changes {
		if ch.new == nil {
			continue
		}
		ref, ok := p.tenants.get(ch.new.Tenant)
		i, known := p.segments.get(segName{ch.new.Tenant, ch.new.Segment})
		if !ok || !known {
			return fail(model.KindSubnet, ch.key, "segment", ErrReference)
		}
		of(routers, ref.router).add(ch.new, i)
		of(segs, i).add(ch.new, i)
	}
	for i, e := range routers {
		r := p.snapRouters.at(i)
		e.apply(&r.Subnets4, &r.Subnets6)
	}
	for i, e := range segs {
		s := p.snapSegments.at(i)
		e.apply(&s.Subnets4, &s.Subnets6)
	}
	return nil
}

// ip4 returns an IPv4 address in host order.
func ip4(a netip.Addr) uint32 {
	b := a.Unmap().As4()
	return binary.BigEndian.Uint32(b[:])
}

// ip6 returns an IPv6 address as high and low half.
func ip6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// range4 returns the first and last address of an IPv4 prefix.
func range4(x netip.Prefix) (start, end uint32, is4 bool) {
	if !x.Addr().Is4() {
		return 0, 0, false
	}
	host := uint32(uint64(1)<<(32-x.Bits()) - 1)
	start = ip4(x.Addr()) &^ host
	return start, start | host, true
}

// range6 returns the first and last address of an IPv6 prefix.
func range6(x netip.Prefix) (start, end [2]uint64) {
	var host [2]uint64
	if n := x.Bits(); n < 64 {
		host = [2]uint64{^uint64(0) >> n, ^uint64(0)}
	} else if n < 128 {
		host[1] = ^uint64(0) >> (n - 64)
	}
	a := ip6(x.Addr())
	start = [2]uint64{a[0] &^ host[0], a[1] &^ host[1]}
	return start, [2]uint64{start[0] | host[0], start[1] | host[1]}
}

// addresses splits a VIF's addresses by family, appending to v4 and v6.
func addresses(list []netip.Addr, v4 []uint32, v6 [][2]uint64) ([]uint32, [][2]uint64) {
	for _, a := range list {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, ip4(a))
		} else {
			v6 = append(v6, ip6(a))
		}
	}
	return v4, v6
}
