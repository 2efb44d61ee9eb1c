package link

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// ifreq is struct ifreq of linux/if.h with ifr_data in use.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the kernel copies all of struct ifreq, whose union is larger than a pointer
}

// offloads returns the flags of an interface (ETHTOOL_GFLAGS). fd is a socket of its namespace.
func offloads(fd int, name string) (uint32, error) {
	v := ethtoolValue{cmd: unix.ETHTOOL_GFLAGS}
	err := ethtool(fd, name, &v)
	return v.data, err
}

// setOffloads sets them all (ETHTOOL_SFLAGS).
func setOffloads(fd int, name string, flags uint32) error {
	return ethtool(fd, name, &ethtoolValue{unix.ETHTOOL_SFLAGS, flags})
}

func ethtool(fd int, name string, v *ethtoolValue) error {
	req := &ifreq{data: unsafe.Pointer(v)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(req)))
	runtime.KeepAlive(v)
	if errno != 0 {
		return errno
	}
	return nil
}
