// Command export-profiles writes the built-in profiles for other generators, into the folders of perf/profiles. It is
// run there, by "make generate".
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"penstock/perf/traffic"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "export-profiles:", err)
		os.Exit(1)
	}
}

// run writes the files below dir, and removes those whose mix cannot be expressed.
func run(dir string) error {
	for _, name := range traffic.Names() {
		p, err := traffic.Builtin(name)
		if err != nil {
			return err
		}
		for _, k := range traffic.ExportKinds() {
			path := filepath.Join(dir, k.Dir, traffic.ExportName(name, k.Kind))
			var b bytes.Buffer
			err := p.Export(k.Kind, traffic.Options{}, &b)
			if _, no := errors.AsType[*traffic.InexpressibleError](err); no {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			mode := fs.FileMode(0o644)
			if k.Kind == traffic.Pktgen {
				mode = 0o755
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, b.Bytes(), mode); err != nil {
				return err
			}
		}
	}
	return nil
}
