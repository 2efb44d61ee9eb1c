// Package inside is the program that runs in a guest as its first process: it mounts what is needed, loads the modules
// that the initramfs brings along, gives the first interface an address, and then executes requests of the host's tests
// over HTTP. No other program can reach it: the other end of that interface is a namespace of the host that has no way
// out.
//
//	POST /run      a Command, to its end → Result
//	POST /start    a Command, in the background → Result without output
//	GET  /process  ?name=                → Result so far
//	POST /signal   ?name=&signal=        a number
//	PUT  /file     ?path=                the body becomes the file
//	POST /channels ?interface=&combined= queues of an interface, as `ethtool -L`
//
// A second listener leads to the control socket of the box.
package inside

import (
	"time"
)

// Where the guest is reached, and where the box's control socket and its files lie in it.
const (
	Address       = "192.0.2.2" // of the first interface
	HostAddress   = "192.0.2.1"
	Prefix        = 30
	AgentPort     = 80
	SocketPort    = 81
	ControlSocket = "/run/penstock/control.sock"
	ModuleDir     = "/modules" // in the order of their names
)

// Command is a program to run.
type Command struct {
	Name  string        `json:"name,omitempty"` // of a process in the background
	Argv  []string      `json:"argv"`
	Env   []string      `json:"env,omitempty"`
	Limit time.Duration `json:"limit,omitempty"` // then SIGQUIT, at which Go programs print their stacks, and SIGKILL
}

// Result is how a program ended, or that it has not.
type Result struct {
	PID     int    `json:"pid"`
	Running bool   `json:"running"`
	Exit    int    `json:"exit"`            // -1 if by a signal
	Error   string `json:"error,omitempty"` // the program's end as text; empty for exit status 0
	Output  string `json:"output"`          // standard output and standard error
}
