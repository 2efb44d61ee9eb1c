package conf

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"golang.org/x/sys/unix"
)

// inNamespace runs the test in a network namespace of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and takes the namespace with it
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
}

func TestMachineInterface(t *testing.T) {
	inNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.NumRxQueues, attrs.NumTxQueues = "v0", 1600, 4, 3
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "v1"}); err != nil {
		t.Fatal(err)
	}
	bridge := netlink.NewLinkAttrs()
	bridge.Name = "br0"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: bridge}); err != nil {
		t.Fatal(err)
	}
	v0, err := netlink.LinkByName("v0")
	if err != nil {
		t.Fatal(err)
	}
	v1, err := netlink.LinkByName("v1")
	if err != nil {
		t.Fatal(err)
	}
	br, err := netlink.LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMaster(v1, br); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkAddAltName(v0, "uplink-to-the-tenants"); err != nil {
		t.Fatal(err)
	}

	got, err := Machine{}.Interface("v0")
	if err != nil {
		t.Fatal(err)
	}
	// The counts in use are the driver's choice; what it could have is what the device was made with.
	if got.RxQueues < 1 || got.RxQueues > 4 || got.TxQueues < 1 || got.TxQueues > 3 {
		t.Errorf("queues %d and %d, want at most 4 and 3", got.RxQueues, got.TxQueues)
	}
	got.RxQueues, got.TxQueues = 0, 0
	if want := (Interface{Index: v0.Attrs().Index, Name: "v0", MTU: 1600, MaxQueues: 3}); got != want {
		t.Errorf("v0: %+v, want %+v", got, want)
	}
	if got, err := (Machine{}).Interface("uplink-to-the-tenants"); err != nil || got.Name != "v0" {
		t.Errorf("interface by an alternative name: got %+v, %v; want v0", got, err)
	}
	if got, err := (Machine{}).Interface("v1"); err != nil || got.Master != "br0" {
		t.Errorf("v1: %+v, %v; want master br0", got, err)
	}
	if got, err := (Machine{}).Interface("lo"); err != nil || !got.Loopback {
		t.Errorf("lo: got %+v, %v; want a loopback interface", got, err)
	}
	if _, err := (Machine{}).Interface("none"); !errors.Is(err, ErrNoInterface) {
		t.Errorf("none: %v", err)
	}

	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: v0.Attrs().Index})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := prog.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	if got, err := (Machine{}).Interface("v0"); err != nil || got.XDPProgram != uint32(id) ||
		got.XDPHolder.PID != os.Getpid() {
		t.Errorf("XDP program %d of process %d, %v; want %d of %d", got.XDPProgram, got.XDPHolder.PID, err, id,
			os.Getpid())
	}

	c := mustParse(t, strings.NewReplacer("eth1", "v0", "eth2", "br0").Replace(minimal))
	errs, _ := Check(c, Machine{})
	found := false
	for _, e := range errs {
		found = found || strings.Contains(e.Message, "v0 has an XDP program already")
	}
	if !found {
		t.Errorf("Check does not see the XDP program: %v", errs)
	}
}

// TestSystemService: the service of a process is a service of the system's,
// whatever lies below it; a session is none.
func TestSystemService(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/penstock.service\n":                                     "penstock.service",
		"1:name=systemd:/system.slice/penstock@a.service/worker\n0::/\n":          "penstock@a.service",
		"0::/system.slice/system-penstock.slice/penstock@b.service\n":             "penstock@b.service",
		"0::/user.slice/user-0.slice/user@0.service/app.slice/run-1.scope\n":      "",
		"0::/user.slice/user-0.slice/session-1.scope\n1:name=systemd:/init.scope": "",
	} {
		got := ""
		if m := systemService.FindStringSubmatch(groups); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%q: service %q, want %q", groups, got, want)
		}
	}
}

func TestMachine(t *testing.T) {
	m := Machine{}
	if k, err := m.Kernel(); err != nil || !strings.Contains(k, ".") {
		t.Errorf("Kernel = %q, %v", k, err)
	}
	if cpus, err := m.CPUs(); err != nil || len(cpus) == 0 || len(cpus) < runtime.NumCPU() {
		t.Errorf("CPUs = %v, %v; NumCPU = %d", cpus, err, runtime.NumCPU())
	}
	p, err := m.Privileges()
	if err != nil || os.Geteuid() != 0 && p.NetAdmin {
		t.Errorf("Privileges: got %+v, %v; want CAP_NET_ADMIN for root only, and no error", p, err)
	}
	if !m.Account("root", false) || !m.Account("root", true) || !m.Account("12345", true) ||
		m.Account("nobody-of-that-name", false) || m.Account("nobody-of-that-name", true) {
		t.Error("Account")
	}
	path := filepath.Join(t.TempDir(), "s")
	if m.Running(path) || m.Running("relative") {
		t.Error("Running without a box")
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !m.Running(path) {
		t.Error("not Running with a listener")
	}
}

// TestCPUsBesides: CPUs that the process does not run on by itself, as with isolcpus=, can have workers all the same.
func TestCPUsBesides(t *testing.T) {
	all, err := Machine{}.CPUs()
	if err != nil || len(all) < 2 {
		t.Skipf("one CPU: %v, %v", all, err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	one.Set(all[0])
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	got, err := Machine{}.CPUs()
	if err != nil || !slices.Equal(got, all) {
		t.Errorf("on CPU %d alone: %v, %v; want %v", all[0], got, err, all)
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != one {
		t.Errorf("the thread's CPUs were changed: %v, %v", after, err)
	}
}
