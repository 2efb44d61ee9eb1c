package xsk

import "time"

// SharesWith returns the interface index of the socket whose registration of the UMEM s was bound with, 0 if s
// registered the memory itself.
func (s *Socket) SharesWith() int { return s.shared }

// Sentinel is for tests over veth, which has no zero-copy mode.
type Sentinel = sentinel

// NewSentinel is newSentinel.
func NewSentinel(ifindex, queue int) (*Sentinel, error) { return newSentinel(ifindex, queue) }

// Wait is wait.
func (s *sentinel) Wait(limit time.Duration) error { return s.wait(limit) }

// Close is close.
func (s *sentinel) Close() error { return s.close() }
