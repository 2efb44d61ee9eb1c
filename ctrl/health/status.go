package health

import "time"

// Status is how a server is, for people.
type Status struct {
	Server    string     `json:"server"` // TENANT/SERVICE/NAME
	State     string     `json:"state"`  // init, up, down
	Since     time.Time  `json:"since"`
	Reason    string     `json:"reason"`
	Weight    uint16     `json:"weight_share"` // of 1000: less in a slow start
	Checked   bool       `json:"checked"`      // by this box; else it has no check, or another director has it
	LastCheck *time.Time `json:"last_check,omitempty"`
	Duration  float64    `json:"duration_seconds"` // of the last check
	LastError string     `json:"last_error,omitempty"`
	NextCheck *time.Time `json:"next_check,omitempty"`
	HeldUntil *time.Time `json:"held_until,omitempty"` // by damping
	Failures  uint64     `json:"failures"`             // how often it went down
}

// Status returns how each server is, by its key.
func (c *Checker) Status() map[string]Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]Status, len(c.servers))
	for key, s := range c.servers {
		out[key] = c.status(s)
	}
	return out
}

// StatusOf returns how one server is.
func (c *Checker) StatusOf(key string) (Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[key]
	if s == nil {
		return Status{}, false
	}
	return c.status(s), true
}

func (c *Checker) status(s *server) Status {
	now := c.cfg.Now()
	p := s.probe
	st := Status{Server: s.Key, State: p.state(), Since: s.since, Reason: p.reason(now), Weight: s.sent.Weight,
		Checked: p.slot.in, Duration: p.took.Seconds(), LastError: p.error}
	if !p.last.IsZero() {
		at := p.last
		st.LastCheck = &at
	}
	if p.slot.in && p.slot.index >= 0 {
		at := time.Now().Add(time.Duration(p.slot.at - now))
		st.NextCheck = &at
	}
	_, _, held, fails := p.machine.Detail()
	if held > now {
		at := time.Now().Add(time.Duration(held - now))
		st.HeldUntil = &at
	}
	st.Failures = fails
	return st
}

// Counters returns what the checks have come to.
func (c *Checker) Counters() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counters
}
