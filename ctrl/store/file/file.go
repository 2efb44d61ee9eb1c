// Package file is a bbolt file that says when it is damaged, instead of taking the process with it: the tables' store
// and the spool of alarms lie in one each.
//
// bbolt itself panics on damaged pages, and a truncated file faults where it is mapped: every use goes through a guard
// that turns both into a CorruptError, after which the file refuses everything. Values carry a CRC over key and value
// (Seal, Unseal), since bbolt checks only its heads.
package file

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
	"golang.org/x/sys/unix"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options of Open.
type Options struct {
	What        string        // what the file is, for errors: "the store"
	Remedy      string        // what to do when it is damaged
	NoSync      bool          // tests only: do not fsync
	LockTimeout time.Duration // how long to wait for another process to let go of the file; default 1 s
	MapSize     int           // octets of address space to begin with: readers need not wait for a growing file
}

// File is an open bbolt file. Writers wait for one another, readers for nobody.
type File struct {
	o       Options
	db      *bbolt.DB
	path    string
	file    *os.File // bbolt's
	corrupt atomic.Pointer[CorruptError]
}

// CorruptError says that the file is damaged.
type CorruptError struct {
	Path   string
	Detail string
	What   string
	Remedy string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s %s is damaged: %s. %s", e.What, e.Path, e.Detail, e.Remedy)
}

// ErrLocked is wrapped by Open when another process has the file.
var ErrLocked = errors.New("another process uses it")

// Open opens or creates the file at path. check, which may be nil, looks at the content or makes it: it runs in a
// transaction that may write when the file is new. Errors are a *CorruptError, ErrLocked, of check, or of the file
// system.
func Open(path string, o Options, check func(f *File, tx *bbolt.Tx) error) (*File, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	f := &File{path: path, o: o}
	st, statErr := os.Stat(path)
	fresh := statErr != nil || st.Size() == 0
	if !fresh && st.Size() < int64(2*os.Getpagesize()) {
		return nil, f.Corrupted("it is truncated: %d octets are less than its head", st.Size())
	}
	err := f.guard(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         o.LockTimeout,
			NoSync:          o.NoSync,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: o.MapSize,
			NoStatistics:    true,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				h, err := os.OpenFile(name, flag, mode)
				f.file = h
				return h, err
			},
		})
		if err != nil {
			return err
		}
		return f.check(check)
	})
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open %s %s: %w; end the other one, or configure another path", o.What, path, ErrLocked)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, f.Corrupted("%v", err)
	default:
		if f.db != nil || f.corrupt.Load() != nil {
			f.Close()
		}
		var ce *CorruptError
		if errors.As(err, &ce) {
			return nil, err
		}
		return nil, fmt.Errorf("open %s %s: %w", o.What, path, err)
	}
	if errors.Is(statErr, os.ErrNotExist) && !o.NoSync {
		if err := syncDir(filepath.Dir(path)); err != nil {
			f.Close()
			return nil, fmt.Errorf("open %s %s: %w", o.What, path, err)
		}
	}
	return f, nil
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

// check looks at the file's size and calls the caller's check: in a reading transaction, or in a writing one when there
// is nothing in the file yet.
func (f *File) check(check func(f *File, tx *bbolt.Tx) error) error {
	st, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	empty := true
	err = f.db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > st.Size() {
			return f.Corrupted("it is truncated: %d octets of %d", st.Size(), tx.Size())
		}
		if k, _ := tx.Cursor().First(); k != nil {
			empty = false
		}
		if check == nil || empty {
			return nil
		}
		return check(f, tx)
	})
	if err != nil || check == nil || !empty {
		return err
	}
	return f.db.Update(func(tx *bbolt.Tx) error { return check(f, tx) })
}

// Close releases the file.
func (f *File) Close() error {
	if f.corrupt.Load() != nil { // bbolt's own locks may be held for ever
		// What bbolt has mapped keeps the file open, and with it the lock.
		_ = unix.Flock(int(f.file.Fd()), unix.LOCK_UN)
		return f.file.Close()
	}
	return f.db.Close()
}

// Path returns the path of the file.
func (f *File) Path() string { return f.path }

// Corrupted makes a CorruptError of this file.
func (f *File) Corrupted(format string, args ...any) error {
	return &CorruptError{f.path, fmt.Sprintf(format, args...), f.o.What, f.o.Remedy}
}

// guard runs fn and returns a panic or memory fault in it as a CorruptError, which also ends the use of the file.
func (f *File) guard(fn func() error) (err error) {
	if e := f.corrupt.Load(); e != nil {
		return e
	}
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if x, ok := r.(foreign); ok {
				panic(x.value)
			}
			e := f.Corrupted("%v", r).(*CorruptError)
			f.corrupt.Store(e)
			err = e
		}
	}()
	return fn()
}

// foreign carries a panic of the caller's code through guard.
type foreign struct{ value any }

// Caller runs code of the caller's caller inside View or Update: its panics are its own, and no damage of the file.
func Caller(fn func() error) error {
	defer func() {
		if r := recover(); r != nil {
			panic(foreign{r})
		}
	}()
	return fn()
}

// View runs fn in a reading transaction.
func (f *File) View(fn func(tx *bbolt.Tx) error) error {
	return f.guard(func() error { return f.db.View(fn) })
}

// Update runs fn in a writing transaction, which is durable when Update returns nil.
func (f *File) Update(fn func(tx *bbolt.Tx) error) error {
	return f.guard(func() error { return f.db.Update(fn) })
}

// Seal appends the checksum of key and value; Unseal verifies and removes it.
func Seal(key, v []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, v)
	return binary.LittleEndian.AppendUint32(v, sum)
}

// Unseal returns the value that Seal sealed, which is valid as long as the transaction; or a CorruptError.
func (f *File) Unseal(key, v []byte) ([]byte, error) {
	if len(v) < 4 {
		return nil, f.Corrupted("the value of %q is missing or cut off", key)
	}
	n := len(v) - 4
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, v[:n]) != binary.LittleEndian.Uint32(v[n:]) {
		return nil, f.Corrupted("the value of %q has a wrong checksum", key)
	}
	return v[:n:n], nil
}

// PutUint stores a number, sealed.
func PutUint(b *bbolt.Bucket, key []byte, u uint64) error {
	return b.Put(key, Seal(key, binary.AppendUvarint(nil, u)))
}

// Uint reads what PutUint stored.
func (f *File) Uint(b *bbolt.Bucket, key []byte) (uint64, error) {
	v, err := f.Unseal(key, b.Get(key))
	if err != nil {
		return 0, err
	}
	u, n := binary.Uvarint(v)
	if n != len(v) {
		return 0, f.Corrupted("the value of %q is not a number", key)
	}
	return u, nil
}
