package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// prepareRunDir makes /run/netns what `ip netns add` makes it: a mount of its own, shared. `ip` does that when it runs
// for the first time. A namespace that a lab had put there before would then be mounted twice, and one of the two
// mounts would lie below the new mount of /run/netns, where nothing can take it away by its path. The lock is the one
// that `ip` takes.
func prepareRunDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", netnsDir, err)
	}
	share := func() error { return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err = share()
	if errors.Is(err, unix.EINVAL) { // no mount of its own
		if err = unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if err != nil {
		return fmt.Errorf("make %s a shared mount: %w", netnsDir, err)
	}
	return nil
}

// removeNamespace takes away a namespace's mounts and its file.
func removeNamespace(fullName string) error {
	path := filepath.Join(netnsDir, fullName)
	if err := unmount(path); err != nil {
		return fmt.Errorf("unmount namespace %s: %w", fullName, err)
	}
	err := os.Remove(path)
	if errors.Is(err, unix.EBUSY) {
		if err = unmountBelow(fullName); err == nil {
			err = os.Remove(path)
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", fullName, err)
	}
	return nil
}

// unmount takes away all mounts on a path, or none if there are none.
func unmount(path string) error {
	for {
		switch err := unix.Unmount(path, unix.MNT_DETACH); {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil
		case err != nil:
			return err
		}
	}
}

// unmountBelow takes away a namespace's mount that lies below the mount of /run/netns, from before that was made. Paths
// lead to the uppermost mount only. A file handle does not: both mounts show the same directory, and opened within the
// mount that /run belongs to, its handle gives the lower one.
func unmountBelow(fullName string) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, netnsDir, 0)
	if err != nil {
		return fmt.Errorf("inspect the mounts below %s: %w", netnsDir, err)
	}
	parent, err := os.Open(filepath.Dir(netnsDir))
	if err != nil {
		return err
	}
	defer parent.Close()
	fd, err := unix.OpenByHandleAt(int(parent.Fd()), handle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("inspect the mounts below %s: %w", netnsDir, err)
	}
	defer unix.Close(fd)
	return unmount(fmt.Sprintf("/proc/self/fd/%d/%s", fd, fullName))
}
