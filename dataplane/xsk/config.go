package xsk

import (
	"fmt"

	"penstock/dataplane/frame"
)

// Desc says where a frame lies in the UMEM and how long it is.
type Desc = frame.Desc

// Mode says how frames get from the driver to the UMEM and back.
type Mode uint8

// The modes.
const (
	ModeAuto     Mode = iota // zero-copy if the driver can and nothing is known against it (Fallback), else copy
	ModeZeroCopy             // the driver works in the UMEM itself (XDP_ZEROCOPY)
	ModeCopy                 // the kernel copies each frame (XDP_COPY)
	ModeGeneric              // as ModeCopy; the XDP program is attached in generic mode, see package steer
)

// String returns the mode's name as used in configuration and output.
func (m Mode) String() string {
	switch m {
	case ModeAuto:
		return "auto"
	case ModeZeroCopy:
		return "zero-copy"
	case ModeCopy:
		return "copy"
	case ModeGeneric:
		return "generic"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// MaxRing is the largest ring accepted, in slots. The kernel's own limit is memory.
const MaxRing = 1 << 20

// SocketConfig describes a socket. Ring sizes are in slots and powers of two.
type SocketConfig struct {
	Ifindex  int // interface, in the network namespace of the calling thread
	Queue    int // queue of the interface, from 0
	RxSize   int // rx ring
	TxSize   int // tx ring
	FillSize int // fill ring; RxSize or more keeps the rx ring fed
	CompSize int // completion ring; at least TxSize, or transmission waits for Reclaim
	Mode     Mode
	// XDP_USE_NEED_WAKEUP: the kernel says when it must be woken. Saves system calls in zero-copy mode.
	NeedWakeup bool
}

func (c *SocketConfig) check() error {
	if c.Ifindex < 1 {
		return fmt.Errorf("xsk: interface index %d: must be 1 or more", c.Ifindex)
	}
	if c.Queue < 0 {
		return fmt.Errorf("xsk: interface index %d: queue %d: must be 0 or more", c.Ifindex, c.Queue)
	}
	if c.Mode > ModeGeneric {
		return fmt.Errorf("xsk: interface index %d: unknown mode %d", c.Ifindex, c.Mode)
	}
	for _, r := range [...]struct {
		name string
		size int
	}{{"rx", c.RxSize}, {"tx", c.TxSize}, {"fill", c.FillSize}, {"completion", c.CompSize}} {
		if r.size < 1 || r.size > MaxRing || r.size&(r.size-1) != 0 {
			return fmt.Errorf("xsk: interface index %d, queue %d: %s ring of %d slots: must be a power of two up to %d",
				c.Ifindex, c.Queue, r.name, r.size, MaxRing)
		}
	}
	return nil
}
