// Package spool keeps alarms and undelivered notices about them on disk: a log of notices, and the progress of every
// receiver.
//
// One log serves all receivers; a notice is removed when the last receiver has it. The log is bounded: when it is full
// the oldest notice is discarded, and every receiver that was still to get it counts one as dropped. The oldest is
// discarded because the newest notices hold the current state of an alarm. Waiting notices are indexed in memory (some
// 40 octets a notice); the text is read when it is sent.
//
// Changes gather in memory and Flush writes them in one transaction. A notice is sent only after that: a restart knows
// every notice that a receiver has. Only while the file cannot be written, or a write hangs, notices are sent before
// they are on disk: a forgotten alarm is better than an unsent one.
package spool

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"penstock/ctrl/store/file"
)

// Notice is one message about an alarm. Receivers get the notices whose rank is not below theirs.
type Notice struct {
	Seq  uint64
	Time time.Time
	Rank uint8
	Data []byte
}

// Receiver is a receiver of notices.
type Receiver struct {
	Name string
	Rank uint8 // lowest rank sent
}

// Progress is the progress of a receiver.
type Progress struct {
	Waiting   int       // notices not delivered yet
	Oldest    time.Time // creation of the first waiting notice; zero if none waits
	Delivered uint64
	Dropped   uint64 // discarded notices
}

// progress is the stored state of a receiver.
type progress struct {
	Cursor    uint64 `json:"cursor"` // all notices up to this number are done
	Delivered uint64 `json:"delivered"`
	Dropped   uint64 `json:"dropped"`

	rank    uint8
	waiting int
}

// entry is a notice in the index.
type entry struct {
	seq  uint64
	at   int64 // Unix nanoseconds
	rank uint8
	data []byte // nil once it is on disk
}

// Options of Open.
type Options struct {
	Limit  int  // notices kept; default 10,000
	NoSync bool // tests only: do not fsync

	BeforeSync func() // tests only: called in every write
}

// Spool is an open spool. One goroutine calls Flush; the other methods may be called by any.
type Spool struct {
	f     *file.File
	limit int
	hook  func() // Options.BeforeSync

	mu        sync.Mutex
	index     []entry // ascending
	receivers map[string]*progress
	alarms    map[uint64][]byte // to be written; nil = to be deleted
	changed   map[string]bool   // receivers to be written or deleted
	first     uint64            // the notices below this number are to be deleted
	seq, id   uint64            // the last ones given out
	dirty     bool
	failing   error // error of the last Flush, or of a hanging one
	writing   bool  // a Flush is under way
}

// Open opens or creates the spool at path, and returns the alarms in it by ID. Errors are a *file.CorruptError,
// file.ErrLocked, or of the file system.
func Open(path string, o Options) (*Spool, map[uint64][]byte, error) {
	if o.Limit <= 0 {
		o.Limit = 10_000
	}
	s := &Spool{limit: o.Limit, hook: o.BeforeSync, receivers: map[string]*progress{}, alarms: map[uint64][]byte{},
		changed: map[string]bool{}}
	f, err := file.Open(path, file.Options{
		What: "the spool of alarms", Remedy: "Move it away and start again; notices that were not delivered are " +
			"lost", NoSync: o.NoSync,
	}, check)
	if err != nil {
		return nil, nil, err
	}
	s.f = f
	alarms := map[uint64][]byte{}
	if err := f.View(func(tx *bbolt.Tx) error { return s.load(tx, alarms) }); err != nil {
		f.Close()
		return nil, nil, err
	}
	return s, alarms, nil
}

// CopyTo writes what is on disk into a new file at path. Writers go on meanwhile.
func (s *Spool) CopyTo(path string) error { return s.f.CopyTo(path) }

// SetReceivers sets the receivers. A new receiver gets the notices that are added later; the waiting notices of a
// removed receiver are discarded.
func (s *Spool) SetReceivers(list []Receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]*progress{}
	for _, r := range list {
		p := s.receivers[r.Name]
		if p == nil {
			p = &progress{Cursor: s.seq}
			s.changed[r.Name] = true
		}
		p.rank, p.waiting = r.Rank, 0
		for i := range s.index {
			if e := &s.index[i]; e.seq > p.Cursor && e.rank >= p.rank {
				p.waiting++
			}
		}
		next[r.Name] = p
	}
	for name := range s.receivers {
		if next[name] == nil {
			s.changed[name] = true
		}
	}
	s.receivers = next
	s.trim()
	s.dirty = s.dirty || len(s.changed) > 0
}

// NextID returns the ID for a new alarm.
func (s *Spool) NextID() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id++
	return s.id
}

// Put stores an alarm; nil text deletes it.
func (s *Spool) Put(id uint64, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms[id] = text
	s.dirty = true
}

// Append adds a notice to the log, with the text that build makes for its number. It returns the receivers that lost
// one for it, because the log was full.
func (s *Spool) Append(at time.Time, rank uint8, build func(seq uint64) []byte) (lost []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	s.dirty = true
	wanted := false
	for _, p := range s.receivers {
		if rank >= p.rank {
			p.waiting++
			wanted = true
		}
	}
	if !wanted {
		return nil
	}
	s.index = append(s.index, entry{seq: s.seq, at: at.UnixNano(), rank: rank, data: build(s.seq)})
	for s.trim(); len(s.index) > s.limit; s.trim() {
		e := s.index[0]
		for name, p := range s.receivers {
			if e.seq <= p.Cursor {
				continue
			}
			p.Cursor = e.seq
			s.changed[name] = true
			if e.rank >= p.rank {
				p.waiting--
				p.Dropped++
				lost = append(lost, name)
			}
		}
		s.pop(1)
	}
	slices.Sort(lost)
	return slices.Compact(lost)
}

