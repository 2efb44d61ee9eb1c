package table

// The reading side. A reader works on the arrays it found at the start (Grow puts others in their place, it does not
// change these), and on buckets of which the head tells whether they stood still:
//
//   - found: the head of the bucket is the same after the row was read as before;
//   - not found: the heads of both candidate buckets are the same after both were searched, so that there was a
//     moment in which the row was in neither. A row on its way from one bucket to the other is in the new one before
//     it leaves the old one;
//   - found by address: moreover the head of the address bucket is the same after the row was read, so that the slot
//     was still the one of that address.
//
// The writer leaves nothing half-done that a reader would have to wait for: a reader tries again only because the
// writer got on.

// HashMAC hashes the key of a row, for TouchHash and FindMACHash. A hash holds for the life of the table.
func (t *Bindings) HashMAC(seg uint32, mac uint64) uint64 { return t.keys.row(seg, mac) }

// HashIP4 hashes an address, for TouchIP4Hash, SeekIP4 and FindIP4At.
func (t *Bindings) HashIP4(seg, ip uint32) uint64 { return t.keys.ip4(seg, ip) }

// TouchMAC loads the buckets of (seg, mac) so that the cache misses of a batch overlap. Returns a value to be summed
// and kept alive, so that the load is not optimised away.
func (t *Bindings) TouchMAC(seg uint32, mac uint64) uint64 {
	return t.TouchHash(t.keys.row(seg, mac))
}

// TouchHash is TouchMAC for who has the hash at hand.
func (t *Bindings) TouchHash(h uint64) uint64 {
	rows := t.cur.Load().rows
	first, second := pair(h, len(rows))
	return rows[first].head() + rows[second].head()
}

// TouchIP4 does the same for FindIP4.
func (t *Bindings) TouchIP4(seg, ip uint32) uint64 { return t.TouchIP4Hash(t.keys.ip4(seg, ip)) }

// TouchIP4Hash is TouchIP4 for who has the hash at hand.
func (t *Bindings) TouchIP4Hash(h uint64) uint64 {
	ips := t.cur.Load().ips
	first, second := pair(h, len(ips))
	return ips[first].head() + ips[second].head()
}

// SeekIP4 finds an address in the index and returns its place, for TouchRow and FindIP4At. It does not load the row:
// the loads of a batch overlap best in a loop that does nothing else.
func (t *Bindings) SeekIP4(h uint64, seg, ip uint32) (at uint64) {
	a := t.cur.Load()
	bi, second := pair(h, len(a.ips))
	tag := ip ^ t.keys.mask(seg)
	m := a.ips[bi].matchTags(tag)
	if m == 0 {
		bi = second
		m = a.ips[bi].matchTags(tag)
	}
	i := tagSlot(m)
	return uint64(a.ips[bi].ref(i))<<32 | bi<<3 | uint64(i)
}

// TouchRow loads the row that the place leads to, between SeekIP4 and FindIP4At for all packets of a batch.
func (t *Bindings) TouchRow(at uint64) uint64 {
	rows := t.cur.Load().rows
	if i := at >> 32 / rowSlots; i < uint64(len(rows)) { // a place may be of old arrays
		return rows[i].head()
	}
	return 0
}

// FindMAC returns the location of (seg, mac).
func (t *Bindings) FindMAC(seg uint32, mac uint64) (loc uint32, ok bool) {
	return t.findMAC(nil, t.keys.row(seg, mac), seg, mac)
}

// FindMAC looks the row up in the delta, then in the table. d may be nil.
func FindMAC(t *Bindings, d *Delta, seg uint32, mac uint64) (loc uint32, ok bool) {
	return t.findMAC(d, t.keys.row(seg, mac), seg, mac)
}

// FindMACHash is FindMAC for who has the hash at hand.
func FindMACHash(t *Bindings, d *Delta, h uint64, seg uint32, mac uint64) (loc uint32, ok bool) {
	return t.findMAC(d, h, seg, mac)
}

// Lookup is one of a batch of lookups by MAC.
type Lookup struct {
	Hash uint64 // HashMAC(Seg, MAC)
	MAC  uint64
	Seg  uint32
	Loc  uint32 // the answer
	OK   bool   // whether there is one
	Pkt  uint8  // the caller's: which packet of a batch it is for
}

// TouchMACs loads the buckets of a batch of lookups and nothing else: only in so short a loop do the cache misses of
// the batch overlap, which with a million bindings is most of the speed. The result is to be kept alive, so that the
// loads are not optimised away.
func (t *Bindings) TouchMACs(l []Lookup) (touched uint64) {
	rows := t.cur.Load().rows
	for i := range l {
		first, second := pair(l[i].Hash, len(rows))
		touched += rows[first].head() + rows[second].head()
	}
	return touched
}

