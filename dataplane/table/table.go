// Package table holds the lookup structures of the packet path.
package table

import (
	"errors"
	"slices"
	"sync"
)

// ErrFull is returned by Upsert when Capacity bindings are in the table.
var ErrFull = errors.New("bindings table is full: raise its capacity")

// NewStatic builds an immutable map from 64-bit keys to 32-bit values (open addressing, random seed).
func NewStatic(keys []uint64, values []uint32) *Static {
	m := make(map[uint64]uint32, len(keys))
	for i, k := range keys {
		m[k] = values[i]
	}
	return &Static{m}
}

// Static is an immutable map, safe for any number of readers. A nil *Static is empty.
type Static struct{ m map[uint64]uint32 }

// Get returns the value of key.
func (s *Static) Get(key uint64) (uint32, bool) {
	if s == nil {
		return 0, false
	}
	v, ok := s.m[key]
	return v, ok
}

// Config sizes the bindings table.
type Config struct {
	Capacity int // bindings that must fit; the table refuses more (ErrFull)
}

// Binding is one row: (Seg, MAC) → Loc, with the VIF's addresses.
type Binding struct {
	Seg uint32
	MAC uint64      // low 48 bits
	Loc uint32      // see fib.Loc
	IP4 []uint32    // host order
	IP6 [][2]uint64 // high, low half
}

type rowKey struct {
	seg uint32
	mac uint64
}

type addrKey struct {
	seg    uint32
	hi, lo uint64
	v4     bool
}

// Bindings is the table of all bindings. One writer at a time, any number of readers without locks.
type Bindings struct {
	mu    sync.RWMutex
	cap   int
	rows  map[rowKey]Binding
	addrs map[addrKey]uint64
}

// NewBindings allocates outside the Go heap, with huge pages where the kernel grants them.
func NewBindings(c Config) (*Bindings, error) {
	return &Bindings{cap: c.Capacity, rows: map[rowKey]Binding{}, addrs: map[addrKey]uint64{}}, nil
}

// Close unmaps the memory; no reader may be left.
func (t *Bindings) Close() error { return nil }

// TouchMAC loads the bucket of (seg, mac) so that the cache misses of a batch overlap. Returns a value to be summed
// and kept alive, so that the load is not optimised away.
func (t *Bindings) TouchMAC(seg uint32, mac uint64) uint64 { return 0 }

// TouchIP4 does the same for FindIP4.
func (t *Bindings) TouchIP4(seg, ip uint32) uint64 { return 0 }

// FindMAC returns the location of (seg, mac).
func (t *Bindings) FindMAC(seg uint32, mac uint64) (loc uint32, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b, ok := t.rows[rowKey{seg, mac}]
	return b.Loc, ok
}

func (t *Bindings) findAddr(k addrKey) (mac uint64, loc uint32, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	mac, ok = t.addrs[k]
	if !ok {
		return 0, 0, false
	}
	return mac, t.rows[rowKey{k.seg, mac}].Loc, true
}

// FindIP4 returns MAC and location of the VIF of segment seg that has address ip.
func (t *Bindings) FindIP4(seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return t.findAddr(addrKey{seg, 0, uint64(ip), true})
}

// FindIP6 does the same for IPv6.
func (t *Bindings) FindIP6(seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	return t.findAddr(addrKey{seg, hi, lo, false})
}

func (b *Binding) each(f func(addrKey)) {
	for _, a := range b.IP4 {
		f(addrKey{b.Seg, 0, uint64(a), true})
	}
	for _, a := range b.IP6 {
		f(addrKey{b.Seg, a[0], a[1], false})
	}
}

// Upsert inserts or replaces. Each row is visible to readers whole or not at all.
func (t *Bindings) Upsert(b *Binding) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := rowKey{b.Seg, b.MAC}
	old, had := t.rows[k]
	if !had && len(t.rows) >= t.cap {
		return ErrFull
	}
	old.each(t.forget(b.MAC))
	n := *b
	n.IP4, n.IP6 = slices.Clone(b.IP4), slices.Clone(b.IP6)
	t.rows[k] = n
	n.each(func(a addrKey) { t.addrs[a] = b.MAC })
	return nil
}

func (t *Bindings) forget(mac uint64) func(addrKey) {
	return func(a addrKey) {
		if m, ok := t.addrs[a]; ok && m == mac {
			delete(t.addrs, a)
		}
	}
}

