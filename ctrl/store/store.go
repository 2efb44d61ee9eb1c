// Package store keeps the pushed state on disk, in one bbolt file: every commit is whole or absent and fsynced before
// Commit returns.
//
// Small tables are one value per object. Bindings are packed: a value is a block of up to maxBlock rows of one segment,
// sorted by MAC, under the key TENANT/SEGMENT/ + first MAC. A million bindings are then some five thousand values,
// written in a fraction of a second, while a single change rewrites one block. Rejected: one value per binding, ten
// times slower to push and to load.
//
// Every value ends with a CRC over key and value, and the meta bucket counts the objects of each kind, so that a
// damaged file is refused at start (store/file).
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// schema is the version of the file's layout. Layout 1 has no ages of bindings: it is read as well, and becomes layout
// 2 when bindings are written.
const (
	schema    = Layout
	oldSchema = 1
)

// Layout is the newest layout of the file.
const Layout = 2

var (
	bucketMeta = []byte("meta")
	keySchema  = []byte("schema")
	keyRev     = []byte("revision")
	keyEvents  = []byte("event_mark")
	keyCount   = "count_"
)

// Options of Open.
type Options struct {
	NoSync      bool          // tests only: do not fsync
	LockTimeout time.Duration // how long to wait for another process to release the file; default 1 s
	Traces      []string      // files that are made after the store: if one exists, a missing store was lost
}

// Store is an open database. Writers wait for one another, readers do not wait.
type Store struct{ file *file.File }

// CorruptError says that the file is damaged.
type CorruptError = file.CorruptError

// UnknownError says that it is unknown whether a write is on disk.
type UnknownError = file.UnknownError

// LostError says that the file is missing although it existed.
type LostError = file.LostError

// ErrLocked is wrapped by Open when another process has the file.
var ErrLocked = file.ErrLocked

// Open opens or creates the database file at path. Errors are a *CorruptError, a *LostError, ErrLocked, or of
// the file system.
func Open(path string, o Options) (*Store, error) {
	s := &Store{}
	f, err := file.Open(path, file.Options{
		What: "the store",
		Remedy: "Restore it from a backup; or move all files of its directory away, start again and " +
			"push the tables anew",
		NoSync: o.NoSync, LockTimeout: o.LockTimeout, MapSize: 1 << 30, Traces: o.Traces,
	}, check)
	if err != nil {
		return nil, err
	}
	s.file = f
	if err := s.addKinds(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// addKinds makes the tables of kinds that are newer than the file.
func (s *Store) addKinds() error {
	var added []model.Kind
	err := s.file.View(func(tx *bbolt.Tx) error {
		for _, k := range model.Kinds {
			if tx.Bucket([]byte(k)) == nil {
				added = append(added, k)
			}
		}
		return nil
	})
	if err != nil || len(added) == 0 {
		return err
	}
	return s.file.Update(func(tx *bbolt.Tx) error { return createKinds(tx, added) })
}

// check verifies the file's schema, and creates the buckets of a new file.
func check(f *file.File, tx *bbolt.Tx) error {
	m := tx.Bucket(bucketMeta)
	switch {
	case m == nil && tx.Writable():
		return create(tx)
	case m == nil:
		return f.Corrupted("the table meta is missing")
	}
	v, err := f.Unseal(keySchema, m.Get(keySchema))
	if err != nil {
		return err
	}
	if n, _ := binary.Uvarint(v); n != schema && n != oldSchema {
		return fmt.Errorf("it has the layout %d, this version of penstock knows %d: start the version that wrote it", n,
			schema)
	}
	for _, k := range model.Kinds {
		if tx.Bucket([]byte(k)) == nil && m.Get([]byte(keyCount+string(k))) != nil {
			return f.Corrupted("the table %s is missing", k)
		}
	}
	return nil
}

// raiseSchema sets the schema of the file to the newest layout.
func (s *Store) raiseSchema(tx *bbolt.Tx) error {
	m := tx.Bucket(bucketMeta)
	if n, err := s.file.Uint(m, keySchema); err != nil || n == schema {
		return err
	}
	return file.PutUint(m, keySchema, schema)
}

func create(tx *bbolt.Tx) error {
	m, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	return errors.Join(createKinds(tx, model.Kinds), file.PutUint(m, keySchema, schema), file.PutUint(m, keyRev, 0),
		file.PutUint(m, keyEvents, 0))
}

func createKinds(tx *bbolt.Tx, kinds []model.Kind) error {
	for _, k := range kinds {
		if _, err := tx.CreateBucketIfNotExists([]byte(k)); err != nil {
			return err
		}
		if err := file.PutUint(tx.Bucket(bucketMeta), []byte(keyCount+string(k)), 0); err != nil {
			return err
		}
	}
	return nil
}

// Close releases the file.
func (s *Store) Close() error { return s.file.Close() }

// Path returns the path of the file.
func (s *Store) Path() string { return s.file.Path() }

// Verify returns the reason why the store takes no writes; nil if none is known without a write. An unknown outcome of
// an earlier write is settled if the disk permits it.
func (s *Store) Verify() error { return s.file.Verify() }

// Revision returns the number of transactions committed since the file was made.
func (s *Store) Revision() (rev uint64, err error) { return s.metaUint(keyRev) }

// EventMark returns the mark that SetEventMark stored last.
func (s *Store) EventMark() (uint64, error) { return s.metaUint(keyEvents) }

func (s *Store) metaUint(key []byte) (u uint64, err error) {
	err = s.file.View(func(tx *bbolt.Tx) (err error) {
		u, err = s.file.Uint(tx.Bucket(bucketMeta), key)
		return err
	})
	return u, err
}

// SetEventMark makes the sequence number durable below which all event numbers count as used.
func (s *Store) SetEventMark(mark uint64) error {
	return s.file.Update(func(tx *bbolt.Tx) error { return file.PutUint(tx.Bucket(bucketMeta), keyEvents, mark) })
}
