package status

import "time"

// Path is one path to an edge switch, its traffic, and what probes have shown of it.
type Path struct {
	Switch  string `json:"switch"` // egress edge switch
	Port    string `json:"port"`   // fabric port
	VID     uint16 `json:"vid"`
	Live    bool   `json:"live"` // it is used
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`

	PortUp   bool         `json:"port_up"`
	State    string       `json:"state"`            // unknown, up, suspect, down
	Reason   string       `json:"reason,omitempty"` // of the state: answers, miss, silent, hold …
	Since    *time.Time   `json:"since,omitempty"`
	Held     *time.Time   `json:"held_until,omitempty"` // it is not used before, even if it answers
	Failures uint64       `json:"failures"`             // how often it went down
	Probes   uint64       `json:"probes"`
	Answers  uint64       `json:"answers"`
	Missed   uint64       `json:"missed"`
	Loss     float64      `json:"loss"`          // share of the last 64 probes that were not answered
	RTT      *RTT         `json:"rtt,omitempty"` // absent = none measured yet
	Changes  []PathChange `json:"changes"`       // the last 64, oldest first
}

// RTT is the quantiles of the last 64 round trips of a path's probes, in nanoseconds.
type RTT struct {
	Count uint64 `json:"count"` // measured in all
	Min   int64  `json:"min_ns"`
	P50   int64  `json:"p50_ns"`
	P90   int64  `json:"p90_ns"`
	P99   int64  `json:"p99_ns"`
	Max   int64  `json:"max_ns"`
}

// PathChange is a change of a path's state.
type PathChange struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}
