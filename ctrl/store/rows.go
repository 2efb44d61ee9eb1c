package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"penstock/ctrl/model"
)

// A row in a block: MAC 6, switch MAC 6, switch port 1, number of IPv4 addresses 1, number of IPv6 addresses 1, then
// the addresses. With switch port 0 the binding leads to a VTEP, and the length of its name (1) and the name follow.
// Everything big endian. How a block keeps the age of its rows: age.go.
const (
	rowHead = 15
	offPort = 12
	off4    = 13
	off6    = 14
)

// noRow is the offset of a row that is to be deleted; unchanged, in rowIndex.mac, marks rows that Commit found in the
// store already.
const (
	noRow     = ^uint32(0)
	unchanged = 1 << 63
)

type rowIndex struct {
	mac uint64 // low 48 bits
	seg uint32 // index into Rows.segs
	off uint32 // of the row in the blob
}

type segName struct{ tenant, segment string }

func (n segName) prefix() string { return n.tenant + "/" + n.segment + "/" }

// Rows is a compact list of bindings to be put or deleted: some 35 octets a row, no pointers.
type Rows struct {
	segs   []segName
	lookup map[segName]uint32
	last   uint32 // segment of the last row added
	index  []rowIndex
	blob   []byte
	ages   []uint64 // by index: of rows marked unchanged, while a commit replaces all; nil if there are none
}

// NewRows makes an empty list with room for n rows.
func NewRows(n int) *Rows {
	return &Rows{lookup: map[segName]uint32{}, index: make([]rowIndex, 0, n), blob: make([]byte, 0, n*(rowHead+4))}
}

// Len returns the number of rows.
func (r *Rows) Len() int { return len(r.index) }

func (r *Rows) seg(tenant, segment string) uint32 {
	if int(r.last) < len(r.segs) {
		if s := &r.segs[r.last]; s.segment == segment && s.tenant == tenant {
			return r.last
		}
	}
	n := segName{tenant, segment}
	i, ok := r.lookup[n]
	if !ok {
		i = uint32(len(r.segs))
		r.segs = append(r.segs, n)
		r.lookup[n] = i
	}
	r.last = i
	return i
}

// Put adds a binding. It keeps the strings and copies the addresses: IPv4 first, otherwise in their order.
func (r *Rows) Put(b *model.Binding) {
	r.index = append(r.index, rowIndex{mac: uint64(b.MAC), seg: r.seg(b.Tenant, b.Segment), off: uint32(len(r.blob))})
	r.blob = appendRow(r.blob, b)
}

// Delete adds a deletion.
func (r *Rows) Delete(k model.BindingKey) {
	r.index = append(r.index, rowIndex{mac: uint64(k.MAC), seg: r.seg(k.Tenant, k.Segment), off: noRow})
}

// Bytes returns the memory that the rows take.
func (r *Rows) Bytes() int { return cap(r.blob) + cap(r.index)*16 }

func appendRow(dst []byte, b *model.Binding) []byte {
	dst = append(dst, byte(b.MAC>>40), byte(b.MAC>>32), byte(b.MAC>>24), byte(b.MAC>>16), byte(b.MAC>>8), byte(b.MAC))
	m := b.SwitchMAC
	dst = append(dst, byte(m>>40), byte(m>>32), byte(m>>24), byte(m>>16), byte(m>>8), byte(m), byte(b.SwitchPort), 0, 0)
	counts := len(dst) - 2
	six := 0
	for _, a := range b.Addresses {
		if !a.Is4() {
			six++
			continue
		}
		x := a.As4()
		dst = append(dst, x[:]...)
	}
	dst[counts], dst[counts+1] = byte(len(b.Addresses)-six), byte(six)
	if six > 0 {
		for _, a := range b.Addresses {
			if !a.Is4() {
				x := a.As16()
				dst = append(dst, x[:]...)
			}
		}
	}
	if b.SwitchPort == 0 {
		dst = append(append(dst, byte(len(b.VTEP))), b.VTEP...)
	}
	return dst
}

// rowLen returns the length of the row that b starts with, 0 if b is cut off.
func rowLen(b []byte) int {
	if len(b) < rowHead {
		return 0
	}
	n := bareLen(b)
	if b[off6]&ageFlag != 0 {
		n += ageLen
	}
	if n > len(b) {
		return 0
	}
	return n
}

