package file

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Own gives a file owner and group of another file or directory.
func Own(from, to string) error {
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the owner of " + from + " is unknown")
	}
	return os.Lchown(to, int(sys.Uid), int(sys.Gid))
}

// Replace replaces a file as a whole and returns when the new one is durable. It writes path.new first, which must be
// no link, FIFO or device. The name is fixed, so that a crash leaves at most one file: no other process may write it.
// The box's files are safe in this, since the box holds the lock of its store.
func Replace(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}
