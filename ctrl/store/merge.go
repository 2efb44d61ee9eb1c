package store

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// A block holds at most maxBlock rows; a larger one is split into blocks of about fillBlock.
const (
	maxBlock  = 256
	fillBlock = 224
)

// Outcome of a commit for the bindings.
type Outcome struct {
	Revision uint64 // after the commit

	Created, Updated, Unchanged int
	Removed                     *Rows          // keys of the deleted bindings, sorted
	Segments                    map[string]int // TENANT/SEGMENT → change of its number of bindings
}

// Changed reports whether any binding changes.
func (o *Outcome) Changed() bool { return o.Created+o.Updated+o.Removed.Len() > 0 }

// merger writes Rows into the bindings bucket.
type merger struct {
	s   *Store
	b   *bbolt.Bucket
	r   *Rows
	out *Outcome
	seg segName // of the rows being joined
	n   int     // by how much its number of bindings changes
	age uint64  // of the rows that change: the revision of the commit
}

func (m *merger) enter(seg segName) {
	if m.n != 0 {
		m.out.Segments[m.seg.tenant+"/"+m.seg.segment] += m.n
	}
	m.seg, m.n = seg, 0
}

// join merges one block of old rows with changes that lie in its range, and calls emit for every row that stays. With
// replace, old rows without a change are deleted. It returns the changes that lie behind the last old row (none if
// toEnd, which applies them too) and whether the block has changed.
func (m *merger) join(old []byte, ch []rowIndex, replace, toEnd bool,
	emit func(agedRow)) (rest []rowIndex, dirty bool, err error) {
	block, old := splitBlock(old)
	put := func(x *rowIndex) {
		if x.off != noRow {
			m.out.Created++
			m.n++
			dirty = true
			emit(agedRow{m.r.row(x), m.age})
		}
	}
	for len(old) > 0 {
		n := rowLen(old)
		if n == 0 {
			return nil, false, m.s.file.Corrupted("a block of bindings of segment %s/%s is cut off",
				m.seg.tenant, m.seg.segment)
		}
		row, mac := old[:n], rowMAC(old)
		old = old[n:]
		for len(ch) > 0 && ch[0].mac < mac {
			put(&ch[0])
			ch = ch[1:]
		}
		switch {
		case len(ch) > 0 && ch[0].mac == mac:
			x := &ch[0]
			at := cap(m.r.index) - cap(ch)
			ch = ch[1:]
			if x.off == noRow {
				m.remove(mac)
				dirty = true
				continue
			}
			fresh, age := m.r.row(x), m.age
			if sameRow(fresh, row) {
				m.out.Unchanged++
				x.mac |= unchanged
				age = rowAge(row, block)
				if replace {
					m.r.setAge(at, age)
				}
			} else {
				m.out.Updated++
				dirty = true
			}
			emit(agedRow{fresh, age})
		case replace:
			m.remove(mac)
			dirty = true
		default:
			emit(agedRow{row, rowAge(row, block)})
		}
	}
	if toEnd {
		for i := range ch {
			put(&ch[i])
		}
		ch = nil
	}
	return ch, dirty, nil
}

func (m *merger) remove(mac uint64) {
	m.n--
	m.out.Removed.Delete(model.BindingKey{Tenant: m.seg.tenant, Segment: m.seg.segment, MAC: model.MAC(mac)})
}

