// Package drop is the closed list of reasons for which a frame can be discarded.
//
// One table describes every reason: the index of its counter, its Prometheus label, and its texts in
// `penstock show drops`. A stage that cannot forward a frame names exactly one reason. No frame is discarded without
// a reason.
package drop

// Reason is the reason for which a frame was discarded. The zero value means "not discarded".
type Reason uint8

// The reasons, in the order of the packet path: parse, access, lookup, router, path, fabric, uplink, balancer,
// edge switch, engine.
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
	ResolveTimeout
	ResolveFull
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
	FabricForm
	FabricFragment
	FabricOptions
	FabricAddress
	FabricUDP
	FabricUDPChecksum
	FabricTenant
	FabricSegment
	FabricInner
	FabricECN
	FabricForged
	FabricNotHere
	FabricRelay

	VXLANHeader
	VXLANZeroChecksum
	VXLANVTEP
	VXLANVNI
	VXLANTag
	VXLANSource
	VXLANRelay
	VXLANRouter
	VXLANYielded
	VXLANNoVNI

	MessageVLAN
	MessageChirp
	MessageShort
	MessageMagic
	MessageVersion
	MessageOpcode
	MessagePlace
	MessageFull
	ProbeInvalid
	ProbeTag
	ProbeLimit
	ProbeUnasked

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

	MarkSpoof
	VIPSource
	VIPARP
	VIPConflict
	VIPSilent
	VIPProtocol
	NoService
	NoServer
	FragOrphan
	ReplyUnknown
	ReplyCollision

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
	InjectSegment

	Count // number of reasons, not a reason
)

// Info describes a reason.
type Info struct {
	Label string // stable, for metrics, JSON and scripts: lower case, underscores
	Text  string // one sentence for people
	Check string // what an operator checks first; empty for None alone
}

