package store

import (
	"errors"

	"penstock/ctrl/model"
	"penstock/ctrl/store/file"
)

// CopyTo writes what the store holds, as of one revision, into a new file at path, and returns the revision. Writers go
// on meanwhile.
func (s *Store) CopyTo(path string) (revision uint64, err error) {
	if err := s.file.CopyTo(path); err != nil {
		return 0, err
	}
	return Examine(path)
}

// Examine reads a whole store that no box uses, which checks all of it, and returns its revision.
func Examine(path string) (revision uint64, err error) {
	s, err := examined(path)
	if err != nil {
		return 0, err
	}
	revision, err = s.Revision()
	return revision, errors.Join(err, s.Close())
}

// examined opens a store whose every value has been read.
func examined(path string) (*Store, error) {
	s, err := Open(path, Options{})
	if err != nil {
		return nil, err
	}
	if _, err = s.Load(); err == nil {
		err = s.EachBinding(func([]model.Binding) error { return nil })
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Lock keeps boxes from the store at path, damaged or absent as it may be, until release is called. The error wraps
// ErrLocked if a box has it.
func Lock(path string) (release func(), err error) { return file.Lock(path) }
