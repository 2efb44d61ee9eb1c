// Package backup packs what a box has stored into one archive, checks archives, and puts one back.
//
// An archive is a tar file: the manifest first, then the files that it names, in its order. An archive is the same,
// octet for octet, whenever it is made of the same files and the same manifest, and Unpack holds every octet to that.
package backup

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/store"
)

// Format is the newest form of archives that this package knows; it reads all before.
const Format = 1

// Names of files of an archive.
const (
	Tables = "penstock.db"
	Alarms = "alarms.db"
	Config = "penstock.toml"

	// Unpacked begins the name of a directory in which an archive is unpacked.
	Unpacked = "restore-"

	manifestName = "manifest.json"
)

const (
	maxManifest = 1 << 20 // octets
	maxFiles    = 64
)

// Manifest says what is in an archive.
type Manifest struct {
	Format   int               `json:"format"`
	Layouts  map[string]uint64 `json:"layouts"` // of the files that have numbered ones: the tables, the alarms
	Version  string            `json:"version"` // of the program that made it
	Box      string            `json:"box"`     // name
	Revision uint64            `json:"revision"`
	Made     time.Time         `json:"made"`
	Files    []File            `json:"files"`
}

// File is a file of an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // octets
	SHA256 string `json:"sha256"`
}

// NewerError says that an archive was made by a newer program.
type NewerError struct {
	What         string // "the archive", or a file of it
	Found, Known uint64
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has the format %d, this version of penstock knows up to %d: use the version that made it",
		e.What, e.Found, e.Known)
}

// layouts are the newest layouts that this program reads.
func layouts() map[string]uint64 {
	return map[string]uint64{Tables: store.Layout, Alarms: alarm.Layout}
}

// SpaceError says that the disk has no room for a copy.
type SpaceError struct {
	Dir        string
	Need, Free int64 // octets
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("a backup needs %d MiB in %s, where %d MiB are free", e.Need>>20, e.Dir, e.Free>>20)
}

// has reports whether the archive has a file.
func (m *Manifest) has(name string) bool {
	return slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == name })
}

func parseManifest(text []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", manifestName, err)
	}
	if m.Format < 1 {
		return nil, fmt.Errorf("%s names no format: this is no archive of penstock backup", manifestName)
	}
	if m.Format > Format {
		return nil, &NewerError{"the archive", uint64(m.Format), Format}
	}
	known := layouts()
	for name, n := range m.Layouts {
		if most, ok := known[name]; !ok || n > most {
			return nil, &NewerError{name, n, most}
		}
	}
	if len(m.Files) > maxFiles {
		return nil, fmt.Errorf("%s names %d files, more than %d", manifestName, len(m.Files), maxFiles)
	}
	seen := map[string]bool{manifestName: true}
	for _, f := range m.Files {
		sum, err := hex.DecodeString(f.SHA256)
		if seen[f.Name] || f.Name == "" || f.Name[0] == '.' || f.Name != filepath.Base(f.Name) || f.Size < 0 ||
			err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("%s describes the file %q in a way that no archive has", manifestName, f.Name)
		}
		seen[f.Name] = true
	}
	if !m.has(Tables) {
		return nil, fmt.Errorf("%s does not name %s", manifestName, Tables)
	}
	return m, nil
}
