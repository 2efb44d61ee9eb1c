package core

import (
	"errors"

	"penstock/ctrl/model"
)

// Plan is a state compiled for the dataplane and not live yet. Only the Live that made it looks inside.
type Plan any

// ErrCapacity is wrapped by Plan and BulkBegin when a table of the dataplane would overflow.
var ErrCapacity = errors.New("the dataplane's table is full")

// BulkSize says what a bulk push is about to do, so that everything that can fail does so before the store's commit.
type BulkSize struct {
	Stored   bool        // they were accepted before and are loaded: in no order of age, and whatever the capacity is now
	Added    int         // bindings that were not there before
	Removed  int         // bindings that go away
	Switches []model.MAC // the distinct edge switches of the rows to be put
}

// Live is what makes a state live in the dataplane. All calls come from one goroutine at a time (the single writer),
// except Status.
//
// A state given to Plan has passed validation; objects whose configuration has gone (a VIF on a port that was taken
// out of the TOML) are not in it. Bindings refer to segments of the last applied state.
type Live interface {
	// SetAges is called once, before anything else: f returns how old stored bindings are (the revision that changed them
	// last; 0 if there is none), in the order of the keys. Live may ask while Plan, Apply and BulkEnd run.
	SetAges(f func([]model.BindingKey) ([]uint64, error))

	// Plan compiles next, which replaces the last applied state, with the changes to the bindings. Nothing is live
	// yet and a Plan may be dropped. An error means that the state cannot be made live (ErrCapacity and the like).
	// Neither next nor ch may be changed or kept beyond Apply by the callee, next's maps may be read later.
	Plan(next *model.State, ch model.BindingChanges) (Plan, error)

	// Apply publishes the last Plan and returns when every worker uses it. It fails only if something else has changed
	// since Plan (the configuration, a link) and the state cannot be made live with that; then nothing of the Plan is.
	Apply(Plan) error

	// BulkBegin reserves what the push needs; an error (ErrCapacity) means that nothing was done. After it, BulkPut
	// and BulkDelete are called any number of times, then BulkEnd once.
	BulkBegin(BulkSize) error

	// BulkPut writes bindings in place, each row atomically. Rows come sorted by segment. The slice and the address
	// slices in it are reused by the caller after the return.
	BulkPut(rows []model.Binding) error

	// BulkDelete removes bindings in place.
	BulkDelete(keys []model.BindingKey) error

	// BulkEnd publishes what BulkPut and BulkDelete left pending (flood lists, switches) and returns when it is live.
	BulkEnd()

	// Status says what the dataplane does with an object: a value that marshals to a JSON object, nil if there is
	// nothing to say. Called concurrently with everything else.
	Status(kind model.Kind, key string) any
}
