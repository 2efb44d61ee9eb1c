package table

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a transparent huge page on amd64 and on arm64 with 4 KiB pages, in octets.
const hugePage = 2 << 20

// region is zeroed memory outside the Go heap.
type region struct {
	raw []byte // as mapped
	mem []byte // aligned to hugePage
}

// mapRegion maps at least size octets (a multiple of the page size), aligned to a huge page. All of it is made
// resident at once: the packet path takes no page fault later, and a lack of memory shows here. What the alignment
// leaves over in front and behind is never touched, hence takes no memory.
func mapRegion(size int) (region, error) {
	page := unix.Getpagesize()
	size = (size + page - 1) &^ (page - 1)
	raw, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return region{}, fmt.Errorf("map %d octets: %w", size+hugePage, err)
	}
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) & (hugePage - 1))
	r := region{raw: raw, mem: raw[skip : skip+size : skip+size]}
	// A kernel without transparent huge pages refuses the advice; small pages then do.
	_ = unix.Madvise(r.mem, unix.MADV_HUGEPAGE)
	// EINVAL: a kernel before 5.14; the pages then come with the first write.
	if err := unix.Madvise(r.mem, unix.MADV_POPULATE_WRITE); err != nil && !errors.Is(err, unix.EINVAL) {
		return region{}, errors.Join(fmt.Errorf("populate %d octets: %w", size, err), r.unmap())
	}
	return r, nil
}

// unmap gives the memory back.
func (r *region) unmap() error {
	if r.raw == nil {
		return nil
	}
	raw := r.raw
	*r = region{}
	if err := unix.Munmap(raw); err != nil {
		return fmt.Errorf("unmap %d octets: %w", len(raw), err)
	}
	return nil
}

// bucketsAt views n buckets from octet off of mem, which the slicing checks.
func bucketsAt(mem []byte, off, n int) []bucket {
	part := mem[off : off+n*bucketSize]
	return unsafe.Slice((*bucket)(unsafe.Pointer(unsafe.SliceData(part))), n)
}

// wordsAt views n 32-bit words from octet off of mem.
func wordsAt(mem []byte, off, n int) []uint32 {
	part := mem[off : off+n*4]
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(part))), n)
}
