// Package table holds the lookup structures of the packet path.
package table

// NewStatic builds an immutable map from 64-bit keys to 32-bit values (open addressing, random seed).
func NewStatic(keys []uint64, values []uint32) *Static { panic("stub") }

// Static is an immutable map, safe for any number of readers. A nil *Static is empty.
type Static struct{}

// Get returns the value of key.
func (s *Static) Get(key uint64) (uint32, bool) { panic("stub") }

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

// Bindings is the table of all bindings. One writer at a time, any number of readers without locks.
type Bindings struct{}

// NewBindings allocates outside the Go heap, with huge pages where the kernel grants them.
func NewBindings(c Config) (*Bindings, error) { panic("stub") }

// Close unmaps the memory; no reader may be left.
func (t *Bindings) Close() error { panic("stub") }

// TouchMAC loads the bucket of (seg, mac) so that the cache misses of a batch overlap. Returns a value to be summed
// and kept alive, so that the load is not optimised away.
func (t *Bindings) TouchMAC(seg uint32, mac uint64) uint64 { panic("stub") }

// TouchIP4 does the same for FindIP4.
func (t *Bindings) TouchIP4(seg, ip uint32) uint64 { panic("stub") }

// FindMAC returns the location of (seg, mac).
func (t *Bindings) FindMAC(seg uint32, mac uint64) (loc uint32, ok bool) { panic("stub") }

// FindIP4 returns MAC and location of the VIF of segment seg that has address ip.
func (t *Bindings) FindIP4(seg, ip uint32) (mac uint64, loc uint32, ok bool) { panic("stub") }

// FindIP6 does the same for IPv6.
func (t *Bindings) FindIP6(seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	panic("stub")
}

// Upsert inserts or replaces. Each row is visible to readers whole or not at all.
func (t *Bindings) Upsert(b *Binding) error { panic("stub") }

// Delete removes (seg, mac) with its addresses and reports whether it was there.
func (t *Bindings) Delete(seg uint32, mac uint64) bool { panic("stub") }

// Get returns the row, for the writer (not for the packet path).
func (t *Bindings) Get(seg uint32, mac uint64) (Binding, bool) { panic("stub") }

// Len returns the number of bindings, Bytes the memory they take.
func (t *Bindings) Len() int   { panic("stub") }
func (t *Bindings) Bytes() int { panic("stub") }

// Delta is a small immutable set of changes that is looked at before the big table: how a transaction's
// bindings become visible together with its snapshot.
type Delta struct{}

// NewDelta builds the changes of one transaction on top of t: rows to be upserted and (seg, mac) to be deleted.
// It knows the addresses that vanish with replaced and deleted rows, so that these are not found any more.
func NewDelta(t *Bindings, upserts []Binding, deletes []Binding) *Delta { panic("stub") }

// FindMAC looks the row up in the delta, then in the table. d may be nil.
func FindMAC(t *Bindings, d *Delta, seg uint32, mac uint64) (loc uint32, ok bool) { panic("stub") }

// FindIP4 and FindIP6 do the same by address.
func FindIP4(t *Bindings, d *Delta, seg, ip uint32) (mac uint64, loc uint32, ok bool) { panic("stub") }

// FindIP6 see FindIP4.
func FindIP6(t *Bindings, d *Delta, seg uint32, hi, lo uint64) (mac uint64, loc uint32, ok bool) {
	panic("stub")
}

// Fold applies the delta to the table; afterwards a snapshot without it says the same.
func (d *Delta) Fold(t *Bindings) error { panic("stub") }
