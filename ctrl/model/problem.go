package model

// PortRef is a port of the configuration as validation sees it.
type PortRef struct {
	Name string
	Role string // as in the configuration: "access", "fabric", …
}

// Options is what validation needs to know of the configuration.
type Options struct {
	Scheme Scheme // "" = DefaultScheme
	Ports  []PortRef
}

// Problem is one thing that is wrong with one object.
type Problem struct {
	Kind    Kind
	Key     string
	Field   string // place inside the object, as "vlans[2].vid"; "" = the object itself
	Code    string // one of the Code constants
	Message string // what is wrong
	Hint    string // how to put it right

	// The other object that the problem is about, if there is one: what is referred to, or what it collides with.
	OtherKind Kind
	OtherKey  string
}

// The codes of problems, as the API shows them.
const (
	CodeInvalid   = "invalid"   // a value outside its range or form
	CodeReserved  = "reserved"  // a value that the box or the fabric keeps for itself
	CodeRequired  = "required"  // a field that must be there
	CodeNotFound  = "not_found" // a reference to nothing
	CodeDuplicate = "duplicate" // a value that must be unique and is not
	CodeOverlap   = "overlap"   // subnets that overlap
	CodeConflict  = "conflict"  // values that exclude each other
	CodeInUse     = "in_use"    // a deletion of something that others refer to
	CodeLimit     = "limit"     // more objects than allowed
	CodeRole      = "role"      // a port whose role does not fit
)

// Error returns the problem in one line: kind/key: field: message (hint).
func (p Problem) Error() string {
	s := string(p.Kind) + "/" + p.Key + ": "
	if p.Field != "" {
		s += p.Field + ": "
	}
	s += p.Message
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}
