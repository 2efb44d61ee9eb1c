package systemd_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

var capabilityNumbers = map[string]uintptr{
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_BPF": unix.CAP_BPF,
	"CAP_IPC_LOCK": unix.CAP_IPC_LOCK, "CAP_SYS_NICE": unix.CAP_SYS_NICE,
}

// TestCapabilities does what the box does to an interface as an ordinary user with the unit's capabilities: that must
// work with all of them, and must fail without any single one: the unit grants no unneeded capability.
func TestCapabilities(t *testing.T) {
	xsktest.RequireRoot(t)
	xsktest.Namespace(t)
	end, _ := xsktest.Veth(t, "cap0", "cap1", xsktest.VethConfig{})
	all := strings.Fields(unit(t, "penstock.service")["Service.AmbientCapabilities"][0])
	try := func(caps []string) (string, error) {
		// /proc/self/exe works where the user may not enter the directory of the test's binary.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestWithCapabilities$", "-test.v")
		cmd.Env = append(os.Environ(), "PENSTOCK_TEST_IFINDEX="+strconv.Itoa(end.Index))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		for _, c := range caps {
			n, ok := capabilityNumbers[c]
			if !ok {
				t.Fatalf("the unit has %s, which this test does not know", c)
			}
			cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, n)
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := try(all); err != nil || !strings.Contains(out, "--- PASS: TestWithCapabilities") {
		t.Fatalf("with %v: %v\n%s", all, err, out)
	}
	for i, without := range all {
		rest := append(append([]string{}, all[:i]...), all[i+1:]...)
		out, err := try(rest)
		if err == nil {
			t.Errorf("everything works without %s: take it out of the unit", without)
		}
		if !strings.Contains(out, "permitted") && !strings.Contains(out, "permission") &&
			!strings.Contains(out, "cannot allocate") && !strings.Contains(out, "no buffer space") {
			t.Errorf("without %s it fails for another reason: %s", without, out)
		}
	}
}

// TestWithCapabilities is the child of TestCapabilities.
func TestWithCapabilities(t *testing.T) {
	ifindex, err := strconv.Atoi(os.Getenv("PENSTOCK_TEST_IFINDEX"))
	if err != nil {
		t.Skip("runs as a child of TestCapabilities")
	}
	// The unit sets LimitMEMLOCK=infinity for machines where CAP_IPC_LOCK was taken away; here only one of them acts.
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	if err := asBoxDoes(ifindex); err != nil {
		t.Fatal(err)
	}
}

// asBoxDoes attaches to the interface, opens a socket, and sets MTU, promiscuous mode and priority.
func asBoxDoes(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(l, 1600); err != nil {
		return fmt.Errorf("MTU: %w", err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
		&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}); err != nil {
		return fmt.Errorf("promiscuous mode: %w", err)
	}
	prog, err := steer.Attach(steer.Options{Ifindex: ifindex, Queues: 1})
	if err != nil {
		return err
	}
	defer prog.Close()
	umem, err := xsk.NewUmem(xsk.UmemConfig{Frames: 1024, FrameSize: 2048})
	if err != nil {
		return err
	}
	defer umem.Close()
	s, err := umem.Open(xsk.SocketConfig{Ifindex: ifindex, RxSize: 64, TxSize: 64, FillSize: 64, CompSize: 64})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := prog.Register(0, s.FD()); err != nil {
		return err
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, -20); err != nil {
		return fmt.Errorf("priority: %w", err)
	}
	return nil
}
