package table

import (
	"maps"
	"slices"
	"testing"
)

// model is the naive table that the fast one is held against.
type model struct {
	rows  map[rowID]*modelRow
	owner map[addrID]uint64 // → MAC
}

// addrID is an address of a segment; IPv4 addresses have v4 and lo.
type addrID struct {
	seg    uint32
	v4     bool
	hi, lo uint64
}

type modelRow struct {
	loc   uint32
	addrs map[addrID]bool
}

func newModel() *model {
	return &model{rows: map[rowID]*modelRow{}, owner: map[addrID]uint64{}}
}

func addrsOf(b *Binding) map[addrID]bool {
	m := map[addrID]bool{}
	for _, a := range b.IP4 {
		m[addrID{b.Seg, true, 0, uint64(a)}] = true
	}
	for _, a := range b.IP6 {
		m[addrID{b.Seg, false, a[0], a[1]}] = true
	}
	return m
}

func (m *model) upsert(b *Binding) {
	m.delete(b.Seg, b.MAC)
	r := &modelRow{loc: b.Loc, addrs: addrsOf(b)}
	for a := range r.addrs {
		if other, ok := m.owner[a]; ok {
			delete(m.rows[rowID{other, b.Seg}].addrs, a)
		}
		m.owner[a] = b.MAC
	}
	m.rows[rowID{b.MAC, b.Seg}] = r
}

// upsertApart leaves other rows the addresses that they have, and reports whether there was one.
func (m *model) upsertApart(b *Binding) (contested bool) {
	own := Binding{Seg: b.Seg, MAC: b.MAC, Loc: b.Loc}
	held := func(a addrID) bool {
		mac, ok := m.owner[a]
		contested = contested || ok && mac != b.MAC
		return ok && mac != b.MAC
	}
	for _, ip := range b.IP4 {
		if !held(addrID{b.Seg, true, 0, uint64(ip)}) {
			own.IP4 = append(own.IP4, ip)
		}
	}
	for _, ip := range b.IP6 {
		if !held(addrID{b.Seg, false, ip[0], ip[1]}) {
			own.IP6 = append(own.IP6, ip)
		}
	}
	m.upsert(&own)
	return contested
}

func (m *model) delete(seg uint32, mac uint64) bool {
	r, ok := m.rows[rowID{mac, seg}]
	if !ok {
		return false
	}
	for a := range r.addrs {
		delete(m.owner, a)
	}
	delete(m.rows, rowID{mac, seg})
	return true
}

// lookups is what both a table and a table under a delta answer.
type lookups struct {
	mac func(seg uint32, mac uint64) (uint32, bool)
	ip4 func(seg, ip uint32) (uint64, uint32, bool)
	ip6 func(seg uint32, hi, lo uint64) (uint64, uint32, bool)
}

func under(t *Bindings, d *Delta) lookups {
	return lookups{
		func(seg uint32, mac uint64) (uint32, bool) { return FindMAC(t, d, seg, mac) },
		func(seg, ip uint32) (uint64, uint32, bool) { return FindIP4(t, d, seg, ip) },
		func(seg uint32, hi, lo uint64) (uint64, uint32, bool) { return FindIP6(t, d, seg, hi, lo) },
	}
}

func (l lookups) addr(a addrID) (mac uint64, loc uint32, ok bool) {
	if a.v4 {
		return l.ip4(a.seg, uint32(a.lo))
	}
	return l.ip6(a.seg, a.hi, a.lo)
}

func (m *model) checkRow(t *testing.T, l lookups, k rowID) {
	t.Helper()
	loc, ok := l.mac(k.seg, k.mac)
	r, want := m.rows[k]
	if ok != want || ok && loc != r.loc {
		t.Fatalf("FindMAC(%d, %#x) = %#x, %v; want %+v, %v", k.seg, k.mac, loc, ok, r, want)
	}
}

