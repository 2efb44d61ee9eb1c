// Package event is the log of everything that changes or happens: a ring of the last events, with sequence numbers
// that continue over restarts.
package event

import (
	"time"
)

// Event is one thing that changed or happened.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Type string    `json:"type"` // "change", "bulk", "port", "reload", "conflict", "gap", …
	Data any       `json:"data,omitempty"`
}

// Config of a Log.
type Config struct {
	Size    int                     // events kept; default 65,536
	Start   uint64                  // the high-water mark that Reserve stored last (store.EventMark)
	Reserve func(mark uint64) error // makes a new high-water mark durable (store.SetEventMark); nil = not kept
	Now     func() time.Time        // nil = time.Now
}

// Log is the ring. Publish never blocks.
type Log struct{ cfg Config }

// New makes a Log.
func New(c Config) *Log { return &Log{c} }

// Publish appends an event.
func (l *Log) Publish(typ string, data any) {}
