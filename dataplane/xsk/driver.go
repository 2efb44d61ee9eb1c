package xsk

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// errVirtioHeader is why ModeAuto does not use zero-copy mode on virtio-net. The driver sends every zero-copy frame
// behind a header that is a variable of the driver, and maps this variable for the device as ordinary memory. The
// variables of a module are not in ordinary memory: another page goes out as the header (all kernels up to 7.3;
// `make test-vm` found it). That page is mostly zeros, which make a valid header. Otherwise the host discards all
// frames.
var errVirtioHeader = errors.New("virtio_net as a module may send frames behind a wrong header in zero-copy mode: " +
	"use it only where the driver is built in")

// zeroCopyFault returns a known fault of zero-copy mode on an interface whose driver offers the mode. The box cannot
// detect such a fault itself.
func zeroCopyFault(ifindex int) error {
	if driver(ifindex) == "virtio_net" && isModule("virtio_net") {
		return errVirtioHeader
	}
	return nil
}

// sendsFromFrames reports whether a driver sends out of the pages of the UMEM in copy mode, without a copy. The kernel
// does that for drivers that take packets without a linear part (IFF_TX_SKB_NO_LINEAR, since Linux 5.12). Programs
// cannot query the flag; virtio-net is the only driver that sets it. Devices stacked upon virtio-net (VLAN, bond) send
// copies. If the driver's parameter napi_tx is off, the driver reports a frame as sent too early; this is not detected.
func sendsFromFrames(driver string) bool { return driver == "virtio_net" }

// driver returns the name of the driver of an interface of the calling thread's namespace, "" if the interface names
// none.
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
