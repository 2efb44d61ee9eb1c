package table

// Hop is the lookup of a packet's next hop by its address. The packets of a batch are looked up together (SeekHops), so
// that their cache misses overlap.
type Hop struct {
	Seg uint32    // segment of the address
	IP4 uint32    // the address; with V4
	IP6 [2]uint64 // the address; without V4
	Pkt uint8     // index of the packet in its batch
	V4  bool

	hash uint64 // of (Seg, IP4)
	at   uint64 // where the address index has it
}

// SeekHops prepares FindHop4 and FindHop6 for a batch: it loads the buckets of the address index, then, with what
// stands there, the rows. Each loop is as short as can be: only then do the cache misses overlap. It returns a value to
// be summed and kept alive, so that the loads are not optimised away.
func (t *Bindings) SeekHops(list []Hop) (touched uint64) {
	v6 := false
	for i := range list {
		if h := &list[i]; h.V4 {
			h.hash = t.HashIP4(h.Seg, h.IP4)
			touched += t.TouchIP4Hash(h.hash)
		} else {
			v6 = true
		}
	}
	if v6 {
		touched += t.touchHops6(list)
	}
	for i := range list {
		if h := &list[i]; h.V4 {
			h.at = t.SeekIP4(h.hash, h.Seg, h.IP4)
		}
	}
	for i := range list {
		if h := &list[i]; h.V4 {
			touched += t.TouchRow(h.at)
		}
	}
	return touched
}

func (t *Bindings) touchHops6(list []Hop) (touched uint64) {
	for i := range list {
		if h := &list[i]; !h.V4 {
			touched += t.TouchIP6(h.Seg, h.IP6[0], h.IP6[1])
		}
	}
	return touched
}

// FindHop4 returns MAC and location of an IPv4 next hop, after SeekHops.
func FindHop4(t *Bindings, d *Delta, h *Hop) (mac uint64, loc uint32, ok bool) {
	return FindIP4At(t, d, h.at, h.hash, h.Seg, h.IP4)
}

// FindHop6 is FindHop4 for IPv6.
func FindHop6(t *Bindings, d *Delta, h *Hop) (mac uint64, loc uint32, ok bool) {
	return FindIP6(t, d, h.Seg, h.IP6[0], h.IP6[1])
}
