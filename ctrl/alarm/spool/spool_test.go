package spool

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/store/file"
)

// naive is a model of the spool, with a list of the waiting notices of every receiver.
type naive struct {
	limit   int
	seq     uint64
	log     []Notice
	waiting map[string][]uint64
	rank    map[string]uint8
	counts  map[string][2]uint64 // delivered, dropped
	alarms  map[uint64]string
}

func (n *naive) append(rank uint8) (lost []string) {
	n.seq++
	wanted := false
	for name, r := range n.rank {
		if rank >= r {
			n.waiting[name] = append(n.waiting[name], n.seq)
			wanted = true
		}
	}
	if wanted {
		n.log = append(n.log, Notice{Seq: n.seq, Rank: rank})
	}
	n.trim()
	if len(n.log) > n.limit {
		gone := n.log[0].Seq
		n.log = n.log[1:]
		for name, w := range n.waiting {
			if len(w) > 0 && w[0] == gone {
				n.waiting[name] = w[1:]
				c := n.counts[name]
				n.counts[name] = [2]uint64{c[0], c[1] + 1}
				lost = append(lost, name)
			}
		}
	}
	n.trim()
	slices.Sort(lost)
	return lost
}

// trim drops the notices before the first one for which a receiver waits.
func (n *naive) trim() {
	low := n.seq + 1
	for _, w := range n.waiting {
		if len(w) > 0 {
			low = min(low, w[0])
		}
	}
	n.log = slices.DeleteFunc(n.log, func(x Notice) bool { return x.Seq < low })
}

// TestModel compares the spool with the naive one over many random steps, restarts among them.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		path := filepath.Join(t.TempDir(), "db")
		o := Options{Limit: 20, NoSync: true}
		m := &naive{limit: o.Limit, waiting: map[string][]uint64{}, rank: map[string]uint8{},
			counts: map[string][2]uint64{}, alarms: map[uint64]string{}}
		s, _, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		receivers := func() {
			var list []Receiver
			for _, name := range slices.Sorted(maps.Keys(m.rank)) {
				list = append(list, Receiver{name, m.rank[name]})
			}
			s.SetReceivers(list)
		}
		for step := range 1500 {
			name := string(rune('a' + rnd.IntN(4)))
			switch k := rnd.IntN(100); {
			case k < 45:
				rank := uint8(rnd.IntN(4))
				lost := s.Append(time.Unix(0, int64(step)), rank,
					func(seq uint64) []byte { return fmt.Appendf(nil, "notice %d", seq) })
				if want := m.append(rank); !slices.Equal(lost, want) {
					t.Fatalf("seed %d, step %d: lost by %v, want %v", seed, step, lost, want)
				}
			case k < 80:
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
				n, ok, err := s.Next(name)
				w := m.waiting[name]
				if err != nil || ok != (len(w) > 0) || ok &&
					(n.Seq != w[0] || string(n.Data) != fmt.Sprint("notice ", w[0])) {
					t.Fatalf("seed %d, step %d: next of %s is %+v %v %v, want %v", seed, step, name, n, ok, err, w)
				}
				if ok {
					s.Done(name, n.Seq)
					m.waiting[name] = w[1:]
					m.counts[name] = [2]uint64{m.counts[name][0] + 1, m.counts[name][1]}
					m.trim()
				}
			case k < 85:
				if _, there := m.rank[name]; there && rnd.IntN(3) == 0 {
					delete(m.rank, name)
					delete(m.waiting, name)
					delete(m.counts, name)
				} else if !there {
					m.rank[name] = uint8(rnd.IntN(4))
				}
				m.trim()
				receivers()
			case k < 95:
				id := uint64(1 + rnd.IntN(10))
				if rnd.IntN(3) == 0 {
					s.Put(id, nil)
					delete(m.alarms, id)
				} else {
					text := fmt.Sprint("alarm at ", step)
					s.Put(id, []byte(text))
					m.alarms[id] = text
				}
			default:
				if err := errors.Join(s.Flush(), s.Close()); err != nil {
					t.Fatal(err)
				}
				var alarms map[uint64][]byte
				if s, alarms, err = Open(path, o); err != nil {
					t.Fatal(err)
				}
				if len(alarms) != len(m.alarms) {
					t.Fatalf("seed %d, step %d: %d alarms, want %d", seed, step, len(alarms), len(m.alarms))
				}
				for id, text := range m.alarms {
					if string(alarms[id]) != text {
						t.Fatalf("seed %d, step %d: alarm %d is %q, want %q", seed, step, id, alarms[id], text)
					}
				}
				receivers()
			}
			for name := range m.rank {
				p := s.Progress(name)
				if p.Waiting != len(m.waiting[name]) || p.Delivered != m.counts[name][0] ||
					p.Dropped != m.counts[name][1] || p.Oldest.IsZero() != (p.Waiting == 0) {
					t.Fatalf("seed %d, step %d: %s has %+v, want %d waiting, %v", seed, step, name, p,
						len(m.waiting[name]), m.counts[name])
				}
			}
			if len(s.index) > o.Limit || len(s.index) > len(m.log) {
				t.Fatalf("seed %d, step %d: %d notices kept, want at most %d", seed, step, len(s.index),
					min(o.Limit, len(m.log)))
			}
		}
		s.Close()
	}
}

