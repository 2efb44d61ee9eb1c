// Package guest makes the guests behind VIFs own virtual addresses: on the loopback interface of the running guest, and
// in files of the guest's own style, so that a restart of the guest keeps them. It talks to the QEMU guest agent
// (package qga), and has package style say what a guest needs. README.md says what is written where.
//
// Each guest, which is a socket, has a goroutine of its own: a guest that hangs holds up nobody. A pass compares what
// the guest has with what it is to have, and changes only the difference. What was done is recorded on disk before it
// is done, and in the guest, so that it is undone after any restart.
package guest

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/guest/qga"
)

// VIF is what a VIF asks of its guest.
type VIF struct {
	Key       string // TENANT/NAME
	Socket    string // of the guest's agent
	Manual    bool   // the guest is looked at and not touched
	Addresses []netip.Addr

	// Linger is how long an address that is no longer asked for stays while it has connections of TCP.
	Linger time.Duration
}

// The states of a VIF's guest.
const (
	StateOK      = "ok"      // it has the addresses, and keeps them over its restart
	StatePending = "pending" // not known yet
	StateFailed  = "failed"
)

// Status is the state of a VIF's guest.
type Status struct {
	State  string    `json:"state"`
	Since  time.Time `json:"since"`
	Style  string    `json:"style,omitempty"`  // how the guest configures its network
	Reason string    `json:"reason,omitempty"` // why it failed, and what to do
}

// Alarms takes alarms: an *alarm.Board.
type Alarms interface {
	Raise(alarm.Report)
	Update(kind alarm.Kind, object, text string)
	Clear(kind alarm.Kind, object string)
	Retain(keep func(object string) bool, kinds ...alarm.Kind)
}

// Config of a Service. Zero times take the default.
type Config struct {
	Path   string // of the records' file
	Alarms Alarms
	Log    *slog.Logger // nil = discard

	Readback  time.Duration // between two looks at a guest that is set up, at most; default 58 s
	RetryMin  time.Duration // after a failure, doubling; default 10 s
	RetryMax  time.Duration // default 5 min
	Patience  time.Duration // how long a guest that no VIF refers to is tried to be undone; default 24 h
	LingerGap time.Duration // between two looks at the connections of an address that lingers; default 5 s
	Limits    qga.Limits
}

// lookAtSocket is how often a guest's socket is looked at for a new one in its place: a new agent or virtual machine.
const lookAtSocket = time.Second

// deepEvery is how many looks at a guest's addresses come for one at its files and sysctls.
const deepEvery = 10

// Service sets guests up. Its methods may be called from any goroutine.
type Service struct {
	cfg     Config
	records *records

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	guests  map[string]*worker
	status  map[string]*Status
	alarmed map[string]string // by VIF, the text of its alarm
	tasks   sync.WaitGroup
}

// New reads the records. Records that cannot be read are an error with a service that can be used: it does not undo
// what it does not know.
func New(c Config) (*Service, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		v      *time.Duration
		preset time.Duration
	}{{&c.Readback, 58 * time.Second}, {&c.RetryMin, 10 * time.Second}, {&c.RetryMax, 5 * time.Minute},
		{&c.Patience, 24 * time.Hour}, {&c.LingerGap, 5 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.preset
		}
	}
	s := &Service{cfg: c, guests: map[string]*worker{}, status: map[string]*Status{}, alarmed: map[string]string{}}
	var err error
	s.records, err = openRecords(c.Path)
	return s, err
}

// Run sets guests up until ctx ends.
func (s *Service) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	for _, w := range s.guests {
		s.start(w)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil // no worker starts any more
	s.mu.Unlock()
	s.tasks.Wait()
}

// start starts the goroutine of a guest. The caller holds the lock.
func (s *Service) start(w *worker) {
	if s.ctx != nil && !w.started {
		w.started = true
		ctx := s.ctx
		s.tasks.Go(func() { w.run(ctx) })
	}
}

// Set says what all VIFs ask of their guests. Guests that were set up, and that no VIF asks for any more, are undone.
func (s *Service) Set(vifs []VIF) {
	wants := map[string]*want{}
	keys := map[string]bool{}
	for _, v := range vifs {
		w := wants[v.Socket]
		if w == nil {
			w = &want{}
			wants[v.Socket] = w
		}
		w.add(v)
		keys[v.Key] = true
	}
	for _, socket := range s.records.sockets() {
		if wants[socket] == nil {
			wants[socket] = &want{}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.guests {
		if wants[socket] == nil {
			wants[socket] = &want{}
		}
	}
	first := len(s.guests) == 0
	for key := range s.status {
		if !keys[key] {
			s.forget(key)
		}
	}
	for socket, next := range wants {
		next.tidy()
		w := s.guests[socket]
		switch {
		case w == nil && len(next.agent)+len(next.manual) == 0 && !s.records.has(socket):
			for _, v := range next.vifs {
				s.forget(v.Key)
			}
			continue
		case w == nil:
			w = newWorker(s, socket)
			s.guests[socket] = w
		}
		if w.set(next) {
			for _, v := range next.vifs {
				s.pending(v.Key)
			}
		}
		s.start(w)
	}
	if first && s.cfg.Alarms != nil {
		s.cfg.Alarms.Retain(func(object string) bool {
			return slices.ContainsFunc(vifs, func(v VIF) bool { return objectOf(v.Key) == object })
		}, alarm.GuestSetupFailed)
	}
}

// Status returns the state of a VIF's guest, nil if the VIF asks nothing of it.
func (s *Service) Status(vif string) *Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.status[vif]; st != nil {
		c := *st
		return &c
	}
	return nil
}

func objectOf(vif string) string { return "vif " + vif }

// pending is the state until the next pass, unless it is known that the guest fails. The caller holds the lock.
func (s *Service) pending(vif string) {
	if st := s.status[vif]; st == nil || st.State == StateOK {
		s.status[vif] = &Status{State: StatePending, Since: time.Now().UTC()}
	}
}

// forget ends what is known of a VIF's guest. The caller holds the lock.
func (s *Service) forget(vif string) {
	delete(s.status, vif)
	delete(s.alarmed, vif)
	if s.cfg.Alarms != nil {
		s.cfg.Alarms.Clear(alarm.GuestSetupFailed, objectOf(vif))
	}
}

// report notes the outcome of a pass for a VIF; reason is "" if it has succeeded.
func (s *Service) report(vif, style, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := StateOK
	if reason != "" {
		state = StateFailed
	}
	if st := s.status[vif]; st == nil || st.State != state {
		s.status[vif] = &Status{State: state, Since: time.Now().UTC(), Style: style, Reason: reason}
	} else {
		st.Style, st.Reason = style, reason
	}
	if s.cfg.Alarms == nil {
		return
	}
	text := fmt.Sprintf("The guest of VIF %s is not set up for its virtual addresses: %s", vif, reason)
	last, known := s.alarmed[vif]
	switch {
	case reason == "" && (!known || last != ""):
		s.alarmed[vif] = ""
		s.cfg.Alarms.Clear(alarm.GuestSetupFailed, objectOf(vif))
	case reason != "" && last == "":
		s.alarmed[vif] = text
		s.cfg.Alarms.Raise(alarm.Report{Kind: alarm.GuestSetupFailed, Object: objectOf(vif), Text: text})
	case reason != "" && last != text:
		s.alarmed[vif] = text
		s.cfg.Alarms.Update(alarm.GuestSetupFailed, objectOf(vif), text)
	}
}
