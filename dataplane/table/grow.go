package table

import (
	"errors"
	"fmt"

	"penstock/dataplane/memory"
)

// arrays is everything of a table that is sized for its capacity. Grow makes new ones.
type arrays struct {
	rows []bucket
	ips  []bucket
	ip4  []uint32 // by slot of a row: its address in the index, or 0. Readers do not look at it.
	memory.Region
}

// The design loads: rows 0.92 (4 slots and two choices would fill up to 0.98), addresses 0.95 (7 slots: 0.99).
// The few buckets more than that make small tables work as well as large ones.
func rowBuckets(capacity int) int { return capacity*100/(92*rowSlots) + 16 }
func ipBuckets(capacity int) int  { return capacity*100/(95*ipSlots) + 16 }

func newArrays(rows, ips int) (*arrays, error) {
	ipsAt := rows * bucketSize
	ip4At := ipsAt + ips*bucketSize
	r, err := memory.Map(ip4At + rows*rowSlots*4)
	if err != nil {
		return nil, err
	}
	mem := r.Bytes()
	return &arrays{
		rows: bucketsAt(mem, 0, rows), ips: bucketsAt(mem, ipsAt, ips), ip4: wordsAt(mem, ip4At, rows*rowSlots),
		Region: r,
	}, nil
}

// Grow makes the table fit for capacity bindings, more or fewer than before, while readers go on. The old memory must
// stay until no reader is in it: call release after a grace period (each worker has begun a new turn), from where the
// table is written. Close does it too. Grow fails when capacity is out of bounds or below Len, or with the kernel's
// error when there is no memory; the table is then as before.
func (t *Bindings) Grow(capacity int) (release func() error, err error) {
	if err := checkCapacity(capacity); err != nil {
		return nil, err
	}
	if n := t.Len(); capacity < n {
		return nil, fmt.Errorf("capacity %d is below the %d bindings in the table: delete some first", capacity, n)
	}
	if err := t.resize(rowBuckets(capacity), ipBuckets(capacity)); err != nil {
		return nil, fmt.Errorf("grow bindings table to %d: %w", capacity, err)
	}
	t.capacity.Store(int64(capacity))
	old := t.retired
	t.retired = nil
	t.released = append(t.released, old...)
	return func() error { return t.release(old) }, nil
}

// release unmaps what Grow has replaced.
func (t *Bindings) release(old []*arrays) error {
	var errs []error
	for _, a := range old {
		t.resident.Add(-int64(len(a.Bytes())))
		errs = append(errs, a.Unmap())
	}
	kept := t.released[:0]
	for _, a := range t.released {
		if a.Bytes() != nil {
			kept = append(kept, a)
		}
	}
	clear(t.released[len(kept):])
	t.released = kept
	return errors.Join(errs...)
}

// rebuild enlarges the table of rows below its capacity.
func (t *Bindings) rebuild(rows int) error {
	t.count(&t.counts.rebuilds, 1)
	if err := t.resize(rows, len(t.cur.Load().ips)); err != nil {
		return fmt.Errorf("rebuild bindings table: %w", err)
	}
	return nil
}

// resize copies the table to arrays of the given numbers of buckets, more if need be, and publishes them.
func (t *Bindings) resize(rows, ips int) error {
	old := t.cur.Load()
	for {
		a, err := newArrays(rows, ips)
		if err != nil {
			return err
		}
		if t.copyRows(old, a) {
			t.copyIPs(a)
			t.resident.Add(int64(len(a.Bytes())))
			t.retired = append(t.retired, old)
			t.cur.Store(a)
			return nil
		}
		if err := a.Unmap(); err != nil {
			return err
		}
		rows += rows/16 + 16
	}
}

// ahead is the number of buckets of which the targets are touched together, so that their cache misses overlap.
const ahead = 16

// copyRows copies the rows with their flags. The index is empty until copyIPs.
func (t *Bindings) copyRows(old, a *arrays) bool {
	for from := 0; from < len(old.rows); from += ahead {
		part := old.rows[from:min(from+ahead, len(old.rows))]
		for bi := range part {
			for i := range rowSlots {
				first, second := pair(t.keys.row(part[bi].rowKey(i)), len(a.rows))
				t.sink += a.rows[first].head() + a.rows[second].head()
			}
		}
		for bi := range part {
			b := &part[bi]
			for i := range rowSlots {
				if !b.used(i) {
					continue
				}
				seg, mac := b.rowKey(i)
				r, ok := t.room(a, t.keys.row(seg, mac))
				if !ok {
					return false
				}
				r.b.putRow(r.i, b.mark(i), seg, mac, b.loc(i), b.more(i))
				a.ip4[r.slot] = old.ip4[(from+bi)*rowSlots+i]
			}
		}
	}
	return true
}

// copyIPs fills the index.
func (t *Bindings) copyIPs(a *arrays) {
	for from := 0; from < len(a.rows); from += ahead {
		to := min(from+ahead, len(a.rows))
		for bi := from; bi < to; bi++ {
			for i := range rowSlots {
				seg, _ := a.rows[bi].rowKey(i)
				first, second := pair(t.keys.ip4(seg, a.ip4[bi*rowSlots+i]), len(a.ips))
				t.sink += a.ips[first].head() + a.ips[second].head()
			}
		}
		for bi := from; bi < to; bi++ {
			for i := range rowSlots {
				r := a.place(uint64(bi), i)
				seg, mac := r.b.rowKey(i)
				ip := a.ip4[r.slot]
				if ip == 0 || t.index(a, seg, ip, r.slot) {
					continue
				}
				a.ip4[r.slot] = 0
				r.b.setMore(i, true)
				t.extraForInsert().insert(&t.keys, extraKey{kind: kind4, seg: seg, lo: uint64(ip)}, mac)
				t.count(&t.counts.indexed, -1)
			}
		}
	}
}
