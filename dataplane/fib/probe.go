package fib

import "sync/atomic"

// Probe is a configured path, live or not, as its prober knows it (PROTOCOL.md#path-liveness).
type Probe struct {
	Port, VID uint16
	Number    uint8  // p of the fabric port
	DstShift  uint8  // as in Path
	DstMAC    uint64 // egress edge switch
	SrcMAC    uint64 // as in Path
	Own       uint64 // ingress edge switch, the fabric port's own
	Source    uint32 // the box address at the fabric port
	DstBase   uint32 // as in Path
	Live      *PathLive
}

// ProbeKey is the key of Snapshot.ProbeVLANs.
func ProbeKey(mac uint64, vid uint16) uint64 { return mac<<12 | uint64(vid&0xfff) }

// RTTs is how many of the last round trips a PathLive holds.
const RTTs = 64

// Targets is how many boxes behind an edge switch are probed, in turn.
const Targets = 2

// PathLive is the live state of a configured path. It stays the same while the path is configured. All times are
// nanoseconds on the engine's clock.
type PathLive struct {
	// Down says that the path is left out of its switch's live paths, unless all of them are down. Control reads it
	// when it makes a snapshot. Written by the first worker, like all that follow.
	Down atomic.Bool

	State   atomic.Uint32 // liveness.State
	Since   atomic.Int64  // when State changed last
	Why     atomic.Uint32 // liveness.Why of that change
	Held    atomic.Int64  // end of the hold time; 0 = none
	Fails   atomic.Uint64 // how often the path went down
	Probes  atomic.Uint64 // probes sent
	Answers atomic.Uint64 // probes answered
	Missed  atomic.Uint64 // probes not answered
	Late    atomic.Uint64 // timers that ran late; the answer then has more time
	Lost    atomic.Uint64 // of the last 64 probes, the last one in bit 0: 1 = not answered

	// Written by any worker that receives an echo.
	Asked [Targets]Asked
	RTT   [RTTs]atomic.Uint32 // round trips in nanoseconds, 4.29 s at most, in a ring; 0 = none yet
	Trips atomic.Uint64       // round trips measured: the last one is at (Trips − 1) modulo RTTs
}

// Asked is what a path knows of the probes to one target box.
type Asked struct {
	Address  atomic.Uint32 // of the box; 0 = no probe was sent. Written by the first worker.
	Sent     atomic.Int64  // sequence of the last probe: when it was sent. Written by the first worker.
	Answered atomic.Int64  // sequence of the last probe that was answered
}
