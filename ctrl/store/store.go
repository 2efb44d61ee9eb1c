// Package store keeps the pushed tables on disk (bbolt).
package store

import "errors"

// Options of Open.
type Options struct {
	NoSync bool // tests only: do not fsync
}

// Store is an open database. One writer; readers do not wait for it.
type Store struct{}

// Open opens or creates the database file at path.
func Open(path string, o Options) (*Store, error) { return nil, errors.New("store: not built yet") }

// Close releases the file.
func (s *Store) Close() error { return nil }
