package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// runDirEnv makes the test binary one of runDirTests, in a mount namespace of its own with an empty /run.
const runDirEnv = "PENSTOCK_LAB_RUN_DIR"

var runDirTests = map[string]func() error{
	"ip while a lab stands":         ipWhileLabStands,
	"ip before the lab":             ipBeforeLab,
	"a namespace lies below":        namespaceBelow,
	"several namespaces lie below":  severalBelow,
	"no ip, and a namespace stands": unpreparedLeftover,
}

// TestRunDir: labs and `ip netns` share /run/netns, whoever comes first; what the one makes the other can see and
// remove, and what a lab has made it can take away.
func TestRunDir(t *testing.T) {
	newLab(t, "rundir")
	for name := range runDirTests {
		for _, sharing := range []string{"private", "shared"} {
			t.Run(name+"/"+sharing, func(t *testing.T) {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), runDirEnv+"="+name, sharingEnv+"="+sharing, "TMPDIR="+t.TempDir())
				// makes all mounts private as well
				cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("got %v, want success:\n%s", err, out)
				}
			})
		}
	}
}

// sharingEnv is set if /run is a shared mount, as systemd makes it, or a private one, as in many containers.
const sharingEnv = "PENSTOCK_LAB_RUN_SHARING"

// emptyRun gives the process a /run of its own.
func emptyRun() error {
	if err := unix.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		return err
	}
	if os.Getenv(sharingEnv) == "private" {
		return nil
	}
	return unix.Mount("", "/run", "none", unix.MS_SHARED, "")
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// only fails unless /run/netns is one mount and has exactly the namespace "other", which works.
func only() error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	// Its root is /netns of the tmpfs; the machine's own mount, which emptyRun hides, has another.
	if n := strings.Count(string(info), " /netns "+netnsDir+" "); n != 1 {
		return fmt.Errorf("%d mounts on %s, want 1:\n%s", n, netnsDir, info)
	}
	entries, err := os.ReadDir(netnsDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "other" {
		return fmt.Errorf("in %s: %v, %v, want other alone", netnsDir, entries, err)
	}
	return errors.Join(ip("netns", "exec", "other", "true"), ip("netns", "del", "other"))
}

func ipWhileLabStands() error {
	if err := emptyRun(); err != nil {
		return err
	}
	l, err := New("first")
	if err != nil {
		return err
	}
	return errors.Join(l.Namespace("a"), ip("netns", "add", "other"), l.Namespace("b"),
		ip("netns", "exec", l.FullName("a"), "true"),
		l.Close(), only())
}

func ipBeforeLab() error {
	if err := errors.Join(emptyRun(), ip("netns", "add", "other")); err != nil {
		return err
	}
	l, err := New("second")
	if err != nil {
		return err
	}
	return errors.Join(l.Namespace("a"), l.Namespace("b"), ip("netns", "exec", l.FullName("b"), "true"), l.Close(),
		only())
}

// leftover makes a namespace as a lab of a process that is gone would have, without a mount on /run/netns.
func leftover(name string) error {
	return onThread(func() error {
		h, err := netns.NewNamed(fmt.Sprintf("%s%d-old.%s", Prefix, 1<<30, name))
		if err != nil {
			return err
		}
		return h.Close()
	})
}

func namespaceBelow() error {
	return errors.Join(emptyRun(), leftover("a"), ip("netns", "add", "other"), RemoveStale(), only())
}

func severalBelow() error {
	return errors.Join(emptyRun(), leftover("a"), leftover("b"), ip("netns", "add", "other"), leftover("c"),
		RemoveStale(), only())
}

func unpreparedLeftover() error {
	return errors.Join(emptyRun(), leftover("a"), RemoveStale(), ip("netns", "add", "other"), RemoveStale(), only())
}
