// Package fib is the forwarding information base: all tables that the packet path reads, except the bindings.
//
// A Snapshot is immutable. Control builds a new one for every transaction and publishes it with one atomic store;
// a worker loads the pointer once per turn and uses that snapshot for the whole turn, so that no packet sees half
// of a transaction. Everything is addressed by dense indices: names stay in control.
//
// Million-entry data (the bindings) lives in package table and is updated in place. What a transaction changes there
// is visible first through Snapshot.Delta, atomically with the rest, and folded into the big table afterwards.
package fib

import (
	"math/bits"

	"penstock/dataplane/table"
)

// None is the "no such entry" value of dense indices.
const None = ^uint32(0)

// Role is what a port is for (PROTOCOL.md#terms).
type Role uint8

// The roles. A port without one (RoleNone) drops everything it receives.
const (
	RoleNone Role = iota
	RoleAccess
	RoleFabric
	RoleUplink
	RoleDownlink
	RoleTrunk
	Roles // how many there are, not a role
)

var roleNames = [...]string{"none", "access", "fabric", "uplink", "downlink", "trunk"}

// String returns the role's name as the configuration writes it.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "unknown"
}

// Loc is where a VIF hangs, packed into 32 bits so that a million of them stay small.
// Local: bit 31 set, the rest is the index into Snapshot.VIFs.
// Remote: bits 0–7 the switch port number, bits 8–23 the index into Snapshot.Switches.
type Loc = uint32

// LocLocal is the bit that tells a local location from a remote one. LocGateway, besides it, says that the rest is not
// a VIF but a gateway group, the index into Snapshot.Groups: the group is a station in the segment, with its virtual
// MAC and its IP.
const (
	LocLocal   Loc = 1 << 31
	LocGateway Loc = 1 << 30
)

// GatewayLoc returns the location of a gateway group.
func GatewayLoc(group uint32) Loc { return LocLocal | LocGateway | group }

// LocGroup returns the group of a location that has LocGateway set.
func LocGroup(l Loc) uint32 { return l &^ (LocLocal | LocGateway) }

// RemoteLoc packs a switch index and a switch port number.
func RemoteLoc(sw uint32, port uint8) Loc { return sw<<8 | uint32(port) }

// Snapshot is one consistent state of all small tables.
type Snapshot struct {
	Generation uint64

	Ports       []Port        // by port index
	Attachments []Attachment  // by attachment index
	VIFs        []VIF         // by local VIF index; a free slot has Attach == None
	VIFByMAC    *table.Static // VIFKey(attachment, MAC) → local VIF index
	VRRP        *table.Static // attachment → a local VIF there with AllowVRRP, whose are the MACs of virtual routers
	Segments    []Segment     // by segment index; a free slot has Tenant == 0
	SegmentByID *table.Static // SegmentKey(tenant, segment ID) → segment index
	Tenants     *table.Static // tenant ID → router index (tells an unknown tenant from an unknown segment)
	Routers     []Router      // by router index, one per tenant
	Switches    []Switch      // by switch index, as in Loc
	Groups      []Group       // by gateway group index; entry 0 is never used, a free one has Live == nil
	Edge        Edge

	Bindings *table.Bindings
	Delta    *table.Delta // nil nearly always

	// FloodRate is the number of frames per second that the broadcast, multicast and unknown-unicast frames of one VIF may
	// become, one for each receiver; FloodBurst the burst. 0 = no limit.
	FloodRate, FloodBurst uint32
	// ICMPRate is the number of ICMP errors per second about the packets of one VIF, or about those from the fabric and from
	// outside for one tenant; ICMPBurst the burst.
	ICMPRate, ICMPBurst uint32
	Limits              Limits
}

// VIFKey is the key of Snapshot.VIFByMAC.
func VIFKey(attachment uint32, mac uint64) uint64 { return uint64(attachment)<<48 | mac }

// SegmentKey is the key of Snapshot.SegmentByID.
func SegmentKey(tenant, segment uint32) uint64 { return uint64(tenant)<<24 | uint64(segment) }