// FindMACs is FindMAC for a batch of lookups. d may be nil.
//
// It finds a row if it is what the first mark that fits belongs to, as it nearly always is, and if nobody changed its
// bucket meanwhile; searchMAC does the rest.
func FindMACs(t *Bindings, d *Delta, l []Lookup) {
	a := t.cur.Load()
	rows := a.rows
	for k := range l {
		q := &l[k]
		if d != nil {
			if e := d.row(q.Hash, q.Seg, q.MAC); e != nil {
				q.Loc, q.OK = e.loc, e.there()
				continue
			}
		}
		first, second := pair(q.Hash, len(rows))
		h1, h2 := rows[first].head(), rows[second].head()
		// The marks of both buckets side by side: bytes 0–3 and 4–7. Nearly always there is one candidate: the row.
		m := zeroBytes((h1&^noMarks | h2<<32) ^ mark(q.Hash)*eachByte)
		i := trailing(m) >> 3
		other := -uint64(i >> 2 & 1)
		b := &rows[first^(first^second)&other]
		q.Loc, q.OK = b.loc(i), true
		if b.word(i) != rowWord(q.Seg, q.MAC) || b.segHigh(i) != q.Seg>>16 || b.head() != h1^(h1^h2)&other || m == 0 {
			q.Loc, q.OK = a.searchMAC(q.Hash, q.Seg, q.MAC)
		}
	}
}

// FindMACHash is FindMAC for who has the hash at hand.
func (t *Bindings) FindMACHash(h uint64, seg uint32, mac uint64) (loc uint32, ok bool) {
	return t.findMAC(nil, h, seg, mac)
}

func (t *Bindings) findMAC(d *Delta, h uint64, seg uint32, mac uint64) (loc uint32, ok bool) {
	l := [1]Lookup{{Hash: h, MAC: mac, Seg: seg}}
	FindMACs(t, d, l[:])
	return l[0].Loc, l[0].OK
}

// searchMAC leaves nothing out: all slots of the mark, changes meanwhile.
func (a *arrays) searchMAC(h uint64, seg uint32, mac uint64) (loc uint32, ok bool) {
	first, second := pair(h, len(a.rows))
	b1, b2 := &a.rows[first], &a.rows[second]
	w, marks := rowWord(seg, mac), mark(h)*eachByte
again:
	h1, h2 := b1.head(), b2.head()
	for m := zeroBytes((h1&^noMarks | h2<<32) ^ marks); m != 0; m &= m - 1 {
		i := trailing(m) >> 3
		b, head := b1, h1
		if i >= rowSlots {
			b, head = b2, h2
		}
		if loc = b.loc(i); b.word(i) == w && b.segHigh(i) == seg>>16 {
			if b.head() == head {
				return loc, true
			}
			goto again
		}
	}
	if b1.head() != h1 || b2.head() != h2 {
		goto again
	}
	return 0, false
}

// FindIP4 returns MAC and location of the VIF of segment seg that has address ip.
func (t *Bindings) FindIP4(seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return FindIP4Hash(t, nil, t.keys.ip4(seg, ip), seg, ip)
}

// FindIP4 looks the address up in the delta, then in the table. d may be nil.
func FindIP4(t *Bindings, d *Delta, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return FindIP4Hash(t, d, t.keys.ip4(seg, ip), seg, ip)
}

// FindIP4Hash is FindIP4 for who has the hash at hand.
func FindIP4Hash(t *Bindings, d *Delta, h uint64, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return FindIP4At(t, d, t.SeekIP4(h, seg, ip), h, seg, ip)
}

// FindIP4Hash is FindIP4 for who has the hash at hand.
func (t *Bindings) FindIP4Hash(h uint64, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return FindIP4Hash(t, nil, h, seg, ip)
}

// FindIP4At is FindIP4 for who has hash and place at hand. A place that is outdated only costs time.
func FindIP4At(t *Bindings, d *Delta, at, h uint64, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	if d != nil {
		if e := d.addr(extraKey{kind: kind4, seg: seg, lo: uint64(ip)}); e != nil {
			return e.mac(), e.loc, e.there()
		}
	}
	a := t.cur.Load()
	if bi, i := at&0xffffffff>>3, int(at&7); bi < uint64(len(a.ips)) {
		b := &a.ips[bi]
		head, ref := b.head(), b.ref(i)
		if b.tag(i) == ip^t.keys.mask(seg) && head>>uint(i)&1 != 0 && int(ref/rowSlots) < len(a.rows) {
			r, slot := &a.rows[ref/rowSlots], int(ref%rowSlots)
			rowHead := r.head()
			rowSeg, mac := r.rowKey(slot)
			loc := r.loc(slot)
			if rowSeg == seg && r.head() == rowHead && b.head() == head {
				return mac, loc, true
			}
		}
	}
	return t.searchIP4(h, seg, ip)
}

