// Package memory maps memory outside the Go heap for large tables: the collector has nothing to scan in it, and all of
// it is resident before the packet path uses it.
package memory

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a transparent huge page on amd64 and on arm64 with 4 KiB pages, in octets.
const hugePage = 2 << 20

// Region is zeroed memory outside the Go heap. The zero value is empty.
type Region struct {
	raw []byte // as mapped
	mem []byte // aligned to hugePage
}

// Map maps at least size octets, aligned to a huge page. All of it is made resident at once: the packet path takes no
// page fault later, and a lack of memory shows here. What the alignment leaves over in front and behind is never
// touched, hence takes no memory.
func Map(size int) (Region, error) {
	page := unix.Getpagesize()
	size = (size + page - 1) &^ (page - 1)
	raw, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return Region{}, fmt.Errorf("map %d octets: %w", size+hugePage, err)
	}
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) & (hugePage - 1))
	r := Region{raw: raw, mem: raw[skip : skip+size : skip+size]}
	// A kernel without transparent huge pages refuses the advice; small pages then do.
	_ = unix.Madvise(r.mem, unix.MADV_HUGEPAGE)
	// EINVAL: a kernel before 5.14; the pages then come with the first write.
	if err := unix.Madvise(r.mem, unix.MADV_POPULATE_WRITE); err != nil && !errors.Is(err, unix.EINVAL) {
		return Region{}, errors.Join(fmt.Errorf("populate %d octets: %w", size, err), r.Unmap())
	}
	return r, nil
}

// Bytes returns the memory. Nobody may use it after Unmap.
func (r *Region) Bytes() []byte { return r.mem }

// Unmap gives the memory back. Of an empty region, Unmap does nothing.
func (r *Region) Unmap() error {
	if r.raw == nil {
		return nil
	}
	raw := r.raw
	*r = Region{}
	if err := unix.Munmap(raw); err != nil {
		return fmt.Errorf("unmap %d octets: %w", len(raw), err)
	}
	return nil
}
