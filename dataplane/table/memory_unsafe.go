package table

import "unsafe"

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