var table = [Count]Info{
	None: {"none", "The frame was not discarded.", ""},

	FrameShort: {"frame_short", "Shorter than an Ethernet header.", "the sender, or a capture on the port"},
	FrameLong: {"frame_long", "Longer than a frame buffer holds.",
		"frame_size in the configuration against the port's MTU"},
	SourceMAC:     {"source_mac", "The source MAC is zero or a group address.", "the sender"},
	VLANTruncated: {"vlan_truncated", "The frame ends inside its 802.1Q tag.", "the sender"},
	VLANStacked:   {"vlan_stacked", "More than one 802.1Q tag.", "the sender's VLAN configuration"},
	LLCIP: {"llc_ip",
		"IP or ARP in an LLC or SNAP header (RFC 1042), where the box cannot check its addresses.",
		"the sender; Ethernet carries IP and ARP with an EtherType (RFC 894, RFC 2464)"},
	IPv4Truncated: {"ipv4_truncated", "The frame ends inside the IPv4 header.", "the sender"},
	IPv4Header:    {"ipv4_header", "IPv4 version or header length is wrong.", "the sender"},
	IPv4Length: {"ipv4_length", "IPv4 total length is smaller than its header or larger than the frame.",
		"the sender"},
	IPv4Checksum: {"ipv4_checksum", "The IPv4 header checksum is wrong.",
		"cabling, or the sender's checksum offload"},
	IPv6Truncated:  {"ipv6_truncated", "The frame ends inside the IPv6 header.", "the sender"},
	IPv6Header:     {"ipv6_header", "The IPv6 version is wrong.", "the sender"},
	IPv6Length:     {"ipv6_length", "The IPv6 payload length is larger than the frame.", "the sender"},
	IPv6Extensions: {"ipv6_extensions", "The IPv6 extension headers are truncated or too many.", "the sender"},
	L4Truncated:    {"l4_truncated", "The packet ends inside its TCP, UDP or ICMP header.", "the sender"},
	ARPMalformed:   {"arp_malformed", "An ARP packet that is truncated or not for Ethernet and IPv4.", "the sender"},
	NDMalformed: {"nd_malformed",
		"A neighbour discovery message with a wrong hop limit, length, checksum or option.",
		"the sender"},

	NoRole: {"no_role", "The port has no tables yet.", "whether tables were pushed; `penstock show ports`"},
	AccessVLAN: {"access_vlan", "No VIF is attached to this port with this VLAN.",
		"the VIF's port and vlan; `penstock show vifs`"},
	LinkLocalGroup: {"link_local_group",
		"Addressed to 01-80-C2-00-00-0x, which a bridge never forwards (IEEE 802.1Q, 8.6.3).",
		"nothing; normal for LLDP and STP from a tenant"},
	SpoofMAC: {"spoof_mac", "The source MAC belongs to no VIF of this attachment.",
		"the VIF's mac and anti_spoof"},
	SpoofIP: {"spoof_ip", "The source IP is not one of the VIF's addresses.",
		"the VIF's addresses and anti_spoof"},
	SpoofARP: {"spoof_arp", "The ARP sender is not the VIF.", "the VIF's mac and addresses"},
	SpoofND: {"spoof_nd",
		"The neighbour discovery sender is not the VIF, or the VIF may not send router messages.",
		"the VIF's mac and addresses; allow = [\"ra\"] for a tenant's own router"},
	SpoofDHCP: {"spoof_dhcp", "A DHCP server's answer from a VIF that may not be a DHCP server.",
		"the VIF's allow"},

	SpoofEncapsulated: {"spoof_encapsulated",
		"IP inside MPLS, PPPoE or another encapsulation: its source cannot be compared with the VIF's addresses.",
		"the VIF's anti_spoof"},

	Unresolved: {"unresolved", "No binding for the destination MAC.", "`penstock show bindings`"},
	ARPUnresolved: {"arp_unresolved",
		"No binding for the target address of an ARP request or neighbour solicitation.",
		"`penstock show bindings`"},
	ARPForeign: {"arp_foreign", "An ARP or neighbour discovery message that the box neither answers nor forwards.",
		"nothing; normal for announcements"},
	ResolveTimeout: {"resolve_timeout",
		"No binding for the destination has come within the second for which the packet waited.",
		"whether the destination exists; `penstock show bindings`"},
	ResolveFull: {"resolve_full",
		"As many packets as may wait for the binding of a destination, or in all, are waiting.",
		"nothing, if few; many are a scan for addresses, or lost binding messages"},
	Hairpin: {"hairpin", "The destination is behind the attachment that the frame came from.",
		"a switch or bridge behind the access port that forwards frames of its own segment"},
	FloodLimit: {"flood_limit",
		"The VIF's limit of copies of broadcast, multicast and unknown unicast was reached.",
		"the VIF for a broadcast storm; flood_rate (each receiver counts)"},
	FloodEmpty: {"flood_empty", "Broadcast or multicast in a segment that has no other VIF.",
		"nothing; normal for a lone VIF"},
	FloodNoFrame: {"flood_no_frame", "No free frame for a copy of a broadcast or multicast.",
		"frames in the configuration"},

	RouterProtocol: {"router_protocol",
		"Addressed to the virtual router, and neither a packet to route nor an echo request.",
		"the sender"},
	RouterSource: {"router_source", "A packet to be routed whose source is not the address of a host.",
		"the sender"},
	NoRoute: {"no_route", "The tenant has no subnet for the destination.", "`penstock show subnets`"},
	RouteUnresolved: {"route_unresolved", "The destination is in a subnet of the tenant, but has no binding.",
		"`penstock show bindings`"},
	TTLExceeded: {"ttl_exceeded", "TTL or hop limit ran out at the virtual router.",
		"a routing loop inside the tenant, or traceroute"},
	ICMPLimit: {"icmp_limit",
		"An ICMP error was due, but the limit of the VIF (of the tenant for packets from the fabric or from " +
			"outside) was reached.",
		"the sender of the offending packets; icmp_rate"},
	ICMPSuppressed: {"icmp_suppressed", "An ICMP error was due but must not be sent (RFC 1122, 3.2.2; RFC 4443, 2.4).",
		"nothing"},

	NoPath: {"no_path", "No live path to the destination's edge switch.", "`penstock show paths`"},
	TooBig: {"too_big", "Larger than the fabric's MTU, and not a packet that ICMP can answer.",
		"the fabric port's MTU"},
	AccessMTU: {"access_mtu", "Larger than the access port's MTU, and not a packet that ICMP can answer.",
		"the MTU of the access port and of the sender"},

	FabricVLAN: {"fabric_vlan", "A tagged frame on a fabric port; the edge switch removes the tag.",
		"the edge switch's configuration"},
	FabricNotIP: {"fabric_not_ip", "Neither IPv4 nor ARP on a fabric port.", "the edge switch's configuration"},
	FabricSwitchMAC: {"fabric_switch_mac", "The source MAC is not the edge switch's.",
		"switch_mac of the port; a foreign station on the fabric link"},
	FabricOwnMAC: {"fabric_own_mac", "The destination MAC is not the box's.", "the edge switch's ARP table"},
	FabricProtocol: {"fabric_protocol",
		"Not an encapsulated frame (IP protocol 143; with encap \"udp\" UDP to udp_port).",
		"the edge switch; udp_port of both boxes"},
	FabricForm: {"fabric_form", "An encapsulated frame of another form than the port's.",
		"encap of this port and of the sending box's"},
	FabricFragment: {"fabric_fragment", "A fragment; encapsulated packets are never fragmented.",
		"MTU along the path"},
	FabricOptions: {"fabric_options",
		"An outer IPv4 header with options, or an outer IPv6 header with extension headers.", "the sending box"},
	FabricAddress: {"fabric_address",
		"The outer destination is not an address of this box, or the outer source does not follow the " +
			"addressing scheme.",
		"switch_port of the port; the edge switch's routes"},
	FabricUDP: {"fabric_udp", "The length of the outer UDP header does not fit the packet.", "the sending box"},
	FabricUDPChecksum: {"fabric_udp_checksum", "The checksum of the outer UDP header is neither right nor 0.",
		"the links between the boxes"},
	FabricTenant: {"fabric_tenant", "The tenant ID is not known on this box.", "`penstock show tenants`"},
	FabricSegment: {"fabric_segment", "The tenant has no segment with this ID on this box.",
		"`penstock show segments`"},
	FabricInner: {"fabric_inner", "The encapsulated frame is malformed.", "the sending box"},
	FabricECN: {"fabric_ecn", "Marked for congestion on the way, and not a packet that can say so (RFC 6040, 4.2).",
		"congestion in the fabric; a switch that marks packets without ECN in place of dropping them"},
	FabricForged: {"fabric_forged",
		"ARP or neighbour discovery from the fabric that no box sends: from the router's or a gateway's address, or " +
			"a router message in a segment that takes none.",
		"the segment's router_advertisements; the sending box"},
	FabricNotHere: {"fabric_not_here", "The destination VIF is not on this box.",
		"a stale binding on the sending box"},
	FabricRelay: {"fabric_relay", "The encapsulated frame is addressed to a VIF on another box.",
		"a stale binding on the sending box"},

	VXLANHeader: {"vxlan_header", "A VXLAN header that is cut off, or without the I bit.", "the sending VTEP"},
	VXLANZeroChecksum: {"vxlan_zero_checksum", "A UDP checksum of 0 over IPv6.",
		"the sending VTEP (Linux: noudp6zerocsumtx); zero_checksum6 of the port"},
	VXLANVTEP: {"vxlan_vtep", "The outer source is no VTEP that is known here.", "`penstock show vteps`"},
	VXLANVNI:  {"vxlan_vni", "No segment has this VNI.", "vni in `penstock show segments`; the sending VTEP"},
	VXLANTag:  {"vxlan_tag", "The encapsulated frame has an 802.1Q tag.", "the sending VTEP"},
	VXLANSource: {"vxlan_source",
		"A frame from a VTEP whose source MAC is that of a VIF of this or another box, or of the virtual router.",
		"a loop behind the VTEP; two stations with one MAC"},
	VXLANRelay: {"vxlan_relay", "A frame from a VTEP to a station that is behind a VTEP, too.",
		"the VTEPs: they reach each other directly"},
	VXLANRouter: {"vxlan_router", "A frame from a VTEP to the virtual router, which serves VIFs alone.",
		"the default route of the stations behind the VTEP"},
	VXLANYielded: {"vxlan_yielded",
		"A broadcast, multicast or unknown unicast from a VTEP in a segment where another box takes them.",
		"which boxes have VTEPs that flood to both"},
	VXLANNoVNI: {"vxlan_no_vni", "A frame to a VTEP in a segment without a VNI.", "vni in `penstock show segments`"},

	MessageVLAN: {"message_vlan", "A broadcast binding message in another VLAN than the control VLAN.",
		"the control VLAN of all boxes"},
	MessageChirp: {"message_chirp", "A box's HELLO in another VLAN than the control VLAN, which is for the switches.",
		"nothing: switches that carry path VLANs to boxes deliver it, once a minute of each box and VLAN"},
	MessageShort: {"message_short", "A binding message that ends inside a body, or whose tag has not 16 octets.",
		"the sending box"},
	MessageMagic:   {"message_magic", "A binding message without the magic number.", "a foreign sender"},
	MessageVersion: {"message_version", "A binding message of another version.", "the version of the sending box"},
	MessageOpcode: {"message_opcode", "A binding message with unknown opcodes only, or a probe that was broadcast.",
		"the version of the sending box"},
	MessagePlace: {"message_place",
		"A binding message with a place that no box can have: no unicast MAC of a switch, or no port number of the " +
			"addressing scheme.",
		"the sending box; box.scheme of all boxes"},
	MessageFull: {"message_full",
		"As many binding messages with this opcode as may wait for the control plane are waiting.",
		"a flood of binding messages; the load of the control plane"},

	ProbeInvalid: {"probe_invalid",
		"A PROBE or ECHO of a wrong length, of another VLAN than its frame, with another place than its sender's, or " +
			"by a path that this box does not have.",
		"the path tables of both boxes; the version of the sending box"},
	ProbeTag: {"probe_tag", "A PROBE or ECHO without the valid tag of one of the keys.", "fabric.keys of all boxes"},
	ProbeLimit: {"probe_limit", "More than 25,000 PROBEs a second.",
		"a flood of PROBEs; probe.interval of the other boxes"},
	ProbeUnasked: {"probe_unasked",
		"An ECHO that answers no PROBE of the last 2 s, comes by another path or from another box, or comes again.",
		"the round-trip times of `penstock show paths`; a forgery"},

	UplinkVLAN: {"uplink_vlan", "No gateway is configured behind this uplink port with this VLAN.",
		"port and vlan of the group's members"},
	UplinkMAC: {"uplink_mac",
		"A frame from the uplink that is not addressed to the virtual MAC of a group behind this port.",
		"nothing; normal for broadcast and multicast of the gateways' network"},
	UplinkLoop: {"uplink_loop", "A frame from the uplink with the box's own source MAC.",
		"a loop behind the uplink, or a MAC in use twice"},
	UplinkSource: {"uplink_source", "A frame to a group with a source MAC that its members do not accept.",
		"the members' sources; a foreign station in the gateways' network"},
	UplinkSpoofed: {"uplink_spoofed",
		"A packet from outside whose source address is in a subnet of the destination's tenant.",
		"forged sources; the filters of the gateway"},
	UplinkDown: {"uplink_down", "A frame to a group that has no healthy gateway.", "`penstock show gateways`"},
	UplinkNotIP: {"uplink_not_ip", "A frame between a group and its gateways that is neither IPv4, IPv6 nor ARP.",
		"the sender"},
	UplinkNoTenant: {"uplink_no_tenant", "A packet from outside to an address that belongs to no tenant of the group.",
		"the gateway's routes; `penstock show subnets`"},
	UplinkForeign: {"uplink_foreign",
		"A packet to the outside from an address that the group does not deliver to this tenant: in no " +
			"subnet of the tenant, in a subnet that overlaps another tenant's, or not the address of a host.",
		"the status of the tenant and of its subnets; the VIF's addresses and anti_spoof"},
	UplinkNoActive: {"uplink_no_active", "The group has no active member.", "`penstock show gateways`"},
	UplinkUnresolved: {"uplink_unresolved", "The MAC of the active member's gateway has not been resolved yet.",
		"`penstock show gateways`"},
	UplinkMTU: {"uplink_mtu", "Larger than the uplink's MTU, and not a packet that ICMP can answer.",
		"the uplink port's MTU"},
	UplinkARPForeign: {"uplink_arp_foreign",
		"ARP or neighbour discovery from the uplink for no address of the box or its tenants.",
		"nothing; normal in a shared network"},
	UplinkARPUnasked: {"uplink_arp_unasked",
		"An ARP reply from the uplink that the box has not requested, or an announcement.",
		"nothing, if few; many are an attack or a fault"},
	UplinkARPForged: {"uplink_arp_forged",
		"ARP or neighbour discovery from the uplink that cannot be right: the sender's MAC is not a unicast " +
			"MAC, or another station claims an address of the box or of a gateway.",
		"the gateways' network for an address in use twice, or an attacker"},

	MarkSpoof: {"mark_spoof", "A source MAC that only directors use (02:4d:4b:…), from an access port.",
		"the sender: it forges a director's requests"},
	VIPSource: {"vip_source", "A VIF sent from a virtual address what is no reply of its servers.",
		"whether the service has this server and port; `penstock show servers`"},
	VIPARP: {"vip_arp", "A real server's own ARP or neighbour discovery for a virtual address.",
		"nothing; a guest set up with arp_ignore 1 and arp_announce 2 sends none"},
	VIPConflict: {"vip_conflict", "ARP or neighbour discovery of a stranger that claims a virtual address.",
		"the sender named by the alarm vip_conflict"},
	VIPSilent: {"vip_silent", "A request for the MAC of a virtual address that answers nobody.",
		"the virtual address's arp: drop"},
	VIPProtocol: {"vip_protocol",
		"To a virtual address, and neither TCP, UDP, an echo request nor an ICMP error about one of its flows.",
		"the sender; ping of the VIP"},
	NoService: {"no_service", "To a virtual address, but no service has the port.", "`penstock show services`"},
	NoServer:  {"no_server", "The service has no usable server.", "`penstock show servers`"},
	FragOrphan: {"frag_orphan", "A fragment to a virtual address whose first fragment did not come in time.",
		"the sender"},
	ReplyUnknown: {"reply_unknown",
		"A real server's reply that several services may have sent, and no request of the flow passed here.",
		"the services that share the server's port; the server, if it opens connections from the VIP"},
	ReplyCollision: {"reply_collision",
		"A request whose addresses and ports, after translation, are those of another service's live flow.",
		"the services that share the server's port: give each service a port of its own"},

	EdgeVLAN: {"edge_vlan", "The VLAN is not allowed on this port.", "the trunk's vlans"},
	EdgeUntagged: {"edge_untagged", "An untagged frame where the VLAN of a path is required.",
		"the box or switch at the other end"},
	EdgeSourceMAC: {"edge_source_mac",
		"A downlink's frame with a source MAC that is neither the switch's nor the box's.",
		"the box on that downlink"},
	EdgeNotIP: {"edge_not_ip", "Addressed to the edge switch, but neither ARP nor IPv4 with a valid header.",
		"the sender"},
	EdgeNoRoute: {"edge_no_route", "No downlink has the prefix of the destination.",
		"switch_port of the downlinks"},
	EdgeTTL: {"edge_ttl", "TTL ran out at the edge switch.", "a loop in the fabric"},
	EdgeNeighbor: {"edge_neighbor", "The box on the downlink has not answered ARP yet.",
		"the box on that downlink"},
	EdgeHairpin: {"edge_hairpin", "The port to send from is the port that the frame came from.",
		"a wrong path table, or a destination that is not learned yet"},
	EdgeMTU: {"edge_mtu", "Larger than the MTU of the port to send from.", "MTU of trunks and downlinks"},
	EdgeLoop: {"edge_loop",
		"A frame from a trunk with the edge switch's own source MAC: the VLAN has a loop, or the MAC is in " +
			"use twice.",
		"the VLANs of the trunks; switch_mac of the other edge switches"},

	TxRingFull: {"tx_ring_full", "The transmit ring of the port is full.",
		"the port's rate; ring_size in the configuration"},
	TxPortDown:  {"tx_port_down", "The port to send from is down or gone.", "cabling; `penstock show ports`"},
	HandoffFull: {"handoff_full", "The ring to another worker is full.", "the load of the workers"},
	PuntFull: {"punt_full", "As many frames of this kind from the port as may wait for the control plane are waiting.",
		"the load of the control plane"},
	PuntLimit: {"punt_limit", "The port's rate limit of this kind of frame for the control plane was reached.",
		"a flood of that kind from the box or switch behind the port"},
	PuntUnwanted: {"punt_unwanted", "A frame for the box itself that no part of the box handles.", "the sender"},
	InjectSegment: {"inject_segment", "A frame of the control plane for a segment that is not on this box any more.",
		"nothing: the segment was deleted meanwhile"},
}

// Info returns the description of r, or the zero Info if r is not a reason.
func (r Reason) Info() Info {
	if r >= Count {
		return Info{}
	}
	return table[r]
}

// String returns the reason's label.
func (r Reason) String() string { return r.Info().Label }
