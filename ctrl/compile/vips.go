package compile

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// vipRef is a virtual address: a VIP, or a director's own address in a segment.
type vipRef struct {
	ref   fib.Ref
	mac   uint64
	key   string // of the VIP, or of the first VIP that names the own address
	own   bool
	here  bool
	loc   fib.Loc // of its row, 0 = it has none
	heard bool    // loc is what a director announced
}

// vipRow is the row of a virtual address.
type vipRow struct {
	loc  fib.Loc
	addr addrKey
}

// Directing is what the directors of a VIP agreed upon. Without it the first of the list directs, or, with mode
// anycast, each of them.
type Directing struct {
	Here       bool      // this box directs the VIP
	SwitchMAC  model.MAC // else the location of the active director, as it announced it; 0 = not heard
	SwitchPort uint8
}

// SetDirectors takes over who directs VIPs, by their keys, and returns when that is live. A VIP with a nil entry is
// directed by what its configuration says again.
func (c *Compiler) SetDirectors(vips map[string]*Directing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newPlan()
	next := map[string]Directing{}
	for k, d := range c.balancer.directing {
		next[k] = d
	}
	for k, d := range vips {
		if d == nil {
			delete(next, k)
		} else {
			next[k] = *d
		}
	}
	p.directing, p.recheck = next, true
	_ = c.force(p) // Err has it
}

// addrOf returns the key of an address of a segment.
func (p *plan) addrOf(tenant, segment string, a netip.Addr) (k addrKey, ok bool) {
	seg, ok := p.segments.get(segName{tenant, segment})
	return keyOf(seg, a), ok && a.IsValid()
}

func keyOf(seg uint32, a netip.Addr) addrKey {
	if !a.IsValid() {
		return addrKey{seg: seg}
	}
	if a.Is4() {
		return addrKey{seg: seg, lo: uint64(ip4(a))}
	}
	ip := ip6(a)
	return addrKey{seg: seg, v6: true, hi: ip[0], lo: ip[1]}
}

// directs reports whether this box directs a VIP now.
func (p *plan) directs(v *model.VIP) bool {
	if d, ok := p.directing[v.Key()]; ok { // also a box that has just left the list, until another one takes over
		return d.Here
	}
	at := v.Director(p.cfg.Box)
	if at < 0 || p.cfg.Box == "" {
		return false
	}
	return at == 0 || v.Anycast()
}

// wanted is a virtual address as the state has it.
type wanted struct {
	vip *model.VIP
	mac uint64
	own bool
	box string // of an own address
}

// vips gives indices to virtual addresses and decides where each lives: which rows they have in the bindings.
func (p *plan) vips() error {
	changed := !sameMap(p.c.state.VIPs, p.next.VIPs)
	moved := changed || p.recheck || p.segmentKeys || p.portsChanged || len(p.pushes) > 0 ||
		p.cfg.Box != p.c.cfg.Box
	if !moved || len(p.next.VIPs) == 0 && len(p.c.balancer.virtual) == 0 {
		return nil
	}
	want := map[addrKey]wanted{}
	for key := range p.next.VIPs {
		v := p.next.VIPs[key]
		at, ok := p.addrOf(v.Tenant, v.Segment, v.Address)
		if !ok {
			return fail(model.KindVIP, key, "segment", ErrReference)
		}
		want[at] = wanted{vip: &v, mac: uint64(v.EffectiveMAC())}
		for i := range v.Directors {
			d := &v.Directors[i]
			at, _ := p.addrOf(v.Tenant, v.Segment, d.Address)
			if w, ok := want[at]; !ok || w.own && v.Key() < w.vip.Key() {
				want[at] = wanted{vip: &v, mac: uint64(d.EffectiveMAC()), own: true, box: d.Box}
			}
		}
	}
	for at, ref := range p.c.balancer.virtual {
		if w, ok := want[at]; !ok || w.mac != ref.mac {
			p.placeVIP(at, &ref, 0)
			if !ok {
				*p.snapVIPs.at(ref.ref & fib.RefMask) = fib.VIP{}
				p.guests = true
				p.vipIDs.release(ref.ref & fib.RefMask)
				p.virtual.remove(at)
				delete(p.dirtyVIPs, at)
				continue
			}
			p.virtual.set(at, ref)
		}
	}
	for at, w := range want {
		if err := p.putVIP(at, w); err != nil {
			return err
		}
		old, known := p.c.state.VIPs[w.vip.Key()]
		if len(p.renumbered) > 0 || changed && known && !reflect.DeepEqual(old, *w.vip) {
			p.dirtyVIPs[at] = true
		}
	}
	p.listVIPs(want)
	return nil
}

