// Package status holds the summaries of a running box under /v1/box and /v1/stats: the JSON that the control socket
// answers and the command line prints.
package status

import "time"

// Box is the summary of a box.
type Box struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Started  time.Time `json:"started"`
	Revision uint64    `json:"revision"`
	Ready    bool      `json:"ready"`
	Scheme   string    `json:"scheme"`
	Workers  int       `json:"workers"`
	Poll     string    `json:"poll"`
	Bindings Bindings  `json:"bindings"`
	Frames   Frames    `json:"frames"`
	Totals   Totals    `json:"totals"`
}

// Bindings is the state of the bindings table.
type Bindings struct {
	Count    int `json:"count"`
	Capacity int `json:"capacity"`
	Bytes    int `json:"bytes"` // of memory
}

// Frames counts the frame buffers by location.
type Frames struct {
	All        int            `json:"all"`
	Pooled     int            `json:"pooled"`
	Size       int            `json:"size"`               // octets
	ByOwner    map[string]int `json:"by_owner,omitempty"` // verify mode only
	Violations uint64         `json:"violations"`         // verify mode only: breaches of ownership
	Breaches   []string       `json:"breaches,omitempty"` // the first of them
}

// Totals are the frames that went through the box. When no frame is under way,
// rx + injected + copies = tx + punted + drops, and Balanced is true.
type Totals struct {
	Rx       uint64 `json:"rx"`
	Tx       uint64 `json:"tx"`
	Drops    uint64 `json:"drops"`
	Punted   uint64 `json:"punted"`
	Injected uint64 `json:"injected"`
	Copies   uint64 `json:"copies"`
	Balanced bool   `json:"balanced"`
}

// Port is a port's state and counters.
type Port struct {
	Name      string `json:"name"`
	Interface string `json:"interface"`
	Role      string `json:"role"`
	Open      bool   `json:"open"` // sockets are bound
	Up        bool   `json:"up"`   // carrier and administrative state
	MTU       int    `json:"mtu"`
	MAC       string `json:"mac"`
	XDP       string `json:"xdp"`  // native, generic
	Mode      string `json:"mode"` // zero-copy, copy
	Queues    int    `json:"queues"`

	RxPackets uint64            `json:"rx_packets"`
	RxBytes   uint64            `json:"rx_bytes"`
	TxPackets uint64            `json:"tx_packets"`
	TxBytes   uint64            `json:"tx_bytes"`
	TxErrors  uint64            `json:"tx_errors"`
	Punted    uint64            `json:"punted"`
	Punts     map[string]uint64 `json:"punts,omitempty"` // of Punted: what went to control, by kind
	Injected  uint64            `json:"injected"`
	Copies    uint64            `json:"copies"`
	Drops     uint64            `json:"drops"`
	Reasons   map[string]uint64 `json:"drop_reasons,omitempty"`
	Kernel    Kernel            `json:"kernel"`
}

// Kernel holds the kernel's counters of the port's sockets (XDP_STATISTICS): frames that never reached the dataplane.
type Kernel struct {
	RxDropped       uint64 `json:"rx_dropped"`
	RxRingFull      uint64 `json:"rx_ring_full"`
	FillRingEmpty   uint64 `json:"fill_ring_empty"`
	RxInvalidDescs  uint64 `json:"rx_invalid_descs"`
	TxInvalidDescs  uint64 `json:"tx_invalid_descs"`
	TxRingEmptyDesc uint64 `json:"tx_ring_empty"`
}

// Worker is a worker's counters.
type Worker struct {
	ID         int     `json:"id"`
	Turns      uint64  `json:"turns"`
	BusyTurns  uint64  `json:"busy_turns"`
	Frames     uint64  `json:"frames"`
	Sleeps     uint64  `json:"sleeps"`
	BusyNs     uint64  `json:"busy_ns"`
	NsPerFrame float64 `json:"ns_per_frame"`
	PerTurn    float64 `json:"frames_per_busy_turn"`
	MaxGapNs   uint64  `json:"max_gap_ns"`
	// Turns of the loop by duration: four buckets for each power of two of nanoseconds (stats.GapBucket).
	Gaps     []uint64 `json:"gaps"`      // of all turns
	BusyGaps []uint64 `json:"busy_gaps"` // of those that moved a frame
	// Turns longer than 100 µs in which another thread had the CPU, and in which the worker waited.
	PreemptedGaps []uint64 `json:"preempted_gaps"`
	StoppedGaps   []uint64 `json:"stopped_gaps"`
}

// Drops are the discarded frames by reason.
type Drops struct {
	Total map[string]uint64            `json:"total"`
	Ports map[string]map[string]uint64 `json:"ports"`
}

// VIF is a local VIF's counters.
type VIF struct {
	Key       string `json:"key"` // TENANT/NAME
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
}

// Items wraps a list.
type Items[T any] struct {
	Items []T `json:"items"`
}
