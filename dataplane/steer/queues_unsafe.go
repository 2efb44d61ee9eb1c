package steer

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// channels is struct ethtool_channels (linux/ethtool.h).
type channels struct {
	cmd                                         uint32
	maxRx, maxTx, maxOther, maxCombined         uint32
	rxCount, txCount, otherCount, combinedCount uint32
}

// ethtoolRequest is struct ifreq (linux/if.h) with ifr_data.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// QueueCount returns how many reception queues of the interface are in use (ETHTOOL_GCHANNELS); 1 if its driver
// knows nothing of queues. The interface is looked for in the network namespace of the calling thread.
func QueueCount(ifname string) (int, error) {
	if len(ifname) == 0 || len(ifname) >= unix.IFNAMSIZ {
		return 0, fmt.Errorf("steer: interface name %q: must have 1 to %d characters", ifname, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("steer: %s: ask for the number of queues: %w", ifname, err)
	}
	defer unix.Close(fd)
	c := channels{cmd: unix.ETHTOOL_GCHANNELS}
	r := ethtoolRequest{data: unsafe.Pointer(&c)}
	copy(r.name[:], ifname)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r)))
	if errors.Is(e, unix.EOPNOTSUPP) {
		return 1, nil
	}
	if e != 0 {
		return 0, fmt.Errorf("steer: %s: ask for the number of queues: %w", ifname, e)
	}
	return max(1, int(c.rxCount+c.combinedCount)), nil
}