// pop removes the first n notices.
func (s *Spool) pop(n int) {
	if n == 0 {
		return
	}
	s.first = s.index[n-1].seq + 1
	s.index = slices.Delete(s.index, 0, n)
	s.dirty = true
}

// wanted returns the index of the first notice that is to be sent to a receiver, or −1.
func (s *Spool) wanted(p *progress) int {
	if p.waiting == 0 {
		return -1
	}
	i, _ := slices.BinarySearchFunc(s.index, p.Cursor+1,
		func(e entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
	for ; i < len(s.index); i++ {
		if s.index[i].rank >= p.rank {
			return i
		}
	}
	return -1
}

// trim removes the notices that are done for every receiver.
func (s *Spool) trim() {
	low := s.seq
	for _, p := range s.receivers {
		// A notice that is below a receiver's rank must not take room of others.
		if i := s.wanted(p); i < 0 {
			p.Cursor = s.seq
		} else {
			p.Cursor = max(p.Cursor, s.index[i].seq-1)
		}
		low = min(low, p.Cursor)
	}
	n := 0
	for n < len(s.index) && s.index[n].seq <= low {
		n++
	}
	s.pop(n)
}

// Next returns the first notice that a receiver has not got; ok is false if there is none, or none on disk.
func (s *Spool) Next(name string) (n Notice, ok bool, err error) {
	s.mu.Lock()
	p := s.receivers[name]
	var found *entry
	if p != nil {
		if i := s.wanted(p); i >= 0 {
			found = &s.index[i]
		}
	}
	if found == nil || found.data != nil && s.failing == nil {
		s.mu.Unlock()
		return n, false, nil
	}
	n = Notice{Seq: found.seq, Rank: found.rank, Time: time.Unix(0, found.at), Data: found.data}
	s.mu.Unlock()
	if n.Data != nil {
		return n, true, nil
	}
	err = s.f.View(func(tx *bbolt.Tx) error {
		k := key(n.Seq)
		v := tx.Bucket(bucketNotices).Get(k)
		if v == nil { // dropped in the meantime
			return nil
		}
		got, err := s.notice(k, v)
		if err == nil {
			n.Data = slices.Clone(got.Data)
		}
		return err
	})
	return n, n.Data != nil, err
}

// Done records that a receiver has the notice with that number, and all before it.
func (s *Spool) Done(name string, seq uint64) { s.advance(name, seq, true) }

// Skip skips a notice that can no longer be read; it counts as dropped.
func (s *Spool) Skip(name string, seq uint64) { s.advance(name, seq, false) }

func (s *Spool) advance(name string, seq uint64, delivered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.receivers[name]
	if p == nil || seq <= p.Cursor {
		return // the receiver was removed, or the notice was dropped while it was sent
	}
	for i := range s.index {
		if e := &s.index[i]; e.seq > p.Cursor && e.seq <= seq && e.rank >= p.rank {
			p.waiting--
		} else if e.seq > seq {
			break
		}
	}
	p.Cursor = seq
	if delivered {
		p.Delivered++
	} else {
		p.Dropped++
	}
	s.changed[name] = true
	s.dirty = true
	s.trim()
}

// Progress returns the progress of a receiver.
func (s *Spool) Progress(name string) (out Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.receivers[name]
	if p == nil {
		return out
	}
	out = Progress{Waiting: p.waiting, Delivered: p.Delivered, Dropped: p.Dropped}
	if i := s.wanted(p); i >= 0 {
		out.Oldest = time.Unix(0, s.index[i].at)
	}
	return out
}

// Stall marks the Flush under way as hanging: until it ends, its notices are sent as if the file could not be written.
// It returns false if no Flush is under way.
func (s *Spool) Stall(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		s.failing = err
	}
	return s.writing
}

// Failing is the error of the last Flush, or of Stall while it hangs, or nil.
func (s *Spool) Failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing
}

// Flush makes all changes before the call durable. After an error the next Flush writes them.
func (s *Spool) Flush() error {
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	alarms, changed := s.alarms, s.changed
	s.alarms, s.changed, s.dirty, s.writing = map[uint64][]byte{}, map[string]bool{}, false, true
	first, seq, id := s.first, s.seq, s.id
	var add []entry
	for i := len(s.index) - 1; i >= 0 && s.index[i].data != nil; i-- {
		add = append(add, s.index[i])
	}
	slices.Reverse(add)
	receivers := map[string][]byte{}
	for name := range changed {
		receivers[name] = nil
		if p := s.receivers[name]; p != nil {
			receivers[name], _ = json.Marshal(p) // integers only
		}
	}
	s.mu.Unlock()

	err := s.f.Update(func(tx *bbolt.Tx) error {
		if s.hook != nil {
			s.hook()
		}
		return write(tx, alarms, receivers, add, first, seq, id)
	})

	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing, s.writing = err, false
	if err != nil {
		maps.Copy(alarms, s.alarms)
		maps.Copy(changed, s.changed)
		s.alarms, s.changed, s.dirty = alarms, changed, true
		return err
	}
	for i := len(s.index) - 1; i >= 0; i-- {
		if e := &s.index[i]; e.seq <= seq {
			if e.data == nil {
				break
			}
			e.data = nil
		}
	}
	return nil
}

// Close releases the file. Changes that were not flushed are lost.
func (s *Spool) Close() error { return s.f.Close() }
