package store

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// checkAges compares the ages of all bindings, and of an absent one, with want.
func checkAges(t *testing.T, s *Store, want map[model.BindingKey]uint64) {
	t.Helper()
	keys := []model.BindingKey{{Tenant: "nobody", Segment: "none", MAC: 0x02}}
	for k := range want {
		keys = append(keys, k)
	}
	got, err := s.Ages(keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if got[i] != want[k] {
			t.Fatalf("binding %v is of age %d, want %d", k, got[i], want[k])
		}
	}
}

// A file of layout 1, whose blocks have no ages, is read as it is. The first write of bindings makes it a file of
// layout 2, and the written rows have ages.
func TestLayoutWithoutAges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	rows, want := NewRows(0), map[model.BindingKey]uint64{}
	for mac := range uint64(300) {
		b := binding("RED", "web", 0x020000000000+mac, int(mac)%6)
		rows.Put(&b)
		want[b.BindingKey()] = 0
	}
	rows.Sort()
	if _, err := s.Commit(&Batch{Rows: rows}, nil); err != nil {
		t.Fatal(err)
	}
	// Layout 1: the blocks without the row of the age.
	err := s.file.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(model.KindBinding))
		blocks := map[string][]byte{}
		err := b.ForEach(func(k, v []byte) error {
			v, err := s.file.Unseal(k, v)
			if age, rows := splitBlock(v); err != nil || age != 1 {
				t.Errorf("block %q: age %d, error %v", k, age, err)
			} else {
				blocks[string(k)] = append([]byte(nil), rows...)
			}
			return nil
		})
		for k, v := range blocks {
			if err == nil {
				err = b.Put([]byte(k), file.Seal([]byte(k), v))
			}
		}
		if err != nil {
			return err
		}
		return file.PutUint(tx.Bucket(bucketMeta), keySchema, oldSchema)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if n := len(all(t, s)); n != len(want) {
		t.Fatalf("%d bindings, want %d", n, len(want))
	}
	checkAges(t, s, want)
	one := NewRows(0)
	b := binding("RED", "web", 0x020000000007, 4)
	one.Put(&b)
	if _, err := s.Commit(&Batch{Rows: one}, nil); err != nil {
		t.Fatal(err)
	}
	want[b.BindingKey()] = 2
	checkAges(t, s, want)
	if n, err := s.metaUint(keySchema); err != nil || n != schema {
		t.Errorf("layout %d, error %v; want %d", n, err, schema)
	}
}
