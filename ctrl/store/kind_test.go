package store

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// without opens a store, removes a kind's table, and with count also the number of its objects, and opens it again.
func without(t *testing.T, kind model.Kind, count bool) (*Store, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "penstock.db")
	s, err := Open(path, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = s.file.Update(func(tx *bbolt.Tx) error {
		if count {
			if err := tx.Bucket(bucketMeta).Delete([]byte(keyCount + string(kind))); err != nil {
				return err
			}
		}
		return tx.DeleteBucket([]byte(kind))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return Open(path, Options{NoSync: true})
}

// TestNewKind: a file that is older than a kind is opened, and takes objects of the kind.
func TestNewKind(t *testing.T) {
	s, err := without(t, model.KindVIF, true)
	if err != nil {
		t.Fatalf("the file of an older version is refused: %v", err)
	}
	defer s.Close()
	vif := model.VIF{Tenant: "red", Name: "vm1", Segment: "web"}
	if _, err := s.Commit(&Batch{Puts: []model.Object{vif}}, nil); err != nil {
		t.Fatal(err)
	}
	st, err := s.Load()
	if err != nil || len(st.VIFs) != 1 {
		t.Errorf("the store holds %d VIFs, %v; want 1", len(st.VIFs), err)
	}
}

// TestLostTable: a missing table that the file counts is damage.
func TestLostTable(t *testing.T) {
	s, err := without(t, model.KindVIF, false)
	if err == nil {
		s.Close()
	}
	if _, ok := err.(*file.CorruptError); !ok {
		t.Errorf("a file without the table of VIFs gave %v, want a *CorruptError", err)
	}
}
