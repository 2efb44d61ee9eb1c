package compile

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// VTEPs
//
// A VTEP is a fib.Switch whose key is no MAC, and what is behind it has the port number 0 there: so bindings, tables
// and flow hashes work as for edge switches. It has a path by each port with VXLAN of its family that has resolved the
// next hop; ports in the VTEP's network come before those that reach it by a gateway.

// vtepKey is the bit that the keys of VTEPs have, and no MAC.
const vtepKey = 1 << 63

// IsVTEP reports whether a place is behind a VTEP.
func (a Place) IsVTEP() bool { return a.Switch&vtepKey != 0 }

// vtepRef is what the compiler keeps of a VTEP, by name.
type vtepRef struct {
	key uint64
	sw  uint32
	rx  uint32 // index of its counters of what was received
}

// vtepPath is the key of the counters of a path to a VTEP.
type vtepPath struct {
	port uint16
	key  uint64
}

// NextHop is a station that a port with VXLAN sends to.
type NextHop struct {
	Port int        // dense index
	Addr netip.Addr // of the station: the VTEP, or the gateway
}

// vtepStep is what diffVTEPs leaves for later steps.
type vtepStep struct {
	vteps      edit[string, vtepRef]
	vtepStats  edit[vtepPath, uint32]
	vtepIDs    idEdit
	goneVTEPs  map[fib.Loc]string
	nextHops   map[NextHop]uint64 // nil = unchanged
	tunnels    bool               // VTEPs, next hops, or what they depend on changed
	yieldMoved bool
	vtepRows   map[rowKey]bool // of rows that were decided: whether they lead to a VTEP
}

func newVTEPStep(c *Compiler) vtepStep {
	return vtepStep{
		vteps:     edit[string, vtepRef]{base: c.vteps},
		vtepStats: edit[vtepPath, uint32]{base: c.vtepStats},
		vtepIDs:   idEdit{of: &c.vtepIDs},
		goneVTEPs: map[fib.Loc]string{},
		vtepRows:  map[rowKey]bool{},
	}
}

func (p *plan) commitVTEPs() {
	p.vteps.commit()
	p.vtepStats.commit()
	p.vtepIDs.commit()
	if p.nextHops != nil {
		p.c.nextHops = p.nextHops
	}
	for k, leads := range p.vtepRows {
		if leads {
			p.c.vtepRows[k] = struct{}{}
		} else {
			delete(p.c.vtepRows, k)
		}
	}
}

// noteVTEP notes whether a row of the table, which leads to loc, leads to a VTEP.
func (c *Compiler) noteVTEP(k rowKey, loc fib.Loc) {
	if fib.IsVTEP(loc) {
		c.vtepRows[k] = struct{}{}
	} else if len(c.vtepRows) > 0 {
		delete(c.vtepRows, k)
	}
}

// behindVTEPs returns the rows that lead to VTEPs in segments where this box stands between them and other boxes: it
// owns them towards those.
func (c *Compiler) behindVTEPs(s *fib.Snapshot) (rows []FabricRow) {
	var b table.Binding
	for k := range c.vtepRows {
		if uint(k.seg) >= uint(len(s.Segments)) || !s.Segments[k.seg].Relay ||
			!c.cfg.Bindings.GetInto(k.seg, k.mac, &b) {
			continue
		}
		g := &s.Segments[k.seg]
		known, learned := c.learned.get(k)
		r := FabricRow{FabricKey: FabricKey{g.Tenant, g.ID, model.MAC(k.mac)}, VTEP: true, Static: !learned,
			Sequence: known.sequence}
		for _, a := range append(addrKeys(nil, k.seg, b.IP4, b.IP6), c.lost[k]...) {
			r.Addresses = append(r.Addresses, a.addr())
		}
		rows = append(rows, r)
	}
	return rows
}

// Between reports whether this box has ports both to boxes and to VTEPs, and a segment is carried by both kinds.
func (c *Compiler) Between(key FabricKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg, ok := c.segmentOf(&key)
	if !ok {
		return false
	}
	g := &c.snap.Load().Segments[seg]
	return g.Relay || g.Yielded
}

