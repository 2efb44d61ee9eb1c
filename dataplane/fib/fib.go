// Package fib is the forwarding information base: all tables that the packet path reads, except the bindings.
//
// A Snapshot is immutable. Control builds a new snapshot for every transaction and publishes the snapshot with one
// atomic store. A worker loads the pointer once per turn and uses that snapshot for the whole turn, so that no packet
// sees half of a transaction. Dense indices refer to all objects; the packet path knows no names.
//
// Tables of a million entries (the bindings) are in package table and are updated in place. A transaction's changes of
// bindings become visible through Snapshot.Delta, atomically with the rest of the snapshot. Control folds them into the
// large table afterwards.
package fib

import "penstock/dataplane/table"

// None is the "no such entry" value of dense indices.
const None = ^uint32(0)

// Role is the role of a port (PROTOCOL.md#terms).
type Role uint8

// The roles. A port with RoleNone drops every frame that it receives.
const (
	RoleNone Role = iota
	RoleAccess
	RoleFabric
	RoleUplink
	RoleDownlink
	RoleTrunk
	Roles // number of roles, not a role
)

var roleNames = [...]string{"none", "access", "fabric", "uplink", "downlink", "trunk"}

// String returns the role's name as the configuration writes it.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "unknown"
}

// Loc is the location of a VIF, in 32 bits, since there are a million of them.
// Local: bit 31 is set, the other bits are the index into Snapshot.VIFs.
// Remote: bits 0–7 are the switch port number, bits 8–23 the index into Snapshot.Switches.
type Loc = uint32

// LocVTEPs is the location of a packet at NextFlood whose copies go to VTEPs alone.
const LocVTEPs Loc = ^Loc(0)

// LocLocal marks a local location. LocLocal and LocGateway together mark a gateway group: the other bits are the index
// into Snapshot.Groups. The group is a station of the segment, with its virtual MAC and its IP. See LocVIP for virtual
// addresses.
const (
	LocLocal   Loc = 1 << 31
	LocGateway Loc = 1 << 30
)

// GroupLoc returns the location of a gateway group.
func GroupLoc(group uint32) Loc { return LocLocal | LocGateway | group }

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
	VRRP        *table.Static // attachment → its local VIF with AllowVRRP, the sender for the MACs of virtual routers
	Segments    []Segment     // by segment index; a free slot has Tenant == 0
	SegmentByID *table.Static // SegmentKey(tenant, segment ID) → segment index
	Tenants     *table.Static // tenant ID → router index; also distinguishes an unknown tenant from an unknown segment
	Routers     []Router      // by router index, one per tenant
	Switches    []Switch      // by switch index, as in Loc
	Probes      []Probe       // configured paths, by Path.Stat; a free entry has Live == nil
	ProbeVLANs  *table.Static // ProbeKey(edge switch, VLAN) → index of a configured path, the way back of an echo
	Groups      []Group       // by gateway group index; entry 0 is never used, a free entry has Live == nil
	Edge        Edge
	VXLAN       VXLAN  // zero = no port of VXLAN
	ControlVID  uint16 // VLAN of the boxes' broadcasts; 0 = none: the box asks for nothing and learns nothing

	VIPs       []VIP     // virtual addresses of all boxes, by index
	Services   []Service // by service index
	Servers    []Server  // by server index
	BalanceKey [2]uint64 // of SipHash: balancer.key, in little-endian order
	// SharedReplies: an Agent is, or was, Shared. The agents need notes of flows.
	SharedReplies bool

	Bindings *table.Bindings
	Delta    *table.Delta // nil nearly always

	// FloodRate limits the frames per second that are made of the broadcast, multicast and unknown-unicast frames of
	// one VIF: one frame for each receiver. FloodBurst is the burst in frames. A rate of 0 means no limit.
	FloodRate, FloodBurst uint32
	// ICMPRate limits the ICMP errors per second about packets of one VIF, or about packets of one tenant that come
	// from the fabric and from outside. ICMPBurst is the burst in errors.
	ICMPRate, ICMPBurst uint32
	Limits              Limits
}

// VIFKey is the key of Snapshot.VIFByMAC.
func VIFKey(attachment uint32, mac uint64) uint64 { return uint64(attachment)<<48 | mac }

// SegmentKey is the key of Snapshot.SegmentByID.
func SegmentKey(tenant, segment uint32) uint64 { return uint64(tenant)<<24 | uint64(segment) }

