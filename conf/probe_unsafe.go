package conf

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolChannels is struct ethtool_channels of linux/ethtool.h.
type ethtoolChannels struct {
	Cmd                                 uint32
	MaxRx, MaxTx, MaxOther, MaxCombined uint32
	Rx, Tx, Other, Combined             uint32
}

// ethtoolIfreq is struct ifreq of linux/if.h with ifr_data in use.
type ethtoolIfreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the kernel copies all of struct ifreq, whose union is larger than a pointer
}

// channelsOf reads the number of queues in use from the driver: SIOCETHTOOL with ETHTOOL_GCHANNELS, see ethtool(8) -l.
// Drivers without this function return EOPNOTSUPP.
func channelsOf(name string) (ethtoolChannels, error) {
	ch := &ethtoolChannels{Cmd: unix.ETHTOOL_GCHANNELS}
	if err := ethtoolAt(name, unsafe.Pointer(ch)); err != nil {
		return ethtoolChannels{}, fmt.Errorf("ethtool channels of %s: %w", name, err)
	}
	return *ch, nil
}

// ethtool is the ethtoolCall of the kernel.
func ethtool(name string, b []byte) error {
	return ethtoolAt(name, unsafe.Pointer(unsafe.SliceData(b)))
}

// ethtoolAt calls SIOCETHTOOL with a struct of linux/ethtool.h, which begins with its command.
func ethtoolAt(name string, data unsafe.Pointer) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	req := &ethtoolIfreq{data: data}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(req)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return errno
	}
	return nil
}
