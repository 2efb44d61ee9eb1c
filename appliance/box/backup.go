package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/backup"
	"penstock/ctrl/readfile"
)

const (
	// backupDir begins the names of directories for copies of what the box has stored.
	backupDir = "backup-"
	// backupReserve is the space that a backup leaves on the disk, in octets.
	backupReserve = 16 << 20
)

// Backup writes an archive of what the box has stored. The copies are made on the box's disk first, so that a caller
// who reads slowly holds nothing up. Errors are a *backup.SpaceError, or of the file system.
func (b *Box) Backup(ctx context.Context, w io.Writer) error {
	cfg := b.cfg.Load()
	if err := b.backupSpace(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cfg.Box.StateDir, backupDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // what stays is removed by the next start
	m := backup.Manifest{Version: b.build.Version, Box: cfg.Box.Name, Made: time.Now()}
	if m.Revision, err = b.store.CopyTo(filepath.Join(dir, backup.Tables)); err != nil {
		return err
	}
	if err := b.alarms.CopyTo(filepath.Join(dir, backup.Alarms)); err != nil {
		return err
	}
	names := []string{backup.Tables, backup.Alarms}
	for _, path := range append(b.stateFiles(), b.path) {
		name := filepath.Base(path)
		if path == b.path {
			name = backup.Config
		}
		text, err := readfile.Regular(path, maxRemains)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is made when there is something to keep
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return backup.Pack(w, m, dir, names)
}

// stateFiles are the small files of the state directory that are replaced as a whole. The flows are not among them:
// they are of the moment.
func (b *Box) stateFiles() []string {
	return []string{b.gatewayState(), b.healthFile(), b.claimsFile(), b.placesFile(), b.remainsFile(), b.guestsFile()}
}

// backupSpace checks that the disk has room for the copies.
func (b *Box) backupSpace() error {
	dir := b.cfg.Load().Box.StateDir
	need := int64(backupReserve)
	for _, path := range append(b.stateFiles(), b.store.Path(), b.alarmFile()) {
		if st, err := os.Stat(path); err == nil {
			need += st.Size()
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("the free space of %s is unknown: %w", dir, err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return &backup.SpaceError{Dir: dir, Need: need, Free: free}
	}
	return nil
}

// cleanBackups removes what interrupted backups and restores left.
func cleanBackups(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && (strings.HasPrefix(e.Name(), backupDir) || strings.HasPrefix(e.Name(), backup.Unpacked)) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
