package lab

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ownerFile is a file in a lab's directory with the start time of the process that made it, since its number alone
// may belong to another process by now.
const ownerFile = "owner"

func makeOwnedDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	started, err := processStart(os.Getpid())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ownerFile), []byte(started), 0o644)
}

// RemoveStale removes the namespaces, processes and directories of labs whose process is gone.
func RemoveStale() error {
	var errs []error
	for _, name := range list(os.TempDir()) {
		dir := filepath.Join(os.TempDir(), name)
		if !ownerIsGone(name, dir) {
			continue
		}
		for _, namespace := range list(netnsDir) {
			if strings.HasPrefix(namespace, name+".") {
				errs = append(errs, removeStaleNamespace(namespace))
			}
		}
		errs = append(errs, os.RemoveAll(dir))
	}
	for _, namespace := range list(netnsDir) {
		if ownerIsGone(namespace, "") {
			errs = append(errs, removeStaleNamespace(namespace))
		}
	}
	return errors.Join(errs...)
}

// list returns the entries of a directory that are named as a lab's; none if it cannot be read.
func list(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), Prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// ownerIsGone reports whether name is that of a lab whose process no longer exists. With the lab's directory it also
// knows a process that only has the same number.
func ownerIsGone(name, dir string) bool {
	digits, _, ok := strings.Cut(strings.TrimPrefix(name, Prefix), "-")
	pid, err := strconv.Atoi(digits)
	if !ok || err != nil || pid <= 0 {
		return false
	}
	started, err := processStart(pid)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	if dir == "" {
		return false
	}
	owner, err := os.ReadFile(filepath.Join(dir, ownerFile))
	return err == nil && len(owner) > 0 && string(owner) != started
}

func removeStaleNamespace(fullName string) error {
	killInside(filepath.Join(netnsDir, fullName))
	return removeNamespace(fullName)
}
