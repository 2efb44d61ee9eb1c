package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The last octets of a frame of steady traffic: magic, sequence number, and its complement, which keeps every checksum
// of the Internet kind (RFC 1071) over them the same.
const (
	steadyMagic   = 0x50535354
	steadyTrailer = 12

	// maxBurst is how many frames are sent without a pause at most when the sender was held up.
	maxBurst = 32
)

// SteadyPayload is the payload of a template for steady traffic, n octets (at least 12, and even, as all before it
// must be, for the checksum to hold).
func SteadyPayload(n int) []byte {
	b := make([]byte, max(n, steadyTrailer))
	putSteady(b, 0)
	return b
}

func putSteady(frame []byte, seq uint32) {
	b := frame[len(frame)-steadyTrailer:]
	binary.BigEndian.PutUint32(b, steadyMagic)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ^seq)
}

func steadySequence(frame []byte) (uint32, bool) {
	if len(frame) < 14+steadyTrailer {
		return 0, false
	}
	b := frame[len(frame)-steadyTrailer:]
	seq := binary.BigEndian.Uint32(b[4:])
	return seq, binary.BigEndian.Uint32(b) == steadyMagic && binary.BigEndian.Uint32(b[8:]) == ^seq
}

// Steady is traffic at a constant rate, under way.
type Steady struct {
	tx        *Raw
	rx        []*Raw
	templates [][]byte
	interval  time.Duration

	stop     chan struct{}
	sending  sync.WaitGroup
	drain    atomic.Bool
	received chan SteadyResult
	sent     atomic.Uint32
	txErrors atomic.Uint32
	err      error // of the sender
}

// SteadyResult is the result of steady traffic.
type SteadyResult struct {
	Sent       uint32
	SendErrors uint32 // of Sent: refused by the sending interface (other end full, link down)
	Received   uint32 // different ones
	Duplicates uint32
	Reordered  uint32 // arrived behind a later one of the same template
	Overruns   uint32 // lost by the receiver of the test itself
	// Blocked is the longest time between two arrivals, less the sending interval.
	Blocked time.Duration
	// FirstLost is the sequence number of the first frame that did not arrive, if any.
	FirstLost uint32
}

// Lost returns how many frames did not arrive.
func (r SteadyResult) Lost() uint32 { return r.Sent - r.Received }

// String formats the result in one line.
func (r SteadyResult) String() string {
	return fmt.Sprintf("sent %d (%d refused), received %d, lost %d, doubled %d, reordered %d, longest gap %v, "+
		"receiver overruns %d",
		r.Sent, r.SendErrors, r.Received, r.Lost(), r.Duplicates, r.Reordered, r.Blocked.Round(time.Microsecond),
		r.Overruns)
}

// StartSteady sends frames from tx at the given rate (frames a second), the templates in turn, and counts them on rx.
// Each template must end with SteadyPayload.
func StartSteady(tx, rx *Raw, rate int, templates ...[]byte) (*Steady, error) {
	return StartSteadyTo(tx, []*Raw{rx}, rate, templates...)
}

// StartSteadyTo is StartSteady with several places at which a frame may arrive.
func StartSteadyTo(tx *Raw, rx []*Raw, rate int, templates ...[]byte) (*Steady, error) {
	s := &Steady{tx: tx, rx: rx, interval: time.Second / time.Duration(rate), stop: make(chan struct{}),
		received: make(chan SteadyResult, 1)}
	for i, t := range templates {
		if _, ok := steadySequence(t); !ok {
			return nil, fmt.Errorf("template %d does not end with a payload for steady traffic", i)
		}
		s.templates = append(s.templates, append([]byte(nil), t...))
	}
	for _, r := range rx {
		if _, err := r.Overruns(); err != nil { // resets the counter
			return nil, err
		}
	}
	go s.receive()
	s.sending.Go(s.send)
	return s, nil
}

// Sent returns how many frames have been sent so far.
func (s *Steady) Sent() uint32 { return s.sent.Load() }

// Stop ends the sending, waits until nothing has arrived for the given time, and returns the result.
func (s *Steady) Stop(settle time.Duration) (SteadyResult, error) {
	close(s.stop)
	s.sending.Wait()
	time.Sleep(settle)
	s.drain.Store(true)
	r := <-s.received
	r.Sent, r.SendErrors = s.sent.Load(), s.txErrors.Load()
	return r, s.err
}

func (s *Steady) send() {
	next := time.Now()
	for seq := uint32(0); ; {
		select {
		case <-s.stop:
			return
		default:
		}
		for n := 0; n < maxBurst && !time.Now().Before(next); n++ {
			frame := s.templates[int(seq)%len(s.templates)]
			putSteady(frame, seq)
			if err := s.sendOne(frame); err != nil {
				s.err = err
				return
			}
			seq++
			s.sent.Store(seq)
			next = next.Add(s.interval)
		}
		if late := time.Since(next); late > maxBurst*s.interval {
			next = time.Now() // held up: go on at the rate, do not catch up
		} else if late < 0 {
			time.Sleep(-late)
		}
	}
}

// sendOne sends a frame. When the other end has no room it tries once more; what an interface refuses counts as sent.
func (s *Steady) sendOne(frame []byte) error {
	err := s.tx.Send(frame)
	if errors.Is(err, unix.ENOBUFS) {
		time.Sleep(200 * time.Microsecond)
		err = s.tx.Send(frame)
	}
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) {
		s.txErrors.Add(1)
		return nil
	}
	return err
}

// tally counts the frames that have arrived.
type tally struct {
	mu sync.Mutex
	SteadyResult
	seen  []uint64 // bit per sequence number
	newer []uint32 // by template: sequence number + 1 of the latest
	last  time.Time
}

func (s *Steady) receive() {
	t := &tally{newer: make([]uint32, len(s.templates))}
	var all sync.WaitGroup
	for _, rx := range s.rx {
		all.Go(func() { s.listen(rx, t) })
	}
	all.Wait()
	t.FirstLost = s.firstLost(t.seen)
	for _, rx := range s.rx {
		n, _ := rx.Overruns()
		t.Overruns += n
	}
	s.received <- t.SteadyResult
}

func (s *Steady) listen(rx *Raw, t *tally) {
	for {
		frame, err := rx.Receive(20 * time.Millisecond)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && !s.drain.Load() {
				continue
			}
			return
		}
		if seq, ok := steadySequence(frame); ok {
			t.note(seq, s.interval)
		}
	}
}

func (t *tally) note(seq uint32, interval time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() {
		t.Blocked = max(t.Blocked, now.Sub(t.last)-interval)
	}
	t.last = now
	word, bit := int(seq/64), uint64(1)<<(seq%64)
	for len(t.seen) <= word {
		t.seen = append(t.seen, 0)
	}
	if t.seen[word]&bit != 0 {
		t.Duplicates++
		return
	}
	t.seen[word] |= bit
	t.Received++
	flow := int(seq) % len(t.newer)
	if seq+1 < t.newer[flow] {
		t.Reordered++
	}
	t.newer[flow] = max(t.newer[flow], seq+1)
}

// firstLost returns the first sequence number that was sent and is not in seen.
func (s *Steady) firstLost(seen []uint64) uint32 {
	sent := s.sent.Load()
	for seq := range sent {
		if word := int(seq / 64); word >= len(seen) || seen[word]>>(seq%64)&1 == 0 {
			return seq
		}
	}
	return sent
}