func (m *model) checkAddr(t *testing.T, l lookups, a addrID) {
	t.Helper()
	mac, loc, ok := l.addr(a)
	owner, want := m.owner[a]
	if ok != want {
		t.Fatalf("find %+v: %v, want %v", a, ok, want)
	}
	if ok && (mac != owner || loc != m.rows[rowID{owner, a.seg}].loc) {
		t.Fatalf("find %+v = %#x at %#x, want %#x at %#x", a, mac, loc, owner, m.rows[rowID{owner, a.seg}].loc)
	}
}

// check compares everything that the model holds, by every way of looking up, with the table.
func (m *model) check(t *testing.T, b *Bindings) {
	t.Helper()
	if b.Len() != len(m.rows) {
		t.Fatalf("Len() = %d, want %d", b.Len(), len(m.rows))
	}
	l := under(b, nil)
	var got Binding
	for k, r := range m.rows {
		m.checkRow(t, l, k)
		if !b.GetInto(k.seg, k.mac, &got) {
			t.Fatalf("Get(%+v): not there", k)
		}
		if got.Loc != r.loc || len(got.IP4)+len(got.IP6) != len(r.addrs) || !maps.Equal(addrsOf(&got), r.addrs) {
			t.Fatalf("Get(%+v) = %+v, want %+v", k, got, *r)
		}
	}
	v4, v6 := 0, 0
	for a := range m.owner {
		m.checkAddr(t, l, a)
		if a.v4 {
			v4++
		} else {
			v6++
		}
	}
	s := b.Stats()
	if s.IndexedIP4+s.ExtraIP4 != v4 || s.IP6 != v6 {
		t.Fatalf("addresses in the table: %d + %d IPv4, %d IPv6; want %d, %d", s.IndexedIP4, s.ExtraIP4, s.IP6, v4, v6)
	}
	checkInside(t, b)
}

// checkInside holds the table's parts against each other.
func checkInside(t *testing.T, b *Bindings) {
	t.Helper()
	a := b.cur.Load()
	rows, with4, indexed := 0, 0, 0
	for bi := range a.rows {
		for i := range rowSlots {
			r := a.place(uint64(bi), i)
			if !r.b.used(i) {
				if a.ip4[r.slot] != 0 || r.more() {
					t.Fatalf("a free slot has addresses: %#x", r.b[0])
				}
				continue
			}
			rows++
			seg, mac := r.b.rowKey(i)
			if found, ok := a.lookup(b.keys.row(seg, mac), seg, mac); !ok || found != r {
				t.Fatalf("row %d/%#x is in slot %d, found in %+v", seg, mac, r.slot, found)
			}
			if a.ip4[r.slot] != 0 {
				with4++
				ib, x, ok := a.lookupIP4(&b.keys, seg, a.ip4[r.slot])
				if !ok || ib.ref(x) != r.slot {
					t.Fatalf("address of slot %d leads elsewhere", r.slot)
				}
			}
		}
	}
	for bi := range a.ips {
		for i := range ipSlots {
			indexed += int(a.ips[bi][0] >> i & 1)
		}
	}
	if rows != b.Len() || with4 != indexed || indexed != b.Stats().IndexedIP4 {
		t.Fatalf("%d rows (Len %d), %d with an indexed address, %d in the index, %d counted",
			rows, b.Len(), with4, indexed, b.Stats().IndexedIP4)
	}
}

// script draws operations from bytes, over so few keys that all kinds of conflict are common.
type script struct {
	data []byte
	macs int // 1..256
}

func (s *script) next() int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b)
}

func (s *script) row() Binding {
	n := s.next()
	// Segments that differ in the low, the high, and both halves.
	b := Binding{
		Seg: [4]uint32{0, 1, 0x10000, 0xffff0001}[n&3],
		MAC: uint64(s.next()%s.macs) * 0x010000000001 & (1<<48 - 1),
	}
	b.Loc = uint32(n)<<16 | uint32(s.next())
	addrs := n >> 2 & 7
	if addrs > 4 {
		addrs = 1
	}
	for range addrs {
		a := s.next()
		if a%3 == 0 && n&32 != 0 {
			// Also ::ffff:a.b.c.d, which is not the IPv4 address.
			b.IP6 = append(b.IP6, [2]uint64{uint64(a & 4), 0xffff<<32 | uint64(a)})
		} else {
			b.IP4 = append(b.IP4, uint32(a))
		}
	}
	return b
}

