// Package xsk is the AF_XDP layer: the memory area shared with the kernel (UMEM), the sockets that are bound to a
// queue of an interface, and their four rings.
//
// A frame is one chunk of the UMEM and travels in a circle:
//
//	          Fill                     Receive
//	process ───────▶ fill ring ─▶ kernel ─▶ rx ring ───────▶ process
//
//	          Send                     Reclaim
//	process ───────▶ tx ring ──▶ kernel ─▶ completion ring ─▶ process
//
// One UMEM serves the sockets of all ports, so a frame received on one port leaves by any other without a copy.
// Each socket has a fill and a completion ring of its own; a frame comes back from the socket it was given to.
//
// # Ownership
//
// A socket remembers which frames it was given and has not given back (Fill and Send add, Receive and Reclaim
// remove). The rings alone do not tell: drivers in zero-copy mode keep frames that they took from the fill ring, in
// copy mode a frame for which the rx ring had no room stays with the kernel, and a frame that is being transmitted is
// in no ring at all. After Close, Drain hands back exactly those frames, whatever happened to the interface. In
// zero-copy mode a driver receives into its frames until it releases them, which is after the socket is closed: Close
// waits for the release. In copy mode some drivers send out of the frames themselves (sendsFromFrames), after the
// system call and after the socket is closed. A closed socket gets no completions, so Close first waits for the
// completion of the frames being sent.
//
// # Ring words
//
// Producer and consumer are free-running 32-bit counters in memory shared with the kernel; a slot is the counter
// modulo the ring's size. Of each ring one word is written by the process and the other by the kernel. Both are
// cached; the shared words are read and written at most once per call, with acquire loads and release stores
// (sync/atomic), which suits amd64 and arm64 alike.
//
// # Limits
//
// The methods of a Socket that touch rings are for one goroutine at a time. They neither allocate nor block, except
// that KickTx and WakeRx are system calls. Frames do not span chunks (no multi-buffer), chunks are aligned, and the
// UMEM is smaller than 4 GiB, so that a frame's position fits 32 bits.
package xsk
