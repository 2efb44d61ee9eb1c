// Package slow is the slow path: it gives the frames that the packet path hands to control to those that want them, by
// kind, and takes frames that control sends.
//
// A kind has one handler. Frames of a kind without one are counted and ignored.
package slow

import (
	"context"
	"fmt"
	"sync/atomic"

	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
)

// Handler takes a frame, without FCS, that the port with the given index has received. It must not keep the frame, and
// must not block: the other kinds wait for it.
type Handler func(port int, frame []byte)

// SegmentHandler is a Handler of a kind of frames from segments of tenants (punt.Info.Box). key is fib.SegmentKey.
type SegmentHandler func(key uint64, frame []byte)

// StationHandler is a Handler of a kind of frames of stations of tenants (punt.Info.Tenant). key is fib.SegmentKey.
type StationHandler func(port int, key uint64, frame []byte)

// Engine is what the slow path needs of the packet path.
type Engine interface {
	Punts() *punt.Reader
	Inject(port int, frame []byte) bool
}

// Counters are what the slow path has done.
type Counters struct {
	Wakeups   uint64             // times that it was woken
	Handled   [punt.Count]uint64 // frames given to a handler, by kind
	Unclaimed uint64             // frames of kinds without a handler
	NotSent   uint64             // frames that the packet path had no room for, or whose port or length is wrong
}

// Path is the slow path.
type Path struct {
	engine   Engine
	handlers [punt.Count]func(s *frame.Slot)

	wakeups, unclaimed, notSent atomic.Uint64
	handled                     [punt.Count]atomic.Uint64
}

// New returns a slow path without handlers.
func New(e Engine) *Path { return &Path{engine: e} }

// Handle makes h the handler of kind k. It is to be called before Run. A second handler of a kind is an error.
func (p *Path) Handle(k punt.Kind, h Handler) error {
	return p.handle(k, func(s *frame.Slot) { h(int(s.Port), s.Data[:s.Len]) })
}

// HandleSegment makes h the handler of kind k, like Handle.
func (p *Path) HandleSegment(k punt.Kind, h SegmentHandler) error {
	return p.handle(k, func(s *frame.Slot) { h(s.Seg, s.Data[:s.Len]) })
}

// HandleStation makes h the handler of kind k, like Handle.
func (p *Path) HandleStation(k punt.Kind, h StationHandler) error {
	return p.handle(k, func(s *frame.Slot) { h(int(s.Port), s.Seg, s.Data[:s.Len]) })
}

func (p *Path) handle(k punt.Kind, h func(s *frame.Slot)) error {
	switch {
	case k == punt.None || k >= punt.Count:
		return fmt.Errorf("slow path: there is no kind %d of punted frames", k)
	case p.handlers[k] != nil:
		return fmt.Errorf("slow path: kind %s has a handler already", k)
	}
	p.handlers[k] = h
	return nil
}

// Run gives frames to their handlers until ctx is done. Between frames it sleeps, without a timer.
func (p *Path) Run(ctx context.Context) {
	punts := p.engine.Punts()
	for punts.Wait(ctx) {
		p.wakeups.Add(1)
		punts.TakeSlots(p.dispatch)
	}
}

func (p *Path) dispatch(s *frame.Slot) {
	if k := s.Kind; k < uint8(punt.Count) && p.handlers[k] != nil {
		p.handlers[k](s)
		p.handled[k].Add(1)
		return
	}
	p.unclaimed.Add(1)
}

// Inject sends a frame, without FCS, out of the port with the given index; false if there is no room or the port cannot
// send. The frame is copied. It may be called from any goroutine.
func (p *Path) Inject(port int, frame []byte) bool {
	if p.engine.Inject(port, frame) {
		return true
	}
	p.notSent.Add(1)
	return false
}

// Counters returns the present values.
func (p *Path) Counters() Counters {
	c := Counters{Wakeups: p.wakeups.Load(), Unclaimed: p.unclaimed.Load(), NotSent: p.notSent.Load()}
	for k := range c.Handled {
		c.Handled[k] = p.handled[k].Load()
	}
	return c
}
