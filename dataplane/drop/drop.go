// Package drop is the closed list of reasons for which a frame can be discarded.
//
// One table gives everything that is said about a reason: the counter's index, the Prometheus label,
// the text in `penstock show drops` and the line in the documentation. A stage that cannot forward a
// frame names exactly one reason; nothing is discarded without one.
package drop

// Reason says why a frame was discarded. The zero value means "not discarded".
type Reason uint8

// The reasons, in the order of the packet path: parse, access, lookup, router, path, fabric, uplink, edge switch, engine.
const (
	None Reason = iota

	FrameShort
	FrameLong
	SourceMAC
	VLANTruncated
	VLANStacked
	LLCIP
	IPv4Truncated
	IPv4Header
	IPv4Length
	IPv4Checksum
	IPv6Truncated
	IPv6Header
	IPv6Length
	IPv6Extensions
	L4Truncated
	ARPMalformed
	NDMalformed

	NoRole
	AccessVLAN
	LinkLocalGroup
	SpoofMAC
	SpoofIP
	SpoofARP
	SpoofND
	SpoofDHCP
	SpoofEncapsulated

	Unresolved
	ARPUnresolved
	ARPForeign
	Hairpin
	FloodLimit
	FloodEmpty
	FloodNoFrame

	RouterProtocol
	RouterSource
	NoRoute
	RouteUnresolved
	TTLExceeded
	ICMPLimit
	ICMPSuppressed

	NoPath
	TooBig
	AccessMTU

	FabricVLAN
	FabricNotIP
	FabricSwitchMAC
	FabricOwnMAC
	FabricProtocol
	FabricFragment
	FabricOptions
	FabricAddress
	FabricTenant
	FabricSegment
	FabricInner
	FabricForged
	FabricNotHere
	FabricRelay

	UplinkVLAN
	UplinkMAC
	UplinkLoop
	UplinkSource
	UplinkSpoofed
	UplinkDown
	UplinkNotIP
	UplinkNoTenant
	UplinkForeign
	UplinkNoActive
	UplinkUnresolved
	UplinkMTU
	UplinkARPForeign
	UplinkARPUnasked
	UplinkARPForged

	EdgeVLAN
	EdgeUntagged
	EdgeSourceMAC
	EdgeNotIP
	EdgeNoRoute
	EdgeTTL
	EdgeNeighbor
	EdgeHairpin
	EdgeMTU
	EdgeLoop

	TxRingFull
	TxPortDown
	HandoffFull
	PuntFull
	PuntLimit
	PuntUnwanted

	Count // number of reasons, not a reason
)

// Info is what is said about a reason.
type Info struct {
	Label string // stable, for metrics, JSON and scripts: lower case, underscores
	Text  string // one sentence for people
	Check string // what an operator looks at first
}

