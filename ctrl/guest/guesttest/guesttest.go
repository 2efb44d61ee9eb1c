// Package guesttest is a guest for tests: a file tree, a network and a mount namespace, and the real QEMU guest agent
// in them. It goes with the test.
package guesttest

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Guest is a guest; its /usr is the machine's.
type Guest struct {
	t      *testing.T
	Root   string // of its file tree
	Socket string // of its agent
	agent  *exec.Cmd
	hold   *exec.Cmd // keeps the namespaces
}

// Need skips a test that needs root or programs that are not here; with PENSTOCK_REQUIRE_ROOT=1 that is a failure.
func Need(t *testing.T, tools ...string) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	for _, p := range append([]string{"qemu-ga", "ip", "nsenter", "chroot", "sysctl"}, tools...) {
		if Program(p) == "" {
			missing += " " + p
		}
	}
	switch {
	case missing == "":
	case os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1":
		t.Fatalf("needs %s, and PENSTOCK_REQUIRE_ROOT=1 is set", missing)
	default:
		t.Skipf("needs %s", missing)
	}
}

// unpacked returns where make deps unpacks packages that are not installed.
func unpacked() string {
	for up := "."; len(up) < 64; up += "/.." {
		if _, err := os.Stat(up + "/go.mod"); err == nil {
			return filepath.Join(up, "bin/tools")
		}
	}
	return "/nonexistent"
}

// Program returns the path of a program, "" if it is not here.
func Program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", unpacked() + "/usr/sbin", unpacked() + "/usr/bin"} {
		if filepath.IsAbs(name) {
			dir = ""
		}
		if i, err := os.Stat(dir + "/" + name); err == nil && i.Mode().IsRegular() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// bring puts a program that is unpacked and not installed into the guest.
func (g *Guest) bring(name string) {
	g.t.Helper()
	if p := Program(name); strings.HasPrefix(p, unpacked()) {
		text, err := os.ReadFile(p)
		g.must(err)
		g.File("opt/bin/"+name, string(text))
	}
}

// New makes a guest with these files (a name that ends in "/" is a directory) and starts its agent.
func New(t *testing.T, files map[string]string, agent ...string) *Guest {
	t.Helper()
	Need(t)
	g := &Guest{t: t, Root: t.TempDir()}
	g.Socket = filepath.Join(g.Root, "run", "qga.sock")
	for _, d := range []string{"etc", "run", "tmp", "usr", "proc", "dev", "sys", "var", "opt"} {
		g.must(os.MkdirAll(filepath.Join(g.Root, d), 0o755))
	}
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		g.must(os.Symlink("usr/"+l, filepath.Join(g.Root, l)))
	}
	g.must(os.WriteFile(filepath.Join(g.Root, "etc/passwd"),
		[]byte("root:x:0:0::/:/bin/sh\nsystemd-network:x:998:998::/:/usr/sbin/nologin\n"), 0o644))
	g.must(os.WriteFile(filepath.Join(g.Root, "etc/group"), []byte("root:x:0:\nsystemd-network:x:998:\n"), 0o644))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		g.File(name, files[name])
	}
	if files["etc/NetworkManager/NetworkManager.conf"] != "" && files["opt/bin/NetworkManager"] == "" {
		g.bring("NetworkManager")
	}
	g.hold = exec.Command("sh", "-c", `set -e; mount --make-rprivate /
		mount --bind /usr "$0/usr"; mount -o remount,ro,bind "$0/usr"
		mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"
		mount -t sysfs -o ro sysfs "$0/sys"; ip link set lo up; echo ready; exec sleep 600`, g.Root)
	g.hold.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig: syscall.SIGKILL}
	var complaint bytes.Buffer
	g.hold.Stderr = &complaint
	out, err := g.hold.StdoutPipe()
	g.must(err)
	g.must(g.hold.Start())
	t.Cleanup(func() { g.hold.Process.Kill(); g.hold.Wait() })
	if n, err := out.Read(make([]byte, 6)); n == 0 {
		t.Fatalf("the guest's namespaces cannot be made: %v: %s", err, complaint.String())
	}
	t.Cleanup(g.StopAgent)
	g.StartAgent(agent...)
	return g
}

