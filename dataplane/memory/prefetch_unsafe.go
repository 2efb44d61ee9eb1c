//go:build amd64 || arm64

package memory

import "unsafe"

// Prefetch has the cache line at p loaded and does not wait for it. A load whose result nobody needs is as good where
// the lines of a batch are known beforehand, and needs no call. But the processor waits for it in the end: that costs
// where one line names the next.
//
//go:noescape
func Prefetch(p unsafe.Pointer)
