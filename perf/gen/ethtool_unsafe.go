package gen

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linkSettings is struct ethtool_link_settings of linux/ethtool.h, with room for the largest link mode masks.
type linkSettings struct {
	cmd       uint32
	speed     uint32 // Mb/s
	_         [7]uint8
	maskWords int8 // of each of the masks; the kernel answers with minus what it wants if that is not what it got
	_         [8 * 4]uint8
	_         [3 * 127]uint32
}

// channels is struct ethtool_channels of linux/ethtool.h.
type channels struct {
	cmd      uint32
	_        [4]uint32 // the most that are possible
	rx, tx   uint32
	_        uint32 // others
	combined uint32
}

// ifreq is struct ifreq of linux/if.h with ifr_data in use; the kernel copies all of it, whose union is larger than a
// pointer.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

func ethtool[T linkSettings | channels](fd int, name string, arg *T) error {
	req := &ifreq{data: unsafe.Pointer(arg)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(req)))
	runtime.KeepAlive(arg)
	if errno != 0 {
		return errno
	}
	return nil
}

// hardware is what the driver says of an interface.
type hardware struct {
	driver string
	speed  int // Mb/s, 0 = not known
	rx, tx int // queues in use, 0 = not known
}

// virtual reports whether the driver makes up its speed.
func (h *hardware) virtual() bool {
	return h.driver == "veth" || h.driver == "tun" || h.driver == "bridge"
}

// hardwareOf asks the driver of an interface of the calling thread's namespace. What it does not answer stays zero.
func hardwareOf(name string) (h hardware, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return h, fmt.Errorf("interface %s: %w", name, err)
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		h.driver = unix.ByteSliceToString(info.Driver[:])
	}
	ch := channels{cmd: unix.ETHTOOL_GCHANNELS}
	if ethtool(fd, name, &ch) == nil {
		h.rx, h.tx = int(ch.combined+ch.rx), int(ch.combined+ch.tx)
	}
	s := linkSettings{cmd: unix.ETHTOOL_GLINKSETTINGS}
	if ethtool(fd, name, &s) == nil && s.maskWords < 0 {
		s = linkSettings{cmd: unix.ETHTOOL_GLINKSETTINGS, maskWords: -s.maskWords}
		if ethtool(fd, name, &s) == nil && s.speed != 1<<32-1 && s.speed < 1<<31 { // SPEED_UNKNOWN
			h.speed = int(s.speed)
		}
	}
	return h, nil
}
