package flow

import (
	"unsafe"

	"penstock/dataplane/memory"
)

// bucket is a cache line of two entries.
type bucket [2]Entry

// address is the IPv6 address of the client of an entry.
type address [2]uint64

const (
	bucketSize  = int(unsafe.Sizeof(bucket{}))
	addressSize = int(unsafe.Sizeof(address{}))
)

// links views word 3 of a half-open entry: the entries before and after.
func (e *Entry) links() *[2]uint32 { return (*[2]uint32)(unsafe.Pointer(&e[3])) }

// prefetch has the line of an entry loaded, and does not wait for it.
func (t *Table) prefetch(s uint32) { memory.Prefetch(unsafe.Pointer(t.entry(s))) }

// bucketsIn views memory as n buckets.
func bucketsIn(mem []byte, n int) []bucket {
	mem = mem[:n*bucketSize]
	return unsafe.Slice((*bucket)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

// addressesIn views memory as the addresses of n entries.
func addressesIn(mem []byte, n int) []address {
	mem = mem[:n*addressSize]
	return unsafe.Slice((*address)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}