// Port is one port as the stages see it.
type Port struct {
	Role Role
	Up   bool   // carrier and administrative state; a port that is down is never chosen for sending
	MTU  uint16 // of the interface: octets behind the Ethernet header and tag
	MAC  uint64

	// Access ports.
	Untagged          uint32        // attachment of untagged and priority-tagged frames, or None
	Tagged            *[4096]uint32 // attachment by VLAN ID, or nil when there is no tagged attachment; None inside
	CompleteChecksums bool          // finish L4 checksums that the sender's stack left to hardware (pseudo-header sum only)
	ClampMSS          bool          // lower the MSS of TCP SYNs to what fits here and ahead; also of an uplink port

	Fabric Fabric         // fabric ports
	Uplink []UplinkMember // uplink ports: the members of gateway groups behind it
}

// Fabric is a fabric port's place: edge switch and port number, and the addresses that follow from them.
type Fabric struct {
	SwitchMAC uint64
	OwnMAC    uint64
	Prefix    uint32 // 10.p.0.0 or p.0.0.0
	HostMask  uint32 // 0x0000ffff or 0x00ffffff: the bits that carry tenant and segment
	BoxIP     uint32 // Prefix | 1
	Number    uint8  // p
	SwitchIdx uint32 // of SwitchMAC in Snapshot.Switches
}

// Policy is how strictly an attachment holds its frames to the configured VIFs.
type Policy uint8

// The policies.
const (
	PolicyStrict Policy = iota // MAC and IP, ARP and ND senders must be the VIF's
	PolicyMAC                  // the source MAC must be a VIF's
	PolicyOff                  // anything goes
)

// Allow is a set of what a VIF may be beside a host. With PolicyOff it may be anything.
type Allow uint8

// The bits of Allow.
const (
	AllowDHCPServer Allow = 1 << iota // send a DHCP server's answers
	AllowRA                           // send router advertisements and redirects
	AllowVRRP                         // send from the MAC of a virtual router
)

// DHCPAnswer is source and destination port of what a DHCP server sends to a client (RFC 2131, 4.1).
const DHCPAnswer = 67<<16 | 68

// VirtualRouterMAC reports whether mac is that of a virtual router (RFC 9568, 7.3): one for IPv4 or one for IPv6.
func VirtualRouterMAC(mac uint64) bool { return mac>>8 == 0x00005e0001 || mac>>8 == 0x00005e0002 }

// Attachment is one (port, VLAN) of an access port: the place where one or more VIFs of one segment hang.
type Attachment struct {
	Seg  uint32
	Port uint16
	VID  uint16 // 0 = untagged
	Open bool   // a VIF with PolicyOff hangs here: frames with any source MAC are let through
}

// VIF is a virtual interface of this box.
type VIF struct {
	MAC    uint64
	Attach uint32
	Seg    uint32
	Policy Policy
	Allow  Allow
	IP4    []uint32    // addresses it may send from, host order: configured and shared ones
	IP6    [][2]uint64 // likewise, high and low half
}

// Segment is one MAC address space of a tenant.
type Segment struct {
	Tenant         uint32    // tenant ID
	ID             uint32    // segment ID, as carried in the outer source address
	Router         uint32    // index of the tenant's virtual router
	UnknownUnicast bool      // flood unknown unicast, and questions for unknown addresses, instead of dropping them
	FabricRA       bool      // take router advertisements from the fabric
	Subnets4       []Subnet4 // the subnets of this segment (for the router's addresses)
	Subnets6       []Subnet6
	Local          []uint32 // attachments that hold a VIF of the segment, each once
	Remote         []Loc    // one location of each other box that holds a VIF of the segment
	Gateway        uint32   // the gateway group that is a station of this segment and carries it to the outside, 0 = none
}

// Router is the virtual router of a tenant. Subnets are sorted by Start and do not overlap.
type Router struct {
	Tenant   uint32
	MAC      uint64
	Subnets4 []Subnet4
	Subnets6 []Subnet6

	// Default route: a gateway group of this box (an index, 0 = none), or else the address (0 = none) and its segment at
	// which the group of another box is a station.
	Gateway uint32
	Via4    uint32
	Via4Seg uint32
	Via6    [2]uint64
	Via6Seg uint32

	// The subnets, sorted, to which Gateway delivers what comes from outside: Subnets4 and Subnets6 without those that
	// overlap a subnet of another tenant behind the same group. Only their addresses may leave through the group.
	Outside4 []Subnet4
	Outside6 []Subnet6
}

