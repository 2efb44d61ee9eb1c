package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"

	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
	"penstock/dataplane/gateway"
)

// State is what a restart goes on with.
type State struct {
	Groups map[string]GroupState `json:"groups"`
}

// GroupState is what a restart is to know of a group.
type GroupState struct {
	Active   string   `json:"active,omitempty"`
	Chosen   bool     `json:"chosen,omitempty"` // Active, by an operator: preemption rests
	Disabled []string `json:"disabled,omitempty"`
}

// State is what a restart would go on with.
func (s *Service) State() State { return s.save.state() }

// stateOf is what a restart is to know of a group. While no member is active the last one that was is kept; so is what
// the dataplane has not looked at yet.
func (s *Service) stateOf(g *Group) GroupState {
	saved := s.save.state().Groups[g.Name]
	st := GroupState{Active: g.name(g.Live.Active.Load()), Chosen: g.Live.Chosen.Load()}
	if st.Active == "" {
		st.Active, st.Chosen = saved.Active, saved.Chosen && g.Live.Switches.Load() == 0
	}
	for i := range g.Members {
		m := &g.Members[i]
		disabled := gateway.State(m.Live.State.Load()) == gateway.Disabled
		if m.Live.Since.Load() == 0 {
			disabled = slices.Contains(saved.Disabled, m.Name)
		}
		if disabled {
			st.Disabled = append(st.Disabled, m.Name)
		}
	}
	return st
}

// maxState is more than any state takes: 1,000 members with names of 63 octets.
const maxState = 1 << 20

// Load reads the state. One that is not there is empty. One that cannot be read is, too, and the error says why: it is a
// hint, which the dataplane verifies, and no reason not to start.
func Load(path string) (s State, err error) {
	text, err := readfile.Regular(path, maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return s, err
	}
	return parse(text)
}

// Clean removes what interrupted writes of the state at path left. The caller makes sure that nobody writes it.
func Clean(path string) error {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), name+".") && e.Type().IsRegular() {
			errs = append(errs, os.Remove(dir+e.Name()))
		}
	}
	return errors.Join(errs...)
}

func parse(text []byte) (State, error) {
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return State{}, fmt.Errorf("the state of the gateways cannot be read, the first one that is healthy becomes active: %w", err)
	}
	return s, nil
}

// Store replaces the file as a whole and returns when it is durable.
func (s State) Store(path string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	// One name, so that at most one file is left over by a crash. Nobody else writes it: the box holds its store's lock.
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return file.SyncDir(filepath.Dir(path))
}

// saver keeps the file as the state is. A disk that is slow or refuses holds up nobody but those who wait for it.
type saver struct {
	path string
	log  *slog.Logger
	wake chan struct{}

	mu     sync.Mutex
	want   State
	writes sync.Mutex // have, and the file
	have   State
	failed bool
}

func (v *saver) init(path string, saved State, log *slog.Logger) {
	v.path, v.log, v.wake = path, log, make(chan struct{}, 1)
	v.want, v.have = saved, saved
}

func (v *saver) state() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.want
}

// set says what the file is to hold.
func (v *saver) set(s State) {
	v.mu.Lock()
	same := reflect.DeepEqual(v.want, s)
	v.want = s
	v.mu.Unlock()
	if !same || v.failing() {
		select {
		case v.wake <- struct{}{}:
		default:
		}
	}
}

func (v *saver) failing() bool {
	if !v.writes.TryLock() { // it is being written
		return false
	}
	defer v.writes.Unlock()
	return v.failed
}

// flush writes what is to be written.
func (v *saver) flush() error {
	v.writes.Lock()
	defer v.writes.Unlock()
	want := v.state()
	if v.path == "" || !v.failed && reflect.DeepEqual(want, v.have) {
		return nil
	}
	err := want.Store(v.path)
	if err != nil {
		if !v.failed {
			v.log.Error("the state of the gateways cannot be saved; a restart may begin with another member", "path", v.path, "err", err)
		}
		v.failed = true
		return err
	}
	v.have, v.failed = want, false
	return nil
}

// run writes in the background. What fails is tried again when the service looks around next.
func (v *saver) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			_ = v.flush() // logged
			return
		case <-v.wake:
			_ = v.flush()
		}
	}
}