// putVIP brings one virtual address into line.
func (p *plan) putVIP(at addrKey, w wanted) error {
	ref, existed := p.virtual.get(at)
	before := ref
	if !existed {
		ref = vipRef{ref: p.vipIDs.allocRef()}
		p.guests = true
	}
	p.guests = p.guests || ref.own != w.own
	ref.mac, ref.key, ref.own = w.mac, w.vip.Key(), w.own
	loc, heard := fib.Loc(0), false
	if w.own {
		ref.here = w.box == p.cfg.Box && w.box != ""
	} else {
		ref.here = p.directs(w.vip)
	}
	switch {
	case ref.here:
		loc = fib.VIPLoc(ref.ref & fib.RefMask)
	case !w.own:
		var err error
		if loc, heard, err = p.elsewhere(at, w); err != nil {
			return err
		}
	}
	p.placeVIP(at, &ref, loc)
	if heard {
		ref.heard = true
		p.swRows[switchOf(loc)]++
	}
	if !existed || ref != before {
		p.virtual.set(at, ref)
		p.dirtyVIPs[at] = true
	}
	return nil
}

// placeVIP gives the row of a virtual address a location; 0 takes the row away.
func (p *plan) placeVIP(at addrKey, ref *vipRef, loc fib.Loc) {
	if ref.heard {
		p.swRows[switchOf(ref.loc)]--
		p.idle[switchOf(ref.loc)] = true
		ref.heard = false
	}
	k := rowKey{at.seg, ref.mac}
	row, has := p.vipRows.get(k)
	ref.loc = loc
	switch {
	case loc == 0 && has && row.addr == at:
		p.vipRows.remove(k)
		p.touch(k)
	case loc != 0 && (!has || row != vipRow{loc, at}):
		p.vipRows.set(k, vipRow{loc, at})
		p.touch(k)
	}
}

// elsewhere returns the location of the box that directs a VIP: what the director announced, else the pushed binding of
// the VIP's MAC, else that of the first director whose own MAC has one.
func (p *plan) elsewhere(at addrKey, w wanted) (loc fib.Loc, heard bool, err error) {
	if d, ok := p.directing[w.vip.Key()]; ok && d.SwitchMAC != 0 {
		sw, err := p.switchIndex(uint64(d.SwitchMAC))
		if err != nil {
			return 0, false, fail(model.KindVIP, w.vip.Key(), "", err)
		}
		if loc := fib.RemoteLoc(sw, d.SwitchPort); !slices.Contains(p.self, loc) {
			return loc, true, nil
		}
	}
	if loc := p.pushedLoc(rowKey{at.seg, w.mac}); loc != 0 {
		return loc, false, nil
	}
	for i := range w.vip.Directors {
		d := &w.vip.Directors[i]
		if d.Box == p.cfg.Box {
			continue
		}
		if loc := p.pushedLoc(rowKey{at.seg, uint64(d.EffectiveMAC())}); loc != 0 {
			return loc, false, nil
		}
	}
	return 0, false, nil
}

// pushedLoc returns where the pushed binding of a MAC leads to, 0 if there is none or it leads to this box.
func (p *plan) pushedLoc(k rowKey) fib.Loc {
	loc := fib.Loc(0)
	row, fresh := p.pushes[k]
	held, isHeld := p.held.get(k)
	switch {
	case fresh && row == nil:
	case fresh:
		loc = row.loc
	case isHeld:
		loc = held.loc
	default:
		if now, ok := p.t.FindMAC(k.seg, k.mac); ok && now&fib.LocLocal == 0 && !p.c.isVirtual(k) {
			loc = now
		}
	}
	if slices.Contains(p.self, loc) {
		return 0
	}
	return loc
}

// isVirtual reports whether the row of the table is that of a virtual address.
func (c *Compiler) isVirtual(k rowKey) bool {
	_, ok := c.balancer.vipRows[k]
	return ok
}

// listVIPs writes the lists of virtual addresses of the segments.
func (p *plan) listVIPs(want map[addrKey]wanted) {
	v4, v6 := map[uint32][]fib.SegmentVIP4{}, map[uint32][]fib.SegmentVIP6{}
	for at := range want {
		ref, _ := p.virtual.get(at)
		if i := ref.ref & fib.RefMask; at.v6 {
			v6[at.seg] = append(v6[at.seg], fib.SegmentVIP6{IP: [2]uint64{at.hi, at.lo}, VIP: i})
		} else {
			v4[at.seg] = append(v4[at.seg], fib.SegmentVIP4{IP: uint32(at.lo), VIP: i})
		}
	}
	for i := range p.snapSegments.s {
		seg := uint32(i)
		if p.snapSegments.s[i].Tenant == 0 {
			continue
		}
		sortVIPs(v4[seg], v6[seg])
		if s := &p.snapSegments.s[i]; !slices.Equal(s.VIPs4, v4[seg]) || !slices.Equal(s.VIPs6, v6[seg]) {
			w := p.snapSegments.at(seg)
			w.VIPs4, w.VIPs6 = v4[seg], v6[seg]
		}
	}
}

