// Package profiles holds the built-in traffic mixes: *.toml, and what is generated from them for other generators
// (trex/, pktgen/). README.md says how to write one and how to use it.
package profiles

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:generate go run ./cmd/export-profiles

//go:embed *.toml
var files embed.FS

// Names returns the names of the built-in profiles, sorted.
func Names() []string {
	entries, err := fs.Glob(files, "*.toml")
	if err != nil {
		return nil // only a bad pattern is an error
	}
	for i, e := range entries {
		entries[i] = strings.TrimSuffix(e, ".toml")
	}
	slices.Sort(entries) // malformed before malformed-overlay
	return entries
}

// Read returns the text of a built-in profile.
func Read(name string) ([]byte, error) { return files.ReadFile(name + ".toml") }
