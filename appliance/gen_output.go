package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// genOutput is the destination of the result.
type genOutput struct {
	f *genFlags
	// file is a temporary file beside path; it replaces path when it is complete. With an empty path it is a device or
	// a pipe, which is written to directly. nil: the result is not written to a file.
	file *os.File
	path string
	mode fs.FileMode // for path
}

// output checks before the measurement that its result can be written.
func (f *genFlags) output() (o genOutput, err error) {
	o.f = f
	if f.json == "" || f.json == "-" {
		return o, nil
	}
	if err := o.open(f.json); err != nil {
		return o, fmt.Errorf("--json: %w", err)
	}
	return o, nil
}

func (o *genOutput) open(path string) error {
	o.path, o.mode = path, 0o644
	switch at, err := os.Stat(path); {
	case err == nil && at.IsDir():
		return &exitError{exitRefused, fmt.Errorf("%s is a directory: name a file", path)}
	case err == nil:
		if o.path = replaceable(path, at); o.path == "" {
			o.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			return err
		}
		o.mode = at.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		if _, err := os.Lstat(path); err == nil {
			return &exitError{exitRefused, fmt.Errorf("%s is a symbolic link to what does not exist: name a file",
				path)}
		}
	}
	var err error
	o.file, err = os.CreateTemp(filepath.Dir(o.path), "."+filepath.Base(o.path)+"-*")
	return err
}

// replaceable resolves the symbolic links of path and returns the path of the regular file there; "" if no file can be
// replaced. /dev/stdout is not replaced if it leads to an open file: another process reads that file.
func replaceable(path string, at fs.FileInfo) string {
	if !at.Mode().IsRegular() {
		return ""
	}
	for _, open := range []*os.File{os.Stdout, os.Stderr} {
		if is, err := open.Stat(); err == nil && os.SameFile(at, is) {
			return ""
		}
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	if is, err := os.Lstat(real); err != nil || !os.SameFile(at, is) {
		return ""
	}
	return real
}

func (o *genOutput) write(res *genResult) error {
	if o.f.json != "-" {
		if err := genText(o.f.stdout, res); err != nil {
			return err
		}
	}
	if o.f.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(res, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if o.f.json == "-" {
		_, err := o.f.stdout.Write(text)
		return err
	}
	if err := o.save(text); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return nil
}

func (o *genOutput) save(text []byte) error {
	file := o.file
	o.file = nil
	_, err := file.Write(text)
	if o.path == "" {
		return errors.Join(err, file.Close())
	}
	if err = errors.Join(err, file.Chmod(o.mode), file.Close()); err == nil {
		err = os.Rename(file.Name(), o.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// discard removes a temporary file that was not completed.
func (o *genOutput) discard() error {
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	if o.path != "" {
		err = errors.Join(err, os.Remove(o.file.Name()))
	}
	return err
}
