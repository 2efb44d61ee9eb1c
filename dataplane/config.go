// Package dataplane is the packet path: a poll-mode engine on AF_XDP.
//
// Files in packet order: worker.go (the loop: receive, process, send, refill), pipeline.go (the chain of stages by the
// port's role, and the final step of each packet), then the packages parse, overlay, neigh, route and edge. engine.go
// starts and stops the dataplane and publishes new tables. ports.go opens and closes ports as interfaces come and go.
// punt.go is the slow path from and to control. The package knows no names, JSON, TOML or HTTP.
package dataplane

import (
	"fmt"
	"time"

	"penstock/dataplane/xsk"
)

// PollMode is the behaviour of a worker when no frame arrives.
type PollMode uint8

// The poll modes.
const (
	PollAdaptive  PollMode = iota // spin for SpinTime, then sleep in poll(2) until a frame arrives
	PollBusy                      // always spin: lowest latency, a core at 100 %
	PollInterrupt                 // sleep at once
)

// Config configures the engine. A size of zero means the default.
type Config struct {
	Workers   int   // worker threads
	CPUs      []int // CPU of each worker, or nil to let the kernel choose
	Poll      PollMode
	SpinTime  time.Duration // adaptive: how long to spin before sleeping; default 50 µs
	Frames    int           // frames in the UMEM
	FrameSize int           // 2048 or 4096 octets
	RingSize  int           // entries of each rx, tx, fill and completion ring
	HugePages bool
	Handoff   bool  // distribute frames over the workers by the inner flow's hash, beside the NIC's queues
	Verify    bool  // check frame ownership at every transfer
	Nice      int   // of the worker threads
	VIFs      int   // initial number of local VIFs with counters; Prepare makes room for more
	Paths     int   // initial number of paths with counters; Prepare makes room for more
	Flows     Flows // of each worker's flow table; it takes memory when the box directs a virtual address
	Ports     []PortConfig

	// Log receives messages about ports and workers. No packet causes a message.
	Log func(level Level, msg string, args ...any)
}

// Level is the severity of a log message.
type Level int8

// The levels.
const (
	Info Level = iota
	Warn
	Error
)

// PortConfig is one port: an interface that the dataplane owns.
type PortConfig struct {
	Interface string
	Queues    int
	Mode      xsk.Mode
}

func (c *Config) setDefaults() error {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Workers, 1)
	def(&c.Frames, 16384)
	def(&c.FrameSize, 2048)
	def(&c.RingSize, 2048)
	def(&c.VIFs, 1024)
	def(&c.Paths, 1024)
	def(&c.Flows.Limit, 1<<20)
	if c.Flows.NewRate == 0 {
		c.Flows.NewRate = 125_000
	}
	if c.SpinTime == 0 {
		c.SpinTime = 50 * time.Microsecond
	}
	if c.Log == nil {
		c.Log = func(Level, string, ...any) {}
	}
	if c.CPUs != nil && len(c.CPUs) != c.Workers {
		return fmt.Errorf("%d CPUs for %d workers: name one CPU for each worker", len(c.CPUs), c.Workers)
	}
	queues := 0
	for i := range c.Ports {
		def(&c.Ports[i].Queues, c.Workers)
		queues += c.Ports[i].Queues
	}
	if need := queues * c.RingSize * 2; c.Frames < need {
		return fmt.Errorf("%d frames are too few for %d queues with rings of %d: at least %d are needed "+
			"(raise frames or lower ring_size)", c.Frames, queues, c.RingSize, need)
	}
	return nil
}
