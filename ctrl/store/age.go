package store

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
)

// The age of a binding is the revision of the commit that changed it last. Of two bindings that claim one address the
// younger one owns it, also after a restart; so the age is on disk. Nearly all rows of a block have the same age. It is
// stored once, in a row with the MAC 0 at the front of the block, in the field of the switch MAC. A row of another age
// has the flag in its number of IPv6 addresses, and the age behind its addresses. Blocks of layout 1 have no ages:
// their rows have age 0, older than all others.
const (
	ageFlag = 0x80
	ageLen  = 6 // 48 bits
)

// agedRow is a row with its age. The flag and the age in the octets do not count.
type agedRow struct {
	row []byte
	age uint64
}

// bareLen returns the length of the row that b starts with, without its age, or more than b has if it is cut off. b has
// rowHead octets at least.
func bareLen(b []byte) int {
	n := rowHead + 4*int(b[off4]) + 16*int(b[off6]&^ageFlag)
	if b[offPort] != 0 {
		return n
	}
	if n >= len(b) {
		return n + 1
	}
	return n + 1 + int(b[n])
}

// splitBlock returns the age of the rows that have none of their own, and the rows.
func splitBlock(b []byte) (age uint64, rows []byte) {
	if len(b) >= rowHead && rowMAC(b) == 0 {
		return rowMAC(b[6:]), b[rowHead:]
	}
	return 0, b
}

// rowsOf returns the rows of a block as it is stored.
func (s *Store) rowsOf(k, v []byte) ([]byte, error) {
	b, err := s.file.Unseal(k, v)
	_, rows := splitBlock(b)
	return rows, err
}

// rowAge returns the age of a whole row of a block of that age.
func rowAge(row []byte, block uint64) uint64 {
	if row[off6]&ageFlag == 0 {
		return block
	}
	return rowMAC(row[len(row)-ageLen:])
}

// sameRow reports whether a row without age is the same binding as a row of a block.
func sameRow(fresh, old []byte) bool {
	n := bareLen(old)
	return len(fresh) == n && bytes.Equal(fresh[:off6], old[:off6]) && fresh[off6] == old[off6]&^ageFlag &&
		bytes.Equal(fresh[rowHead:], old[rowHead:n])
}

// appendBlock appends the rows as one block.
func appendBlock(dst []byte, rows []agedRow) []byte {
	age, lead := uint64(0), 0 // the age of most rows, if more than half have it
	for i := range rows {
		switch {
		case rows[i].age == age:
			lead++
		case lead == 0:
			age, lead = rows[i].age, 1
		default:
			lead--
		}
	}
	if age != 0 {
		dst = append(dst, 0, 0, 0, 0, 0, 0)
		dst = appendAge(dst, age)
		dst = append(dst, 0, 0, 0)
	}
	for i := range rows {
		r := rows[i].row[:bareLen(rows[i].row)]
		flags := len(dst) + off6
		dst = append(dst, r...)
		dst[flags] &^= ageFlag
		if rows[i].age != age {
			dst[flags] |= ageFlag
			dst = appendAge(dst, rows[i].age)
		}
	}
	return dst
}

func appendAge(dst []byte, age uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, uint16(age>>32)), uint32(age))
}

// setAge sets the age of row i of the index.
func (r *Rows) setAge(i int, age uint64) {
	if r.ages == nil {
		r.ages = make([]uint64, len(r.index))
	}
	r.ages[i] = age
}

// Ages returns the ages of bindings, in the order of keys; 0 for an absent binding.
func (s *Store) Ages(keys []model.BindingKey) ([]uint64, error) {
	out := make([]uint64, len(keys))
	err := s.file.View(func(tx *bbolt.Tx) error {
		m := &merger{s: s, b: tx.Bucket([]byte(model.KindBinding))}
		for i, key := range keys {
			row, age, err := m.find(key)
			if err != nil {
				return err
			}
			if row != nil {
				out[i] = age
			}
		}
		return nil
	})
	return out, err
}

// find returns the row of a binding and its age, nil if there is none.
func (m *merger) find(key model.BindingKey) (row []byte, age uint64, err error) {
	_, rows, _, err := m.block(segName{key.Tenant, key.Segment}.prefix(), uint64(key.MAC))
	if err != nil {
		return nil, 0, err
	}
	block, rows := splitBlock(rows)
	for n := 0; len(rows) > 0; rows = rows[n:] {
		if n = rowLen(rows); n == 0 {
			return nil, 0, m.s.file.Corrupted("a block of bindings of segment %s/%s is cut off",
				key.Tenant, key.Segment)
		}
		if model.MAC(rowMAC(rows)) == key.MAC {
			return rows[:n], rowAge(rows[:n], block), nil
		}
	}
	return nil, 0, nil
}
