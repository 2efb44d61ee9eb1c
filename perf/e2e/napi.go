package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"penstock/integration/lab"
)

// The netdev family of generic netlink (linux/netdev.h, kernel 6.8).
const (
	netdevFamily  = "netdev"
	netdevNAPIGet = 11
	napiIfindex   = 1
	napiPID       = 4
	genlHeader    = 4
)

var errNoThread = errors.New("its NAPI has no thread (this needs kernel 6.8 and GRO on the interface)")

// threadNAPI gives the NAPI of an interface with one queue a thread of its own on a CPU, above or below others by its
// niceness, and returns the thread's number. The thread goes with the interface.
func threadNAPI(l *lab.Lab, namespace, name string, cpu, nice int) (tid int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("give the NAPI of %s a thread: %w", name, err)
		}
	}()
	if err := setThreaded(l, namespace, name); err != nil {
		return 0, err
	}
	if tid, err = napiThread(l, namespace, name); err != nil {
		return 0, err
	}
	if err := pin(tid, cpu); err != nil {
		return 0, err
	}
	return tid, unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
}

// setThreaded writes the interface's attribute. /sys shows the namespace that it was mounted in, so that this takes a
// mount of its own, which goes with the thread that made it.
func setThreaded(l *lab.Lab, namespace, name string) error {
	at := filepath.Join(l.Dir(), "sys")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- l.Do(namespace, func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("unshare mounts: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("make mounts private: %w", err)
			}
			if err := unix.Mount("sysfs", at, "sysfs", 0, ""); err != nil {
				return fmt.Errorf("mount sysfs: %w", err)
			}
			err := os.WriteFile(filepath.Join(at, "class/net", name, "threaded"), []byte("1"), 0o644)
			return errors.Join(err, unix.Unmount(at, 0))
		})
	}()
	return <-done
}

// napiThread returns the number of the thread that runs an interface's NAPI.
func napiThread(l *lab.Lab, namespace, name string) (tid int, err error) {
	err = l.Do(namespace, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		family, err := netlink.GenlFamilyGet(netdevFamily)
		if err != nil {
			return fmt.Errorf("the kernel's netdev family: %w", err)
		}
		r := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
		r.AddRawData([]byte{netdevNAPIGet, 1, 0, 0}) // nl.Genlmsg leaves the reserved octets to chance
		answers, err := r.Execute(unix.NETLINK_GENERIC, 0)
		if err != nil {
			return fmt.Errorf("ask for its NAPI: %w", err)
		}
		for _, a := range answers {
			if len(a) < genlHeader {
				continue
			}
			attrs, err := nl.ParseRouteAttr(a[genlHeader:])
			if err != nil {
				return fmt.Errorf("ask for its NAPI: %w", err)
			}
			index, thread := 0, 0
			for _, attr := range attrs {
				if len(attr.Value) < 4 {
					continue
				}
				switch v := int(nl.NativeEndian().Uint32(attr.Value)); attr.Attr.Type {
				case napiIfindex:
					index = v
				case napiPID:
					thread = v
				}
			}
			if index == link.Attrs().Index {
				tid = thread
			}
		}
		if tid == 0 {
			return errNoThread
		}
		return nil
	})
	return tid, err
}
