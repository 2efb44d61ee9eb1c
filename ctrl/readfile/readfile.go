// Package readfile reads small files that others write: configuration, secrets, certificates, saved states. It reads
// regular files only, up to a size, so that no pipe, device or endlessly growing file blocks the caller.
package readfile

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Regular returns the content of a regular file of at most most octets. A file system that hangs blocks it.
func Regular(path string, most int64) ([]byte, error) {
	// Non-blocking: opening a pipe without a writer would block.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file (%s)", path, st.Mode())
	}
	return Limited(f, path, most)
}

// Limited reads r to its end, which must come within most octets. Errors call r by name.
func Limited(r io.Reader, name string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is larger than %d octets", name, most)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
