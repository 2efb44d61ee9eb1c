package compile

import (
	"fmt"
	"strings"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

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
		s.VNI = ch.new.VNI
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

func (c *Compiler) segmentStatus(key string) *Status {
	tenant, name, _ := strings.Cut(key, "/")
	i, ok := c.segments[segName{tenant, name}]
	if !ok {
		return nil
	}
	s := &c.segs[i]
	vifs, boxes, rows := s.vifs, len(s.locations()), s.pushed
	return &Status{Live: true, VIFs: &vifs, Boxes: &boxes, Bindings: &rows}
}
