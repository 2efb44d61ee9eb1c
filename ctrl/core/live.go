package core

import (
	"errors"

	"penstock/ctrl/model"
)

// Plan is a state compiled for the dataplane and not live yet. Only the Live that made it reads it.
type Plan any

// ErrCapacity is wrapped by Plan and BulkBegin when a table of the dataplane would overflow.
var ErrCapacity = errors.New("the dataplane's table is full")

// BulkSize is the extent of a bulk push, so that every step that can fail comes before the store's commit.
type BulkSize struct {
	// the bindings were accepted before and are loaded: not in the order of age, and regardless of the capacity
	Stored   bool
	Added    int         // new bindings
	Removed  int         // deleted bindings
	Switches []model.MAC // the distinct edge switches of the rows to be put
}

// Live makes a state live in the dataplane. All calls come from one goroutine at a time (the single writer),
// except Status.
//
// A state given to Plan has passed validation; objects that do not fit the configuration (a VIF on a
// port that was removed from the TOML) are not in it. Bindings refer to segments of the last applied state.
type Live interface {
	// SetAges is called once, before anything else: f returns how old stored bindings are (the revision that changed
	// them last; 0 if there is none), in the order of the keys. Live may call f while Plan, Apply and BulkEnd run.
	SetAges(f func([]model.BindingKey) ([]uint64, error))

	// Plan compiles next, which replaces the last applied state, with the changes to the bindings. Nothing is live
	// yet and a Plan may be dropped. An error means that the state cannot be made live (ErrCapacity and the like).
	// Neither next nor ch may be changed or kept beyond Apply by the callee, next's maps may be read later.
	Plan(next *model.State, ch model.BindingChanges) (Plan, error)

	// Apply publishes the last Plan and returns when every worker uses it. It fails only if the configuration or a link
	// has changed since Plan and the state cannot be made live with the change; then no part of the Plan is live.
	Apply(Plan) error

	// BulkBegin reserves what the push needs; an error (ErrCapacity) means that nothing was done. After it, BulkPut
	// and BulkDelete are called any number of times, then BulkEnd once.
	BulkBegin(BulkSize) error

	// BulkPut writes bindings in place, each row atomically. Rows come sorted by segment. The slice and the address
	// slices in it are reused by the caller after the return.
	BulkPut(rows []model.Binding) error

	// BulkDelete removes bindings in place.
	BulkDelete(keys []model.BindingKey) error

	// BulkEnd publishes the pending effects of BulkPut and BulkDelete (flood lists, switches) and returns when they are
	// live.
	BulkEnd()

	// Status returns the state of an object in the dataplane: a value that marshals to a JSON object; nil = no status.
	// Called concurrently with everything else.
	Status(kind model.Kind, key string) any
}
