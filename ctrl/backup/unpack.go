package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"penstock/ctrl/alarm"
	"penstock/ctrl/readfile"
	"penstock/ctrl/store"
)

// Unpack writes the files of an archive into a directory, and returns when they are on disk and have been checked:
// every octet of the archive, and the tables and alarms as the box would read them. An error names the file of the
// archive. A *NewerError says that a newer program made it.
func Unpack(r io.Reader, dir string) (*Manifest, error) {
	u := &unpacker{dir: dir, read: sha256.New(), want: sha256.New()}
	tee := io.TeeReader(r, u.read)
	u.in, u.again = tar.NewReader(tee), tar.NewWriter(u.want)
	m, err := u.manifest()
	if err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		if err := u.file(m, f); err != nil {
			return nil, err
		}
	}
	if h, err := u.in.Next(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%s is not named in %s", h.Name, manifestName)
		}
		return nil, fmt.Errorf("behind the last file: %w", err)
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return nil, err
	}
	if err := u.again.Close(); err != nil {
		return nil, err
	}
	if !bytes.Equal(u.read.Sum(nil), u.want.Sum(nil)) {
		return nil, errors.New("the archive has other octets between its files or behind them than penstock backup " +
			"wrote: it is damaged, or was cut short")
	}
	return m, examine(m, dir)
}

// unpacker reads an archive, and writes into want what the archive should be.
type unpacker struct {
	dir        string
	in         *tar.Reader
	again      *tar.Writer
	read, want hash.Hash
}

func (u *unpacker) manifest() (*Manifest, error) {
	h, err := u.in.Next()
	if err != nil {
		return nil, fmt.Errorf("this is no archive of penstock backup, or it was cut short: %s: %w", manifestName,
			cut(err))
	}
	if h.Name != manifestName || h.Size > maxManifest {
		return nil, fmt.Errorf("this is no archive of penstock backup: it begins with %q, want %s", h.Name,
			manifestName)
	}
	text, err := readfile.Limited(u.in, manifestName, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, cut(err))
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, err
	}
	if err := u.again.WriteHeader(header(manifestName, int64(len(text)), m.Made)); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	_, err = u.again.Write(text)
	return m, err
}

func (u *unpacker) file(m *Manifest, f File) error {
	h, err := u.in.Next()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is missing", f.Name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, cut(err))
	}
	if h.Name != f.Name || h.Size != f.Size || h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%s with %d octets is missing: %q with %d octets is in its place", f.Name, f.Size, h.Name,
			h.Size)
	}
	if err := u.again.WriteHeader(header(f.Name, f.Size, m.Made)); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	out, err := os.OpenFile(filepath.Join(u.dir, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum, u.again), u.in)
	if err = errors.Join(cut(err), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s is damaged: its SHA-256 is not the one in %s", f.Name, manifestName)
	}
	return nil
}

// cut says in words that an archive ended too early.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the archive was cut short here")
	}
	return err
}

// examine reads the databases as the box would.
func examine(m *Manifest, dir string) error {
	revision, err := store.Examine(filepath.Join(dir, Tables))
	if err == nil && revision != m.Revision {
		err = fmt.Errorf("its revision is %d, want %d", revision, m.Revision)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", Tables, err)
	}
	if m.has(Alarms) {
		if err := alarm.Examine(filepath.Join(dir, Alarms)); err != nil {
			return fmt.Errorf("%s: %w", Alarms, err)
		}
	}
	return nil
}
