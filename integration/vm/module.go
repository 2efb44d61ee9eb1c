package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// module is a kernel module, ready to be loaded.
type module struct {
	name string // with underscores, as the kernel writes it
	data []byte
}

// modules returns the named modules of a kernel and what they need, each behind what it needs. A module that the kernel
// has built in, or has not at all, is left out: the guest reports a missing function.
func (k *Kernel) modules(names ...string) ([]module, error) {
	files := map[string]string{}
	err := filepath.WalkDir(k.Modules, func(path string, d fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok && err == nil && d.Type().IsRegular() {
			files[moduleName(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var list []module
	done := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		name = moduleName(name)
		path, ok := files[name]
		if done[name] || !ok {
			return nil
		}
		done[name] = true
		data, err := unpack(path)
		if err != nil {
			return err
		}
		needs, err := dependencies(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		list = append(list, module{name, data})
		return nil
	}
	for _, n := range names {
		if err := add(n); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// unpack reads a module, decompressed.
func unpack(path string) ([]byte, error) {
	if filepath.Ext(path) == ".ko" {
		return os.ReadFile(path)
	}
	program, ok := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(path)]
	if !ok {
		return nil, fmt.Errorf("%s: compressed in a way that is not known", path)
	}
	var errs bytes.Buffer
	cmd := exec.Command(program, "-d", "-c", path)
	cmd.Stderr = &errs
	data, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s -d -c %s: %w: %s", program, path, err, bytes.TrimSpace(errs.Bytes()))
	}
	return data, nil
}

// dependencies returns what a module needs, from its section .modinfo: strings "key=value", each with a zero behind it.
func dependencies(data []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok {
			return strings.FieldsFunc(list, func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}