func rowMAC(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

// row returns the octets of row i, nil of a deletion.
func (r *Rows) row(i *rowIndex) []byte {
	if i.off == noRow {
		return nil
	}
	b := r.blob[i.off:]
	return b[:rowLen(b)]
}

// decodeRow fills b from a row; addresses are appended to pool, which is returned.
func decodeRow(row []byte, b *model.Binding, pool []netip.Addr) []netip.Addr {
	b.MAC = model.MAC(rowMAC(row))
	b.SwitchMAC = model.MAC(rowMAC(row[6:]))
	b.SwitchPort = uint16(row[offPort])
	from := len(pool)
	n4, n6 := int(row[off4]), int(row[off6]&^ageFlag)
	row = row[rowHead:]
	for range n4 {
		pool = append(pool, netip.AddrFrom4([4]byte(row)))
		row = row[4:]
	}
	for range n6 {
		pool = append(pool, netip.AddrFrom16([16]byte(row)))
		row = row[16:]
	}
	if b.VTEP = ""; b.SwitchPort == 0 && len(row) > 0 {
		b.VTEP = string(row[1 : 1+int(row[0])])
	}
	b.Addresses = pool[from:len(pool):len(pool)]
	if n4+n6 == 0 {
		b.Addresses = nil
	}
	return pool
}

// Concat returns the concatenation of lists.
func Concat(lists []*Rows) (*Rows, error) {
	n, size := 0, 0
	for _, l := range lists {
		n += len(l.index)
		size += len(l.blob)
	}
	if uint64(size) >= uint64(noRow) {
		return nil, fmt.Errorf("more than %d octets of bindings in one push", noRow)
	}
	r := &Rows{lookup: map[segName]uint32{}, index: make([]rowIndex, 0, n), blob: make([]byte, 0, size)}
	var remap []uint32
	for _, l := range lists {
		base := uint32(len(r.blob))
		remap = remap[:0]
		for _, s := range l.segs {
			remap = append(remap, r.seg(s.tenant, s.segment))
		}
		r.blob = append(r.blob, l.blob...)
		for _, x := range l.index {
			x.seg = remap[x.seg]
			if x.off != noRow {
				x.off += base
			}
			r.index = append(r.index, x)
		}
	}
	return r, nil
}

// Sort orders the rows as the store does, by segment and MAC; of rows with one key the last one added stays.
func (r *Rows) Sort() {
	order := make([]uint32, len(r.segs))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(r.segs[a].prefix(), r.segs[b].prefix()) })
	rank := make([]uint32, len(order))
	segs := make([]segName, len(order))
	for i, s := range order {
		rank[s], segs[i] = uint32(i), r.segs[s]
	}
	r.segs, r.last = segs, 0
	for i, s := range segs {
		r.lookup[s] = uint32(i)
	}
	sorted := true
	for i := range r.index {
		r.index[i].seg = rank[r.index[i].seg]
		if i > 0 && sorted && !r.index[i-1].less(&r.index[i]) {
			sorted = false
		}
	}
	if sorted {
		return
	}
	r.index = radixSort(r.index)
	out := r.index[:0]
	for i := range r.index {
		if i+1 < len(r.index) && r.index[i].mac == r.index[i+1].mac && r.index[i].seg == r.index[i+1].seg {
			continue
		}
		out = append(out, r.index[i])
	}
	r.index = out
}

func (a *rowIndex) less(b *rowIndex) bool {
	return a.seg < b.seg || a.seg == b.seg && a.mac < b.mac
}

// radixSort sorts by segment and MAC, stably, octet by octet from the least significant one; octets that are equal
// everywhere cost one counting pass only.
func radixSort(a []rowIndex) []rowIndex {
	if len(a) < 1024 {
		slices.SortStableFunc(a, func(x, y rowIndex) int {
			return cmp.Or(cmp.Compare(x.seg, y.seg),
				cmp.Compare(x.mac, y.mac))
		})
		return a
	}
	b := make([]rowIndex, len(a))
	for pass := range 10 {
		shift := 8 * pass
		octet := func(x *rowIndex) byte { return byte(x.mac >> shift) }
		if pass >= 6 {
			octet = func(x *rowIndex) byte { return byte(x.seg >> (shift - 48)) }
		}
		var count [256]int
		for i := range a {
			count[octet(&a[i])]++
		}
		if count[octet(&a[0])] == len(a) {
			continue
		}
		sum := 0
		for i, c := range count {
			count[i] = sum
			sum += c
		}
		for i := range a {
			o := octet(&a[i])
			b[count[o]] = a[i]
			count[o]++
		}
		a, b = b, a
	}
	return a
}

// chunk is how many bindings are passed to a function at a time.
const chunk = 4096

// Each calls f with the bindings to be put, in order and in chunks that are reused; changedOnly leaves out those that
// the store had already (after Commit).
func (r *Rows) Each(changedOnly bool, f func([]model.Binding) error) error {
	out := make([]model.Binding, 0, chunk)
	pool := make([]netip.Addr, 0, 2*chunk)
	for i := range r.index {
		x := &r.index[i]
		if x.off == noRow || changedOnly && x.mac&unchanged != 0 {
			continue
		}
		out = append(out, model.Binding{Tenant: r.segs[x.seg].tenant, Segment: r.segs[x.seg].segment})
		pool = decodeRow(r.row(x), &out[len(out)-1], pool)
		if len(out) == chunk {
			if err := f(out); err != nil {
				return err
			}
			out, pool = out[:0], pool[:0]
		}
	}
	if len(out) > 0 {
		return f(out)
	}
	return nil
}

// EachKey calls f with the keys of all rows, in order and in chunks that are reused.
func (r *Rows) EachKey(f func([]model.BindingKey) error) error {
	out := make([]model.BindingKey, 0, chunk)
	for i := range r.index {
		x := &r.index[i]
		out = append(out, model.BindingKey{Tenant: r.segs[x.seg].tenant, Segment: r.segs[x.seg].segment,
			MAC: model.MAC(x.mac &^ unchanged)})
		if len(out) == chunk || i == len(r.index)-1 {
			if err := f(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return nil
}

// Switches returns the distinct edge switches of the rows.
func (r *Rows) Switches() []model.MAC {
	seen := map[uint64]bool{}
	var out []model.MAC
	var last []byte
	for i := range r.index {
		row := r.row(&r.index[i])
		if row == nil || row[offPort] == 0 || last != nil && bytes.Equal(last, row[6:12]) {
			continue
		}
		last = row[6:12]
		if m := rowMAC(last); !seen[m] {
			seen[m] = true
			out = append(out, model.MAC(m))
		}
	}
	return out
}

// Segments calls f with every segment of the rows.
func (r *Rows) Segments(f func(tenant, segment string)) {
	for _, s := range r.segs {
		f(s.tenant, s.segment)
	}
}
