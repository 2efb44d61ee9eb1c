package xsk

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// hugePage is the size that MAP_HUGETLB and transparent huge pages use on amd64 and arm64 with 4 KiB pages.
const hugePage = 2 << 20

// UmemConfig describes a UMEM. The area is Frames × FrameSize octets, less than 4 GiB.
type UmemConfig struct {
	Frames int // number of frames, at least 1
	// Octets per frame: 2048 or 4096, of which 256 are headroom on reception. Longer frames are dropped there.
	FrameSize int
	HugePages bool // ask for reserved huge pages; without, or if there are none, for transparent ones
}

// Umem is the memory area in which all frames lie. It is safe for concurrent use.
type Umem struct {
	mem       []byte // the frames
	mapped    []byte // the mapping that mem lies in
	frameSize uint32
	hugetlb   bool

	mu   sync.Mutex
	open []*Socket // not closed; some may have lost their interface
}

// NewUmem maps the memory. The kernel learns of it with the first socket.
func NewUmem(c UmemConfig) (*Umem, error) {
	if c.FrameSize != 2048 && c.FrameSize != 4096 {
		return nil, fmt.Errorf("xsk: UMEM frame size %d: must be 2048 or 4096", c.FrameSize)
	}
	if c.Frames < 1 || uint64(c.Frames)*uint64(c.FrameSize) > math.MaxUint32 {
		return nil, fmt.Errorf("xsk: UMEM of %d frames: must be 1 to %d with frames of %d octets",
			c.Frames, math.MaxUint32/c.FrameSize, c.FrameSize)
	}
	u := &Umem{frameSize: uint32(c.FrameSize)}
	if err := u.mapMemory(c.Frames*c.FrameSize, c.HugePages); err != nil {
		return nil, fmt.Errorf("xsk: map UMEM of %d frames of %d octets: "+
			"%w (lower the number of frames, or raise the memory limit)",
			c.Frames, c.FrameSize, err)
	}
	return u, nil
}

func (u *Umem) mapMemory(size int, huge bool) error {
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	if huge { // if none are reserved, transparent ones do
		// Reserved huge pages are populated at once: the reservation is checked here and not by a SIGBUS later.
		m, err := unix.Mmap(-1, 0, roundUp(size, hugePage), prot, flags|unix.MAP_HUGETLB|unix.MAP_POPULATE)
		if err == nil {
			u.mapped, u.mem, u.hugetlb = m, m[:size:size], true
			return nil
		}
	}
	// Transparent huge pages want a mapping that starts at a huge page boundary. The kernel takes all of the memory in
	// any case, when the first socket is opened; in small pages nearly every frame costs a walk of the page tables.
	m, err := unix.Mmap(-1, 0, size+hugePage, prot, flags)
	if err != nil {
		return err
	}
	u.mapped, u.mem = m, alignTo(m, hugePage)[:size:size]
	// Advice; a kernel without transparent huge pages answers EINVAL.
	_ = unix.Madvise(u.mem, unix.MADV_HUGEPAGE)
	return nil
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// Mem returns the whole area; a frame's address is its index here. The slice is invalid after Close.
func (u *Umem) Mem() []byte { return u.mem }

// FrameSize returns the octets per frame.
func (u *Umem) FrameSize() int { return int(u.frameSize) }

// HugeTLB reports whether the area lies in reserved huge pages.
func (u *Umem) HugeTLB() bool { return u.hugetlb }

// Close unmaps the memory. It fails while sockets are open.
func (u *Umem) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.open); n > 0 {
		return fmt.Errorf("xsk: close UMEM: %d sockets still use it: close them first", n)
	}
	if u.mapped == nil {
		return nil
	}
	m := u.mapped
	u.mapped, u.mem = nil, nil
	if err := unix.Munmap(m); err != nil {
		return fmt.Errorf("xsk: unmap UMEM: %w", err)
	}
	return nil
}

func (u *Umem) forget(s *Socket) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i := slices.Index(u.open, s); i >= 0 {
		u.open = slices.Delete(u.open, i, i+1)
	}
}