// Port holds what the stages need to know of a port.
type Port struct {
	Role Role
	Up   bool   // carrier and administrative state; a port that is down is never chosen for sending
	MTU  uint16 // of the interface: octets behind the Ethernet header and tag
	MAC  uint64

	// Access ports.
	Untagged          uint32        // attachment of untagged and priority-tagged frames, or None
	Tagged            *[4096]uint32 // attachment by VLAN ID, None without one; nil when no attachment is tagged
	CompleteChecksums bool          // finish L4 checksums that the sender's stack left to hardware
	ClampMSS          bool          // lower the MSS of TCP SYNs to what fits both links; also on uplink ports

	Fabric Fabric         // fabric ports
	Uplink []UplinkMember // uplink ports: the members of gateway groups behind the port
}

// Fabric is the location of a fabric port: edge switch and port number, and the addresses that follow from both.
type Fabric struct {
	SwitchMAC uint64
	OwnMAC    uint64
	Prefix    uint32 // 10.p.0.0 or p.0.0.0
	HostMask  uint32 // 0x0000ffff or 0x00ffffff: the bits that carry tenant and segment
	BoxIP     uint32 // Prefix | 1; with VXLAN over IPv4, the port's own
	Number    uint8  // p
	SwitchIdx uint32 // of SwitchMAC in Snapshot.Switches
	Form      Form   // of encapsulation: frames of another form are dropped
	UDP       uint16 // destination port of FormUDP, in all boxes of the fabric

	// With VXLAN, of all fields above only OwnMAC, BoxIP (IPv4) and Form are used.
	Own6          [2]uint64 // address of the port, if it is IPv6
	ZeroChecksum6 bool      // accept UDP checksums of 0 over IPv6
}

// Policy selects the checks of frames of a VIF against its configured MAC and addresses.
type Policy uint8

// The policies.
const (
	PolicyStrict Policy = iota // MAC and IP, ARP and ND senders must be the VIF's
	PolicyMAC                  // the source MAC must be a VIF's
	PolicyOff                  // no check
)

// Allow is the set of functions beside that of a host that a VIF may have. A VIF with PolicyOff may have all.
type Allow uint8

// The bits of Allow.
const (
	AllowDHCPServer Allow = 1 << iota // send a DHCP server's answers
	AllowRA                           // send router advertisements and redirects
	AllowVRRP                         // send from the MAC of a virtual router
)

// VirtualRouterMAC reports whether mac is that of a virtual router (RFC 9568, 7.3): one for IPv4 or one for IPv6.
func VirtualRouterMAC(mac uint64) bool { return mac>>8 == 0x00005e0001 || mac>>8 == 0x00005e0002 }

// Attachment is one (port, VLAN) of an access port. One or more VIFs of one segment are behind an attachment.
type Attachment struct {
	Seg  uint32
	Port uint16
	VID  uint16 // 0 = untagged
	Open bool   // a VIF with PolicyOff is behind it: frames with any source MAC are accepted
}

// VIF is a virtual interface of this box.
type VIF struct {
	MAC    uint64
	Attach uint32
	Seg    uint32
	Policy Policy
	Allow  Allow
	Agent  *Agent      // not nil: a real server, or the VIF may use virtual addresses
	IP4    []uint32    // allowed source addresses, host order: configured and shared ones
	IP6    [][2]uint64 // likewise, high and low half
}

// Strict reports whether the VIF may send from its configured addresses alone. A VIF without configured addresses is
// not checked, since a tenant may use no IP at all.
func (v *VIF) Strict() bool { return v.Policy == PolicyStrict && len(v.IP4)+len(v.IP6) > 0 }

// Segment is one MAC address space of a tenant.
type Segment struct {
	Tenant         uint32    // tenant ID
	ID             uint32    // segment ID, as carried in the outer source address
	Router         uint32    // index of the tenant's virtual router
	UnknownUnicast bool      // flood unknown unicast, and requests for unknown addresses, instead of dropping them
	FabricRA       bool      // accept router advertisements from the fabric
	Subnets4       []Subnet4 // the subnets of this segment (for the router's addresses)
	Subnets6       []Subnet6
	Local          []uint32      // attachments that have a VIF of the segment, each once
	Remote         []Loc         // one location on each other box that has a VIF of the segment
	VNI            uint32        // VXLAN network identifier, 0 = none
	VTEPs          []Loc         // of the VTEPs that get copies of floods; shared by all segments
	Relay          bool          // frames pass between boxes and VTEPs here
	Yielded        bool          // another box stands between boxes and VTEPs: floods of VTEPs are not taken
	VIPs4          []SegmentVIP4 // virtual addresses, sorted
	VIPs6          []SegmentVIP6
	Gateway        uint32 // the gateway group that is a station of this segment, 0 = none
}

