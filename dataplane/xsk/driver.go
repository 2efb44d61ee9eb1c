package xsk

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// errVirtioHeader is what ModeAuto says of virtio-net. The driver sends every zero-copy frame behind a header that is a
// variable of its own, and maps that for the device as if it lay in ordinary memory. In a driver that is a module it does
// not: another page goes out as header (all kernels up to 7.3; `make test-vm` found it). What the host makes of that
// depends on what lies there: mostly zeros, which are right; else it discards all frames.
var errVirtioHeader = errors.New("virtio_net as a module may send frames behind a wrong header in zero-copy mode: use it only where the driver is built in")

// zeroCopyFault returns what is known against zero-copy mode on an interface though its driver offers it: nothing that
// the box could notice by itself.
func zeroCopyFault(ifindex int) error {
	if driver(ifindex) == "virtio_net" && isModule("virtio_net") {
		return errVirtioHeader
	}
	return nil
}

// sendsFromFrames reports whether the kernel, in copy mode, does not copy what a driver sends but hands it the pages of
// the UMEM: for drivers that take packets without a linear part (IFF_TX_SKB_NO_LINEAR, since Linux 5.12). The flag cannot
// be asked for; virtio-net is the only driver that sets it. Devices stacked upon it (VLAN, bond) have copies. With the
// driver's parameter napi_tx off it says that a frame is sent before it is, and nothing here can know better.
func sendsFromFrames(driver string) bool { return driver == "virtio_net" }

// driver returns the name of the driver of an interface of the calling thread's namespace, "" if it has none to tell.
func driver(ifindex int) string {
	ifi, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return ""
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, ifi.Name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// isModule reports whether a driver was loaded: what is built into the kernel has no state.
func isModule(name string) bool {
	_, err := os.Stat("/sys/module/" + name + "/initstate")
	return err == nil
}
