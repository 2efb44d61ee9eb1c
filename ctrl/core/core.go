// Package core is the single writer of the desired state: a request is decoded, validated against the whole state,
// planned (compiled, nothing live yet), stored (durable), published (live), and only then acknowledged. Steps that
// can fail come before steps that cannot.
package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/store"
)

// Limits bound what can be pushed. Zero fields take the default.
type Limits struct {
	Bindings   int // rows in all; default 1,048,576
	Operations int // per transaction; default 100,000
}

// Config of a Core.
type Config struct {
	Store   *store.Store
	Live    Live
	Events  *event.Log
	Options model.Options
	Limits  Limits
	Log     *slog.Logger // nil = discard
	// VIFsPut takes the keys of VIFs that a request has put, changed or not, when that is live; nil = nobody. It must
	// not block, nor call the core.
	VIFsPut func(keys []string)
}

// Verb is the action of an operation.
type Verb string

// The verbs.
const (
	Put    Verb = "put"    // create or replace
	Patch  Verb = "patch"  // RFC 7396 merge patch
	Delete Verb = "delete" // absent already is no error
)

// Op is one operation of a transaction. Value is the JSON object of a put or the merge patch of a patch.
type Op struct {
	Verb  Verb            `json:"op"`
	Kind  model.Kind      `json:"kind"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
	Node  *strict.Node    `json:"-"` // Value parsed already, if not nil
	Only  Only            `json:"-"` // condition on the object
}

// Only is a condition on an operation's object, as it is before the operation.
type Only uint8

// The conditions.
const (
	Always Only = iota
	IfExists
	IfAbsent
)

// Transaction is a list of operations that are applied whole or not at all.
type Transaction struct {
	Ops     []Op
	IfMatch *uint64 // the revision that the caller has read; nil = any
	DryRun  bool
}

// Change is the change of one object by a transaction. Before and After are its JSON, nil when it does not exist.
type Change struct {
	Kind   model.Kind      `json:"kind"`
	Key    string          `json:"key"`
	Change string          `json:"change"` // create, update, delete
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`

	NotLive string `json:"not_live,omitempty"` // why the dataplane does not act on it
}

