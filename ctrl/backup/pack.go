package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Pack writes the files of a directory as an archive, in the order of names. It sets what m says of format, layouts and
// files. No other process may write the files meanwhile.
func Pack(w io.Writer, m Manifest, dir string, names []string) error {
	m.Format, m.Layouts, m.Files = Format, layouts(), nil
	m.Made = m.Made.UTC().Truncate(time.Second)
	for _, name := range names {
		f, err := describe(dir, name)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, f)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	out := tar.NewWriter(w)
	if err := out.WriteHeader(header(manifestName, int64(len(text)), m.Made)); err != nil {
		return err
	}
	if _, err := out.Write(text); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := out.WriteHeader(header(f.Name, f.Size, m.Made)); err != nil {
			return err
		}
		in, err := os.Open(filepath.Join(dir, f.Name))
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		in.Close() // it was read only
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return out.Close()
}

// header is the only header that a file of an archive has.
func header(name string, size int64, made time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: made, Format: tar.FormatPAX}
}

func describe(dir, name string) (File, error) {
	in, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return File{}, err
	}
	defer in.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, in)
	return File{Name: name, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}
