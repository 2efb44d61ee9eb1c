package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// A commit of bbolt writes and syncs its pages, then writes and syncs one of the two heads (meta pages), which makes
// them valid. If the last sync fails, the head may be on disk or not, while bbolt and every reader see it in the page
// cache. So Update keeps the former content of the head's page, and restores that content when the commit fails. Once
// the restored head is on disk, nothing was changed. Until then the outcome is unknown, and Update refuses every write.

// UnknownError says that it is unknown whether a write is on disk. Readers of this process do not see that write.
type UnknownError struct {
	File    string // what the file is, and its path
	Err     error  // the disk's error
	Earlier bool   // the outcome of an earlier write is unknown: this write was refused, and changed nothing
}

func (e *UnknownError) Error() string {
	if e.Earlier {
		return fmt.Sprintf("%s takes no write, because it is unknown whether an earlier one is on disk: %v", e.File,
			e.Err)
	}
	return fmt.Sprintf("it is unknown whether this write to %s is on disk: %v", e.File, e.Err)
}

func (e *UnknownError) Unwrap() error { return e.Err }

// GoneError says that the open file is no longer the one at its path: it was removed or replaced.
type GoneError struct {
	File string // what it is, and its path
	Err  error  // of reading the path; nil = another file is there
	Copy string // path of the content while this process runs
}

func (e *GoneError) Error() string {
	what := "another file is in its place"
	if e.Err != nil {
		what = e.Err.Error()
	}
	return fmt.Sprintf("%s was removed or replaced under the running process (%s): nothing can be made durable. "+
		"Put it back; while the process runs its content is in %s", e.File, what, e.Copy)
}

func (e *GoneError) Unwrap() error { return e.Err }

// errEarly ends a reading transaction that sees a commit which may not be on disk.
var errEarly = errors.New("the commit is not durable yet")

// doubt is a head that is to be restored.
type doubt struct {
	head head
	err  error // why
}

// head is the former content of a head's page before a transaction.
type head struct {
	txid uint64 // of the transaction that overwrites it
	at   int64
	page []byte
}

func (f *File) name() string { return f.o.What + " " + f.path }

// update is Update without its checks.
func (f *File) update(fn func(tx *bbolt.Tx) error) error {
	var h *head
	err := f.db.Update(func(tx *bbolt.Tx) (err error) {
		if err = fn(tx); err == nil {
			h, err = f.head(tx)
		}
		return err
	})
	if h == nil {
		return err // of fn: no commit was tried
	}
	if err == nil {
		err = f.present()
	}
	if err == nil {
		f.durable.Store(h.txid)
		return nil
	}
	now := make([]byte, len(h.page))
	if _, e := f.file.ReadAt(now, h.at); e == nil && bytes.Equal(now, h.page) {
		return err // the head was not touched
	}
	f.doubt = &doubt{*h, err}
	if f.settle() != nil {
		return &UnknownError{File: f.name(), Err: err}
	}
	return err
}

func (f *File) head(tx *bbolt.Tx) (*head, error) {
	size := f.db.Info().PageSize
	h := &head{txid: uint64(tx.ID()), at: int64(tx.ID()%2) * int64(size), page: make([]byte, size)}
	_, err := f.file.ReadAt(h.page, h.at)
	return h, err
}

// settle restores the head of a doubt. The error is the disk's.
func (f *File) settle() error {
	if f.doubt == nil {
		return nil
	}
	_, err := f.file.WriteAt(f.doubt.head.page, f.doubt.head.at)
	if err == nil && !f.o.NoSync {
		err = unix.Fdatasync(int(f.file.Fd()))
	}
	if err != nil {
		return fmt.Errorf("%w (first %w)", err, f.doubt.err)
	}
	if err := f.reload(); err != nil {
		return err
	}
	f.doubt = nil
	return nil
}

// reload makes bbolt read its free pages again: its list belongs to the discarded head. bbolt reads them when a writing
// transaction ends in a panic.
func (f *File) reload() (err error) {
	type stop struct{}
	defer func() {
		if r := recover(); r != (stop{}) {
			panic(r)
		}
	}()
	err = f.db.Update(func(*bbolt.Tx) error { panic(stop{}) })
	if err == nil {
		err = errors.New("the free pages were not read again")
	}
	return err
}

// decided waits for a commit under way, and returns an UnknownError if its outcome is unknown.
func (f *File) decided() error {
	f.commit.RLock()
	defer f.commit.RUnlock()
	if e := f.corrupt.Load(); e != nil {
		return e
	}
	if f.doubt != nil {
		return &UnknownError{File: f.name(), Err: f.doubt.err, Earlier: true}
	}
	return nil
}

// present returns a GoneError unless the open file is the one at its path.
func (f *File) present() error {
	var open, named unix.Stat_t
	if err := unix.Fstat(int(f.file.Fd()), &open); err != nil {
		return fmt.Errorf("%s: %w", f.name(), err)
	}
	err := unix.Stat(f.path, &named)
	if err == nil && named.Dev == open.Dev && named.Ino == open.Ino {
		return nil
	}
	return &GoneError{File: f.name(), Err: err, Copy: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.file.Fd())}
}

// stalled is how long a write may take before Verify returns an error.
const stalled = 10 * time.Second

// Verify returns the reason why the file takes no writes; nil if none is known without writing. An unknown outcome of
// an earlier write is settled if the disk permits it.
func (f *File) Verify() error {
	return f.guard(func() error {
		if !f.commit.TryLock() {
			if since := f.writing.Load(); since != 0 && time.Since(time.Unix(0, since)) > stalled {
				return fmt.Errorf("a write to %s has not ended for %s: the disk hangs", f.name(), stalled)
			}
			return nil
		}
		f.writing.Store(time.Now().UnixNano())
		defer f.commit.Unlock()
		defer f.writing.Store(0)
		if err := f.settle(); err != nil {
			return &UnknownError{File: f.name(), Err: err, Earlier: true}
		}
		return f.present()
	})
}