// Router is the virtual router of a tenant. Subnets are sorted by Start and do not overlap.
type Router struct {
	Tenant   uint32
	MAC      uint64
	Subnets4 []Subnet4
	Subnets6 []Subnet6

	// The default route: Gateway is the index of a gateway group of this box, 0 = none. Without one, Via4 and Via6
	// are the addresses (0 = none) at which a group of another box is a station, and Via4Seg and Via6Seg are their
	// segments.
	Gateway uint32
	Via4    uint32
	Via4Seg uint32
	Via6    [2]uint64
	Via6Seg uint32

	// The subnets, sorted, to which Gateway delivers packets from outside: Subnets4 and Subnets6 without the subnets
	// that overlap a subnet of another tenant behind the same group. Packets to the outside must have their source in
	// one of these subnets.
	Outside4 []Subnet4
	Outside6 []Subnet6
}

// Subnet4 is an IPv4 subnet of a tenant.
type Subnet4 struct {
	Start, End uint32 // first and last address, host order
	RouterIP   uint32 // 0 = none
	Seg        uint32 // segment index
}

// Subnet6 is an IPv6 subnet of a tenant. Addresses are pairs of the high and the low half.
type Subnet6 struct {
	Start, End [2]uint64
	RouterIP   [2]uint64
	Seg        uint32
}

// Switch is an edge switch and the live paths by which this box reaches it.
type Switch struct {
	MAC      uint64
	Paths    []Path   // live paths only; empty = unreachable; see SetPaths
	Seeds    []uint64 // the seeds of Paths: the choice between paths of equal weight reads nothing else
	Weighted bool     // the paths' weights differ
	VTEP     *VTEP    // not nil: it is a VTEP
}

// SetPaths sets the live paths of the switch, and the fields that follow from them.
func (s *Switch) SetPaths(paths []Path) {
	s.Paths, s.Seeds, s.Weighted = paths, nil, false
	for i := range paths {
		p := &paths[i]
		p.prepare()
		s.Seeds = append(s.Seeds, table.Seed(p.Seed))
		s.Weighted = s.Weighted || p.Weight != paths[0].Weight
	}
}

// Choose returns the index of the path of the flow with this hash, which a frame.Packet has: by rendezvous hashing, so
// that adding or removing a path moves only the flows of that path. Without paths it returns 0.
func (s *Switch) Choose(hash uint32) (best uint16) {
	if !s.Weighted {
		return table.Best(hash, s.Seeds)
	}
	var most uint64
	for i, seed := range s.Seeds {
		m := table.WeightedScore(uint32(table.Mix(hash, seed)>>32), s.Paths[i].Weight)
		if i == 0 || m > most {
			best, most = uint16(i), m
		}
	}
	return best
}

// Path is one path to an egress edge switch: a fabric port and a VLAN. Its outer header is prepared.
type Path struct {
	Port   uint16 // fabric port to send from
	VID    uint16
	Weight uint16 // ≥ 1; all equal = unweighted
	MTU    uint16 // of the fabric port
	Form   Form   // of encapsulation, that of the fabric port
	UDP    uint16 // destination port with FormUDP
	Stat   uint32 // index of the path's counters, stable while the path is configured
	Seed   uint32 // in rendezvous hashing: a function of (egress switch, VID, fabric port), equal after every restart

	DstMAC, SrcMAC uint64 // outer MACs; SrcMAC is the fabric port's own if its switch is the egress switch
	SrcPrefix      uint32 // prefix bits of this box's port; | segment ID = outer source
	DstBase        uint32 // prefix of switch port 0; | number<<DstShift | tenant ID = outer destination
	HostMask       uint32
	DstShift       uint8 // 16 (10.p.t) or 24 (p.t)

	// With VXLAN, DstMAC is the next hop's, SrcMAC the port's own. SrcPrefix and DstBase are the outer addresses if
	// they are IPv4.
	Src6, Dst6 [2]uint64 // else

	Head Head // by SetPaths
}

// Edge holds the tables of the box as edge switch. Edge is zero when no port is a downlink or trunk.
type Edge struct {
	MAC        uint64            // the switch's own MAC
	HostBits   uint8             // 16 (10.p.t) or 24 (p.t)
	Net        uint32            // 10.0.0.0 or 0: the bits of a destination address above the port number
	Downlinks  [256]EdgeDownlink // by port number
	ByPort     []EdgePort        // by port index
	VLANs      *[4096][]uint16   // by VLAN ID: the trunks that carry it (the control VLAN: also the downlinks)
	ControlVID uint16            // 0 = none
}

// EdgeDownlink is the fixed route of one downlink: to the prefix of its port number, with the box as next hop.
type EdgeDownlink struct {
	Valid  bool
	Port   uint16 // port index
	BoxMAC uint64 // 0 = not resolved yet
}

// EdgePort holds what the edge stages need to know of a downlink or trunk.
type EdgePort struct {
	Number uint8       // downlink: its port number p
	Allow  *[64]uint64 // trunk: bit set of allowed VLAN IDs
}

// Same reports whether two snapshots share a list: it has not changed between them.
func Same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
