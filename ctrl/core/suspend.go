package core

import (
	"context"
	"fmt"

	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

// A suspended object is in the state but not live, since it does not fit the configuration of the box: a VIF on a
// removed port, a tenant ID too large for the scheme. A box that refused to start would interrupt every other tenant.

// suspension is the reason why an object is suspended.
type suspension struct {
	State   string `json:"state"` // "suspended"
	Reason  string `json:"reason"`
	Hint    string `json:"hint,omitempty"`
	problem model.Problem
}

// NotLive returns the reason.
func (s suspension) NotLive() string { return "suspended: " + s.Reason }

// suspend derives p.effective and p.suspended from the problems of p.state, and returns the problems of objects: of
// those that have one themselves, and of those that refer to them.
func (p *published) suspend(problems []model.Problem) []model.Problem {
	p.effective, p.suspended = p.state, nil
	var out []model.Problem
	d := model.NewDraft(p.state)
	drop := func(kind model.Kind, key string, pr model.Problem) {
		ref := store.Ref{Kind: kind, Key: key}
		if _, ok := p.suspended[ref]; ok || key == "" {
			return
		}
		if p.suspended == nil {
			p.suspended = map[store.Ref]suspension{}
		}
		p.suspended[ref] = suspension{"suspended", pr.Message, pr.Hint, pr}
		d.Delete(kind, key)
		out = append(out, pr)
	}
	for _, pr := range problems {
		drop(pr.Kind, pr.Key, pr)
	}
	if len(p.suspended) == 0 {
		return nil
	}
	follow := func(kind model.Kind, key string, to model.Ref) {
		if s, ok := p.suspended[to]; ok {
			drop(kind, key, model.Problem{Kind: kind, Key: key, Code: s.problem.Code,
				Message: fmt.Sprintf("%s %s is suspended: %s", to.Kind.One(), to.Key, s.problem.Message), Hint: s.Hint})
		}
	}
	for _, kind := range model.Kinds {
		refs := kind.Info().Refs
		if refs == nil {
			continue
		}
		p.state.Each(kind, func(o model.Object) {
			for _, r := range refs(o) {
				follow(kind, o.Key(), r)
			}
		})
	}
	st := d.State
	p.effective = &st
	return out
}

// Reconfigure takes over a reloaded configuration and returns the objects that do not fit it: they stay in the state
// but are not live. After an error the old configuration stays in use. Only the ports can change, not the scheme.
func (c *Core) Reconfigure(opts model.Options) ([]model.Problem, error) {
	if err := c.lock(context.Background()); err != nil {
		return nil, err
	}
	defer c.unlock()
	if opts.Scheme != c.opts.Scheme {
		return nil, fmt.Errorf("the scheme cannot change from %q to %q while the box runs: restart it",
			c.opts.Scheme, opts.Scheme)
	}
	old := c.state.Load()
	p := &published{state: old.state, revision: old.revision}
	problems := p.suspend(p.state.Validate(opts))
	plan, err := c.cfg.Live.Plan(p.effective, model.BindingChanges{})
	if err != nil {
		return nil, planError(err)
	}
	if err := c.cfg.Live.Apply(plan); err != nil {
		return nil, planError(err)
	}
	c.opts = opts
	c.state.Store(p)
	return problems, nil
}

// Suspended returns the objects that are pushed but not live, with the reason.
func (c *Core) Suspended() []model.Problem {
	var out []model.Problem
	for _, s := range c.state.Load().suspended {
		out = append(out, s.problem)
	}
	return out
}

// Status returns the state of an object in the dataplane: a value that marshals to a JSON object, or nil.
func (c *Core) Status(kind model.Kind, key string) any {
	if s, ok := c.state.Load().suspended[store.Ref{Kind: kind, Key: key}]; ok {
		return s
	}
	return c.cfg.Live.Status(kind, key)
}