var table = [Count]Info{
	None: {"none", "The frame was not discarded.", ""},

	FrameShort:     {"frame_short", "Shorter than an Ethernet header.", "the sender, or a capture on the port"},
	FrameLong:      {"frame_long", "Longer than a frame buffer holds.", "frame_size in the configuration against the port's MTU"},
	SourceMAC:      {"source_mac", "The source MAC is zero or a group address.", "the sender"},
	VLANTruncated:  {"vlan_truncated", "The frame ends inside its 802.1Q tag.", "the sender"},
	VLANStacked:    {"vlan_stacked", "More than one 802.1Q tag.", "the sender's VLAN configuration"},
	LLCIP:          {"llc_ip", "IP or ARP in LLC or SNAP (RFC 1042), where no check sees its addresses.", "the sender; on Ethernet, IP and ARP go with an EtherType (RFC 894, RFC 2464)"},
	IPv4Truncated:  {"ipv4_truncated", "The frame ends inside the IPv4 header.", "the sender"},
	IPv4Header:     {"ipv4_header", "IPv4 version or header length is wrong.", "the sender"},
	IPv4Length:     {"ipv4_length", "IPv4 total length is smaller than its header or larger than the frame.", "the sender"},
	IPv4Checksum:   {"ipv4_checksum", "The IPv4 header checksum is wrong.", "cabling, or the sender's checksum offload"},
	IPv6Truncated:  {"ipv6_truncated", "The frame ends inside the IPv6 header.", "the sender"},
	IPv6Header:     {"ipv6_header", "The IPv6 version is wrong.", "the sender"},
	IPv6Length:     {"ipv6_length", "The IPv6 payload length is larger than the frame.", "the sender"},
	IPv6Extensions: {"ipv6_extensions", "The IPv6 extension headers are cut off or too many.", "the sender"},
	L4Truncated:    {"l4_truncated", "The packet ends inside its TCP, UDP or ICMP header.", "the sender"},
	ARPMalformed:   {"arp_malformed", "An ARP packet that is cut off or not Ethernet/IPv4.", "the sender"},
	NDMalformed:    {"nd_malformed", "A neighbour discovery message with a wrong hop limit, length, checksum or option.", "the sender"},

	NoRole:         {"no_role", "The port has no tables yet.", "whether tables were pushed; `penstock show ports`"},
	AccessVLAN:     {"access_vlan", "No VIF is attached to this port with this VLAN.", "the VIF's port and vlan; `penstock show vifs`"},
	LinkLocalGroup: {"link_local_group", "Addressed to 01-80-C2-00-00-0x, which a bridge never forwards (IEEE 802.1Q, 8.6.3).", "nothing; normal for LLDP and STP from a tenant"},
	SpoofMAC:       {"spoof_mac", "The source MAC belongs to no VIF of this attachment.", "the VIF's mac and anti_spoof"},
	SpoofIP:        {"spoof_ip", "The source IP is not one of the VIF's addresses.", "the VIF's addresses and anti_spoof"},
	SpoofARP:       {"spoof_arp", "The ARP sender is not the VIF.", "the VIF's mac and addresses"},
	SpoofND:        {"spoof_nd", "The neighbour discovery sender is not the VIF, or a tenant poses as a router.", "the VIF's mac and addresses; allow = [\"ra\"] for a tenant's own router"},
	SpoofDHCP:      {"spoof_dhcp", "An answer of a DHCP server from a VIF that may not be one.", "the VIF's allow"},

	SpoofEncapsulated: {"spoof_encapsulated", "IP inside MPLS, PPPoE or another frame, whose source cannot be held to the VIF's addresses.", "the VIF's anti_spoof"},

	Unresolved:    {"unresolved", "No binding for the destination MAC.", "`penstock show bindings`"},
	ARPUnresolved: {"arp_unresolved", "No binding for the address asked for by ARP or ND.", "`penstock show bindings`"},
	ARPForeign:    {"arp_foreign", "An ARP or ND message that is no question to be answered here; it never crosses the fabric.", "nothing; normal for announcements"},
	Hairpin:       {"hairpin", "The destination hangs from the attachment the frame came from.", "a switch or bridge behind the access port that should have kept the frame"},
	FloodLimit:    {"flood_limit", "The VIF's limit of copies of broadcast, multicast and unknown unicast was reached.", "the VIF for a broadcast storm; flood_rate, which counts each receiver"},
	FloodEmpty:    {"flood_empty", "Broadcast or multicast in a segment that has no other VIF.", "nothing; normal for a lone VIF"},
	FloodNoFrame:  {"flood_no_frame", "No free frame for a copy of a broadcast or multicast.", "frames in the configuration"},

	RouterProtocol:  {"router_protocol", "Addressed to the virtual router, and neither routable nor a ping.", "the sender"},
	RouterSource:    {"router_source", "A packet to be routed whose source address cannot be a host's.", "the sender"},
	NoRoute:         {"no_route", "The tenant has no subnet for the destination.", "`penstock show subnets`"},
	RouteUnresolved: {"route_unresolved", "The destination's subnet is known, its binding is not.", "`penstock show bindings`"},
	TTLExceeded:     {"ttl_exceeded", "TTL or hop limit ran out at the virtual router.", "a routing loop inside the tenant, or traceroute"},
	ICMPLimit:       {"icmp_limit", "An ICMP error was due but the limit of the VIF (or, from outside, of the tenant) was reached.", "the sender of the offending packets; icmp_rate"},
	ICMPSuppressed:  {"icmp_suppressed", "An ICMP error was due but must not be sent (RFC 1122, 3.2.2; RFC 4443, 2.4).", "nothing"},

	NoPath:    {"no_path", "No live path to the destination's edge switch.", "`penstock show paths`"},
	TooBig:    {"too_big", "Too large for the fabric and not a packet that ICMP can answer.", "the fabric port's MTU"},
	AccessMTU: {"access_mtu", "Too large for the access port and not a packet that ICMP can answer.", "the MTU of the access port and of the sender"},

	FabricVLAN:      {"fabric_vlan", "A tagged frame on a fabric port; the edge switch strips the tag.", "the edge switch's configuration"},
	FabricNotIP:     {"fabric_not_ip", "Neither IPv4 nor ARP on a fabric port.", "the edge switch's configuration"},
	FabricSwitchMAC: {"fabric_switch_mac", "The source MAC is not the edge switch's.", "switch_mac of the port; a foreign station on the fabric link"},
	FabricOwnMAC:    {"fabric_own_mac", "The destination MAC is not the box's.", "the edge switch's ARP table"},
	FabricProtocol:  {"fabric_protocol", "Not an encapsulated frame (IP protocol 143).", "the edge switch"},
	FabricFragment:  {"fabric_fragment", "A fragment; encapsulated packets are never fragmented.", "MTU along the path"},
	FabricOptions:   {"fabric_options", "An outer IPv4 header with options.", "the sending box"},
	FabricAddress:   {"fabric_address", "The outer destination is no special address of this box, or the outer source is not of the scheme.", "switch_port of the port; the edge switch's routes"},
	FabricTenant:    {"fabric_tenant", "The tenant is not known here.", "`penstock show tenants`"},
	FabricSegment:   {"fabric_segment", "The tenant has no such segment here.", "`penstock show segments`"},
	FabricInner:     {"fabric_inner", "The encapsulated frame is malformed.", "the sending box"},
	FabricForged:    {"fabric_forged", "ARP or neighbour discovery from the fabric that no box lets in: for the router's address, or of a router that the segment does not have.", "the segment's router_advertisements; the sending box"},
	FabricNotHere:   {"fabric_not_here", "The destination VIF is not on this box.", "a stale binding on the sending box"},
	FabricRelay:     {"fabric_relay", "The encapsulated frame is addressed to a VIF on another box.", "a stale binding on the sending box"},

	UplinkVLAN:     {"uplink_vlan", "No gateway is behind this uplink port with this VLAN.", "port and vlan of the group's members"},
	UplinkMAC:      {"uplink_mac", "From the uplink, and not addressed to the virtual MAC of a group behind this port.", "nothing; normal for broadcast and multicast of the gateways' network"},
	UplinkLoop:     {"uplink_loop", "The box's own MAC as the source of a frame from the uplink.", "a loop behind the uplink, or a MAC given twice"},
	UplinkSource:   {"uplink_source", "Addressed to a group, from a MAC that the members there do not take frames from.", "the members' sources; a foreign station in the gateways' network"},
	UplinkSpoofed:  {"uplink_spoofed", "From outside, with a source address in a subnet of the tenant that it is sent to.", "forged sources; the filters of the gateway"},
	UplinkDown:     {"uplink_down", "Addressed to a group where no gateway of it is healthy.", "`penstock show gateways`"},
	UplinkNotIP:    {"uplink_not_ip", "Neither IPv4, IPv6 nor ARP between a group and its gateways.", "the sender"},
	UplinkNoTenant: {"uplink_no_tenant", "From outside, to an address of no tenant behind the group.", "the gateway's routes; `penstock show subnets`"},
	UplinkForeign: {"uplink_foreign", "To the outside, from an address that the group does not deliver to this tenant: of no subnet of the tenant, of a subnet " +
		"that overlaps another tenant's, or no host's.", "the status of the tenant and of its subnets; the VIF's addresses and anti_spoof"},
	UplinkNoActive:   {"uplink_no_active", "The group has no active member.", "`penstock show gateways`"},
	UplinkUnresolved: {"uplink_unresolved", "The active member's gateway has not been resolved yet.", "`penstock show gateways`"},
	UplinkMTU:        {"uplink_mtu", "Too large for the uplink and not a packet that ICMP can answer.", "the uplink port's MTU"},
	UplinkARPForeign: {"uplink_arp_foreign", "ARP or neighbour discovery from the uplink that concerns no address of the box or its tenants.", "nothing; normal in a shared network"},
	UplinkARPUnasked: {"uplink_arp_unasked", "An ARP answer from the uplink to no question of the box, or an announcement.", "nothing, if few; a flood of them is an attack or a fault"},
	UplinkARPForged:  {"uplink_arp_forged", "ARP or neighbour discovery from the uplink that cannot be right: the sender's MAC is none of one device, or another station has an address of the box or of a gateway.", "the gateways' network for an address given twice, or an attacker"},

	EdgeVLAN:      {"edge_vlan", "The VLAN is not allowed on this port.", "the trunk's vlans"},
	EdgeUntagged:  {"edge_untagged", "An untagged frame where a path's VLAN is needed.", "the box or switch at the other end"},
	EdgeSourceMAC: {"edge_source_mac", "A downlink's frame with a source MAC that is neither the switch's nor the box's.", "the box on that downlink"},
	EdgeNotIP:     {"edge_not_ip", "Addressed to the edge switch, but neither ARP nor IPv4 with a sound header.", "the sender"},
	EdgeNoRoute:   {"edge_no_route", "No downlink has the prefix of the destination.", "switch_port of the downlinks"},
	EdgeTTL:       {"edge_ttl", "TTL ran out at the edge switch.", "a loop in the fabric"},
	EdgeNeighbor:  {"edge_neighbor", "The box on the downlink has not answered ARP yet.", "the box on that downlink"},
	EdgeHairpin:   {"edge_hairpin", "The frame would leave by the port it came from.", "a wrong path table, or flooding that has not learned yet"},
	EdgeMTU:       {"edge_mtu", "Larger than the MTU of the port it has to leave by.", "MTU of trunks and downlinks"},
	EdgeLoop:      {"edge_loop", "A trunk's frame with the edge switch's own source MAC: the VLAN has a loop, or the MAC is given twice.", "the VLANs of the trunks; switch_mac of the other edge switches"},

	TxRingFull:   {"tx_ring_full", "The transmit ring of the port is full.", "the port's rate; ring_size in the configuration"},
	TxPortDown:   {"tx_port_down", "The port to leave by is down or gone.", "cabling; `penstock show ports`"},
	HandoffFull:  {"handoff_full", "The ring to another worker is full.", "the load of the workers"},
	PuntFull:     {"punt_full", "The ring to the control plane is full.", "the load of the control plane"},
	PuntLimit:    {"punt_limit", "The port's rate limit of this kind of frame for the control plane was reached.", "a flood of that kind from the box or switch behind the port"},
	PuntUnwanted: {"punt_unwanted", "A frame for the box itself that nobody here wants.", "the sender"},
}

// Info returns what is said about r. An r outside the list gives the zero Info.
func (r Reason) Info() Info {
	if r >= Count {
		return Info{}
	}
	return table[r]
}

// String returns the reason's label.
func (r Reason) String() string { return r.Info().Label }
