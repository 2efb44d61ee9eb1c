package lab

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holdEnv makes the test binary a process that builds a lab and waits to be killed.
const holdEnv = "PENSTOCK_LAB_HOLD"

func TestMain(m *testing.M) {
	if os.Getenv(holdEnv) != "" {
		hold()
	}
	if f := runDirTests[os.Getenv(runDirEnv)]; f != nil {
		if err := f(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func hold() {
	l, err := New("hold")
	if err == nil {
		err = l.Namespace("x")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := l.Start("x", "sleep", "sleep", "600")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID(), l.Dir(), l.FullName("x"))
	if os.Getenv(holdEnv) == "signal" {
		l.CloseOnSignal()
	}
	select {}
}

func newLab(t *testing.T, name string) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("root is required")
		}
		t.Skip("needs root")
	}
	l, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVethCarriesTraffic(t *testing.T) {
	l := newLab(t, "veth")
	must(t, l.Namespace("a"))
	must(t, l.Namespace("b"))
	must(t, l.Veth("a", "eth0", "b", "eth0", VethOptions{
		MTU: 1600, Queues: 2,
		A: EndOptions{MAC: 0x020000000001, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"),
			netip.MustParsePrefix("fd00::1/64")}, NoTSO: true},
		B: EndOptions{MAC: 0x020000000002, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"),
			netip.MustParsePrefix("fd00::2/64")}, GRO: true, NoTxSum: true},
	}))
	must(t, l.DefaultRoute("a", "eth0", netip.MustParseAddr("10.0.0.2")))
	for _, addr := range []string{"10.0.0.2", "fd00::2"} {
		if _, err := l.Run("a", "ping", "-c1", "-W2", addr); err != nil {
			t.Error(err)
		}
	}
	for _, tc := range []struct{ namespace, tool, want string }{
		{"a", "ethtool -k eth0", "tcp-segmentation-offload: off"},
		{"a", "ethtool -k eth0", "generic-segmentation-offload: off"},
		{"a", "ethtool -k eth0", "tx-checksumming: on"},
		{"b", "ethtool -k eth0", "tx-checksumming: off"},
		{"b", "ethtool -k eth0", "generic-receive-offload: on"},
		{"b", "ethtool -l eth0", "RX:\t\t2"},
		{"a", "ip link show eth0", "mtu 1600"},
		{"a", "ip link show eth0", "02:00:00:00:00:01"},
	} {
		out, err := l.Run(tc.namespace, strings.Fields(tc.tool)...)
		must(t, err)
		if !strings.Contains(string(out), tc.want) {
			t.Errorf("%s in namespace %s does not show %q:\n%s", tc.tool, tc.namespace, tc.want, out)
		}
	}
	must(t, l.SetDown("a", "eth0"))
	if _, err := l.Run("b", "ping", "-c1", "-W1", "10.0.0.1"); err == nil {
		t.Error("ping goes through an interface that is down")
	}
	must(t, l.SetUp("a", "eth0"))
	must(t, l.Delete("b", "eth0"))
	if err := l.SetUp("a", "eth0"); !IsNoLink(err) {
		t.Errorf("the other end of a deleted interface: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t, "close")
	must(t, l.Namespace("a"))
	p, err := l.Start("a", "sleep", "sleep", "600")
	must(t, err)
	path := filepath.Join(netnsDir, l.FullName("a"))
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	must(t, l.Close())
	expectGone(t, p.PID(), l.Dir(), path)
	must(t, l.Close())
	if err := l.Namespace("b"); err == nil {
		t.Error("a closed lab makes namespaces")
	}
	if _, err := l.Run("a", "true"); err == nil {
		t.Error("a closed lab runs programs")
	}
}

func TestDoComesBack(t *testing.T) {
	l := newLab(t, "do")
	must(t, l.Namespace("a"))
	inode := func() uint64 {
		var st unix.Stat_t
		must(t, unix.Stat("/proc/thread-self/ns/net", &st))
		return st.Ino
	}
	home, inside := inode(), uint64(0)
	boom := errors.New("boom")
	if err := l.Do("a", func() error { inside = inode(); return boom }); err != boom {
		t.Errorf("error of the function: %v", err)
	}
	if inside == home || inode() != home {
		t.Errorf("home %d, inside %d, afterwards %d", home, inside, inode())
	}
	func() {
		defer func() { recover() }()
		_ = l.Do("a", func() error { panic(boom) })
	}()
	if inode() != home {
		t.Error("a panic leaves the goroutine in the namespace")
	}
	if err := l.Do("nowhere", func() error { return nil }); err == nil {
		t.Error("no error for an unknown namespace")
	}
}

func TestEndOfOwner(t *testing.T) {
	newLab(t, "owner") // for its checks; it also removes what is stale already
	for _, tc := range []struct {
		mode   string
		signal os.Signal
		stale  bool // left to the next lab
	}{
		{"kill", unix.SIGKILL, true},
		{"signal", os.Interrupt, false},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), holdEnv+"="+tc.mode)
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			var pid int
			var dir, namespace string
			if _, err := fmt.Fscan(bufio.NewReader(out), &pid, &dir, &namespace); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(netnsDir, namespace)
			must(t, RemoveStale())
			if _, err := os.Stat(path); err != nil {
				t.Fatal("a living lab was removed: ", err)
			}
			time.Sleep(50 * time.Millisecond) // the signal handler is set after the line is printed
			must(t, cmd.Process.Signal(tc.signal))
			_ = cmd.Wait() // killed
			if _, err := os.Stat(path); (err == nil) != tc.stale {
				t.Errorf("the namespace is there: %v, want %v", err == nil, tc.stale)
			}
			must(t, RemoveStale())
			expectGone(t, pid, dir, path)
		})
	}
}

func TestNumberOfDeadProcessInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pst-1-x")
	must(t, os.Mkdir(dir, 0o755))
	owner := filepath.Join(dir, ownerFile)
	started, err := processStart(1)
	must(t, err)
	for content, want := range map[string]bool{started: false, started + "0": true, "": false} {
		must(t, os.WriteFile(owner, []byte(content), 0o644))
		if got := ownerIsGone(filepath.Base(dir), dir); got != want {
			t.Errorf("owner %q: gone %v, want %v", content, got, want)
		}
	}
	for _, name := range []string{"pst-", "pst-x-y", "pst-0-y", "pst-12", "other"} {
		if ownerIsGone(name, "") {
			t.Errorf("%q is no lab's name", name)
		}
	}
}

func expectGone(t *testing.T, pid int, paths ...string) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for unix.Kill(pid, 0) == nil && time.Now().Before(deadline) {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil ||
			strings.Contains(string(stat), ") Z ") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !time.Now().Before(deadline) {
		t.Errorf("process %d is still there", pid)
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", path)
		}
	}
}
