package inside

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Setup makes of a bare kernel a system that programs can run on.
func Setup() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"},
		{"tmpfs", "/run"}, {"tmpfs", "/tmp"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(ControlSocket), 0o755); err != nil {
		return err
	}
	// Before there are interfaces: they would send solicitations of their own.
	for _, scope := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0o644); err != nil {
			return err
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	return network()
}

func loadModules() error {
	entries, err := os.ReadDir(ModuleDir) // sorted
	if err != nil {
		return err
	}
	for _, e := range entries {
		file, err := os.Open(filepath.Join(ModuleDir, e.Name()))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(file.Fd()), "", 0)
		file.Close()
		if err != nil {
			return fmt.Errorf("load module %s: %w", e.Name(), err)
		}
	}
	return nil
}

func network() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	first, err := netlink.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("the interface towards the host: %w", err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(Address).To4(), Mask: net.CIDRMask(Prefix, 32)}}
	if err := netlink.AddrAdd(first, address); err != nil {
		return fmt.Errorf("address of %s: %w", first.Attrs().Name, err)
	}
	return netlink.LinkSetUp(first)
}
