package model

// PortRef is a port of the configuration, for validation.
type PortRef struct {
	Name string
	Role string // as in the configuration: "access", "fabric", …
}

// Options is the part of the configuration that validation needs.
type Options struct {
	Scheme Scheme // "" = DefaultScheme
	Ports  []PortRef

	Gateways []GatewayRef // the gateway groups
}

// Problem is one fault of one object.
type Problem struct {
	Kind    Kind
	Key     string
	Field   string // path of the member, such as "vlans[2].vid"; "" = the object itself
	Code    string // one of the Code constants
	Message string // the fault
	Hint    string // the remedy

	// The other object of the problem, if any: the target of a reference, or the object of a collision.
	OtherKind  Kind
	OtherKey   string
	OtherField string // path of its member; "" = not known
}

// The codes of problems, in the form of the API.
const (
	CodeInvalid   = "invalid"   // a value outside its range or form
	CodeReserved  = "reserved"  // a value that the box or the fabric keeps for itself
	CodeRequired  = "required"  // a field that must be there
	CodeNotFound  = "not_found" // a reference to nothing
	CodeDuplicate = "duplicate" // a value that must be unique and is not
	CodeOverlap   = "overlap"   // subnets that overlap
	CodeConflict  = "conflict"  // values that exclude each other
	CodeInUse     = "in_use"    // a deletion of an object that others refer to
	CodeLimit     = "limit"     // more objects than allowed
	CodeRole      = "role"      // a port whose role does not fit
	CodeAmbiguous = "ambiguous" // services whose replies cannot be told apart
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
