package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/model"
)

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func binding(tenant, segment string, mac uint64, version int) model.Binding {
	b := model.Binding{Tenant: tenant, Segment: segment, MAC: model.MAC(mac),
		SwitchMAC: model.MAC(0x020000aa0000 + version), SwitchPort: 7}
	if version%2 == 0 {
		b.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(mac >> 16), byte(mac >> 8), byte(mac)})}
	}
	if version%3 == 0 {
		b.Addresses = append(b.Addresses, netip.AddrFrom16([16]byte{0xfd, 15: byte(mac)}))
	}
	return b
}

// all reads every binding and fails if they are not in order.
func all(t testing.TB, s *Store) map[model.BindingKey]model.Binding {
	t.Helper()
	out := map[model.BindingKey]model.Binding{}
	last := ""
	err := s.EachBinding(func(bs []model.Binding) error {
		for _, b := range bs {
			k := b.Tenant + "/" + b.Segment + "/" + b.MAC.String()
			if k <= last {
				t.Errorf("%s comes behind %s", k, last)
			}
			last = k
			b.Addresses = slices.Clone(b.Addresses)
			out[b.BindingKey()] = b
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The packed blocks behave like a plain map, for any puts, deletes and replacements, and over restarts.
func TestBindingsAgainstMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	want := map[model.BindingKey]model.Binding{}
	ages := map[model.BindingKey]uint64{} // the revision of the last change
	rnd := rand.New(rand.NewPCG(1, 2))
	segs := [][2]string{{"RED", "a"}, {"RED", "a."}, {"RED", "ab"}, {"RED", "a-b"}, {"BLUE", "a"},
		{"BLUE.x", "a"}, {"BLUE", "web"}}
	for step := range 300 {
		rows, replace := NewRows(0), rnd.IntN(12) == 0
		n := 1 << rnd.IntN(11)
		space := uint64(1) << (4 + rnd.IntN(10))
		next := maps.Clone(want)
		if replace {
			next = map[model.BindingKey]model.Binding{}
		}
		last := map[model.BindingKey]bool{}
		for range n {
			sg := segs[rnd.IntN(len(segs))]
			b := binding(sg[0], sg[1], 0x020000000000+rnd.Uint64N(space), rnd.IntN(6))
			if replace || rnd.IntN(3) > 0 {
				rows.Put(&b)
				next[b.BindingKey()] = b
			} else {
				rows.Delete(b.BindingKey())
				delete(next, b.BindingKey())
			}
			last[b.BindingKey()] = true
		}
		rows.Sort()
		if rows.Len() != len(last) {
			t.Fatalf("step %d: %d rows, want %d", step, rows.Len(), len(last))
		}
		out, err := s.Commit(&Batch{Rows: rows, Replace: replace}, nil)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		created, updated, unchanged, removed := 0, 0, 0, 0
		for k := range ages {
			if _, stays := next[k]; !stays {
				delete(ages, k)
			}
		}
		for k, b := range next {
			if old, ok := want[k]; !ok || !reflect.DeepEqual(old, b) {
				ages[k] = out.Revision
			}
			old, ok := want[k]
			switch {
			case !ok:
				created++
			case !reflect.DeepEqual(old, b):
				updated++
			case last[k]:
				unchanged++
			}
		}
		for k := range want {
			if _, ok := next[k]; !ok {
				removed++
			}
		}
		if got := [4]int{out.Created, out.Updated, out.Unchanged, out.Removed.Len()}; got != [4]int{created,
			updated, unchanged, removed} {
			t.Fatalf("step %d (replace %v): created, updated, unchanged, removed = %v, want %v", step, replace, got,
				[4]int{created, updated, unchanged, removed})
		}
		sum := 0
		for _, d := range out.Segments {
			sum += d
		}
		if sum != created-removed {
			t.Fatalf("step %d: the segments' changes sum up to %d, want %d", step, sum, created-removed)
		}
		changed := 0
		rows.Each(true, func(bs []model.Binding) error { changed += len(bs); return nil })
		if changed != created+updated {
			t.Fatalf("step %d: %d changed rows handed out, want %d", step, changed, created+updated)
		}
		want = next
		if step%20 == 7 {
			s.Close()
			if s, err = Open(path, Options{NoSync: true}); err != nil {
				t.Fatal(err)
			}
		}
		if step%10 == 0 || step > 290 {
			if got := all(t, s); !reflect.DeepEqual(got, want) {
				t.Fatalf("step %d: the store differs from the map: %d and %d rows", step, len(got), len(want))
			}
			checkAges(t, s, ages)
		}
	}
	listed := map[model.BindingKey]model.Binding{}
	var after model.BindingKey
	for {
		p, err := s.List("", "", after, 17, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range p.Bindings {
			listed[b.BindingKey()] = b
		}
		if !p.More {
			break
		}
		if len(p.Bindings) != 17 {
			t.Fatalf("a page of %d bindings, want at most 17", len(p.Bindings))
		}
		after = p.Bindings[16].BindingKey()
	}
	if !reflect.DeepEqual(listed, want) {
		t.Fatalf("paging finds %d bindings, want %d", len(listed), len(want))
	}
	for k, b := range want {
		if got, err := s.Bindings([]model.BindingKey{k}); err != nil || !reflect.DeepEqual(got[k], b) {
			t.Fatalf("%s: %v, %v; want %v", k, got, err, b)
		}
	}
	p, err := s.List("BLUE", "", model.BindingKey{}, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for k := range want {
		if k.Tenant == "BLUE" {
			n++
		}
	}
	if len(p.Bindings) != n {
		t.Errorf("BLUE has %d bindings, listed %d", n, len(p.Bindings))
	}
}

func TestObjectsSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	mac := model.MAC(0x02aa)
	objs := []model.Object{
		model.Tenant{Name: "RED", ID: 7, RouterMAC: &mac, Labels: map[string]string{"a": "b"}},
		model.Segment{Tenant: "RED", Name: "web", ID: 1, UnknownUnicast: "flood"},
		model.Subnet{Tenant: "RED", Name: "w4", Segment: "web", Prefix: netip.MustParsePrefix("10.0.0.0/24"),
			Router: netip.MustParseAddr("10.0.0.1")},
		model.VIF{Tenant: "RED", Name: "vm", Segment: "web", MAC: 0x020000000001, Port: "acc0", VLAN: 5,
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		model.Path{A: 0x020000000a, B: 0x020000000b,
			VLANs: []model.PathVLAN{{VID: 10, Weight: 1}, {VID: 20, Weight: 100}}},
	}
	out, err := s.Commit(&Batch{Puts: objs}, nil)
	if err != nil || out.Revision != 1 {
		t.Fatal(out, err)
	}
	if err := s.SetEventMark(99); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path)
	st, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objs {
		if got, ok := st.Get(o.Kind(), o.Key()); !ok || !reflect.DeepEqual(got, o) {
			t.Errorf("%s/%s: %+v, want %+v", o.Kind(), o.Key(), got, o)
		}
	}
	if m, err := s.EventMark(); m != 99 || err != nil {
		t.Error(m, err)
	}
	boom := errors.New("boom")
	if _, err := s.Commit(&Batch{Deletes: []Ref{{Kind: model.KindTenant, Key: "RED"}}},
		func(*Outcome) error { return boom }); err != boom {
		t.Error(err)
	}
	if _, err := s.Commit(&Batch{Deletes: []Ref{{Kind: model.KindVIF, Key: "RED/vm"},
		{Kind: model.KindVIF, Key: "RED/none"}}}, nil); err != nil {
		t.Error(err)
	}
	if st, err := s.Load(); err != nil || len(st.Tenants) != 1 || len(st.VIFs) != 0 {
		t.Errorf("state %+v, error %v, want one tenant and no VIF", st, err)
	}
	if out, err := s.Commit(&Batch{}, nil); err != nil || out.Revision != 2 {
		t.Errorf("an empty batch: outcome %+v, error %v, want the revision unchanged", out, err)
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	open(t, path)
	if _, err := Open(path, Options{LockTimeout: 50e6}); !errors.Is(err, ErrLocked) ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

// Any damage of the file is reported without a panic, or all data is right.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var objs []model.Object
	for i := range 400 {
		objs = append(objs, model.Tenant{Name: fmt.Sprint("t", i), ID: uint32(i + 2)})
	}
	rows := NewRows(0)
	for i := range 5000 {
		b := binding("t1", "web", 0x020000000000+uint64(i*3), i)
		rows.Put(&b)
	}
	rows.Sort()
	if _, err := s.Commit(&Batch{Puts: objs, Rows: rows}, nil); err != nil {
		t.Fatal(err)
	}
	want := all(t, s)
	s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(good)
	for used > 4096 && slices.Max(good[used-4096:used]) == 0 {
		used -= 4096
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	found, intact := 0, 0
	try := func(what string, data []byte) {
		t.Helper()
		p := filepath.Join(dir, "bad")
		os.Remove(p)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		err := func() error {
			s, err := Open(p, Options{NoSync: true})
			if err != nil {
				return err
			}
			defer s.Close()
			st, err := s.Load()
			if err != nil {
				return err
			}
			n := 0
			if err := s.EachBinding(func(bs []model.Binding) error {
				for _, b := range bs {
					if !reflect.DeepEqual(want[b.BindingKey()], b) {
						t.Errorf("%s: a wrong binding was read: %+v, want an error", what, b)
					}
					n++
				}
				return nil
			}); err != nil {
				return err
			}
			// Without its newest head the file has the content of the commit before: empty and whole.
			if before := len(st.Tenants) == 0 && n == 0; !before && (len(st.Tenants) != 400 || n != 5000) {
				t.Errorf("%s: %d tenants and %d bindings were read, want an error, all or none",
					what, len(st.Tenants), n)
			}
			return nil
		}()
		if err == nil {
			intact++
			return
		}
		found++
		var ce *CorruptError
		if !errors.As(err, &ce) {
			t.Errorf("%s: error %v, want a CorruptError", what, err)
		} else if !strings.Contains(err.Error(), p) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: error %v, want the file and a remedy in it", what, err)
		}
	}
	for range 30 {
		n := 1 + rnd.IntN(used-1)
		try(fmt.Sprint("cut off at ", n), good[:n])
	}
	for range 150 {
		bad := slices.Clone(good)
		at := rnd.IntN(used)
		bad[at] ^= 1 << rnd.IntN(8)
		try(fmt.Sprint("bit flipped at ", at), bad)
	}
	for range 30 {
		bad := slices.Clone(good)
		page := rnd.IntN(used / 4096)
		clear(bad[page*4096 : page*4096+4096])
		try(fmt.Sprint("page zeroed: ", page), bad)
	}
	try("garbage", []byte(strings.Repeat("garbage ", 4096)))
	t.Logf("%d damages found, %d harmless", found, intact)
	if found < 100 {
		t.Errorf("%d damages were found, want more", found)
	}
}