// TellsVTEP reports whether the box at a place has told rows of a segment that are behind a VTEP.
func (c *Compiler) TellsVTEP(key FabricKey, at Place) (found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sw, ok := c.switches[uint64(at.Switch)]
	seg, known := c.segmentOf(&key)
	if !ok || !known {
		return false
	}
	c.learned.eachAt(fib.RemoteLoc(sw, at.Port), func(k rowKey, r knownRow) {
		found = found || k.seg == seg && r.flags&knownVTEP != 0
	})
	return found
}

// SetNextHop sets the MAC of a station that a port with VXLAN sends to; 0 = it is not known. It returns when every
// worker uses it.
func (c *Compiler) SetNextHop(hop NextHop, mac model.MAC) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nextHops[hop] == uint64(mac) {
		return
	}
	p := c.newPlan()
	p.nextHops = maps.Clone(c.nextHops)
	if p.nextHops == nil {
		p.nextHops = map[NextHop]uint64{}
	}
	if p.nextHops[hop] = uint64(mac); mac == 0 {
		delete(p.nextHops, hop)
	}
	p.tunnels = true
	_ = c.force(p) // Err has it
}

// NextHops returns the stations that ports with VXLAN send to, in order.
func (c *Compiler) NextHops() (list []NextHop) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.state.VTEPs {
		for i := range c.ports {
			if hop, _, ok := c.ports[i].nextHop(e.Address); ok {
				list = append(list, NextHop{i, hop})
			}
		}
	}
	slices.SortFunc(list, func(a, b NextHop) int { return cmp.Or(cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr)) })
	return slices.Compact(list)
}

// nextHop returns the station that a port sends to for a VTEP; near says that it is the VTEP itself. A port whose
// network is not known reaches all directly that it has no gateway for.
func (p *Port) nextHop(to netip.Addr) (hop netip.Addr, near, ok bool) {
	own := p.VTEPAddress.Addr()
	switch {
	case p.Role != fib.RoleFabric || !p.Encap.VXLAN() || own.Is4() != to.Is4() || own == to || !own.IsValid():
		return hop, false, false
	case p.VTEPAddress.Contains(to), !p.Gateway.IsValid() && p.VTEPAddress.IsSingleIP():
		return to, true, true
	}
	return p.Gateway, false, p.Gateway.IsValid()
}

// diffVTEPs gives every VTEP its index.
func (p *plan) diffVTEPs() error {
	for _, ch := range diff(p.c.state.VTEPs, p.next.VTEPs, func(a, b model.VTEP) bool {
		return a.Address == b.Address && a.Flood == b.Flood && a.EffectiveLearning() == b.EffectiveLearning()
	}) {
		p.tunnels = true
		ref, had := p.vteps.get(ch.key)
		if ch.new == nil {
			p.vteps.remove(ch.key)
			p.statIDs.release(ref.rx)
			p.goneVTEPs[fib.VTEPLoc(ref.sw)] = ch.key
			continue
		}
		if !had {
			ref.key = vtepKey | uint64(p.vtepIDs.alloc())
			sw, err := p.switchIndex(ref.key)
			if err != nil {
				return fail(model.KindVTEP, ch.key, "", err)
			}
			ref.sw, ref.rx = sw, p.statIDs.alloc()
			p.vteps.set(ch.key, ref)
		}
		p.snapSwitches.at(ref.sw).VTEP = &fib.VTEP{Rx: ref.rx, Learn: int64(ch.new.EffectiveLearning()) / 10}
	}
	return nil
}

// checkGoneVTEPs makes sure that no row leads to a VTEP that goes.
func (p *plan) checkGoneVTEPs() error {
	for loc, name := range p.goneVTEPs {
		sw := switchOf(loc)
		if int(sw) < len(p.c.swRows) && int(p.c.swRows[sw])+p.swRows[sw] > 0 {
			return fail(model.KindVTEP, name, "", ErrInUse)
		}
		key := p.snapSwitches.s[sw].MAC
		p.vtepIDs.release(uint32(key &^ vtepKey))
		p.switches.remove(key)
		p.switchIDs.release(sw)
		*p.snapSwitches.at(sw) = fib.Switch{}
	}
	return nil
}

