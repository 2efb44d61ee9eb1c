package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Suites of the Debian archive that kernels come from.
const (
	SuiteZeroCopy = "trixie-backports"   // kernel 7.2 or newer: virtio-net does zero-copy
	SuiteCopy     = "bookworm-backports" // kernel 6.12: virtio-net has native XDP, and copies
)

const (
	mirror  = "http://deb.debian.org/debian"
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	meta    = "linux-image-cloud-amd64" // depends on the newest kernel of the suite
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	Release string // as of `uname -r`
	Image   string // path of vmlinuz
	Modules string // path of lib/modules/RELEASE
}

// FetchKernel returns the kernel of a suite, from the cache if there is one in it, else the suite's newest from the
// archive. apt works in a directory of its own: the machine's own lists and packages do not change. The
// packages' signatures are checked.
func FetchKernel(suite string) (*Kernel, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, suite)
	if k, err := findKernel(dir); err == nil {
		return k, nil
	}
	// First into a directory beside it, so that an interrupted run leaves no incomplete kernel.
	work, err := os.MkdirTemp(cache, suite+".tmp")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := download(suite, work); err != nil {
		return nil, fmt.Errorf("fetch a kernel of %s from %s: %w", suite, mirror, err)
	}
	if _, err := findKernel(filepath.Join(work, "root")); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(work, "root"), dir); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return findKernel(dir)
}

// cacheDir is the directory of the kernels between runs: PENSTOCK_VM_CACHE, or penstock-vm in the user's cache.
func cacheDir() (string, error) {
	dir := os.Getenv("PENSTOCK_VM_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("a place for kernels: %w (PENSTOCK_VM_CACHE names one)", err)
		}
		dir = filepath.Join(base, "penstock-vm")
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// findKernel looks for the one kernel in an unpacked tree. Packages have it in /boot or, since 7.2, beside the modules.
func findKernel(root string) (*Kernel, error) {
	for _, prefix := range []string{"usr/lib/modules", "lib/modules"} {
		entries, err := os.ReadDir(filepath.Join(root, prefix))
		if err != nil || len(entries) != 1 {
			continue
		}
		k := &Kernel{Release: entries[0].Name(), Modules: filepath.Join(root, prefix, entries[0].Name())}
		for _, k.Image = range []string{filepath.Join(k.Modules, "vmlinuz"),
			filepath.Join(root, "boot", "vmlinuz-"+k.Release)} {
			if _, err := os.Stat(k.Image); err == nil {
				return k, nil
			}
		}
	}
	return nil, fmt.Errorf("no kernel with its modules in %s", root)
}

// download fetches the newest kernel of a suite and unpacks it into dir/root.
func download(suite, dir string) error {
	a := apt{dir: dir}
	if err := a.prepare(suite); err != nil {
		return err
	}
	if _, err := a.run("apt-get", "update", "-q"); err != nil {
		return err
	}
	depends, err := a.run("apt-cache", "depends", meta)
	if err != nil {
		return err
	}
	release, err := releaseOf(depends)
	if err != nil {
		return err
	}
	// Image, or binary and modules apart: which of them there are has changed over the years.
	names, err := a.run("apt-cache", "pkgnames", "linux-")
	if err != nil {
		return err
	}
	var want []string
	for _, kind := range []string{"image", "binary", "modules"} {
		if name := "linux-" + kind + "-" + release; slices.Contains(strings.Fields(names), name) {
			want = append(want, name)
		}
	}
	if _, err := a.run("apt-get", append([]string{"download", "-q"}, want...)...); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != len(want) {
		return fmt.Errorf("%d packages of %v arrived: %w", len(packages), want, err)
	}
	for _, p := range packages {
		if _, err := a.run("dpkg-deb", "-x", p, filepath.Join(dir, "root")); err != nil {
			return err
		}
	}
	return nil
}

var dependsOnImage = regexp.MustCompile(`(?m)^ *Depends: linux-image-(\S+)$`)

// releaseOf finds the release of the kernel in the output of `apt-cache depends` for the package that depends on the
// newest kernel.
func releaseOf(depends string) (string, error) {
	m := dependsOnImage.FindStringSubmatch(depends)
	if m == nil {
		return "", fmt.Errorf("%s depends on no image: %q", meta, depends)
	}
	return m[1], nil
}

// apt is an apt with a directory of its own.
type apt struct{ dir string }

func (a apt) prepare(suite string) error {
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return err
		}
	}
	conf := fmt.Sprintf(`Dir::Etc::SourceList "%[1]s/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "%[1]s";
Dir::State::Lists "%[1]s/lists";
Dir::State::Status "%[1]s/status";
Dir::Cache "%[1]s/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
`, a.dir)
	return errors.Join(
		os.WriteFile(filepath.Join(a.dir, "apt.conf"), []byte(conf), 0o644),
		os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644),
		os.WriteFile(filepath.Join(a.dir, "sources.list"), fmt.Appendf(nil, "deb [signed-by=%s] %s %s main\n", keyring,
			mirror, suite), 0o644),
	)
}

func (a apt) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}