// Result of a transaction: the revision after it and what changed. A transaction that changes nothing keeps the
// revision.
type Result struct {
	Revision uint64   `json:"revision"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Changes  []Change `json:"changes"`
}

// BulkMode is the treatment of objects that are not in the stream.
type BulkMode string

// The modes.
const (
	Merge   BulkMode = "merge"   // they are kept
	Replace BulkMode = "replace" // they are deleted
)

// BulkOptions of a bulk push.
type BulkOptions struct {
	Mode    BulkMode
	DryRun  bool
	IfMatch *uint64
}

// BulkResult of a bulk push. The last line wins when a key occurs twice in the stream.
type BulkResult struct {
	Revision  uint64 `json:"revision"`
	DryRun    bool   `json:"dry_run,omitempty"`
	Lines     int    `json:"lines"`
	Created   int    `json:"created"`
	Updated   int    `json:"updated"`
	Unchanged int    `json:"unchanged"`
	Deleted   int    `json:"deleted"`
}

// Core owns the desired state. All methods are safe for concurrent use.
type Core struct {
	cfg    Config
	writer chan struct{} // holds one token: its owner is the single writer
	state  atomic.Pointer[published]

	// Used by the writer only.
	opts     model.Options
	bindings map[string]int // TENANT/SEGMENT → number of bindings
	total    int            // bindings in all
}

// published is the state for readers, all of one revision.
type published struct {
	state     *model.State // as pushed
	revision  uint64
	effective *model.State             // the live state: state without the suspended objects
	suspended map[store.Ref]suspension // objects that do not fit the configuration
}

// New loads the store, makes all objects that fit the configuration live and returns. An object that does not fit (a
// VIF on a port that was removed) stays in the state, is logged, and has the reason in its status.
func New(cfg Config) (*Core, error) {
	if cfg.Limits.Bindings <= 0 {
		cfg.Limits.Bindings = 1 << 20
	}
	if cfg.Limits.Operations <= 0 {
		cfg.Limits.Operations = 100_000
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Core{cfg: cfg, writer: make(chan struct{}, 1), opts: cfg.Options, bindings: map[string]int{}}
	st, err := cfg.Store.Load()
	if err != nil {
		return nil, err
	}
	rev, err := cfg.Store.Revision()
	if err != nil {
		return nil, err
	}
	p := &published{state: st, revision: rev}
	problems := p.suspend(st.Validate(cfg.Options))
	for _, pr := range problems {
		cfg.Log.Warn("stored object does not fit the configuration and is not live", "kind", pr.Kind, "key", pr.Key,
			"field", pr.Field, "problem", pr.Message, "hint", pr.Hint)
	}
	cfg.Live.SetAges(cfg.Store.Ages)
	plan, err := cfg.Live.Plan(p.effective, model.BindingChanges{})
	if err != nil {
		return nil, fmt.Errorf("make the stored tables live: %w", err)
	}
	if err := cfg.Live.Apply(plan); err != nil {
		return nil, fmt.Errorf("make the stored tables live: %w", err)
	}
	c.state.Store(p)
	if err := c.loadBindings(p.effective); err != nil {
		return nil, fmt.Errorf("make the stored bindings live: %w", err)
	}
	return c, nil
}

// loadBindings makes the stored bindings live: one pass counts them, one pushes them.
func (c *Core) loadBindings(st *model.State) error {
	size := BulkSize{Stored: true}
	seen := map[model.MAC]bool{}
	var last model.MAC
	lost := 0
	err := c.cfg.Store.EachBinding(func(bs []model.Binding) error {
		for i := range bs {
			b := &bs[i]
			c.bindings[b.Tenant+"/"+b.Segment]++
			c.total++
			if !placed(st, b) {
				lost++
				continue
			}
			size.Added++
			if b.VTEP != "" {
				continue
			}
			if b.SwitchMAC != last && !seen[b.SwitchMAC] {
				seen[b.SwitchMAC] = true
				size.Switches = append(size.Switches, b.SwitchMAC)
			}
			last = b.SwitchMAC
		}
		return nil
	})
	if err != nil {
		return err
	}
	if lost > 0 {
		c.cfg.Log.Warn("bindings of segments that are not live are left out", "bindings", lost)
	}
	if size.Added == 0 {
		return nil
	}
	if err := c.cfg.Live.BulkBegin(size); err != nil {
		return err
	}
	defer c.cfg.Live.BulkEnd()
	return c.cfg.Store.EachBinding(func(bs []model.Binding) error {
		if lost > 0 {
			bs = slices.DeleteFunc(bs, func(b model.Binding) bool { return !placed(st, &b) })
		}
		return c.cfg.Live.BulkPut(bs)
	})
}

// placed reports whether the segment of a binding, and its VTEP, are live.
func placed(st *model.State, b *model.Binding) bool {
	_, ok := st.Segments[b.Tenant+"/"+b.Segment]
	if ok && b.VTEP != "" {
		_, ok = st.VTEPs[b.VTEP]
	}
	return ok
}

// lock makes the caller the writer; unlock ends that.
func (c *Core) lock(ctx context.Context) error {
	if ctx.Err() == nil {
		select {
		case c.writer <- struct{}{}:
			return nil
		case <-ctx.Done():
		}
	}
	return &Error{Detail: Detail{Code: CodeCanceled, Message: "the request ended while it waited for its turn"},
		Err: ctx.Err()}
}

func (c *Core) unlock() { <-c.writer }

// all is a limit that leaves out no stored binding: after a lower capacity was configured there may be more than fit.
// The caller is the writer.
func (c *Core) all() int { return max(1, c.total) }

// Limits returns the limits of a push.
func (c *Core) Limits() Limits { return c.cfg.Limits }

// Exclusive runs f while nothing is written: what f changes in Live cannot come between a plan and its being applied.
func (c *Core) Exclusive(ctx context.Context, f func() error) error {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	return f()
}

// State returns the current state, which must not be changed.
func (c *Core) State() *model.State { return c.state.Load().state }

// Revision returns the revision of the current state.
func (c *Core) Revision() uint64 { return c.state.Load().revision }

// Snapshot returns the state together with its revision.
func (c *Core) Snapshot() (*model.State, uint64) {
	p := c.state.Load()
	return p.state, p.revision
}

// match checks an If-Match.
func (c *Core) match(want *uint64) error {
	if have := c.Revision(); want != nil && *want != have {
		return refuse(CodeMismatch, "", "read the object again, and send the request with the new revision",
			"the tables have revision %d, the request expects %d", have, *want)
	}
	return nil
}

func (c *Core) publish(data event.Data) {
	if c.cfg.Events != nil {
		c.cfg.Events.Publish(data)
	}
}