// write puts rows of one segment as blocks and returns their keys.
func (m *merger) write(prefix string, rows []agedRow) (keys [][]byte, err error) {
	blocks := 1
	if len(rows) > maxBlock {
		blocks = (len(rows) + fillBlock - 1) / fillBlock
	}
	for i := range blocks {
		part := rows[i*len(rows)/blocks : (i+1)*len(rows)/blocks]
		if len(part) == 0 {
			continue
		}
		size := 4 + rowHead
		for i := range part {
			size += len(part[i].row)
		}
		key := append(append(make([]byte, 0, len(prefix)+6), prefix...), part[0].row[:6]...)
		v := appendBlock(make([]byte, 0, size), part)
		if err := m.b.Put(key, file.Seal(key, v)); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// merge applies the rows block by block; bindings that are not in the rows stay.
func (m *merger) merge() error {
	// Unused keys are deleted at the end: the search for the block of a MAC needs the keys.
	var gone [][]byte
	var rows []agedRow
	emit := func(r agedRow) { rows = append(rows, r) }
	for rest := m.r.index; len(rest) > 0; {
		seg := rest[0].seg
		if m.seg != m.r.segs[seg] {
			m.enter(m.r.segs[seg])
		}
		prefix := m.seg.prefix()
		key, old, next, err := m.block(prefix, rest[0].mac)
		if err != nil {
			return err
		}
		n := 1
		for n < len(rest) && rest[n].seg == seg && rest[n].mac < next {
			n++
		}
		rows = rows[:0]
		_, dirty, err := m.join(old, rest[:n], false, true, emit)
		if err != nil {
			return err
		}
		rest = rest[n:]
		if !dirty {
			continue
		}
		keys, err := m.write(prefix, rows)
		if err != nil {
			return err
		}
		if key != nil && !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			gone = append(gone, key)
		}
	}
	m.enter(segName{})
	for _, k := range gone {
		if err := m.b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// block finds the block in whose range mac lies: the last one that starts at or before it, else the first of the
// segment. key is nil if the segment has none; next is the first MAC of the block behind.
func (m *merger) block(prefix string, mac uint64) (key, rows []byte, next uint64, err error) {
	want := binary.BigEndian.AppendUint64([]byte(prefix), mac<<16)[:len(prefix)+6]
	c := m.b.Cursor()
	k, v := c.Seek(want)
	if !bytes.Equal(k, want) {
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		if !hasPrefix(k, prefix) {
			if k, v = c.Seek([]byte(prefix)); !hasPrefix(k, prefix) {
				return nil, nil, 1 << 48, nil
			}
		}
	}
	if rows, err = m.s.file.Unseal(k, v); err != nil {
		return nil, nil, 0, err
	}
	key = bytes.Clone(k)
	next = 1 << 48
	if k, _ := c.Next(); hasPrefix(k, prefix) {
		next = rowMAC(k[len(prefix):])
	}
	return key, rows, next, nil
}

func hasPrefix(k []byte, prefix string) bool {
	return len(k) == len(prefix)+6 && string(k[:len(prefix)]) == prefix
}

// diff compares the whole bucket with the rows, as replace does, and changes nothing.
func (m *merger) diff() error {
	rest := m.r.index
	skip := func(agedRow) {}
	group := func(seg uint32) (ch []rowIndex) {
		n := 0
		for n < len(rest) && rest[n].seg == seg {
			n++
		}
		ch, rest = rest[:n], rest[n:]
		return ch
	}
	var ch []rowIndex // of the segment of the blocks being read, not joined yet
	prefix := ""
	flush := func() error { _, _, err := m.join(nil, ch, true, true, skip); ch = nil; return err }
	c := m.b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if !hasPrefix(k, prefix) || prefix == "" {
			if err := flush(); err != nil {
				return err
			}
			if len(k) < 6 {
				return m.s.file.Corrupted("the bindings have a key of %d octets", len(k))
			}
			prefix = string(k[:len(k)-6])
			for len(rest) > 0 && m.r.segs[rest[0].seg].prefix() < prefix { // segments that were empty
				m.enter(m.r.segs[rest[0].seg])
				ch = group(rest[0].seg)
				if err := flush(); err != nil {
					return err
				}
			}
			m.enter(splitPrefix(prefix))
			if len(rest) > 0 && m.r.segs[rest[0].seg].prefix() == prefix {
				ch = group(rest[0].seg)
			}
		}
		old, err := m.s.file.Unseal(k, v)
		if err != nil {
			return err
		}
		if ch, _, err = m.join(old, ch, true, false, skip); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for len(rest) > 0 {
		m.enter(m.r.segs[rest[0].seg])
		ch = group(rest[0].seg)
		if err := flush(); err != nil {
			return err
		}
	}
	m.enter(segName{})
	return nil
}

func splitPrefix(p string) segName {
	t, s, _ := strings.Cut(p, "/")
	return segName{t, strings.TrimSuffix(s, "/")}
}

// rewrite fills the empty bucket with the rows.
func (m *merger) rewrite() error {
	m.b.FillPercent = 0.95
	var rows []agedRow
	for rest := m.r.index; len(rest) > 0; {
		seg := rest[0].seg
		rows = rows[:0]
		for len(rest) > 0 && rest[0].seg == seg {
			if r := m.r.row(&rest[0]); r != nil {
				age := m.age
				if rest[0].mac&unchanged != 0 {
					age = m.r.ages[cap(m.r.index)-cap(rest)]
				}
				rows = append(rows, agedRow{r, age})
			}
			rest = rest[1:]
		}
		if _, err := m.write(m.r.segs[seg].prefix(), rows); err != nil {
			return err
		}
	}
	return nil
}