// Subnet4 is an IPv4 subnet of a tenant.
type Subnet4 struct {
	Start, End uint32 // first and last address, host order
	RouterIP   uint32 // 0 = none
	Seg        uint32 // segment index
}

// Subnet6 is an IPv6 subnet of a tenant; addresses as high and low half.
type Subnet6 struct {
	Start, End [2]uint64
	RouterIP   [2]uint64
	Seg        uint32
}

// Switch is an edge switch and the live paths by which this box reaches it.
type Switch struct {
	MAC      uint64
	Paths    []Path   // live ones only; empty = unreachable; see SetPaths
	Seeds    []uint64 // the paths' seeds side by side: all that choosing between equal paths reads
	Weighted bool     // the paths' weights differ
}

// SetPaths gives the switch its live paths and what the packet path needs of them at hand.
func (s *Switch) SetPaths(paths []Path) {
	s.Paths, s.Seeds, s.Weighted = paths, nil, false
	for i := range paths {
		p := &paths[i]
		p.prepare()
		s.Seeds = append(s.Seeds, table.Seed(p.Seed))
		s.Weighted = s.Weighted || p.Weight != paths[0].Weight
	}
}

// Path is one way to an egress edge switch: a fabric port and a VLAN, with the outer header prepared.
type Path struct {
	Port   uint16 // fabric port to send from
	VID    uint16
	Weight uint16 // ≥ 1; all equal = unweighted
	MTU    uint16 // of the fabric port
	Stat   uint32 // index of the path's counters, stable while the path is configured
	Seed   uint32 // of the path in rendezvous hashing: a function of (egress switch, VID, fabric port), equal after every restart

	DstMAC, SrcMAC uint64 // outer MACs; SrcMAC is the box's own when the egress switch is the port's own switch
	SrcPrefix      uint32 // prefix bits of this box's port; | segment ID = outer source
	DstBase        uint32 // prefix of switch port 0 under the fabric's scheme; | number<<DstShift | tenant ID = outer destination
	HostMask       uint32
	DstShift       uint8 // 16 (10.p.t) or 24 (p.t)

	Head Head // by SetPaths
}

// Head is the outer header of a path as far as it is the same for every frame, as words to be stored in little-endian
// order: octets 0–7, 8–15 and 16–23 of the frame (Ethernet, tag, the first six octets of IPv4), and the sum of what is
// constant in the IPv4 header.
type Head struct {
	W0, W1, W2 uint64
	Sum        uint32
}

// The constant part of the outer IPv4 header: no options, DF, TTL 64, protocol 143 (PROTOCOL.md#encapsulation).
const (
	outerVersion = 0x4500
	outerDF      = 0x4000
	outerTTL     = 64<<8 | 143
)

func (p *Path) prepare() {
	p.Head = Head{
		W0:  bits.ReverseBytes64(p.DstMAC<<16 | p.SrcMAC>>32),
		W1:  bits.ReverseBytes64(p.SrcMAC<<32 | 0x8100<<16 | uint64(p.VID)),
		W2:  bits.ReverseBytes64(0x0800<<48 | outerVersion<<32 | uint64(p.VID)),
		Sum: outerVersion + uint32(p.VID) + outerDF + outerTTL,
	}
}

// Edge is the tables of the box as edge switch. Zero when no port is a downlink or trunk.
type Edge struct {
	MAC        uint64            // the switch's own MAC
	HostBits   uint8             // 16 (10.p.t) or 24 (p.t)
	Net        uint32            // 10.0.0.0 or 0: what the destination must match above the port number
	Downlinks  [256]EdgeDownlink // by port number
	ByPort     []EdgePort        // by port index
	VLANs      *[4096][]uint16   // trunk ports that carry a VLAN (and the downlinks, for the control VLAN)
	ControlVID uint16            // 0 = none
}

// EdgeDownlink is the fixed route of one downlink: the prefix of its number, next hop the box's address.
type EdgeDownlink struct {
	Valid  bool
	Port   uint16 // port index
	BoxMAC uint64 // 0 = not resolved yet
}

// EdgePort is what the edge stages know of a downlink or trunk port.
type EdgePort struct {
	Number uint8       // downlink: its port number p
	Allow  *[64]uint64 // trunk: bit set of allowed VLAN IDs
}