// Delete removes (seg, mac) with its addresses and reports whether it was there.
func (t *Bindings) Delete(seg uint32, mac uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, had := t.rows[rowKey{seg, mac}]
	old.each(t.forget(mac))
	delete(t.rows, rowKey{seg, mac})
	return had
}

// Get returns the row, for the writer (not for the packet path).
func (t *Bindings) Get(seg uint32, mac uint64) (Binding, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	b, ok := t.rows[rowKey{seg, mac}]
	if !ok {
		return Binding{}, false
	}
	g := Binding{Seg: seg, MAC: mac, Loc: b.Loc}
	for _, a := range b.IP4 {
		if t.addrs[addrKey{seg, 0, uint64(a), true}] == mac {
			g.IP4 = append(g.IP4, a)
		}
	}
	for _, a := range b.IP6 {
		if t.addrs[addrKey{seg, a[0], a[1], false}] == mac {
			g.IP6 = append(g.IP6, a)
		}
	}
	return g, true
}

// Len returns the number of bindings.
func (t *Bindings) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.rows)
}

// Bytes returns the memory they take.
func (t *Bindings) Bytes() int { return t.Len() * 256 }

// Delta is a small immutable set of changes that is looked at before the big table: how a transaction's
// bindings become visible together with its snapshot.
type Delta struct {
	rows    map[rowKey]int // index into upserts, -1 = deleted
	addrs   map[addrKey]int
	upserts []Binding
}

// NewDelta builds the changes of one transaction on top of t: rows to be upserted and (seg, mac) to be deleted.
// It knows the addresses that vanish with replaced and deleted rows, so that these are not found any more.
func NewDelta(t *Bindings, upserts []Binding, deletes []Binding) *Delta {
	d := &Delta{map[rowKey]int{}, map[addrKey]int{}, upserts}
	gone := func(seg uint32, mac uint64) {
		if old, ok := t.Get(seg, mac); ok {
			old.each(func(a addrKey) { d.addrs[a] = -1 })
		}
	}
	for _, b := range deletes {
		d.rows[rowKey{b.Seg, b.MAC}] = -1
		gone(b.Seg, b.MAC)
	}
	for i, b := range upserts {
		d.rows[rowKey{b.Seg, b.MAC}] = i
		gone(b.Seg, b.MAC)
	}
	for i, b := range upserts {
		b.each(func(a addrKey) {
			if d.rows[rowKey{b.Seg, b.MAC}] == i {
				d.addrs[a] = i
			}
		})
	}
	return d
}

// FindMAC looks the row up in the delta, then in the table. d may be nil.
func FindMAC(t *Bindings, d *Delta, seg uint32, mac uint64) (loc uint32, ok bool) {
	if d != nil {
		if i, ok := d.rows[rowKey{seg, mac}]; ok {
			if i < 0 {
				return 0, false
			}
			return d.upserts[i].Loc, true
		}
	}
	return t.FindMAC(seg, mac)
}

func findAddr(t *Bindings, d *Delta, k addrKey) (mac uint64, loc uint32, ok bool) {
	if d != nil {
		if i, ok := d.addrs[k]; ok {
			if i < 0 {
				return 0, 0, false
			}
			return d.upserts[i].MAC, d.upserts[i].Loc, true
		}
	}
	return t.findAddr(k)
}

// FindIP4 looks the address up in the delta, then in the table. d may be nil.
func FindIP4(t *Bindings, d *Delta, seg, ip uint32) (mac uint64, loc uint32, ok bool) {
	return findAddr(t, d, addrKey{seg, 0, uint64(ip), true})
}

// FindIP6 see FindIP4.
func FindIP6(t *Bindings, d *Delta, seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	return findAddr(t, d, addrKey{seg, hi, lo, false})
}

// Fold applies the delta to the table; afterwards a snapshot without it says the same.
func (d *Delta) Fold(t *Bindings) error {
	for k, i := range d.rows {
		if i < 0 {
			t.Delete(k.seg, k.mac)
		}
	}
	for i := range d.upserts {
		if b := &d.upserts[i]; d.rows[rowKey{b.Seg, b.MAC}] == i {
			if err := t.Upsert(b); err != nil {
				return err
			}
		}
	}
	return nil
}
