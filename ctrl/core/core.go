// Package core is the single writer of the desired state: a request is decoded, validated against the whole state,
// planned (compiled, nothing live yet), stored (durable), published (live), and only then acknowledged. What can fail
// comes before what cannot.
package core

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

// Limits bound what can be pushed. Zero fields take the default.
type Limits struct {
	Bindings   int // rows in all; default 1,048,576
	Operations int // per transaction; default 100,000
}

// Config is what a Core is made of.
type Config struct {
	Store   *store.Store
	Live    Live
	Events  *event.Log
	Options model.Options
	Limits  Limits
	Log     *slog.Logger // nil = discard
}

// Verb is what an operation does.
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
}

// Transaction is a list of operations that are applied whole or not at all.
type Transaction struct {
	Ops     []Op
	IfMatch *uint64 // the revision that the caller has seen; nil = any
	DryRun  bool
}

// Change is what a transaction does to one object. Before and After are its JSON, nil when it does not exist.
type Change struct {
	Kind   model.Kind      `json:"kind"`
	Key    string          `json:"key"`
	Change string          `json:"change"` // create, update, delete
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Result of a transaction: the revision after it and what changed. A transaction that changes nothing keeps the revision.
type Result struct {
	Revision uint64   `json:"revision"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Changes  []Change `json:"changes"`
}

// BulkMode says what happens to objects that are not in the stream.
type BulkMode string

// The modes.
const (
	Merge   BulkMode = "merge"   // they stay
	Replace BulkMode = "replace" // they go away
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

// BindingFilter restricts a listing of bindings; empty fields match everything.
type BindingFilter struct {
	Tenant, Segment string
	Switch          model.MAC
}

// Core owns the desired state. All methods are safe for concurrent use.
type Core struct{ cfg Config }

var errUnbuilt = errors.New("core: not built yet")

// New loads the store, validates it against the configuration, makes it live and returns.
func New(cfg Config) (*Core, error) { return &Core{cfg}, errUnbuilt }

// State returns the current state, which must not be changed.
func (c *Core) State() *model.State { return &model.State{} }

// Revision returns the revision of the current state.
func (c *Core) Revision() uint64 { return 0 }

// Do applies a transaction. Errors are *Error.
func (c *Core) Do(ctx context.Context, t Transaction) (Result, error) { return Result{}, errUnbuilt }

// BulkBindings applies an NDJSON stream of bindings.
func (c *Core) BulkBindings(ctx context.Context, r io.Reader, o BulkOptions) (BulkResult, error) {
	return BulkResult{}, errUnbuilt
}

// BulkPaths applies an NDJSON stream of paths.
func (c *Core) BulkPaths(ctx context.Context, r io.Reader, o BulkOptions) (BulkResult, error) {
	return BulkResult{}, errUnbuilt
}

// Reconfigure takes over a reloaded configuration and returns the objects that do not fit it: they stay in the
// state but are not live.
func (c *Core) Reconfigure(opts model.Options) ([]model.Problem, error) { return nil, errUnbuilt }
