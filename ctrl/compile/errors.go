package compile

import (
	"errors"
	"fmt"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
)

// Why a state cannot be made live.
var (
	ErrCapacity   = core.ErrCapacity
	ErrSwitches   = errors.New("too many edge switches")
	ErrPlaces     = errors.New("too many pairs of port and VLAN in use")
	ErrReference  = errors.New("refers to something that does not exist")
	ErrPort       = errors.New("not an access port of this box")
	ErrAttachment = errors.New("port and VLAN already belong to another segment")
	ErrInUse      = errors.New("still has bindings")
	ErrUplink     = errors.New("not an uplink port of this box")
	ErrMembers    = errors.New("too many members")
	ErrFixed      = errors.New("cannot change while the box runs")
)

// Error is one object that cannot be made live.
type Error struct {
	Kind  model.Kind
	Key   string
	Field string // may be empty
	Err   error  // one of the errors above, possibly wrapped
}

// Error names the object, the field and the reason.
func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s/%s: %v", e.Kind, e.Key, e.Err)
	}
	return fmt.Sprintf("%s/%s: %s: %v", e.Kind, e.Key, e.Field, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

func fail(kind model.Kind, key, field string, err error) error {
	return &Error{Kind: kind, Key: key, Field: field, Err: err}
}

func bindingKey(tenant, segment string, mac model.MAC) string {
	return tenant + "/" + segment + "/" + mac.String()
}
