package table

import (
	"errors"
	"testing"
)

// TestDeltaBig: a hundred thousand changes to three hundred thousand rows, half of the addresses changing hands.
func TestDeltaBig(t *testing.T) {
	n, changes := 300_000, 100_000
	if testing.Short() {
		n, changes = 15_000, 5000
	}
	rows := manyRows(n)
	b := filled(t, rows)
	m := newModel()
	for i := range rows {
		m.upsert(&rows[i])
	}
	var ups, dels []Binding
	for i := range changes {
		r := rows[i]
		switch i % 4 {
		case 0: // goes
			dels = append(dels, r)
		case 1: // moves
			r.Loc += uint32(n)
			ups = append(ups, r)
		case 2: // takes the address of another row of its segment, if that has one
			r.IP4 = rows[n-1-i].IP4
			r.Seg = rows[n-1-i].Seg
			r.MAC |= 1 << 47
			ups = append(ups, r)
		case 3: // changes its address
			r.IP4, r.IP6 = []uint32{uint32(i)}, [][2]uint64{{3, uint64(i)}}
			ups = append(ups, r)
		}
	}
	before := keysOf(m)
	d := NewDelta(b, ups, dels)
	for i := range dels {
		m.delete(dels[i].Seg, dels[i].MAC)
	}
	for i := range ups {
		m.upsert(&ups[i])
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
	if u, del := d.Len(); u != len(ups) || del != len(dels) {
		t.Fatalf("Len() = %d, %d; want %d, %d", u, del, len(ups), len(dels))
	}
	if err := d.Fold(b); err != nil {
		t.Fatal(err)
	}
	check(under(b, d))
	m.check(t, b)
}

func TestDeltaNil(t *testing.T) {
	b := newTable(t, 10)
	row := Binding{Seg: 1, MAC: 2, Loc: 3, IP4: []uint32{4}, IP6: [][2]uint64{{5, 6}}}
	if err := b.Upsert(&row); err != nil {
		t.Fatal(err)
	}
	var d *Delta
	if u, del := d.Len(); u != 0 || del != 0 || d.Growth() != 0 {
		t.Error("a nil delta has changes")
	}
	if err := d.Fold(b); err != nil {
		t.Error(err)
	}
	for _, d := range []*Delta{nil, NewDelta(b, nil, nil)} {
		if loc, ok := FindMAC(b, d, 1, 2); !ok || loc != 3 {
			t.Errorf("FindMAC: %d, %v", loc, ok)
		}
		if mac, loc, ok := FindIP4(b, d, 1, 4); !ok || mac != 2 || loc != 3 {
			t.Errorf("FindIP4: %d, %d, %v", mac, loc, ok)
		}
		if mac, loc, ok := FindIP6(b, d, 1, 5, 6); !ok || mac != 2 || loc != 3 {
			t.Errorf("FindIP6: %d, %d, %v", mac, loc, ok)
		}
	}
}

// TestDeltaTooBig: a fold that does not fit says so, and succeeds after a Grow.
func TestDeltaTooBig(t *testing.T) {
	rows := manyRows(30)
	b := filled(t, rows[:20])
	d := NewDelta(b, rows[10:], rows[:5])
	if d.Growth() != 5 {
		t.Errorf("Growth() = %d, want 5", d.Growth())
	}
	if err := d.Fold(b); !errors.Is(err, ErrFull) {
		t.Fatalf("Fold: %v, want ErrFull", err)
	}
	m := newModel()
	for i := range rows[5:] {
		m.upsert(&rows[5+i])
	}
	for k := range m.rows {
		m.checkRow(t, under(b, d), k)
	}
	if _, err := b.Grow(25); err != nil {
		t.Fatal(err)
	}
	if err := d.Fold(b); err != nil {
		t.Fatal(err)
	}
	m.check(t, b)
}

// BenchmarkFindMACDelta is BenchmarkFindMACHash under a delta of a thousand rows.
func BenchmarkFindMACDelta(b *testing.B) {
	benchDelta(b, 1000, func(t *Bindings, d *Delta, p *[batch]probe) (sum uint64, found int) {
		var h [batch]uint64
		for i := range p {
			h[i] = t.HashMAC(p[i].seg, p[i].mac)
		}
		for i := range h {
			sum += t.TouchHash(h[i])
		}
		for i := range p {
			if loc, ok := FindMACHash(t, d, h[i], p[i].seg, p[i].mac); ok {
				sum += uint64(loc)
				found++
			}
		}
		return sum, found
	})
}

func BenchmarkNewDelta(b *testing.B) {
	rows := manyRows(1_000_000)
	t := filled(b, rows)
	b.Run("changes=100k", func(b *testing.B) {
		for range b.N {
			sink += uint64(NewDelta(t, rows[:100_000], nil).Growth())
		}
	})
}
