package store

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"penstock/ctrl/model"
)

func million() *Rows {
	r := NewRows(1 << 20)
	for i := range 1_000_000 {
		b := model.Binding{Tenant: "RED", Segment: fmt.Sprint("s", i/1000), MAC: model.MAC(0x020000000000 + i),
			SwitchMAC: model.MAC(0x02aa00000000 + i%500), SwitchPort: uint16(1 + i%48)}
		b.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
		r.Put(&b)
	}
	r.Sort()
	return r
}

func BenchmarkCommitMillion(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := open(b, filepath.Join(b.TempDir(), "db"))
		r := million()
		b.StartTimer()
		if _, err := s.Commit(&Batch{Rows: r}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplaceMillion(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "db"))
	r := million()
	if _, err := s.Commit(&Batch{Rows: r}, nil); err != nil {
		b.Fatal(err)
	}
	v := byte(0)
	for b.Loop() {
		v++
		for i := range r.index {
			r.index[i].mac &^= unchanged
			r.blob[r.index[i].off+11] = v
		}
		if _, err := s.Commit(&Batch{Rows: r, Replace: true}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadMillion(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "db"))
	if _, err := s.Commit(&Batch{Rows: million()}, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.EachBinding(func([]model.Binding) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSmallUpdate(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "db"))
	if _, err := s.Commit(&Batch{Rows: million()}, nil); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		r := NewRows(1)
		x := binding("RED", "s17", 0x020000000000+uint64(17000+i%1000), i)
		r.Put(&x)
		if _, err := s.Commit(&Batch{Rows: r}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
