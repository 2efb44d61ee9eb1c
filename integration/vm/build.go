package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// Where programs lie in a guest.
const (
	Penstock = "/bin/penstock"
	tests    = "/test"
)

// TestBinary is where the test binary of a package lies in a guest.
func TestBinary(pkg string) string { return path.Join(tests, pkg) }

// Build compiles what a guest runs into dir, statically, and returns it as Options.Files expects it: package inside,
// the box (or PENSTOCK_BINARY), and the test binaries of packages of this module ("dataplane/xsk").
func Build(dir string, testsOf ...string) (map[string]string, error) {
	files := map[string]string{}
	compile := func(to string, args ...string) error {
		out := filepath.Join(dir, filepath.Base(to))
		cmd := exec.Command("go", append(args[:len(args)-1:len(args)-1], "-o", out, "penstock/"+args[len(args)-1])...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, text)
		}
		files[to[1:]] = out
		return nil
	}
	if err := compile("/init", "build", "integration/vm/cmd/vm-init"); err != nil {
		return nil, err
	}
	if binary := os.Getenv("PENSTOCK_BINARY"); binary != "" {
		files[Penstock[1:]] = binary
	} else if err := compile(Penstock, "build", "appliance"); err != nil {
		return nil, err
	}
	for _, pkg := range testsOf {
		if err := compile(TestBinary(pkg), "test", "-c", pkg); err != nil {
			return nil, err
		}
	}
	return files, nil
}
