package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"penstock/ctrl/store/file"
)

// compactSuffix ends the name of an unfinished copy.
const compactSuffix = ".compact"

// Compact replaces the database file at path by a copy without free pages, and returns the sizes before and after, in
// octets. No box may use the file: else the error wraps ErrLocked. The copy is read and compared before it replaces the
// file, in one step: after an interruption at any
// moment the file is whole, the old or the new one.
func Compact(path string) (before, after int64, err error) {
	path, err = filepath.EvalSymlinks(path) // the copy goes to the disk of the file, not of a link to it
	if err != nil {                         // Open would make a new file
		return 0, 0, fmt.Errorf("compact the store: %w", err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		return 0, 0, err
	}
	defer s.Close() // and with it the lock, after the copy is in place
	fail := func(what string, err error) (int64, int64, error) {
		return 0, 0, errors.Join(fmt.Errorf("compact the store %s: %s: %w; the file is as it was", path, what, err),
			remove(path+compactSuffix))
	}
	if before, err = size(path); err != nil {
		return fail("read its attributes", err)
	}
	if err := remove(path + compactSuffix); err != nil {
		return fail("remove an unfinished copy", err)
	}
	if err := s.file.CopyTo(path + compactSuffix); err != nil {
		return fail("copy it", err)
	}
	if err := s.same(path + compactSuffix); err != nil {
		return fail("check the copy", err)
	}
	if after, err = size(path + compactSuffix); err != nil {
		return fail("read the attributes of the copy", err)
	}
	if err := adopt(path, path+compactSuffix); err != nil {
		return fail("give the copy the file's owner", err)
	}
	if err := os.Rename(path+compactSuffix, path); err != nil {
		return fail("rename the copy to it", err)
	}
	if err := file.SyncDir(filepath.Dir(path)); err != nil {
		return 0, 0, fmt.Errorf("compact the store %s: it is done, but may not survive a power cut: %w", path, err)
	}
	return before, after, nil
}

// same reads a copy, which checks its checksums and counts, and compares its revision, marks and counts with the file.
func (s *Store) same(path string) error {
	c, err := examined(path)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, of := range []func(*Store) (uint64, error){(*Store).Revision, (*Store).EventMark} {
		want, err := of(s)
		if err != nil {
			return err
		}
		if have, err := of(c); err != nil || have != want {
			return errors.Join(err, fmt.Errorf("it holds %d where the file holds %d", have, want))
		}
	}
	return nil
}

// adopt gives a file owner, group and mode of another file: another user than the box's may compact.
func adopt(from, to string) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	return errors.Join(file.Own(from, to), os.Chmod(to, st.Mode().Perm()))
}

func size(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
