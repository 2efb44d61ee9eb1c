package xsk

import "time"

// SharesWith returns the interface index of the socket whose registration of the UMEM s was bound with, 0 if s
// registered the memory itself.
func (s *Socket) SharesWith() int { return s.shared }

// SendsFromFrames makes a socket treat its driver as one that sends out of the frames, and sets how long Close waits.
// No driver that a test can create does so.
func (s *Socket) SendsFromFrames(limit time.Duration) { s.refers, s.limit = true, limit }

// Refers reports whether the driver is taken for one that sends out of the frames.
func (s *Socket) Refers() bool { return s.refers }

// Sent returns the number of frames that went in by Send and have not come back.
func (s *Socket) Sent() int { return s.sent.len() }

// Sentinel is for tests over veth, which has no zero-copy mode.
type Sentinel = sentinel

// NewSentinel is newSentinel.
func NewSentinel(ifindex, queue int) (*Sentinel, error) { return newSentinel(ifindex, queue) }

// Wait is wait.
func (s *sentinel) Wait(limit time.Duration) error { return s.wait(limit) }

// Close is close.
func (s *sentinel) Close() error { return s.close() }
