package xsk

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringNeedWakeup is XDP_RING_NEED_WAKEUP.
const ringNeedWakeup = unix.XDP_RING_NEED_WAKEUP

// alignTo returns the part of m that starts at a multiple of align, a power of two not larger than m.
func alignTo(m []byte, align int) []byte {
	off := -uintptr(unsafe.Pointer(unsafe.SliceData(m))) & uintptr(align-1)
	return m[off:]
}

// registerUmem makes mem the UMEM of the socket fd (XDP_UMEM_REG), aligned chunks, no extra headroom.
func registerUmem(fd int, mem []byte, frameSize uint32) error {
	reg := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))),
		Len:  uint64(len(mem)),
		Size: frameSize,
	}
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	if e != 0 {
		return e
	}
	return nil
}

func getsockopt(fd, opt int, p unsafe.Pointer, size uintptr) error {
	n := uint32(size)
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt),
		uintptr(p), uintptr(unsafe.Pointer(&n)), 0); e != 0 {
		return e
	}
	return nil
}

// ringOffsets asks where in their mappings the parts of the rings are (XDP_MMAP_OFFSETS).
func ringOffsets(fd int) (o unix.XDPMmapOffsets, err error) {
	err = getsockopt(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&o), unsafe.Sizeof(o))
	return o, err
}

// socketFlags asks for the socket's options (XDP_OPTIONS).
func socketFlags(fd int) (flags uint32, err error) {
	err = getsockopt(fd, unix.XDP_OPTIONS, unsafe.Pointer(&flags), unsafe.Sizeof(flags))
	return flags, err
}

// socketStatistics asks for the socket's counters (XDP_STATISTICS).
func socketStatistics(fd int) (st unix.XDPStatistics, err error) {
	err = getsockopt(fd, unix.XDP_STATISTICS, unsafe.Pointer(&st), unsafe.Sizeof(st))
	return st, err
}

// mapRing maps one ring of the socket. T is what a slot holds.
func mapRing[T uint64 | Desc](fd int, pgoff int64, entries int, off unix.XDPRingOffset) (
	m []byte, slots []T, producer, consumer, flags *uint32, err error,
) {
	var slot T
	m, err = unix.Mmap(fd, pgoff, int(off.Desc)+entries*int(unsafe.Sizeof(slot)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, nil, nil, nil, nil, err
	}
	base := unsafe.Pointer(unsafe.SliceData(m))
	return m,
		unsafe.Slice((*T)(unsafe.Add(base, off.Desc)), entries),
		(*uint32)(unsafe.Add(base, off.Producer)),
		(*uint32)(unsafe.Add(base, off.Consumer)),
		(*uint32)(unsafe.Add(base, off.Flags)),
		nil
}

// kick is sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0): transmit what the tx ring holds. The call
// never sleeps, so it is a raw call: the Go runtime would take the processor away from a thread whose call takes more
// than 20 µs, as a call with a full batch does. The price: a garbage collector that wants to stop the world waits until
// the call returns, some 100 µs at most.
func kick(fd int) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return e
}

// wake is recvfrom(fd, NULL, 0, MSG_DONTWAIT, NULL, NULL): look at the fill ring. As short as kick.
func wake(fd int) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return e
}
