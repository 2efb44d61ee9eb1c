// Package file is a bbolt file that returns an error when it is damaged, instead of ending the process. The tables'
// store and the spool of alarms are one such file each.
//
// bbolt itself panics on damaged pages, and a truncated file faults where it is mapped: every use goes through a guard
// that turns both into a CorruptError, after which every use of the file returns that error. Values carry a CRC over
// key and value (Seal, Unseal), since bbolt checks only its heads. Before bbolt sees a file, every page of it is
// checked (pages.go).
//
// The order is: open.go (how a file is made and opened), file.go (reading and writing), commit.go (how a failed write
// is undone), pages.go (the check of the pages).
package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Options of Open.
type Options struct {
	What        string        // what the file is, for errors: "the store"
	Remedy      string        // what to do when it is damaged
	NoSync      bool          // tests only: do not fsync
	LockTimeout time.Duration // how long to wait for another process to release the file; default 1 s
	MapSize     int           // octets of address space to begin with: readers need not wait for a growing file
	// files that are made after this one: if one exists and this one does not, this one was lost
	Traces []string
}

// File is an open bbolt file. Writers wait for one another. Readers do not wait, with one
// exception: a reader that begins while a commit writes the head of the file waits until the outcome is known.
type File struct {
	o       Options
	db      *bbolt.DB
	path    string
	file    *os.File // bbolt's
	corrupt atomic.Pointer[CorruptError]
	commit  sync.RWMutex  // held for writing during a commit
	writing atomic.Int64  // start of the write under way, in Unix nanoseconds; 0 = none
	durable atomic.Uint64 // the last transaction that is known to be on disk
	doubt   *doubt        // under commit
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

// Close releases the file.
func (f *File) Close() error {
	if f.corrupt.Load() != nil { // bbolt's own locks may never be released
		// bbolt's mapping keeps the file open, and with it the lock.
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

// foreign passes a panic of the caller's code through guard.
type foreign struct{ value any }

// Caller runs code of the caller's caller inside View or Update: its panics stay panics, and are no damage of the file.
func Caller(fn func() error) error {
	defer func() {
		if r := recover(); r != nil {
			panic(foreign{r})
		}
	}()
	return fn()
}

// View runs fn in a reading transaction, which sees only what is on disk.
func (f *File) View(fn func(tx *bbolt.Tx) error) error {
	return f.guard(func() error {
		for {
			err := f.db.View(func(tx *bbolt.Tx) error {
				if uint64(tx.ID()) > f.durable.Load() {
					return errEarly
				}
				return fn(tx)
			})
			if !errors.Is(err, errEarly) {
				return err
			}
			if err := f.decided(); err != nil {
				return err
			}
		}
	})
}

// Update runs fn in a writing transaction, which is durable when Update returns nil. After any other error than an
// *UnknownError with Earlier unset, the content of the file is unchanged.
func (f *File) Update(fn func(tx *bbolt.Tx) error) error {
	return f.guard(func() error {
		f.commit.Lock()
		f.writing.Store(time.Now().UnixNano())
		defer f.commit.Unlock()
		defer f.writing.Store(0)
		if err := f.settle(); err != nil {
			return &UnknownError{File: f.name(), Err: err, Earlier: true}
		}
		if err := f.present(); err != nil {
			return err
		}
		return f.update(fn)
	})
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
