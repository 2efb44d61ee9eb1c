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

	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
	"penstock/dataplane/gateway"
)

// State is the saved state with which a restart continues.
type State struct {
	Groups map[string]GroupState `json:"groups"`
}

// GroupState is the saved state of a group.
type GroupState struct {
	Active   string   `json:"active,omitempty"`
	Chosen   bool     `json:"chosen,omitempty"` // an operator has chosen Active: no preemption
	Disabled []string `json:"disabled,omitempty"`
}

// State returns the state with which a restart would continue.
func (s *Service) State() State { return s.save.state() }

// stateOf returns the state of a group to be saved. While no member is active, the last active one is kept. Saved
// values that the dataplane has not read yet are kept too.
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

// maxState is larger than any state: 1,000 members with names of 63 octets.
const maxState = 1 << 20

// Load reads the state. A missing file is an empty state. A file that cannot be read is an empty state with an error:
// the state is a hint, which the dataplane verifies, and the box starts without it.
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

// Clean removes the files that interrupted writes of the state at path left. No other process may write the state.
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
		return State{}, fmt.Errorf(
			"the state of the gateways cannot be read, the first one that is healthy becomes active: %w", err)
	}
	return s, nil
}

// Store replaces the file as a whole and returns when it is durable.
func (s State) Store(path string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return file.Replace(path, append(text, '\n'))
}

// saver writes the state to the file. A slow or failing disk blocks only the callers of flush.
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

// set sets the state to be written.
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
	if !v.writes.TryLock() { // a write is under way
		return false
	}
	defer v.writes.Unlock()
	return v.failed
}

// flush writes the pending state.
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
			v.log.Error("the state of the gateways cannot be saved; a restart may begin with another member",
				"path", v.path, "err", err)
		}
		v.failed = true
		return err
	}
	v.have, v.failed = want, false
	return nil
}

// run writes in the background. A failed write is repeated at the next update of the service.
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