func sortVIPs(v4 []fib.SegmentVIP4, v6 []fib.SegmentVIP6) {
	slices.SortFunc(v4, func(a, b fib.SegmentVIP4) int { return cmp.Compare(a.IP, b.IP) })
	slices.SortFunc(v6, func(a, b fib.SegmentVIP6) int { return compare6(a.IP, b.IP) })
}

var pings = map[string]fib.Ping{"": fib.PingUp, "up": fib.PingUp, "always": fib.PingAlways, "never": fib.PingNever}

// fillVIPs writes the virtual addresses that changed, or whose services did.
func (p *plan) fillVIPs() {
	if len(p.dirtyVIPs) == 0 {
		return
	}
	byVIP := map[addrKey][]string{}
	for key := range p.next.Services {
		if ref, _ := p.services.get(key); p.dirtyVIPs[ref.vip] {
			byVIP[ref.vip] = append(byVIP[ref.vip], key)
		}
	}
	for at := range p.dirtyVIPs {
		ref, ok := p.virtual.get(at)
		if !ok {
			continue
		}
		v := p.next.VIPs[ref.key]
		e := fib.VIP{Ref: ref.ref, Tenant: p.snapSegments.s[at.seg].Tenant, Seg: at.seg, MAC: ref.mac, V6: at.v6,
			Own:  ref.own,
			Here: ref.here, Silent: v.ARP == "drop", Ping: pings[v.Ping]}
		if ref.own {
			e.Silent, e.Ping = false, fib.PingAlways
		}
		if at.v6 {
			e.IP6 = [2]uint64{at.hi, at.lo}
		} else {
			e.IP4 = uint32(at.lo)
		}
		p.fillPorts4VIP(&e, byVIP[at])
		i := ref.ref & fib.RefMask
		if int(i) >= len(p.snapVIPs.s) || !reflect.DeepEqual(p.snapVIPs.s[i], e) {
			*p.snapVIPs.at(i) = e
		}
	}
}

// fillPorts4VIP lists the services of a virtual address by port.
func (p *plan) fillPorts4VIP(e *fib.VIP, services []string) {
	var keys []uint64
	var values []uint32
	slices.Sort(services)
	for _, key := range services {
		ref, _ := p.services.get(key)
		i := ref.ref & fib.RefMask
		s := &p.snapServices.s[i]
		e.Usable = e.Usable || len(s.Members) > 0
		if s.Port != 0 && s.Port == s.PortEnd {
			keys, values = append(keys, fib.ServiceKey(s.Proto, s.Port)), append(values, i)
		} else {
			e.Ranges = append(e.Ranges, fib.ServiceRange{Proto: s.Proto, First: s.Port, Last: s.PortEnd, Service: i})
		}
	}
	e.Exact = table.NewStatic(keys, values)
	slices.SortFunc(e.Ranges, func(a, b fib.ServiceRange) int { // ranges before all ports
		return cmp.Or(cmp.Compare(len0(a), len0(b)), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.First, b.First))
	})
}

// len0 is 1 for all ports.
func len0(r fib.ServiceRange) int {
	if r.First == 0 {
		return 1
	}
	return 0
}

func (c *Compiler) vipStatus(key string) *Status {
	v, ok := c.state.VIPs[key]
	if !ok {
		return nil
	}
	seg, ok := c.segments[segName{v.Tenant, v.Segment}]
	ref, live := c.balancer.virtual[keyOf(seg, v.Address)]
	if !ok || !live {
		return &Status{Reason: "it is not compiled"}
	}
	here := ref.here
	s := &Status{Live: true, Here: &here}
	switch {
	case here:
		s.Director = c.cfg.Box
	case ref.loc != 0:
		at := c.locationStatus(ref.loc)
		s.SwitchMAC, s.SwitchPort = at.SwitchMAC, at.SwitchPort
		s.Director = c.directorAt(seg, &v, ref.loc)
	case len(v.Directors) == 0:
		s.because("no box directs it: its list of directors is empty")
	default:
		s.because("this box does not direct it, and no binding leads to a director: push a binding of its MAC " +
			v.EffectiveMAC().String() + " or of a director's own MAC")
	}
	s.because(c.lostReason(rowKey{seg, ref.mac}))
	return s
}

// directorAt names the director whose own MAC is at a location, "" if none is.
func (c *Compiler) directorAt(seg uint32, v *model.VIP, loc fib.Loc) string {
	for i := range v.Directors {
		d := &v.Directors[i]
		if at, ok := c.cfg.Bindings.FindMAC(seg, uint64(d.EffectiveMAC())); ok && at == loc {
			return d.Box
		}
	}
	return "at " + model.MAC(c.snap.Load().Switches[switchOf(loc)].MAC).String()
}
