package compile

import (
	"slices"

	"penstock/ctrl/announce"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// maxDeparted is how many addresses without owner are remembered with their last one.
const maxDeparted = 16384

// watch is the addresses that a change may give to another MAC, with the MACs they had before; 0 = none.
type watch struct {
	keys []addrKey
	was  []uint64
}

// departed remembers whose an address was that is nobody's now: a push that takes it from one VIF and a later one that
// gives it to another are one move to the guests. When it is full the oldest gives way.
type departed struct {
	mac  map[addrKey]uint64
	ring []addrKey
	next int
}

func (d *departed) put(k addrKey, mac uint64) {
	if d.mac == nil {
		d.mac = map[addrKey]uint64{}
	}
	if _, ok := d.mac[k]; !ok {
		if len(d.ring) < maxDeparted {
			d.ring = append(d.ring, k)
		} else {
			delete(d.mac, d.ring[d.next])
			d.ring[d.next] = k
			d.next = (d.next + 1) % maxDeparted
		}
	}
	d.mac[k] = mac
}

// ownerOf returns the MAC that answers for an address: the virtual router's or that of a binding; 0 = no owner.
func (c *Compiler) ownerOf(k addrKey) uint64 {
	s := c.snap.Load()
	if uint(k.seg) >= uint(len(s.Segments)) {
		return 0
	}
	if k.v6 {
		if mac, ok := s.Router6(k.seg, [2]uint64{k.hi, k.lo}); ok {
			return mac
		}
		mac, _, _ := table.FindIP6(c.cfg.Bindings, s.Delta, k.seg, k.hi, k.lo)
		return mac
	}
	if mac, ok := s.Router4(k.seg, uint32(k.lo)); ok {
		return mac
	}
	mac, _, _ := table.FindIP4(c.cfg.Bindings, s.Delta, k.seg, uint32(k.lo))
	return mac
}

func (w *watch) add(k addrKey, was uint64) {
	w.keys = append(w.keys, k)
	w.was = append(w.was, was)
}

// addRow watches the addresses that a row loses, and those that it takes from another or after another.
func (w *watch) addRow(c *Compiler, b *table.Binding) {
	row := &c.bulk.old
	if !c.cfg.Bindings.GetInto(b.Seg, b.MAC, row) {
		row.IP4, row.IP6 = row.IP4[:0], row.IP6[:0]
	}
	for _, ip := range row.IP4 {
		if !slices.Contains(b.IP4, ip) {
			w.add(addrKey{seg: b.Seg, lo: uint64(ip)}, b.MAC)
		}
	}
	for _, ip := range row.IP6 {
		if !slices.Contains(b.IP6, ip) {
			w.add(addrKey{seg: b.Seg, v6: true, hi: ip[0], lo: ip[1]}, b.MAC)
		}
	}
	for _, ip := range b.IP4 {
		w.take(c, addrKey{seg: b.Seg, lo: uint64(ip)}, b.MAC)
	}
	for _, ip := range b.IP6 {
		w.take(c, addrKey{seg: b.Seg, v6: true, hi: ip[0], lo: ip[1]}, b.MAC)
	}
}

// take watches an address that mac is about to claim, unless mac owns it already or it never had an owner.
func (w *watch) take(c *Compiler, k addrKey, mac uint64) {
	if was := c.ownerOf(k); was != mac && (was != 0 || c.departed.mac[k] != 0) {
		w.add(k, was)
	}
}

// watches reports whether moves of a segment's addresses are reported: guests of this box may have them cached.
func (c *Compiler) watches(seg uint32) bool {
	return c.cfg.Moved != nil && len(c.snap.Load().Segments[seg].Local) > 0
}

// watch collects what p may move, in segments that have VIFs here.
func (c *Compiler) watch(p *plan) (w watch) {
	if c.cfg.Moved == nil {
		return w
	}
	here := func(seg uint32) bool { return len(p.snap.Segments[seg].Local) > 0 }
	for _, rows := range [...][]table.Binding{p.deletes, p.upserts} {
		for i := range rows {
			if here(rows[i].Seg) {
				w.addRow(c, &rows[i])
			}
		}
	}
	if !p.snapRouters.owned && !p.snapSegments.owned {
		return w
	}
	old := c.snap.Load()
	for i := range min(len(old.Segments), len(p.snap.Segments)) {
		a, b := &old.Segments[i], &p.snap.Segments[i]
		if len(b.Local) == 0 || a.Tenant == 0 || b.Tenant == 0 || routed(old, a) == routed(p.snap, b) &&
			slices.Equal(a.Subnets4, b.Subnets4) && slices.Equal(a.Subnets6, b.Subnets6) {
			continue
		}
		for _, g := range [...]*fib.Segment{a, b} {
			w.addRouter(c, uint32(i), g)
		}
	}
	return w
}

// routed returns the MAC of a segment's virtual router, 0 = none.
func routed(s *fib.Snapshot, g *fib.Segment) uint64 {
	if uint(g.Router) >= uint(len(s.Routers)) {
		return 0
	}
	return s.Routers[g.Router].MAC
}

func (w *watch) addRouter(c *Compiler, seg uint32, g *fib.Segment) {
	for i := range g.Subnets4 {
		if ip := g.Subnets4[i].RouterIP; ip != 0 {
			k := addrKey{seg: seg, lo: uint64(ip)}
			w.add(k, c.ownerOf(k))
		}
	}
	for i := range g.Subnets6 {
		if ip := g.Subnets6[i].RouterIP; ip != [2]uint64{} {
			k := addrKey{seg: seg, v6: true, hi: ip[0], lo: ip[1]}
			w.add(k, c.ownerOf(k))
		}
	}
}

// report reports the watched addresses that have another MAC now that the change is live.
func (c *Compiler) report(w watch) {
	var moves []announce.Move
	for i, k := range w.keys {
		was, now := w.was[i], c.ownerOf(k)
		if now == 0 {
			if was != 0 {
				c.departed.put(k, was)
			}
			continue
		}
		if was == 0 {
			was = c.departed.mac[k]
		}
		if was != 0 && was != now {
			moves = append(moves, announce.Move{Seg: k.seg, Addr: k.addr(), MAC: model.MAC(now)})
		}
	}
	if len(moves) > 0 {
		c.cfg.Moved(moves)
	}
}
