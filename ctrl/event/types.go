package event

// The types of events. GET /v1/events names them, and Types lists them.
const (
	TypeStarted  = "started"  // Started
	TypeReload   = "reload"   // Reload
	TypeChange   = "change"   // Change
	TypeBulk     = "bulk"     // Bulk
	TypePort     = "port"     // Port
	TypeNeighbor = "neighbor" // Neighbor
	TypePlace    = "place"    // Place
	TypeBox      = "box"      // Box
	TypePath     = "path"     // Path
	TypeServer   = "server"   // Server
	TypeGateway  = "gateway"  // gateway.Event
	TypeAlarm    = "alarm"    // alarm.Event
	TypeGap      = "gap"      // Gap, made by the log itself
)

// Types returns all types of events.
func Types() []string {
	return []string{TypeStarted, TypeReload, TypeChange, TypeBulk, TypePort, TypeNeighbor, TypePlace, TypeBox,
		TypePath, TypeServer, TypeGateway, TypeAlarm, TypeGap}
}

// Data is what an event of one type carries, as JSON. It is a struct with the members that openapi.json has for the
// type.
type Data interface {
	EventType() string // one of Types
}

// Started is a box that has come up: its ports are open and its tables live.
type Started struct {
	Version  string `json:"version"`
	Revision uint64 `json:"revision"` // of the tables
}

// Reload is the outcome of reading the configuration again.
type Reload struct {
	OK      bool   `json:"ok"`
	Changes int    `json:"changes"`         // keys that took another value
	Error   string `json:"error,omitempty"` // why nothing was applied
}

// Change is what a transaction did.
type Change struct {
	Revision uint64       `json:"revision"`
	Kinds    []KindChange `json:"kinds"`
}

// KindChange is what a transaction did to one kind. Keys is bounded by MaxKeys; the counts are exact.
type KindChange struct {
	Kind    string   `json:"kind"`
	Created int      `json:"created"`
	Updated int      `json:"updated"`
	Deleted int      `json:"deleted"`
	Keys    []string `json:"keys"`
}

// MaxKeys is the most keys that an event names per kind.
const MaxKeys = 64

// Bulk is what a bulk push of bindings did. One of paths is a Change.
type Bulk struct {
	Revision uint64 `json:"revision"`
	Kind     string `json:"kind"`
	Mode     string `json:"mode"`
	Created  int    `json:"created"`
	Updated  int    `json:"updated"`
	Deleted  int    `json:"deleted"`
}

// The states of a port.
const (
	PortUp   = "up"
	PortDown = "down" // no link, or no sockets
	PortGone = "gone" // its interface does not exist
)

// Port is a port whose state has changed.
type Port struct {
	Port  string `json:"port"`
	State string `json:"state"` // PortUp, PortDown, PortGone
}

// Neighbor is a box behind a downlink of this edge switch whose MAC was resolved, or is unresolved again.
type Neighbor struct {
	SwitchPort uint8  `json:"switch_port"`
	MAC        string `json:"mac,omitempty"`
	Resolved   bool   `json:"resolved"`
}

// Place is a fabric port that is plugged in elsewhere than before, or whose place is confirmed, or only provisional
// from now on.
type Place struct {
	Port       string `json:"port"`
	SwitchMAC  string `json:"switch_mac,omitempty"` // absent = the place is not known
	SwitchPort uint8  `json:"switch_port,omitempty"`
	Origin     string `json:"origin,omitempty"` // configured, lldp, stored
}

// The states of a Box event.
const (
	BoxHeard  = "heard"  // for the first time, or again
	BoxSilent = "silent" // three HELLOs are missing; its bindings stay
)

// Box is another box of the fabric that is heard, or not heard any more.
type Box struct {
	Place      string `json:"place"` // as in /v1/boxes
	SwitchMAC  string `json:"switch_mac"`
	SwitchPort uint8  `json:"switch_port"`
	MAC        string `json:"mac"`
	State      string `json:"state"` // BoxHeard, BoxSilent
}

// The kinds of a Path event.
const (
	PathState    = "state"     // a path has another state: From, To, Reason
	PathBoxDead  = "box-dead"  // the box at SwitchPort is silent on all paths, while another one answers
	PathBoxAlive = "box-alive" // it answers again
	PathSilent   = "silent"    // nothing behind the switch answers any more
	PathHeard    = "heard"     // something answers again
)

// Path is what probes have found out about a path to an edge switch, or about what is behind it.
type Path struct {
	Kind       string `json:"kind"` // PathState …
	Switch     string `json:"switch"`
	SwitchPort uint8  `json:"switch_port,omitempty"`
	Port       string `json:"port,omitempty"` // the fabric port of the path
	VID        uint16 `json:"vid,omitempty"`
	From       string `json:"from,omitempty"` // unknown, up, suspect, down
	To         string `json:"to,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

// Server is a real server that came up or went down.
type Server struct {
	Server string `json:"server"` // TENANT/SERVICE/NAME
	From   string `json:"from"`   // init, up, down
	To     string `json:"to"`
	Reason string `json:"reason"`
}

// Gap says that the events From … To are no longer available.
type Gap struct {
	From   uint64 `json:"from"` // 0: the requested number was never given out
	To     uint64 `json:"to"`
	Reason string `json:"reason"` // GapRestart, GapOverrun, GapUnknown
}

// Why there is a gap.
const (
	GapRestart = "restart" // they were published before a restart of the box, which begins a new block of numbers
	GapOverrun = "overrun" // newer events have replaced them in the ring
	GapUnknown = "unknown" // the requested number is of another box, or of a store that was replaced
)

// EventType implements Data.
func (Started) EventType() string { return TypeStarted }

// EventType implements Data.
func (Reload) EventType() string { return TypeReload }

// EventType implements Data.
func (Change) EventType() string { return TypeChange }

// EventType implements Data.
func (Bulk) EventType() string { return TypeBulk }

// EventType implements Data.
func (Port) EventType() string { return TypePort }

// EventType implements Data.
func (Neighbor) EventType() string { return TypeNeighbor }

// EventType implements Data.
func (Place) EventType() string { return TypePlace }

// EventType implements Data.
func (Path) EventType() string { return TypePath }

// EventType implements Data.
func (Box) EventType() string { return TypeBox }

// EventType implements Data.
func (Server) EventType() string { return TypeServer }

// EventType implements Data.
func (Gap) EventType() string { return TypeGap }