// A notice that is not on disk yet is not sent; a notice that the disk refuses is sent.
func TestDurableFirst(t *testing.T) {
	s, _, err := Open(filepath.Join(t.TempDir(), "db"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	s.SetReceivers([]Receiver{{Name: "a"}})
	add := func() { s.Append(time.Now(), 0, func(uint64) []byte { return []byte("x") }) }
	add()
	if _, ok, _ := s.Next("a"); ok {
		t.Error("a notice is returned before it is on disk, want none")
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, ok, err := s.Next("a"); !ok || err != nil || n.Seq != 1 {
		t.Errorf("next notice %+v, %v, error %v, want notice 1", n, ok, err)
	}
	s.Done("a", 1)
	if err := errors.Join(s.Flush(), s.f.Close()); err != nil {
		t.Fatal(err)
	}
	add()
	if err := s.Flush(); err == nil || s.Failing() == nil {
		t.Fatal("a closed file was written, want an error")
	}
	if n, ok, err := s.Next("a"); !ok || err != nil || n.Seq != 2 || string(n.Data) != "x" {
		t.Errorf("notice that the disk refuses: %+v, %v, error %v, want it returned", n, ok, err)
	}
}

// Only while a write hangs, waiting notices are sent before they are on disk, in order; none is lost or sent twice.
func TestStall(t *testing.T) {
	entered, answer := make(chan struct{}), make(chan struct{})
	s, _, err := Open(filepath.Join(t.TempDir(), "db"), Options{NoSync: true, BeforeSync: func() {
		entered <- struct{}{}
		<-answer
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetReceivers([]Receiver{{Name: "a"}})
	add := func() { s.Append(time.Now(), 0, func(seq uint64) []byte { return fmt.Appendf(nil, "notice %d", seq) }) }
	next := func(what string, want uint64) {
		t.Helper()
		n, ok, err := s.Next("a")
		if err != nil || ok != (want > 0) || ok && (n.Seq != want || string(n.Data) != fmt.Sprint("notice ", want)) {
			t.Errorf("%s: %+v %v %v, want notice %d", what, n, ok, err, want)
		}
	}
	add()
	add()
	if s.Stall(errors.New("hangs")) || s.Failing() != nil {
		t.Error("Stall returns true without a write, want false")
	}
	done := make(chan error)
	go func() { done <- s.Flush() }()
	<-entered
	next("it is written", 0)
	if !s.Stall(errors.New("hangs")) {
		t.Error("Stall returns false during a write, want true")
	}
	add()
	next("it hangs", 1)
	s.Done("a", 1)
	next("it hangs", 2)
	s.Done("a", 2)
	next("it hangs", 3)
	answer <- struct{}{}
	if err := <-done; err != nil || s.Failing() != nil {
		t.Errorf("Flush: error %v, Failing: %v, want none", err, s.Failing())
	}
	next("the third is not written yet", 0)
	go func() { done <- s.Flush() }()
	<-entered
	answer <- struct{}{}
	if err := <-done; err != nil {
		t.Error(err)
	}
	next("it is", 3)
	if p := s.Progress("a"); p.Delivered != 2 || p.Waiting != 1 || p.Dropped != 0 {
		t.Errorf("progress %+v, want 2 delivered, 1 waiting, none dropped", p)
	}
}

// A damaged file is refused, or the data read from it is right.
func TestDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("with the race detector comes checkptr, which ends the process where bbolt reads a damaged page")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	s, _, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.SetReceivers([]Receiver{{Name: "a"}})
	for i := range 200 {
		s.Append(time.Unix(int64(i), 0), 0, func(seq uint64) []byte { return fmt.Appendf(nil, "notice %d", seq) })
		s.Put(uint64(i+1), fmt.Appendf(nil, "alarm %d", i+1))
	}
	if err := errors.Join(s.Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	found := 0
	for range 200 {
		bad := slices.Clone(good)
		if rnd.IntN(4) == 0 {
			bad = bad[:1+rnd.IntN(len(bad)-1)]
		} else {
			bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, alarms, err := Open(path, Options{NoSync: true})
		if err != nil {
			found++
			if _, ok := errors.AsType[*file.CorruptError](err); !ok {
				t.Errorf("error %v, want a CorruptError", err)
			}
			continue
		}
		for id, text := range alarms {
			if string(text) != fmt.Sprint("alarm ", id) {
				t.Errorf("alarm %d has the wrong text %q", id, text)
			}
		}
		s.SetReceivers([]Receiver{{Name: "a"}})
		for {
			n, ok, err := s.Next("a")
			if err != nil || !ok {
				break
			}
			if string(n.Data) != fmt.Sprint("notice ", n.Seq) {
				t.Errorf("notice %d has the wrong text %q", n.Seq, n.Data)
			}
			s.Done("a", n.Seq)
		}
		s.Close()
	}
	if found < 20 {
		t.Errorf("%d damages were found, want more", found)
	}
}
