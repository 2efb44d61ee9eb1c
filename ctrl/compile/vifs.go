package compile

import (
	"fmt"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// maxAttachments is how many attachments fib.VIFKey can distinguish: with one more, VIFs of two tenants would share a
// key.
const maxAttachments = 1 << 16

// vifRef is a live VIF: its index, its row and where it is attached.
type vifRef struct {
	index uint32
	row   rowKey
	at    attachKey
}

// vifRow is the row of a VIF: its index, and how many of its addresses (fib.VIF) the row claims. Behind them are the
// shared addresses, which no VIF owns.
type vifRow struct {
	vif      uint32
	ip4, ip6 int
}

// attachKey is a port and a VLAN ID (0 = untagged).
type attachKey struct{ port, vid uint16 }

// attachRef is an attachment: its index, the number of VIFs there, and how many of them have PolicyOff.
type attachRef struct {
	index uint32
	vifs  int
	open  int
	// strangers is 1 + the index of the fib.VIF that stands for the stations that are heard there, 0 = there is none.
	strangers uint32
}

var policies = map[string]fib.Policy{"": fib.PolicyStrict, "strict": fib.PolicyStrict,
	"mac": fib.PolicyMAC, "off": fib.PolicyOff}

var allowed = map[string]fib.Allow{
	model.AllowDHCPServer: fib.AllowDHCPServer, model.AllowRA: fib.AllowRA, model.AllowVRRP: fib.AllowVRRP,
}

// allowOf returns what a VIF may be beside a host.
func allowOf(v model.VIF) (a fib.Allow) {
	list := v.Allow
	if list == nil {
		list = model.DefaultAllow
	}
	for _, s := range list {
		a |= allowed[s]
	}
	return a
}

// diffVIFs takes all VIFs that go or change from their places before it puts the new and changed ones where they
// belong, so that VIFs may swap MACs, ports and segments in one transaction.
func (p *plan) diffVIFs() error {
	changes := diff(p.c.state.VIFs, p.next.VIFs, func(a, b model.VIF) bool {
		return a.Tenant == b.Tenant && a.Segment == b.Segment && a.MAC == b.MAC && a.Port == b.Port &&
			a.VLAN == b.VLAN && policies[a.AntiSpoof] == policies[b.AntiSpoof] && allowOf(a) == allowOf(b) &&
			slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.SharedAddresses, b.SharedAddresses)
	})
	for _, ch := range changes {
		if ch.old == nil {
			continue
		}
		v, _ := p.vifs.get(ch.key)
		p.detach(v.at, policies[ch.old.AntiSpoof])
		p.vifRows.remove(v.row)
		p.touch(v.row)
		p.seg(v.row.seg).vifs--
		if ch.new == nil {
			*p.snapVIFs.at(v.index) = fib.VIF{Attach: fib.None, Seg: fib.None}
			p.vifIDs.release(v.index)
			p.vifs.remove(ch.key)
			p.vifKeys = true
		}
	}
	for _, ch := range changes {
		if ch.new == nil {
			continue
		}
		if err := p.putVIF(ch.key, ch.new); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) putVIF(key string, v *model.VIF) error {
	seg, ok := p.segments.get(segName{v.Tenant, v.Segment})
	if !ok {
		return fail(model.KindVIF, key, "segment", ErrReference)
	}
	port := slices.IndexFunc(p.ports, func(x portState) bool { return x.Name == v.Port })
	if port < 0 || p.ports[port].Role != fib.RoleAccess {
		return fail(model.KindVIF, key, "port", fmt.Errorf("%q: %w", v.Port, ErrPort))
	}
	ref, existed := p.vifs.get(key)
	if !existed {
		ref.index = p.vifIDs.alloc()
	}
	ref.row = rowKey{seg, uint64(v.MAC)}
	ref.at = attachKey{uint16(port), v.VLAN}
	attach, err := p.attachTo(ref.at, seg, policies[v.AntiSpoof])
	if err != nil {
		return fail(model.KindVIF, key, "vlan", err)
	}
	p.vifs.set(key, ref)
	v4, v6 := addresses(v.Addresses, nil, nil)
	p.vifRows.set(ref.row, vifRow{ref.index, len(v4), len(v6)})
	p.touch(ref.row)
	p.seg(seg).vifs++
	p.vifKeys = true
	own4, own6 := addresses(v.SharedAddresses, slices.Clip(v4), slices.Clip(v6))
	*p.snapVIFs.at(ref.index) = fib.VIF{
		MAC: uint64(v.MAC), Attach: attach, Seg: seg, Policy: policies[v.AntiSpoof],
		Allow: allowOf(*v), IP4: own4, IP6: own6,
	}
	return nil
}

// detach counts one VIF less at an attachment; releaseAttachments frees it if none came back.
func (p *plan) detach(at attachKey, policy fib.Policy) {
	ref, _ := p.attach.get(at)
	ref.vifs--
	if policy == fib.PolicyOff {
		ref.open--
		p.snapAttachments.at(ref.index).Open = ref.open > 0
	}
	p.attach.set(at, ref)
}

// attachTo counts one VIF more, and returns the attachment's index. All VIFs of an attachment are of one segment.
func (p *plan) attachTo(at attachKey, seg uint32, policy fib.Policy) (uint32, error) {
	ref, existed := p.attach.get(at)
	if !existed {
		if ref.index = p.attachIDs.alloc(); ref.index >= maxAttachments {
			return 0, fmt.Errorf("%w: %d at most", ErrPlaces, maxAttachments)
		}
		*p.snapAttachments.at(ref.index) = fib.Attachment{Seg: fib.None, Port: at.port, VID: at.vid}
		p.reports[at.port] = true
	}
	if was := p.snapAttachments.s[ref.index].Seg; was != seg {
		if ref.vifs > 0 {
			return 0, ErrAttachment
		}
		p.snapAttachments.at(ref.index).Seg = seg
		p.relocal[was], p.relocal[seg] = true, true
	}
	ref.vifs++
	if policy == fib.PolicyOff {
		ref.open++
		p.snapAttachments.at(ref.index).Open = true
	}
	p.attach.set(at, ref)
	return ref.index, nil
}

// releaseAttachments frees the attachments that no VIF uses any more.
func (p *plan) releaseAttachments() {
	for at, ref := range p.attach.changes {
		if ref == nil || ref.vifs > 0 {
			continue
		}
		p.relocal[p.snapAttachments.s[ref.index].Seg] = true
		p.reports[at.port] = true
		*p.snapAttachments.at(ref.index) = fib.Attachment{Seg: fib.None, Port: ^uint16(0)}
		p.attachIDs.release(ref.index)
		p.attach.remove(at)
	}
}

// fillSegments writes the flood lists of the segments whose attachments or locations changed.
func (p *plan) fillSegments() {
	delete(p.relocal, fib.None)
	if len(p.relocal) > 0 {
		local := map[uint32][]uint32{}
		for i, a := range p.snapAttachments.s {
			if a.Seg != fib.None && p.relocal[a.Seg] {
				local[a.Seg] = append(local[a.Seg], uint32(i))
			}
		}
		for i := range p.relocal {
			if p.snapSegments.s[i].Tenant != 0 {
				p.snapSegments.at(i).Local = local[i]
			}
		}
	}
	for i, s := range p.segs {
		if s.dirty && p.snapSegments.s[i].Tenant != 0 {
			p.snapSegments.at(i).Remote = s.locations()
			s.dirty = false
		}
	}
}