// fillVTEPs writes the tables of VXLAN.
func (p *plan) fillVTEPs() {
	if p.tunnels || p.portsChanged || p.linksChanged {
		p.fillVTEPPaths()
	} else if !p.segmentKeys && !p.yieldMoved {
		return
	}
	tunnels, boxes := false, false
	for i := range p.ports {
		if p.ports[i].Role == fib.RoleFabric {
			tunnels, boxes = tunnels || p.ports[i].Encap.VXLAN(), boxes || !p.ports[i].Encap.VXLAN()
		}
	}
	s := p.snap
	if !tunnels {
		s.VXLAN = fib.VXLAN{}
		return
	}
	if p.segmentKeys || s.VXLAN.Segments == nil {
		s.VXLAN.Segments = static(p.snapSegments.s, func(g *fib.Segment) (uint64, bool) {
			return uint64(g.VNI), g.Tenant != 0 && g.VNI != 0
		})
	}
	flood := p.fillVTEPTables()
	for i := range p.snapSegments.s {
		g := &p.snapSegments.s[i]
		if g.Tenant == 0 {
			continue
		}
		want := *g
		want.VTEPs, want.Relay, want.Yielded = nil, false, g.VNI != 0 && p.c.yielded[uint32(i)]
		if g.VNI != 0 && !want.Yielded {
			want.VTEPs, want.Relay = flood, boxes
		}
		if !slices.Equal(want.VTEPs, g.VTEPs) || want.Relay != g.Relay || want.Yielded != g.Yielded {
			*p.snapSegments.at(uint32(i)) = want
		}
	}
}

// fillVTEPTables writes by which addresses VTEPs are known, and returns where floods go.
func (p *plan) fillVTEPTables() (flood []fib.Loc) {
	var keys []uint64
	var values []uint32
	v := &p.snap.VXLAN
	v.VTEPs6 = nil
	for _, name := range slices.Sorted(maps.Keys(p.next.VTEPs)) {
		e := p.next.VTEPs[name]
		ref, _ := p.vteps.get(name)
		if e.Address.Is4() {
			keys, values = append(keys, uint64(ip4(e.Address))), append(values, ref.sw)
		} else {
			v.VTEPs6 = append(v.VTEPs6, fib.VTEP6{Address: ip6(e.Address), Switch: ref.sw})
		}
		if e.Flood {
			flood = append(flood, fib.VTEPLoc(ref.sw))
		}
	}
	v.VTEPs4 = table.NewStatic(keys, values)
	fib.SortVTEPs6(v.VTEPs6)
	return flood
}

// fillVTEPPaths writes the paths to all VTEPs.
func (p *plan) fillVTEPPaths() {
	used := map[vtepPath]bool{}
	hops := p.c.nextHops
	if p.nextHops != nil {
		hops = p.nextHops
	}
	for _, name := range slices.Sorted(maps.Keys(p.next.VTEPs)) {
		e := p.next.VTEPs[name]
		ref, _ := p.vteps.get(name)
		var near, far []fib.Path
		for i := range p.ports {
			port := &p.ports[i]
			hop, direct, ok := port.nextHop(e.Address)
			if !ok {
				continue
			}
			k := vtepPath{uint16(i), ref.key}
			used[k] = true
			stat, ok := p.vtepStats.get(k)
			if !ok {
				stat = p.statIDs.alloc()
				p.vtepStats.set(k, stat)
			}
			mac := hops[NextHop{i, hop}]
			if !port.up || mac == 0 {
				continue
			}
			if path := port.vtepPath(uint16(i), e.Address, mac, stat); direct {
				near = append(near, path)
			} else {
				far = append(far, path)
			}
		}
		if len(near) == 0 {
			near = far
		}
		p.snapSwitches.at(ref.sw).SetPaths(near)
	}
	for k, stat := range p.c.vtepStats {
		if !used[k] {
			p.vtepStats.remove(k)
			p.statIDs.release(stat)
		}
	}
}

