// Package store keeps what was pushed on disk, in one bbolt file: every commit is whole or absent and fsynced before
// Commit returns.
//
// Small tables are one value per object. Bindings are packed: a value is a block of up to maxBlock rows of one segment,
// sorted by MAC, under the key TENANT/SEGMENT/ + first MAC. A million bindings are then some five thousand values,
// written in a fraction of a second, while a single change rewrites one block. Lost: one value per binding, ten times
// slower to push and to load.
//
// Every value ends with a CRC over key and value, and the meta bucket counts the objects of each kind, so that a
// damaged file is refused at start. bbolt itself panics on damaged pages, and a truncated file faults where it is
// mapped: guard turns both into a CorruptError, after which the store refuses everything.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"penstock/ctrl/model"
)

// schema is the version of the file's layout.
const schema = 1

var (
	bucketMeta = []byte("meta")
	keySchema  = []byte("schema")
	keyRev     = []byte("revision")
	keyEvents  = []byte("event_mark")
	keyCount   = "count_"

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Options of Open.
type Options struct {
	NoSync      bool          // tests only: do not fsync
	LockTimeout time.Duration // how long to wait for another process to let go of the file; default 1 s
}

// Store is an open database. Writers wait for one another, readers for nobody.
type Store struct {
	db      *bbolt.DB
	path    string
	file    *os.File // bbolt's
	corrupt atomic.Pointer[CorruptError]
}

// CorruptError says that the file is damaged.
type CorruptError struct {
	Path   string
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the store %s is damaged: %s. Restore it from a backup, or move it away, start again and push the tables anew", e.Path, e.Detail)
}

// ErrLocked is wrapped by Open when another process has the file.
var ErrLocked = errors.New("another process uses it")

// Open opens or creates the database file at path. Errors are a *CorruptError, ErrLocked, or of the file system.
func Open(path string, o Options) (*Store, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	s := &Store{path: path}
	st, statErr := os.Stat(path)
	if statErr == nil && st.Size() > 0 && st.Size() < int64(2*os.Getpagesize()) {
		return nil, s.corrupted("it is truncated: %d octets are less than its head", st.Size())
	}
	err := s.guard(func() (err error) {
		s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         o.LockTimeout,
			NoSync:          o.NoSync,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: 1 << 30, // address space only: readers need not wait for a growing file
			NoStatistics:    true,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				s.file = f
				return f, err
			},
		})
		if err != nil {
			return err
		}
		return s.check()
	})
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open the store %s: %w; end the other one, or configure another path", path, ErrLocked)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, &CorruptError{path, err.Error()}
	default:
		if s.db != nil || s.corrupt.Load() != nil {
			s.Close()
		}
		var ce *CorruptError
		if errors.As(err, &ce) {
			return nil, err
		}
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	if errors.Is(statErr, os.ErrNotExist) && !o.NoSync {
		if err := syncDir(filepath.Dir(path)); err != nil {
			s.Close()
			return nil, fmt.Errorf("open the store %s: %w", path, err)
		}
	}
	return s, nil
}

// syncDir makes a new file's directory entry durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// check looks at the file's size and schema, and creates the buckets of a new file.
func (s *Store) check() error {
	st, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	fresh := false
	err = s.db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > st.Size() {
			return s.corrupted("it is truncated: %d octets of %d", st.Size(), tx.Size())
		}
		m := tx.Bucket(bucketMeta)
		if m == nil {
			fresh = true
			return nil
		}
		v, err := s.open(keySchema, m.Get(keySchema))
		if err != nil {
			return err
		}
		if n, _ := binary.Uvarint(v); n != schema {
			return fmt.Errorf("it has the layout %d, this version of penstock knows %d: start the version that wrote it", n, schema)
		}
		for _, k := range model.Kinds {
			if tx.Bucket([]byte(k)) == nil {
				return s.corrupted("the table %s is missing", k)
			}
		}
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		m, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		for _, k := range model.Kinds {
			if _, err := tx.CreateBucketIfNotExists([]byte(k)); err != nil {
				return err
			}
			if err := putUint(m, []byte(keyCount+string(k)), 0); err != nil {
				return err
			}
		}
		return errors.Join(putUint(m, keySchema, schema), putUint(m, keyRev, 0), putUint(m, keyEvents, 0))
	})
}

// Close releases the file.
func (s *Store) Close() error {
	if s.corrupt.Load() != nil {
		return s.file.Close() // bbolt's own locks may be held for ever
	}
	return s.db.Close()
}

// Path returns the path of the file.
func (s *Store) Path() string { return s.path }

func (s *Store) corrupted(format string, args ...any) error {
	return &CorruptError{s.path, fmt.Sprintf(format, args...)}
}

// guard runs f and returns a panic or memory fault in it as a CorruptError, which also ends the use of the store.
func (s *Store) guard(f func() error) (err error) {
	if e := s.corrupt.Load(); e != nil {
		return e
	}
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if f, ok := r.(foreign); ok {
				panic(f.value)
			}
			e := &CorruptError{s.path, fmt.Sprint(r)}
			s.corrupt.Store(e)
			err = e
		}
	}()
	return f()
}

// foreign carries a panic of the caller's code through guard.
type foreign struct{ value any }

// caller runs code of the caller inside guard: its panics are its own.
func caller(f func() error) error {
	defer func() {
		if r := recover(); r != nil {
			panic(foreign{r})
		}
	}()
	return f()
}

// seal appends the checksum of key and value; open verifies and removes it.
func seal(key, v []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, v)
	return binary.LittleEndian.AppendUint32(v, sum)
}

func (s *Store) open(key, v []byte) ([]byte, error) {
	if len(v) < 4 {
		return nil, s.corrupted("the value of %q is missing or cut off", key)
	}
	n := len(v) - 4
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, v[:n]) != binary.LittleEndian.Uint32(v[n:]) {
		return nil, s.corrupted("the value of %q has a wrong checksum", key)
	}
	return v[:n:n], nil
}

func putUint(b *bbolt.Bucket, key []byte, u uint64) error {
	return b.Put(key, seal(key, binary.AppendUvarint(nil, u)))
}

func (s *Store) getUint(b *bbolt.Bucket, key []byte) (uint64, error) {
	v, err := s.open(key, b.Get(key))
	if err != nil {
		return 0, err
	}
	u, n := binary.Uvarint(v)
	if n != len(v) {
		return 0, s.corrupted("the value of %q is not a number", key)
	}
	return u, nil
}

// Revision returns the number of transactions committed since the file was made.
func (s *Store) Revision() (rev uint64, err error) { return s.metaUint(keyRev) }

// EventMark returns the mark that SetEventMark stored last.
func (s *Store) EventMark() (uint64, error) { return s.metaUint(keyEvents) }

func (s *Store) metaUint(key []byte) (u uint64, err error) {
	err = s.view(func(tx *bbolt.Tx) (err error) {
		u, err = s.getUint(tx.Bucket(bucketMeta), key)
		return err
	})
	return u, err
}

// SetEventMark makes the sequence number durable below which all event numbers count as used.
func (s *Store) SetEventMark(mark uint64) error {
	return s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return putUint(tx.Bucket(bucketMeta), keyEvents, mark) })
	})
}

func (s *Store) view(f func(tx *bbolt.Tx) error) error {
	return s.guard(func() error { return s.db.View(f) })
}