func (g *Guest) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// File makes a file of the guest; a name that ends in "/" is a directory.
func (g *Guest) File(name, content string) {
	g.t.Helper()
	p := filepath.Join(g.Root, name)
	g.must(os.MkdirAll(filepath.Dir(p), 0o755))
	if strings.HasSuffix(name, "/") {
		g.must(os.MkdirAll(p, 0o755))
		return
	}
	mode := fs.FileMode(0o644)
	if strings.HasPrefix(name, "opt/") {
		mode = 0o755
	}
	g.must(os.WriteFile(p, []byte(content), mode))
}

// Command returns a program to be run in the guest.
func (g *Guest) Command(args ...string) *exec.Cmd {
	pid := fmt.Sprint(g.hold.Process.Pid)
	c := exec.Command("nsenter", append([]string{"-t", pid, "-m", "-n", "--", "chroot", g.Root}, args...)...)
	c.Env = []string{"PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return c
}

// Run runs a program in the guest and returns what it says.
func (g *Guest) Run(args ...string) string {
	g.t.Helper()
	out, err := g.Command(args...).CombinedOutput()
	if err != nil {
		g.t.Fatalf("in the guest, %q: %v: %s", args, err, out)
	}
	return string(out)
}

// StartAgent starts the agent, and returns when it listens.
func (g *Guest) StartAgent(args ...string) {
	g.t.Helper()
	os.Remove(g.Socket)
	g.agent = g.Command(append([]string{"qemu-ga", "--method=unix-listen", "--path=/run/qga.sock", "-t", "/run", "-l",
		"/run/qga.log", "-v"}, args...)...)
	g.agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.must(g.agent.Start())
	for range 200 {
		if g.listens() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatal("the agent does not listen within 2 s")
}

// listens reports whether the agent listens. Its socket has a name before that, and to connect would be a visit.
func (g *Guest) listens() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", g.hold.Process.Pid))
	g.must(err)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		// Num RefCount Protocol Flags Type St Inode Path; the flag is __SO_ACCEPTCON.
		if len(f) == 8 && f[3] == "00010000" && f[7] == "/run/qga.sock" {
			return true
		}
	}
	return false
}

// StopAgent kills the agent.
func (g *Guest) StopAgent() {
	if g.agent != nil {
		g.agent.Process.Kill()
		g.agent.Wait()
		g.agent = nil
		os.Remove(g.Socket)
	}
}

// Lo returns what stands on the guest's loopback interface beside 127.0.0.1 and ::1.
func (g *Guest) Lo() string {
	g.t.Helper()
	var list []string
	for _, line := range strings.Split(g.Run("ip", "-o", "address", "show", "dev", "lo"), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[3] != "127.0.0.1/8" && f[3] != "::1/128" {
			list = append(list, f[3])
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// Sysctl returns a sysctl below net/ipv4/conf.
func (g *Guest) Sysctl(name string) string {
	return strings.TrimSpace(g.Run("cat", "/proc/sys/net/ipv4/conf/"+name))
}

// Tree returns every file of /etc: type, mode, owner, content.
func (g *Guest) Tree() map[string]string {
	return g.walk(func(p string, i fs.FileInfo) string {
		st := i.Sys().(*syscall.Stat_t)
		s := fmt.Sprintf("%v %d:%d", i.Mode(), st.Uid, st.Gid)
		if i.Mode().IsRegular() {
			text, err := os.ReadFile(p)
			g.must(err)
			s += " " + string(text)
		}
		return s
	})
}

// Times returns when every file and directory of /etc was last changed.
func (g *Guest) Times() map[string]string {
	return g.walk(func(_ string, i fs.FileInfo) string {
		st := i.Sys().(*syscall.Stat_t)
		return fmt.Sprint(i.ModTime(), st.Ctim, st.Ino)
	})
}

func (g *Guest) walk(of func(p string, i fs.FileInfo) string) map[string]string {
	g.t.Helper()
	out := map[string]string{}
	g.must(filepath.WalkDir(filepath.Join(g.Root, "etc"), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		out[strings.TrimPrefix(p, g.Root)] = of(p, i)
		return nil
	}))
	return out
}

// Differ returns the paths at which two trees differ.
func Differ(a, b map[string]string) (out []string) {
	for p := range a {
		if a[p] != b[p] {
			out = append(out, fmt.Sprintf("%s: %q, then %q", p, a[p], b[p]))
		}
	}
	for p := range b {
		if _, ok := a[p]; !ok {
			out = append(out, fmt.Sprintf("%s: absent, then %q", p, b[p]))
		}
	}
	slices.Sort(out)
	return out
}
