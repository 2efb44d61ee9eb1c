package compile

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// topology is the part of the path table for this box: the VLANs from its own edge switches to the others.
type topology struct {
	vlans  map[hop][]model.PathVLAN // sorted by VID
	needed map[uint64]bool          // edge switches that are part of it
}

// hop is an ingress edge switch, which a port of this box hangs from, and an egress edge switch.
type hop struct{ own, egress uint64 }

// statKey identifies the counters of a path.
type statKey struct {
	port, vid uint16
	hop
}

// onFabric reports whether the place of a fabric port is known.
func (s *portState) onFabric() bool {
	return s.Role == fib.RoleFabric && s.at.Known() && !s.Encap.VXLAN()
}

// shift returns the position of the port number in a special address, mask the bits below it, base what stands above.
func (c *Config) shift() uint8 {
	if c.Scheme == model.Scheme24 {
		return 24
	}
	return 16
}

func (c *Config) hostMask() uint32 { return 1<<c.shift() - 1 }

func (c *Config) base() uint32 {
	if c.Scheme == model.Scheme24 {
		return 0
	}
	return 10 << 24
}

func (c *Config) prefix(number uint8) uint32 { return c.base() | uint32(number)<<c.shift() }

// findPaths works out the topology when the path table or the place of a port changed, and gives every edge switch of
// it an index.
func (p *plan) findPaths() error {
	same := reflect.ValueOf(p.c.state.Paths).Pointer() == reflect.ValueOf(p.next.Paths).Pointer()
	if same && !p.portsChanged {
		return nil
	}
	p.newPaths = true
	p.paths = topology{vlans: map[hop][]model.PathVLAN{}, needed: map[uint64]bool{}}
	own := map[uint64]bool{}
	for i := range p.ports {
		if p.ports[i].onFabric() {
			own[uint64(p.ports[i].at.Switch)] = true
		}
	}
	union := map[uint64][]model.PathVLAN{}
	for _, x := range p.next.Paths {
		a, b := uint64(x.A), uint64(x.B)
		if own[a] {
			p.paths.vlans[hop{a, b}] = sortedVLANs(x.VLANs)
			union[a] = append(union[a], x.VLANs...)
		}
		if own[b] && a != b {
			p.paths.vlans[hop{b, a}] = sortedVLANs(x.VLANs)
			union[b] = append(union[b], x.VLANs...)
		}
	}
	// Boxes on one switch reach each other by any VLAN of that switch, unless the table has an entry of its own.
	for s := range own {
		p.paths.needed[s] = true
		if _, ok := p.paths.vlans[hop{s, s}]; !ok && len(union[s]) > 0 {
			all := sortedVLANs(union[s])
			for i := range all {
				all[i].Weight = 1
			}
			p.paths.vlans[hop{s, s}] = all
		}
	}
	for h := range p.paths.vlans {
		p.paths.needed[h.egress] = true
	}
	for _, mac := range slices.Sorted(maps.Keys(p.paths.needed)) {
		if _, err := p.switchIndex(mac); err != nil {
			return fail(model.KindPath, model.MAC(mac).String(), "", err)
		}
	}
	return nil
}

// sortedVLANs returns a copy sorted by VID, each VID once, weights at least 1.
func sortedVLANs(v []model.PathVLAN) []model.PathVLAN {
	v = slices.Clone(v)
	slices.SortStableFunc(v, func(a, b model.PathVLAN) int { return cmp.Compare(a.VID, b.VID) })
	v = slices.CompactFunc(v, func(a, b model.PathVLAN) bool { return a.VID == b.VID })
	for i := range v {
		v[i].Weight = max(v[i].Weight, 1)
	}
	return v
}