// searchIP4 leaves nothing out: all slots of the tag, the extra table, changes meanwhile.
func (t *Bindings) searchIP4(h uint64, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	for {
		a := t.cur.Load()
		mac, loc, ok, h1, h2 := a.searchIndex(h, seg, ip^t.keys.mask(seg))
		if ok {
			return mac, loc, true
		}
		x := t.extra.Load()
		if x == nil {
			return 0, 0, false
		}
		// An address may change over from one table to the other meanwhile: look until both stood still.
		if x.ip4s.Load() != 0 {
			mac, loc, ok, still := t.findExtra(a, x, extraKey{kind: kind4, seg: seg, lo: uint64(ip)})
			if !still {
				continue
			}
			if ok {
				return mac, loc, true
			}
		}
		first, second := pair(h, len(a.ips))
		if a.ips[first].head() == h1 && a.ips[second].head() == h2 && t.cur.Load() == a && t.extra.Load() == x {
			return 0, 0, false
		}
	}
}

// searchIndex searches the address index; h1 and h2 are the heads under which an address was not found.
func (a *arrays) searchIndex(h uint64, seg, tag uint32) (mac uint64, loc uint32, ok bool, h1, h2 uint64) {
	first, second := pair(h, len(a.ips))
	b1, b2 := &a.ips[first], &a.ips[second]
	for {
		var still bool
		h1 = b1.head()
		if mac, loc, ok, still = a.follow(b1, h1, seg, tag); ok {
			return mac, loc, true, 0, 0
		} else if !still {
			continue
		}
		h2 = b2.head()
		if mac, loc, ok, still = a.follow(b2, h2, seg, tag); ok {
			return mac, loc, true, 0, 0
		} else if still && b1.head() == h1 {
			return 0, 0, false, h1, h2
		}
	}
}

// follow looks for the tag in b and goes on to the row. still is false if b changed under it.
func (a *arrays) follow(b *bucket, head uint64, seg, tag uint32) (mac uint64, loc uint32, ok, still bool) {
	for m := b.matchTags(tag); m != 0; m &= m - 1 {
		i := tagSlot(m)
		if b.tag(i) != tag || head>>uint(i)&1 == 0 {
			continue
		}
		if mac, loc, ok, still = a.rowOf(b, head, i, seg); ok || !still {
			return mac, loc, ok, still
		}
	}
	return 0, 0, false, b.head() == head
}

// rowOf reads the row that slot i of the address bucket b leads to; ok says that it is of segment seg.
func (a *arrays) rowOf(b *bucket, head uint64, i int, seg uint32) (mac uint64, loc uint32, ok, still bool) {
	ref := b.ref(i)
	r, at := &a.rows[ref/rowSlots], int(ref%rowSlots)
	for {
		rowHead := r.head()
		rowSeg, mac := r.rowKey(at)
		loc = r.loc(at)
		stood := r.head() == rowHead
		if b.head() != head {
			return 0, 0, false, false
		}
		if stood {
			return mac, loc, rowSeg == seg, true
		}
	}
}

// TouchIP6 does for FindIP6 what TouchMAC does for FindMAC.
func (t *Bindings) TouchIP6(seg uint32, hi, lo uint64) uint64 {
	x := t.extra.Load()
	if x == nil {
		return 0
	}
	return x.touch(t.keys.extra(extraKey{kind: kind6, seg: seg, hi: hi, lo: lo}))
}

// FindIP6 returns MAC and location of the VIF of segment seg that has the address of halves hi and lo.
func (t *Bindings) FindIP6(seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	return FindIP6(t, nil, seg, hi, lo)
}

// FindIP6 looks the address up in the delta, then in the table. d may be nil.
func FindIP6(t *Bindings, d *Delta, seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	k := extraKey{kind: kind6, seg: seg, hi: hi, lo: lo}
	if d != nil {
		if e := d.addr(k); e != nil {
			return e.mac(), e.loc, e.there()
		}
	}
	for {
		a, x := t.cur.Load(), t.extra.Load()
		if x == nil {
			return 0, 0, false
		}
		mac, loc, ok, still := t.findExtra(a, x, k)
		if still {
			return mac, loc, ok
		}
	}
}

// findExtra looks the address up in the extra table, then the row. still is false if a change came between.
func (t *Bindings) findExtra(a *arrays, x *extra, k extraKey) (mac uint64, loc uint32, ok, still bool) {
	i, state, ok := x.find(t.keys.extra(k), k)
	if !ok {
		return 0, 0, false, true
	}
	e := x.entry(i)
	mac = e.owner() >> 16
	loc, ok = t.findMAC(nil, t.keys.row(k.seg, mac), k.seg, mac)
	return mac, loc, ok, e.state() == state && t.cur.Load() == a && t.extra.Load() == x
}
