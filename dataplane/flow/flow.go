// Package flow holds the balancer's memory of flows: the director's table of flows with their servers, the agent's
// notes of flows whose reply rule is shared, and the director's notes of fragments.
//
// The director's table (Table) belongs to one worker. It is bounded, it lies outside the Go heap, and it is populated
// before use: an insertion takes no memory. The agent's notes (Notes) are shared by all workers without a lock, since a
// flow's requests and replies arrive at different workers.
package flow

import "penstock/dataplane/fib"

// State is the state of a flow, which says for how long the table keeps an entry that is not used.
type State uint8

// The states of a flow. None is an entry without a flow.
const (
	None        State = iota
	HalfOpen          // the first packet, of any protocol
	Established       // TCP: a later packet without SYN
	Closing           // TCP: the client's FIN; the other direction may go on
	Closed            // TCP: RST
	UDP               // a second datagram
	States
)

var stateNames = [States]string{"none", "half-open", "established", "closing", "closed", "udp"}

// String returns the state's name.
func (s State) String() string {
	if s < States {
		return stateNames[s]
	}
	return "unknown"
}

// idle is the time in milliseconds after which a flow without packets is forgotten, by state. 124 minutes: RFC 5382,
// REQ-5, asks for two hours and four minutes.
var idle = [8]int32{HalfOpen: 10_000, Established: 124 * 60_000, Closing: 120_000, Closed: 10_000, UDP: 30_000}

// Idle returns the time in milliseconds after which a flow in this state is forgotten if no packet comes.
func (s State) Idle() int32 { return idle[s&7] }

// Key identifies a flow by its packets from the client to the VIP.
type Key struct {
	Client     [2]uint64 // address, high and low half; IPv4 (host order) in the low half
	VIP        fib.Ref
	ClientPort uint16
	Port       uint16 // of the service, as the client sends it
	Proto      uint8
	V6         bool
}

// Flow is a flow as readers outside the packet path see it.
type Flow struct {
	Key
	Server   fib.Ref
	State    State
	OffTable bool
	Told     bool  // by another director or a saved file, and no packet has come since
	Age      int32 // milliseconds since the last packet
}

// Slot is the place of an entry in a Table. It is valid until the next Insert, Rebind, Restore or Turn: an insertion
// can move other entries.
type Slot uint32

// Entry is a flow in a Table: half a cache line.
//
//	word 0   client's address (IPv6: a hash of it) ≪ 32 | client's port ≪ 16 | service's port
//	word 1   VIP ≪ 32 | protocol ≪ 24 | IPv6 ≪ 23 | used ≪ 22 | told ≪ 4 | off-table ≪ 3 | state
//	word 2   server ≪ 32 | millisecond of the last packet
//	word 3   half-open: the half-open entries before and after in time, as slot + 1
//	         established, udp: stamp ≪ 32 | plan, see SetPlan
type Entry [4]uint64

const (
	entryUsed = 1 << 22
	entryV6   = 1 << 23
	entryOff  = 1 << 3
	entryTold = 1 << 4
	entryKey  = ^uint64(entryUsed - 1) // the bits of word 1 that are the key
	lowHalf   = 1<<32 - 1
)

// Server returns the server of the flow. The count of owners in it tells whether the index still means that server.
func (e *Entry) Server() fib.Ref { return fib.Ref(e[2] >> 32) }

// State returns the state of the flow.
func (e *Entry) State() State { return State(e[1] & 7) }

// OffTable reports that the flow has another server than the service's table gives it, or that there is no table (rr,
// lc). The other director learns of such flows.
func (e *Entry) OffTable() bool { return e[1]&entryOff != 0 }

// Proto returns the flow's protocol.
func (e *Entry) Proto() uint8 { return uint8(e[1] >> 24) }

func (e *Entry) used() bool   { return e[1]&entryUsed != 0 }
func (e *Entry) last() uint32 { return uint32(e[2]) }

func (e *Entry) prev() uint32     { return e.links()[0] }
func (e *Entry) next() uint32     { return e.links()[1] }
func (e *Entry) setPrev(s uint32) { e.links()[0] = s }
func (e *Entry) setNext(s uint32) { e.links()[1] = s }