// fillPaths writes the live paths of every edge switch: those over a fabric port that is up, without those that probes
// have found dead.
func (p *plan) fillPaths() {
	if !p.newPaths && !p.linksChanged && !p.portsChanged && !p.pathsChanged {
		return
	}
	probes := p.newProbes()
	hops := slices.SortedFunc(maps.Keys(p.paths.vlans), func(a, b hop) int {
		return cmp.Or(cmp.Compare(a.own, b.own), cmp.Compare(a.egress, b.egress))
	})
	live := map[uint64][]fib.Path{}
	used := map[statKey]bool{}
	for i := range p.ports {
		port := &p.ports[i]
		if !port.onFabric() {
			continue
		}
		for _, h := range hops {
			if h.own != uint64(port.at.Switch) {
				continue
			}
			for _, v := range p.paths.vlans[h] {
				k := statKey{uint16(i), v.VID, h}
				used[k] = true
				stat, ok := p.stats.get(k)
				if !ok {
					stat = p.statIDs.alloc()
					p.stats.set(k, stat)
				}
				path := p.path(k, v, stat)
				probes.add(k, &path)
				if port.up {
					live[h.egress] = append(live[h.egress], path)
				}
			}
		}
	}
	for k, stat := range p.c.stats {
		if !used[k] {
			p.stats.remove(k)
			p.statIDs.release(stat)
		}
	}
	slices.Sort(p.statIDs.freed)
	probes.finish()
	for i := range p.snapSwitches.s {
		if p.snapSwitches.s[i].VTEP != nil {
			continue
		}
		paths := answering(live[p.snapSwitches.s[i].MAC], p.snap.Probes)
		if s := &p.snapSwitches.s[i]; !slices.Equal(s.Paths, paths) {
			p.snapSwitches.at(uint32(i)).SetPaths(paths)
		}
	}
}

// path prepares the outer header of one path. A frame for the port's own switch carries the box's MAC as source: a
// switch drops a frame whose two MACs are equal (PROTOCOL.md#encapsulation).
func (p *plan) path(k statKey, v model.PathVLAN, stat uint32) fib.Path {
	port := &p.ports[k.port]
	src := k.own
	if k.own == k.egress {
		src = port.mac
	}
	return fib.Path{
		Port: k.port, VID: k.vid, Weight: v.Weight, MTU: port.mtu, Stat: stat,
		Form: port.Encap, UDP: p.cfg.UDPPort,
		Seed:   seed(k.egress, k.vid, k.own, port.at.Port),
		DstMAC: k.egress, SrcMAC: src,
		SrcPrefix: p.cfg.prefix(port.at.Port),
		DstBase:   p.cfg.base(), DstShift: p.cfg.shift(), HostMask: p.cfg.hostMask(),
	}
}

// seed is what rendezvous hashing knows of a path: FNV-1a over the egress switch, the VLAN and the box's place in the
// fabric, hence the same after every restart, and independent of the order of ports and path entries.
func seed(egress uint64, vid uint16, own uint64, number uint8) uint32 {
	h := uint64(14695981039346656037)
	for _, x := range [...]uint64{egress, uint64(vid), own, uint64(number)} {
		for i := 0; i < 64; i += 8 {
			h = (h ^ x>>i&0xff) * 1099511628211
		}
	}
	return uint32(h ^ h>>32)
}

// releaseSwitches frees the indices of edge switches that neither the topology nor a binding names any more. While a
// bulk is under way none is freed: the published flood lists lag behind.
func (p *plan) releaseSwitches() {
	if p.newPaths {
		for i := range p.snapSwitches.s {
			p.idle[uint32(i)] = true
		}
	}
	if p.c.bulk.open {
		for i := range p.idle {
			p.c.bulk.idle[i] = true
		}
		return
	}
	for _, i := range slices.Sorted(maps.Keys(p.idle)) {
		mac := p.snapSwitches.s[i].MAC
		rows := p.swRows[i]
		if int(i) < len(p.c.swRows) {
			rows += int(p.c.swRows[i])
		}
		if _, ok := p.switches.get(mac); ok && rows == 0 && !p.paths.needed[mac] && mac&vtepKey == 0 {
			*p.snapSwitches.at(i) = fib.Switch{}
			p.switches.remove(mac)
			p.switchIDs.release(i)
		}
	}
}

func (c *Compiler) pathStatus(key string) *Status {
	x, ok := c.state.Paths[key]
	if !ok {
		return nil
	}
	a, b := uint64(x.A), uint64(x.B)
	live, up, s := 0, 0, &Status{}
	known := false
	for i := range c.ports {
		port := &c.ports[i]
		own := uint64(port.at.Switch)
		if !port.onFabric() || own != a && own != b {
			continue
		}
		known = true
		if port.up {
			h := hop{own, a ^ b ^ own}
			up += len(c.paths.vlans[h])
			for _, v := range c.paths.vlans[h] {
				if l := c.pathLive(statKey{uint16(i), v.VID, h}); l == nil || !l.Down.Load() {
					live++
				}
			}
			s.Ports = append(s.Ports, port.Name)
		}
	}
	if live == 0 {
		live = up // all down: all are used
	}
	s.Live, s.Paths = live > 0, &live
	switch {
	case !known:
		s.Reason = "no fabric port of this box hangs from either switch"
	case live == 0:
		s.Reason = "the fabric ports that use it are down"
	}
	return s
}
