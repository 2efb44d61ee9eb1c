package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// A new file is made whole under the name PATH.new and then renamed: the file at the path is complete or damaged, and
// never the remains of an interrupted start.

// Open opens or creates the file at path. check, which may be nil, verifies the content or makes it: it runs in a
// transaction that may write when the file is new. Errors are a *CorruptError, a *LostError, ErrLocked, of check, or of
// the file system.
func Open(path string, o Options, check func(f *File, tx *bbolt.Tx) error) (*File, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	f := &File{path: path, o: o}
	fresh, err := f.fresh()
	if err != nil {
		return nil, err
	}
	err = f.guard(func() error {
		if fresh {
			return f.create(check)
		}
		return f.open(check)
	})
	if err == nil {
		return f, nil
	}
	if f.db != nil || f.corrupt.Load() != nil && f.file != nil {
		f.Close()
	}
	var ce *CorruptError
	var le *LostError
	switch {
	case errors.As(err, &ce), errors.As(err, &le):
		return nil, err
	case errors.Is(err, ErrLocked), errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: %w; end the other one, or configure another path", f.name(), ErrLocked)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err,
		berrors.ErrVersionMismatch):
		return nil, f.Corrupted("%v", err)
	}
	return nil, fmt.Errorf("open %s: %w", f.name(), err)
}

// LostError says that a file is missing that was there.
type LostError struct {
	File  string // what the file is, and its path
	Trace string // the files that prove it
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s is missing, and %s beside it shows that it was there. Restore it from a backup; "+
		"or, to begin with an empty one, move %s away too", e.File, e.Trace, e.Trace)
}

// fresh reports whether the file is to be made.
func (f *File) fresh() (bool, error) {
	st, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(f.path); err == nil {
			return false,
				fmt.Errorf("open %s: it is a symbolic link to a file that is not there; is a file system not mounted?",
					f.name())
		}
		var traces []string
		for _, t := range f.o.Traces {
			if _, err := os.Lstat(t); err == nil {
				traces = append(traces, t)
			}
		}
		if len(traces) > 0 {
			return false, &LostError{f.name(), strings.Join(traces, " and ")}
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("open %s: %w", f.name(), err)
	case !st.Mode().IsRegular():
		return false, fmt.Errorf("open %s: it is no regular file (%s)", f.name(), st.Mode())
	case st.Size() == 0:
		return false, f.Corrupted("it is empty, which a file that was ever in use is not")
	}
	return false, nil
}

// create makes the file.
func (f *File) create(check func(f *File, tx *bbolt.Tx) error) error {
	next := f.path + ".new"
	err := f.bolt(next, func(h *os.File) error {
		if err := lock(h, 0); err != nil {
			return err
		}
		return h.Truncate(0) // remains of an interrupted start
	})
	if err != nil {
		return err
	}
	if check != nil {
		if err := f.db.Update(func(tx *bbolt.Tx) error { return check(f, tx) }); err != nil {
			return err
		}
	}
	if !f.o.NoSync {
		if err := syncPath(filepath.Dir(f.path)); err != nil {
			return err
		}
	}
	err = unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, f.path, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOENT): // another process was faster
		return ErrLocked
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP):
		err = os.Rename(next, f.path) // a file system without RENAME_NOREPLACE
	}
	if err != nil {
		return err
	}
	return f.opened()
}

// open opens an existing file.
func (f *File) open(check func(f *File, tx *bbolt.Tx) error) error {
	err := f.bolt(f.path, func(h *os.File) error {
		if err := lock(h, f.o.LockTimeout); err != nil {
			return err
		}
		return f.checkPages(h)
	})
	if err != nil {
		return err
	}
	if check != nil {
		if err := f.db.View(func(tx *bbolt.Tx) error { return check(f, tx) }); err != nil {
			return err
		}
	}
	return f.opened()
}

// opened makes the file's name durable: an interrupted start may have renamed the file without that.
func (f *File) opened() error {
	if !f.o.NoSync {
		if err := SyncDir(filepath.Dir(f.path)); err != nil {
			return err
		}
	}
	return f.db.View(func(tx *bbolt.Tx) error {
		f.durable.Store(uint64(tx.ID()))
		return nil
	})
}

// bolt opens a file with bbolt, after look has checked it.
func (f *File) bolt(path string, look func(*os.File) error) (err error) {
	f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         f.o.LockTimeout,
		NoSync:          f.o.NoSync,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: f.o.MapSize,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			h, err := os.OpenFile(name, flag|unix.O_NONBLOCK, mode)
			if err != nil {
				return nil, err
			}
			if err := look(h); err != nil {
				h.Close()
				return nil, err
			}
			f.file = h
			return h, nil
		},
	})
	return err
}

// lock takes the lock that bbolt takes, within some time.
func lock(h *os.File, within time.Duration) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(h.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(end) {
			return ErrLocked
		}
	}
}

// Lock takes the lock of the file at path, whatever is in the file, until release is called. A file that is not there
// is made, and removed at release if it is still empty. The error wraps ErrLocked if a process has the file.
func Lock(path string) (release func(), err error) {
	h, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(h, 0); err != nil {
		h.Close() // nothing was written
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() {
		if st, err := os.Stat(path); err == nil && st.Size() == 0 {
			_ = os.Remove(path) // an empty file is as good as none
		}
		h.Close() // and with it the lock
	}, nil
}

// SyncDir makes the entries of a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// syncPath makes a directory's entry durable, and those of all directories above: any of them may be new. A
// directory that may not be read was not made by this process.
func syncPath(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for ; ; dir = filepath.Dir(dir) {
		if err := SyncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EINVAL) &&
			!errors.Is(err, unix.EROFS) {
			return err
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
