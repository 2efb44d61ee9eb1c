// Package file is a bbolt file that says when it is damaged, instead of taking the process with it: the tables' store
// and the spool of alarms lie in one each.
//
// bbolt itself panics on damaged pages, and a truncated file faults where it is mapped: every use goes through a guard
// that turns both into a CorruptError, after which the file refuses everything. Values carry a CRC over key and value
// (Seal, Unseal), since bbolt checks only its heads. Before bbolt sees a file, every page of it is checked (pages.go).
//
// The order is: open.go (how a file comes into being and is opened), file.go (reading and writing), commit.go (what
// becomes of a write that fails), pages.go (the check of the pages).
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
	LockTimeout time.Duration // how long to wait for another process to let go of the file; default 1 s
	MapSize     int           // octets of address space to begin with: readers need not wait for a growing file
	Traces      []string      // files that are made after this one: where one is and this one is not, this one was lost
}

// File is an open bbolt file. Writers wait for one another. Readers wait for nobody, except that one which begins while a
// commit writes the head of the file waits until it is known whether that is on disk.
type File struct {
	o       Options
	db      *bbolt.DB
	path    string
	file    *os.File // bbolt's
	corrupt atomic.Pointer[CorruptError]
	commit  sync.RWMutex  // held for writing by the one who commits
	writing atomic.Int64  // since when, in Unix nanoseconds; 0 = nobody does
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
// *UnknownError with Earlier unset, the file holds what it held before.
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
