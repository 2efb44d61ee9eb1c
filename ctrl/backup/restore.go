package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"penstock/ctrl/store"
	"penstock/ctrl/store/file"
)

// Target is the box that an archive is put back onto.
type Target struct {
	State string // its state directory
	Box   string // its name
	Force bool   // take the archive of a box of another name
}

// Restored says what a restore did.
type Restored struct {
	Manifest *Manifest
	Kept     string // directory that has what was there before
	Config   []byte // the configuration that the archive has; nil = none
}

// OtherError says that an archive is of another box.
type OtherError struct{ Found, Want string }

func (e *OtherError) Error() string {
	return fmt.Sprintf("the archive is of the box %q, and this one is %q", e.Found, e.Want)
}

// Restore checks an archive, and puts what is in it into the state directory of a box that does not run. It does not
// touch the configuration. Errors wrap store.ErrLocked if the box runs, or are a *NewerError, an *OtherError, of
// Unpack, or of the file system; after any of them what was there is there again.
//
// What was there is linked into a directory first, and the tables come last: a restore that was interrupted can be
// repeated.
func Restore(archive io.Reader, t Target) (done *Restored, err error) {
	if err := os.MkdirAll(t.State, 0o750); err != nil {
		return nil, err
	}
	release, err := store.Lock(filepath.Join(t.State, Tables))
	if err != nil {
		return nil, err
	}
	defer release()
	from, err := os.MkdirTemp(t.State, Unpacked)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(from) // what stays is removed by the next start of the box
	m, err := Unpack(archive, from)
	if err != nil {
		return nil, err
	}
	if m.Box != t.Box && !t.Force {
		return nil, &OtherError{m.Box, t.Box}
	}
	done = &Restored{Manifest: m}
	if m.has(Config) {
		if done.Config, err = os.ReadFile(filepath.Join(from, Config)); err != nil {
			return nil, err
		}
	}
	done.Kept = filepath.Join(t.State, "before-restore-"+time.Now().UTC().Format("20060102T150405.000"))
	old, err := keep(t.State, done.Kept)
	if err != nil { // nothing was changed: what could not be kept must not be removed
		return nil, errors.Join(err, os.RemoveAll(done.Kept))
	}
	if err := swap(m, from, t.State, old); err != nil {
		return nil, errors.Join(err, putBack(old, done.Kept, t.State))
	}
	return done, nil
}

// link is os.Link, but in tests.
var link = os.Link

// keep links the files of the state directory into kept, and returns their names.
func keep(state, kept string) (names []string, err error) {
	entries, err := os.ReadDir(state)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(kept, 0o700); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := link(filepath.Join(state, e.Name()), filepath.Join(kept, e.Name())); err != nil {
			return names, err
		}
		names = append(names, e.Name())
	}
	return names, errors.Join(file.Own(state, kept), file.SyncDir(kept), file.SyncDir(state))
}

// swap removes the old files, and moves the new ones to their places.
func swap(m *Manifest, from, state string, old []string) error {
	var names []string
	for _, f := range m.Files {
		if f.Name != Tables && f.Name != Config {
			names = append(names, f.Name)
		}
	}
	names = append(names, Tables)
	for _, name := range old {
		if !slices.Contains(names, name) {
			if err := os.Remove(filepath.Join(state, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		path := filepath.Join(from, name)
		if err := file.Own(state, path); err != nil { // root restores, another user runs the box
			return err
		}
		if err := os.Rename(path, filepath.Join(state, name)); err != nil {
			return err
		}
	}
	return file.SyncDir(state)
}

// putBack makes the state directory what it was.
func putBack(old []string, kept, state string) error {
	var errs []error
	entries, err := os.ReadDir(state)
	errs = append(errs, err)
	for _, e := range entries {
		if e.Type().IsRegular() && !slices.Contains(old, e.Name()) {
			errs = append(errs, os.Remove(filepath.Join(state, e.Name())))
		}
	}
	for _, name := range old {
		errs = append(errs, os.Rename(filepath.Join(kept, name), filepath.Join(state, name)))
	}
	if err := os.RemoveAll(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, file.SyncDir(state))...); err != nil {
		return fmt.Errorf("what was there could not be put back, it is in %s: %w", kept, err)
	}
	return nil
}
