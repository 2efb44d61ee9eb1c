package qga

import "fmt"

// Fault is what kind of fault an Error is.
type Fault uint8

// The faults.
const (
	Absent    Fault = iota + 1 // no socket, nobody listens, or the connection was closed
	Forbidden                  // the socket may not be opened
	Silent                     // no answer in time
	Nonsense                   // answers that are none
	Refused                    // the agent answered with an error
	Blocked                    // the guest's administrator has forbidden the command
	Unknown                    // the agent does not have the command
	Failed                     // a program in the guest failed
)

// Error is a command that failed.
type Error struct {
	Command string // of the agent, as "guest-exec"
	Fault   Fault
	Text    string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Command, e.Text) }

// refused reports whether an error leaves the connection in step.
func refused(err error) bool {
	e, ok := err.(*Error)
	return ok && (e.Fault == Refused || e.Fault == Blocked || e.Fault == Unknown)
}