// vtepPath returns the path by a port to a VTEP.
func (s *portState) vtepPath(port uint16, to netip.Addr, mac uint64, stat uint32) fib.Path {
	own := s.VTEPAddress.Addr()
	x := fib.Path{Port: port, Weight: 1, MTU: s.mtu, Form: s.Encap, Stat: stat, DstMAC: mac, SrcMAC: s.mac}
	a, b := own.As16(), to.As16()
	half := func(x [16]byte, i int) uint64 { return binary.BigEndian.Uint64(x[i:]) }
	x.Seed = seed(half(b, 0)^half(b, 8), 0, half(a, 0)^half(a, 8), 0)
	if own.Is4() {
		x.SrcPrefix, x.DstBase = ip4(own), ip4(to)
	} else {
		x.Src6, x.Dst6 = ip6(own), ip6(to)
	}
	return x
}

// vtepName returns the name of the VTEP of a location.
func (c *Compiler) vtepName(loc fib.Loc) string {
	for name, ref := range c.vteps {
		if ref.sw == switchOf(loc) {
			return name
		}
	}
	return ""
}

// Yield sets the segments in which another box stands between boxes and VTEPs, so that this box does not.
func (c *Compiler) Yield(keys []FabricKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[uint32]bool{}
	for i := range keys {
		if seg, ok := c.segmentOf(&keys[i]); ok {
			next[seg] = true
		}
	}
	if maps.Equal(next, c.yielded) {
		return
	}
	c.yielded = next
	p := c.newPlan()
	p.yieldMoved = true
	_ = c.force(p) // Err has it
}

// VTEPStat is what was sent to and received from a VTEP: indices of counters of paths.
type VTEPStat struct {
	Name string
	Rx   uint32
	Tx   []uint32
}

// VTEPStats lists the VTEPs in the order of their names.
func (c *Compiler) VTEPStats() (list []VTEPStat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.vteps)) {
		ref := c.vteps[name]
		x := VTEPStat{Name: name, Rx: ref.rx}
		for i := range c.ports {
			if stat, ok := c.vtepStats[vtepPath{uint16(i), ref.key}]; ok {
				x.Tx = append(x.Tx, stat)
			}
		}
		list = append(list, x)
	}
	return list
}

func (c *Compiler) vtepStatus(key string) *Status {
	ref, ok := c.vteps[key]
	if !ok {
		return nil
	}
	e := c.state.VTEPs[key]
	x := &c.snap.Load().Switches[ref.sw]
	paths, learned := len(x.Paths), 0
	c.learned.eachAt(fib.VTEPLoc(ref.sw), func(rowKey, knownRow) { learned++ })
	pushed := uint32(0)
	if int(ref.sw) < len(c.swRows) {
		pushed = c.swRows[ref.sw] - uint32(learned)
	}
	reachable := paths > 0
	s := &Status{Reachable: &reachable, Paths: &paths, Bindings: &pushed, Learned: &learned}
	family := false
	for i := range c.ports {
		port := &c.ports[i]
		own := port.VTEPAddress.Addr()
		if port.Role != fib.RoleFabric || !port.Encap.VXLAN() || own.Is4() != e.Address.Is4() {
			continue
		}
		family = true
		if own == e.Address {
			s.Reason = "it is the address of port " + port.Name
		}
		hop, _, ok := port.nextHop(e.Address)
		if !ok {
			continue
		}
		s.Live = true
		s.Ports = append(s.Ports, port.Name)
		if mac := c.nextHops[NextHop{i, hop}]; mac != 0 {
			s.NextHops = append(s.NextHops, hop.String()+" "+model.MAC(mac).String())
		}
	}
	switch {
	case reachable || s.Reason != "":
	case !family:
		s.Reason = "no fabric port of this box has encap \"vxlan\" and a vtep_address of this family"
	case !s.Live:
		s.Reason = "it is in no network of a port with encap \"vxlan\", and these have no gateway"
	case len(s.NextHops) == 0:
		s.Reason = "the next hop does not answer"
	default:
		s.Reason = "the ports that lead there are down"
	}
	return s
}

// VTEPInfo is what is said of a VTEP.
type VTEPInfo struct {
	Name     string
	Learning time.Duration // how long stations behind it are remembered; 0 = none is learned
}

// VTEPs returns the VTEPs by their places.
func (c *Compiler) VTEPs() map[Place]VTEPInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[Place]VTEPInfo, len(c.vteps))
	for name, ref := range c.vteps {
		e := c.state.VTEPs[name]
		out[Place{Switch: model.MAC(ref.key)}] = VTEPInfo{name, e.EffectiveLearning()}
	}
	return out
}
