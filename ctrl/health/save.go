package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"penstock/ctrl/readfile"
	"penstock/ctrl/store/file"
)

// States are the saved states of servers, with which a restart goes on.
type States struct {
	Servers map[string]Saved `json:"servers"`
}

// Saved is the saved state of a server: Up or Down.
type Saved struct {
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

// maxStates is larger than the states of all servers that a box can have.
const maxStates = 128 << 20

// Load reads saved states. A missing file is none. A file that cannot be read is none with an error: the states are a
// hint, and a box without them checks first.
func Load(path string) (States, error) {
	text, err := readfile.Regular(path, maxStates)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return States{}, nil
	case err != nil:
		return States{}, fmt.Errorf("saved states of servers: %w; each server is used after its first check", err)
	}
	var s States
	if err := json.Unmarshal(text, &s); err != nil {
		return States{}, fmt.Errorf("saved states of servers in %s: %w; each server is used after its first check",
			path, err)
	}
	return s, nil
}

// recall gives a new probe the saved state of its server, if there is one.
func (c *Checker) recall(s *server, p *probe, now int64) {
	saved, ok := c.saved.Servers[s.Key]
	if !ok {
		return
	}
	delete(c.saved.Servers, s.Key)
	p.become(saved.State, now)
	if p.state() == Down {
		p.error = clip(saved.Error)
	}
	if !saved.Since.IsZero() && saved.Since.Before(s.since) {
		s.since = saved.Since
	}
}

// save writes the states. It never holds the lock while it writes.
func (c *Checker) save() {
	if c.cfg.Path == "" {
		return
	}
	c.mu.Lock()
	c.changed = false
	states := States{Servers: make(map[string]Saved, len(c.servers))}
	for key, s := range c.servers {
		if state := s.probe.state(); state != Init && s.Check.Type != None {
			saved := Saved{State: state, Since: s.since}
			if state == Down {
				saved.Error = s.probe.error
			}
			states.Servers[key] = saved
		}
	}
	c.mu.Unlock()
	if err := states.Store(c.cfg.Path); err != nil && c.cfg.Log != nil {
		c.cfg.Log.Warn("states of servers are not saved", "path", c.cfg.Path, "err", err)
	}
}

// Store replaces the file as a whole and returns when it is durable.
func (s States) Store(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return file.Replace(path, append(text, '\n'))
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatUint(n, 10) + " " + what + "s"
}
