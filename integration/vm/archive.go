package vm

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// archive is an initramfs: a cpio archive in the "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel),
// not compressed, which is unpacked fastest.
type archive struct {
	buf  bytes.Buffer
	dirs []string // made so far
	ino  int
}

const (
	modeDir  = 0o040755
	modeFile = 0o100755
	modeLink = 0o120777
)

// file adds a file, executable, and the directories above it. Names have no leading slash.
func (a *archive) file(name string, data []byte) {
	a.directory(path.Dir(name))
	a.entry(name, modeFile, data)
}

// fileOf adds a file of the host.
func (a *archive) fileOf(name, from string) error {
	data, err := os.ReadFile(from)
	if err == nil {
		a.file(name, data)
	}
	return err
}

// link adds a symbolic link.
func (a *archive) link(name, target string) {
	a.directory(path.Dir(name))
	a.entry(name, modeLink, []byte(target))
}

func (a *archive) directory(name string) {
	if name == "." || slices.Contains(a.dirs, name) {
		return
	}
	a.directory(path.Dir(name))
	a.dirs = append(a.dirs, name)
	a.entry(name, modeDir, nil)
}

// bytes ends the archive and returns it.
func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}

// entry writes a header of thirteen numbers of eight hexadecimal digits, the name and the data, each padded to a
// multiple of four octets.
func (a *archive) entry(name string, mode int, data []byte) {
	a.ino++
	fmt.Fprintf(&a.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *archive) pad() {
	a.buf.WriteString(strings.Repeat("\x00", -a.buf.Len()&3))
}
