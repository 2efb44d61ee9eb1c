// Package punt is the way of frames from the packet path to the control plane: which kinds there are, how many of each
// may go, and the ring that carries them.
//
// One table gives all that is said about a kind: its name, its rate and burst, and the line in the documentation. A
// rate holds for each port, whatever the number of workers, and a ring keeps slots for each kind of each port. So
// neither a port nor a kind takes anything from another one, even while control reads nothing. A kind of frames that
// may arrive by any port has one rate and slots for the whole box (Info.Box).
//
//	punt.go   the kinds
//	ring.go   from one worker: limits, slots
//	reader.go to control: all workers' rings, and the wake-up
//
// Control is woken and polls nothing: a worker rings once per turn at most, and only while control waits.
package punt

// Kind is why a frame goes to control. The zero value means that it does not.
type Kind uint8

// The kinds.
const (
	None Kind = iota

	ARP
	LLDP
	Check
	VIPConflict
	Director
	NextHop

	Count // number of kinds, not a kind
)

// Info is what is said about a kind.
type Info struct {
	Name  string // stable, for metrics and JSON: lower case
	Rate  uint32 // frames per second from one port
	Burst uint32 // frames at once from one port
	Text  string // one sentence for people
	Box   bool   // rate, burst and slots hold for all ports together
	// Tenant: the slots name the tenant's segment.
	Tenant bool
}

// slots is how many frames of a kind may wait in a ring, for one port or for all: two bursts, so that the second one
// need not wait until control has read the first.
func (i *Info) slots() uint32 { return 2 * i.Burst }

var table = [Count]Info{
	// A box is asked once a second or so (ctrl/neighbor).
	ARP: {Name: "arp", Rate: 200, Burst: 8, Text: "An ARP answer to the edge switch from the box behind a downlink."},
	// One a second while the neighbour starts, then one in 30 s (IEEE 802.1AB, 9.2.5).
	LLDP: {Name: "lldp", Rate: 10, Burst: 4, Text: "An LLDP frame from a fabric port, a downlink or a trunk."},
	// 5,000 checks a second of up to ten packets (ctrl/health). What waits is 20 ms of that.
	Check: {Name: "check", Rate: 50_000, Burst: 512, Box: true, Tenant: true,
		Text: "A packet to a director's own address in a segment: a server's answer to a health check."},
	// The alarm needs one, and one in a while to stay (ctrl/conflict).
	VIPConflict: {Name: "vip_conflict", Rate: 20, Burst: 8, Tenant: true,
		Text: "ARP or neighbour discovery of a stranger that claims a virtual address."},
	// Ten hellos a second of up to eight frames from each other director, and their flows.
	Director: {Name: "director", Rate: 10_000, Burst: 512, Box: true,
		Text: "A message of another director (UDP 7473): a hello or flows."},
	// A next hop is asked once a second or so (ctrl/nexthop); there are as many as VTEPs.
	NextHop: {Name: "next_hop", Rate: 2000, Burst: 64,
		Text: "An ARP answer or a neighbour advertisement to a fabric port with VXLAN."},
}

// Info returns what is said about k. A k outside the list gives the zero Info.
func (k Kind) Info() Info {
	if k >= Count {
		return Info{}
	}
	return table[k]
}

// String returns the kind's name.
func (k Kind) String() string { return k.Info().Name }
