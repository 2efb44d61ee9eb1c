package xsktest

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// RequireRoot skips the test without root, or fails it if PENSTOCK_REQUIRE_ROOT=1 is set.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
		t.Fatal("needs root, and PENSTOCK_REQUIRE_ROOT=1 is set")
	}
	t.Skip("needs root")
}

// Namespace puts the test's goroutine, locked to its thread, into a new network namespace without IPv6 until the
// test ends. The namespace goes with the test.
func Namespace(t testing.TB) {
	t.Helper()
	RequireRoot(t)
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatalf("get network namespace: %v", err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := netns.Set(old); err != nil {
			// The thread is of no use any more: leave it locked, so that it ends with the goroutine.
			t.Errorf("return to the network namespace: %v", err)
			return
		}
		old.Close()
		ns.Close()
		runtime.UnlockOSThread()
	})
	// Interfaces that come up would send router solicitations and the like.
	const disable = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	if err := os.WriteFile(disable, []byte("1"), 0o644); err != nil && !os.IsNotExist(err) {
		t.Fatalf("disable IPv6: %v", err)
	}
}

// End is one end of a veth pair.
type End struct {
	Name  string
	Index int
}

// VethConfig describes a veth pair; zero values are one queue and an MTU of 1500.
type VethConfig struct {
	Queues int
	MTU    int
	Down   bool // leave both ends down
}

// Veth makes a veth pair in the current namespace.
func Veth(t testing.TB, a, b string, c VethConfig) (End, End) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a
	if c.Queues == 0 {
		c.Queues = 1
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	attrs.NumRxQueues, attrs.NumTxQueues, attrs.MTU = c.Queues, c.Queues, c.MTU
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerMTU = b, uint32(c.MTU)
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatalf("make veth pair %s, %s: %v", a, b, err)
	}
	if !c.Down {
		Up(t, a)
		Up(t, b)
	}
	return End{a, index(t, a)}, End{b, index(t, b)}
}

func find(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("find interface %s: %v", name, err)
	}
	return l
}

func index(t testing.TB, name string) int { return find(t, name).Attrs().Index }

// Up sets an interface up.
func Up(t testing.TB, name string) {
	t.Helper()
	if err := netlink.LinkSetUp(find(t, name)); err != nil {
		t.Fatalf("set %s up: %v", name, err)
	}
}

// Down sets an interface down.
func Down(t testing.TB, name string) {
	t.Helper()
	if err := netlink.LinkSetDown(find(t, name)); err != nil {
		t.Fatalf("set %s down: %v", name, err)
	}
}

// Delete removes an interface, and with it the other end of the pair.
func Delete(t testing.TB, name string) {
	t.Helper()
	if err := netlink.LinkDel(find(t, name)); err != nil {
		t.Fatalf("delete %s: %v", name, err)
	}
}

// XDP returns the ID of the XDP program on an interface, 0 if there is none.
func XDP(t testing.TB, name string) uint32 {
	t.Helper()
	x := find(t, name).Attrs().Xdp
	if x == nil || !x.Attached {
		return 0
	}
	return x.ProgId
}

// home is the namespace that the process was started in, from Main on.
var home netns.NsHandle

// Main runs the tests of a package and fails if sockets or BPF objects remain open afterwards.
func Main(m *testing.M) {
	var err error
	if home, err = netns.Get(); err != nil {
		panic(err)
	}
	before := open()
	code := m.Run()
	if code == 0 {
		var left []string
		for fd, what := range open() {
			if before[fd] != what {
				left = append(left, fmt.Sprintf("%s → %s", fd, what))
			}
		}
		if len(left) > 0 {
			sort.Strings(left)
			fmt.Fprintf(os.Stderr, "FAIL: descriptors left open:\n  %s\n", strings.Join(left, "\n  "))
			code = 1
		}
	}
	os.Exit(code)
}

// open lists the open sockets, BPF objects and namespaces by their descriptor's number.
func open() map[string]string {
	fds := map[string]string{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		what, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && (strings.HasPrefix(what, "socket:") || strings.HasPrefix(what, "anon_inode:bpf") ||
			strings.HasPrefix(what, "net:")) {
			fds[e.Name()] = what
		}
	}
	return fds
}
