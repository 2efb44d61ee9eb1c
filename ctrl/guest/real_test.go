package guest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"penstock/ctrl/alarm"
)

// realGuest is a guest with the real agent: a file tree, a network and a mount namespace of its own, and qemu-ga in
// them. /usr is the machine's.
type realGuest struct {
	t      *testing.T
	root   string
	socket string
	agent  *exec.Cmd
	hold   *exec.Cmd // keeps the namespaces
}

// needTools skips a test that needs root or programs that are not here; with PENSTOCK_REQUIRE_ROOT=1 that is a failure.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	for _, p := range append([]string{"qemu-ga", "ip", "nsenter", "chroot", "sysctl"}, tools...) {
		if program(p) == "" {
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

// unpacked is where make deps unpacks packages that are not installed.
const unpacked = "../../bin/tools"

// program returns the path of a program, "" if it is not here.
func program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", unpacked + "/usr/sbin", unpacked + "/usr/bin"} {
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
func (g *realGuest) bring(name string) {
	g.t.Helper()
	if p := program(name); strings.HasPrefix(p, unpacked) {
		text, err := os.ReadFile(p)
		g.must(err)
		g.file("opt/bin/"+name, string(text))
	}
}

// newGuest makes a guest with these files (a name that ends in "/" is a directory) and starts its agent.
func newGuest(t *testing.T, files map[string]string, agent ...string) *realGuest {
	t.Helper()
	needTools(t)
	g := &realGuest{t: t, root: t.TempDir()}
	g.socket = filepath.Join(g.root, "run", "qga.sock")
	for _, d := range []string{"etc", "run", "tmp", "usr", "proc", "dev", "sys", "var", "opt"} {
		g.must(os.MkdirAll(filepath.Join(g.root, d), 0o755))
	}
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		g.must(os.Symlink("usr/"+l, filepath.Join(g.root, l)))
	}
	g.must(os.WriteFile(filepath.Join(g.root, "etc/passwd"),
		[]byte("root:x:0:0::/:/bin/sh\nsystemd-network:x:998:998::/:/usr/sbin/nologin\n"), 0o644))
	g.must(os.WriteFile(filepath.Join(g.root, "etc/group"), []byte("root:x:0:\nsystemd-network:x:998:\n"), 0o644))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		g.file(name, files[name])
	}
	if files["etc/NetworkManager/NetworkManager.conf"] != "" && files["opt/bin/NetworkManager"] == "" {
		g.bring("NetworkManager")
	}
	g.hold = exec.Command("sh", "-c", `set -e; mount --make-rprivate /
		mount --bind /usr "$0/usr"; mount -o remount,ro,bind "$0/usr"
		mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"
		mount -t sysfs -o ro sysfs "$0/sys"; ip link set lo up; echo ready; exec sleep 600`, g.root)
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
	t.Cleanup(g.stopAgent)
	g.startAgent(agent...)
	return g
}

func (g *realGuest) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *realGuest) file(name, content string) {
	g.t.Helper()
	p := filepath.Join(g.root, name)
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

// command runs in the guest.
func (g *realGuest) command(args ...string) *exec.Cmd {
	pid := fmt.Sprint(g.hold.Process.Pid)
	c := exec.Command("nsenter", append([]string{"-t", pid, "-m", "-n", "--", "chroot", g.root}, args...)...)
	c.Env = []string{"PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return c
}

func (g *realGuest) run(args ...string) string {
	g.t.Helper()
	out, err := g.command(args...).CombinedOutput()
	if err != nil {
		g.t.Fatalf("in the guest, %q: %v: %s", args, err, out)
	}
	return string(out)
}

func (g *realGuest) startAgent(args ...string) {
	g.t.Helper()
	os.Remove(g.socket)
	g.agent = g.command(append([]string{"qemu-ga", "--method=unix-listen", "--path=/run/qga.sock", "-t", "/run", "-l",
		"/run/qga.log", "-v"}, args...)...)
	g.agent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.must(g.agent.Start())
	for range 200 {
		if _, err := os.Stat(g.socket); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatal("the agent has made no socket within 2 s")
}

func (g *realGuest) stopAgent() {
	if g.agent != nil {
		g.agent.Process.Kill()
		g.agent.Wait()
		g.agent = nil
		os.Remove(g.socket)
	}
}

// lo returns what stands on the guest's loopback interface beside 127.0.0.1 and ::1.
func (g *realGuest) lo() string {
	g.t.Helper()
	var list []string
	for _, line := range strings.Split(g.run("ip", "-o", "address", "show", "dev", "lo"), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[3] != "127.0.0.1/8" && f[3] != "::1/128" {
			list = append(list, f[3])
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func (g *realGuest) sysctl(name string) string {
	return strings.TrimSpace(g.run("cat", "/proc/sys/net/ipv4/conf/"+name))
}

// tree returns every file of /etc: type, mode, owner, content.
func (g *realGuest) tree() map[string]string {
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

// times returns when every file and directory of /etc was last changed.
func (g *realGuest) times() map[string]string {
	return g.walk(func(_ string, i fs.FileInfo) string {
		st := i.Sys().(*syscall.Stat_t)
		return fmt.Sprint(i.ModTime(), st.Ctim, st.Ino)
	})
}

func (g *realGuest) walk(of func(p string, i fs.FileInfo) string) map[string]string {
	g.t.Helper()
	out := map[string]string{}
	g.must(filepath.WalkDir(filepath.Join(g.root, "etc"), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		out[strings.TrimPrefix(p, g.root)] = of(p, i)
		return nil
	}))
	return out
}

// differ returns the paths at which two trees differ.
func differ(a, b map[string]string) (out []string) {
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

// board keeps alarms as a list of texts by object.
type board struct {
	mu     sync.Mutex
	active map[string]string
	raised int
}

func newBoard() *board { return &board{active: map[string]string{}} }

func (b *board) Raise(r alarm.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active[r.Object] = r.Text
	b.raised++
}

func (b *board) Update(_ alarm.Kind, object, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active[object] = text
}

func (b *board) Clear(_ alarm.Kind, object string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.active, object)
}

func (b *board) Retain(func(string) bool, ...alarm.Kind) {}

func (b *board) of(vif string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.active[objectOf(vif)]
}

// running is a service that runs; stop ends it.
type running struct {
	*Service
	alarms *board
	stop   func()
}

func runService(t *testing.T, c Config) *running {
	t.Helper()
	b := newBoard()
	c.Alarms = b
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { s.Run(ctx); close(over) }()
	r := &running{Service: s, alarms: b}
	r.stop = func() {
		cancel()
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			t.Error("the service has not ended 10 s after it was told to")
		}
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// settled waits until the state of a VIF's guest is one of those given.
func (r *running) settled(t *testing.T, vif string, states ...string) *Status {
	t.Helper()
	end := time.Now().Add(15 * time.Second)
	for {
		st := r.Status(vif)
		if st != nil && slices.Contains(states, st.State) {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("VIF %s: its guest is %+v after 15 s, want %v", vif, st, states)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// undone waits until nothing is recorded of a guest.
func (r *running) undone(t *testing.T, socket string) {
	t.Helper()
	eventually(t, "the guest is undone", func() bool { return !r.records.has(socket) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 20 s it is still not so that %s", what)
		}
	}
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}
