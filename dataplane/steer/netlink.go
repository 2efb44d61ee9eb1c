package steer

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// linkIndex returns ifi_index of struct ifinfomsg (linux/rtnetlink.h), of which b has at least the 16 octets.
func linkIndex(b []byte) int { return int(int32(binary.NativeEndian.Uint32(b[4:8]))) }

// programID looks for a program's ID in the attributes nested in IFLA_XDP (linux/if_link.h). IFLA_XDP_PROG_ID is
// absent if programs are attached in several modes; then those of the modes are there.
func programID(b []byte) uint32 {
	for len(b) >= unix.SizeofRtAttr {
		n, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.SizeofRtAttr || n > len(b) {
			return 0
		}
		switch typ {
		case unix.IFLA_XDP_PROG_ID, unix.IFLA_XDP_DRV_PROG_ID, unix.IFLA_XDP_SKB_PROG_ID, unix.IFLA_XDP_HW_PROG_ID:
			if n >= unix.SizeofRtAttr+4 {
				return binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:])
			}
		}
		b = b[min((n+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(b)):]
	}
	return 0
}