// run executes the script against table and model.
func (s *script) run(t *testing.T, b *Bindings, m *model) {
	for len(s.data) > 0 {
		op := s.next()
		r := s.row()
		switch {
		case op%16 < 10:
			_, had := m.rows[rowID{r.MAC, r.Seg}]
			if op%16 >= 8 && (had || len(m.rows) < b.Capacity()) {
				contested, err := b.UpsertApart(&r)
				if want := m.upsertApart(&r); err != nil || contested != want {
					t.Fatalf("UpsertApart(%+v): contested %t, error %v; want %t", r, contested, err, want)
				}
				break
			}
			err := b.Upsert(&r)
			if full := !had && len(m.rows) == b.Capacity(); full != (err != nil) {
				t.Fatalf("Upsert with %d of %d: %v", len(m.rows), b.Capacity(), err)
			}
			if err == nil {
				m.upsert(&r)
			}
		case op%16 < 14:
			if got, want := b.Delete(r.Seg, r.MAC), m.delete(r.Seg, r.MAC); got != want {
				t.Fatalf("Delete = %v, want %v", got, want)
			}
		case op == 14:
			release, err := b.Grow(max(1, len(m.rows), b.Capacity()-3+s.next()%8))
			if err != nil {
				t.Fatal(err)
			}
			if op := s.next(); op%2 == 0 {
				if err := release(); err != nil {
					t.Fatal(err)
				}
			}
		case op == 15:
			s.delta(t, b, m)
		default:
			m.checkRow(t, under(b, nil), rowID{r.MAC, r.Seg})
		}
		for a := range addrsOf(&r) {
			m.checkAddr(t, under(b, nil), a)
		}
	}
	m.check(t, b)
}

// delta makes a transaction, looks through it, and folds it.
func (s *script) delta(t *testing.T, b *Bindings, m *model) {
	var ups, dels []Binding
	for range s.next() % 16 {
		if s.next()%3 == 0 {
			dels = append(dels, s.row())
		} else {
			ups = append(ups, s.row())
		}
	}
	before := keysOf(m)
	d := NewDelta(b, ups, dels)
	for i := range dels {
		m.delete(dels[i].Seg, dels[i].MAC)
	}
	seen := map[rowID]bool{}
	var last []Binding // of equal keys the last counts
	for i := len(ups) - 1; i >= 0; i-- {
		if k := (rowID{ups[i].MAC, ups[i].Seg}); !seen[k] {
			seen[k] = true
			last = append(last, ups[i])
		}
	}
	slices.Reverse(last)
	for i := range last {
		m.upsert(&last[i])
	}
	check := func(l lookups) {
		t.Helper()
		for _, keys := range []modelKeys{before, keysOf(m)} {
			for _, k := range keys.rows {
				m.checkRow(t, l, k)
			}
			for _, a := range keys.addrs {
				m.checkAddr(t, l, a)
			}
		}
	}
	check(under(b, d))
	if got, want := b.Len()+d.Growth(), len(m.rows); got != want {
		t.Fatalf("the delta grows %d rows by %d, want %d", b.Len(), d.Growth(), want)
	}
	if len(m.rows) > b.Capacity() {
		if _, err := b.Grow(len(m.rows)); err != nil {
			t.Fatal(err)
		}
		check(under(b, d))
	}
	if err := d.Fold(b); err != nil {
		t.Fatal(err)
	}
	check(under(b, d))
	check(under(b, nil))
}

type modelKeys struct {
	rows  []rowID
	addrs []addrID
}

func keysOf(m *model) modelKeys {
	return modelKeys{slices.Collect(maps.Keys(m.rows)), slices.Collect(maps.Keys(m.owner))}
}
