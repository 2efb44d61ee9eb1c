package compile

import (
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// probes collects the configured paths for their prober.
type probes struct {
	p    *plan
	old  []fib.Probe
	list []fib.Probe // by the index of the path's counters
}

func (p *plan) newProbes() *probes { return &probes{p: p, old: p.snap.Probes} }

// add adds a path. One that was configured before keeps its state.
func (c *probes) add(k statKey, path *fib.Path) {
	port := &c.p.ports[k.port]
	x := fib.Probe{
		Port: k.port, VID: k.vid, Number: port.at.Port, DstMAC: k.egress, SrcMAC: path.SrcMAC, Own: k.own,
		Source: path.SrcPrefix | 1, DstBase: path.DstBase, DstShift: path.DstShift,
	}
	if n := int(path.Stat) + 1 - len(c.list); n > 0 {
		c.list = append(c.list, make([]fib.Probe, n)...)
	}
	if x.Live = liveOf(c.old, path.Stat, k); x.Live == nil {
		x.Live = &fib.PathLive{}
	}
	c.list[path.Stat] = x
}

// finish puts the paths into the snapshot, unless they are the same as before.
func (c *probes) finish() {
	if slices.Equal(c.list, c.old) {
		return
	}
	s := c.p.snap
	s.Probes = c.list
	s.ProbeVLANs = static(c.list, func(x *fib.Probe) (uint64, bool) {
		return fib.ProbeKey(x.DstMAC, x.VID), x.Live != nil
	})
	c.p.pathsChanged = true
}

// liveOf returns the state of a path, or nil.
func liveOf(list []fib.Probe, stat uint32, k statKey) *fib.PathLive {
	if uint64(stat) >= uint64(len(list)) {
		return nil
	}
	x := &list[stat]
	if x.Port != k.port || x.VID != k.vid || x.DstMAC != k.egress || x.Own != k.own {
		return nil
	}
	return x.Live
}

// pathLive returns the state of a configured path, or nil. The caller holds c.mu.
func (c *Compiler) pathLive(k statKey) *fib.PathLive {
	stat, ok := c.stats[k]
	if !ok {
		return nil
	}
	return liveOf(c.snap.Load().Probes, stat, k)
}

// answering returns the paths without those that are down; all of them if all are. A path's verdict may come at any
// time: it is read once.
func answering(paths []fib.Path, probes []fib.Probe) []fib.Path {
	var out []fib.Path
	for _, x := range paths {
		if !probes[x.Stat].Live.Down.Load() {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return paths
	}
	return out
}

// RefreshPaths takes the probes' verdicts (fib.PathLive.Down) into the tables. It returns when every worker uses them.
func (c *Compiler) RefreshPaths() {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newPlan()
	p.pathsChanged = true
	_ = c.force(p) // Err has it
}

// PathInfo describes the path of the path counters with index Stat.
type PathInfo struct {
	Stat   uint32
	Port   string    // fabric port
	VID    uint16    // VLAN
	Switch model.MAC // egress edge switch
	Via    model.MAC // ingress edge switch, the port's own
	PortUp bool
	Used   bool          // it carries traffic: its port is up, and its probes are answered, or none of its switch's
	Probe  *fib.PathLive // its state; never nil
}

// PathStats lists the configured paths in the order of their counters' indices.
func (c *Compiler) PathStats() []PathInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap.Load()
	used := make([]bool, len(s.Probes))
	for i := range s.Switches {
		if s.Switches[i].VTEP != nil {
			continue
		}
		for j := range s.Switches[i].Paths {
			used[s.Switches[i].Paths[j].Stat] = true
		}
	}
	out := make([]PathInfo, 0, len(c.stats))
	for k, stat := range c.stats {
		port := &c.ports[k.port]
		out = append(out, PathInfo{
			Stat: stat, Port: port.Name, VID: k.vid, Switch: model.MAC(k.egress), Via: model.MAC(k.own),
			PortUp: port.up, Used: used[stat], Probe: s.Probes[stat].Live,
		})
	}
	slices.SortFunc(out, func(a, b PathInfo) int { return int(a.Stat) - int(b.Stat) })
	return out
}

// BoxesBehind returns for every edge switch the numbers of two boxes with bindings in segments of this box: the boxes
// that the paths to the switch are probed with. Which ones there are may change with every snapshot s. prefer returns
// the boxes that are probed so far, which stay while they have bindings. dead reports that a box was found dead:
// another one takes its place, if there is one.
func BoxesBehind(s *fib.Snapshot, prefer func(mac uint64) [fib.Targets]uint8,
	dead func(mac uint64, number uint8) bool) map[uint64][fib.Targets]uint8 {
	seen := make([][4]uint64, len(s.Switches)) // by switch: a bit per number
	for i := range s.Segments {
		for _, l := range s.Segments[i].Remote {
			if sw := l >> 8; uint64(sw) < uint64(len(seen)) {
				seen[sw][l>>6&3] |= 1 << (l & 63)
			}
		}
	}
	out := map[uint64][fib.Targets]uint8{}
	for i := range seen {
		mac := s.Switches[i].MAC
		b := chooseBoxes(&seen[i], prefer(mac), func(x uint8) bool { return dead(mac, x) })
		if b[0] != 0 {
			out[mac] = b
		}
	}
	return out
}

// chooseBoxes returns up to two of the numbers in a set, first those of old, then the smallest; dead ones last.
func chooseBoxes(set *[4]uint64, old [fib.Targets]uint8, dead func(uint8) bool) (b [fib.Targets]uint8) {
	n, spare := 0, false
	take := func(x uint8) {
		if n < len(b) && x != 0 && (spare || !dead(x)) && set[x>>6]>>(x&63)&1 != 0 && !slices.Contains(b[:n], x) {
			b[n] = x
			n++
		}
	}
	for range 2 {
		for _, x := range old {
			take(x)
		}
		for x := range 256 {
			take(uint8(x))
		}
		spare = true
	}
	return b
}
