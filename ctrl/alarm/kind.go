package alarm

import (
	"fmt"
	"slices"
)

// Severity is the urgency of an alarm (ITU-T X.733, 8.1.2.3, without its "indeterminate").
type Severity string

// The severities.
const (
	Critical Severity = "critical" // tenants have no service: act now
	// a failure: its replacement carries the service, or the next failure has no replacement
	Major   Severity = "major"
	Minor   Severity = "minor"   // service works, with a fault
	Warning Severity = "warning" // check it when there is time
)

// Severities, the least urgent first.
var Severities = []Severity{Warning, Minor, Major, Critical}

// Rank orders severities: 0 is the least urgent. −1 is no severity.
func (s Severity) Rank() int { return slices.Index(Severities, s) }

// Kind is the kind of fault of an alarm. The list is closed: documentation, metrics and receivers can rely on it.
type Kind string

// The kinds.
const (
	PortDown           Kind = "port_down"
	GatewayDown        Kind = "gateway_down"
	GatewayStandbyDown Kind = "gateway_standby_down"
	GatewayAllDown     Kind = "gateway_all_down"
	GatewayFlapping    Kind = "gateway_flapping"
	GatewayMAC         Kind = "gateway_mac_changed"
	GatewayConflict    Kind = "gateway_mac_conflict"
	GatewayShared      Kind = "gateway_mac_shared"
	WebhookFailing     Kind = "webhook_failing"
	WebhookLost        Kind = "webhook_lost"
	SpoolFailing       Kind = "spool_failing"
	StoreFailing       Kind = "store_failing"
	GuestSetupFailed   Kind = "guest_setup_failed"
	FlowTableFull      Kind = "flow_table_full"
	ServerDown         Kind = "server_down"
	ServersFlapping    Kind = "servers_flapping"
	ServiceDown        Kind = "service_down"
	ServicePanic       Kind = "service_panic"
	VIPConflict        Kind = "vip_conflict"
	DirectorLost       Kind = "director_lost"
	DirectorsDiffer    Kind = "directors_differ"
	SwitchSilent       Kind = "switch_silent"
	PathsAllDown       Kind = "paths_all_down"
	ProbeOverload      Kind = "probe_overload"
	LLDPNoPlace        Kind = "lldp_no_place"
	LLDPMismatch       Kind = "lldp_mismatch"
	LLDPAmbiguous      Kind = "lldp_ambiguous"
	LLDPLost           Kind = "lldp_lost"
	PlaceConflict      Kind = "place_conflict"
	VIFConflict        Kind = "vif_conflict"
	VIFFlapping        Kind = "vif_flapping"
	BindingConflict    Kind = "binding_conflict"
	ClockSkew          Kind = "clock_skew"
	TableFull          Kind = "table_full"
	VXLANLoop          Kind = "vxlan_loop"
	LearningFull       Kind = "learning_full"
	VXLANTwoGateways   Kind = "vxlan_two_gateways"
)

// KindInfo describes a kind.
type KindInfo struct {
	Kind     Kind
	Severity Severity // unless the report has another one
	Manual   bool     // its end cannot be observed: acknowledging the alarm clears it
	Object   string   // the form of its object
	Doc      string   // when it is raised
	Clears   string   // when it is cleared
}

// Kinds describes every kind, in the order of the documentation.
func Kinds() []KindInfo {
	return []KindInfo{
		{PortDown, Major, false, "port NAME",
			"A port has no carrier, was set down, went away, or its sockets cannot be opened.", "It is up again."},
		{GatewayDown, Major, false, "gateway GROUP/MEMBER", "The active gateway failed, and another one took over.",
			"The gateway is healthy again."},
		{GatewayStandbyDown, Major, false, "gateway GROUP/MEMBER",
			"A gateway that is not in use failed: there is one less to switch to.", "The gateway is healthy again."},
		{GatewayAllDown, Critical, false, "gateway_group GROUP",
			"No gateway of the group is healthy; what leaves through the group is dropped.", "One is healthy again."},
		{GatewayFlapping, Minor, false, "gateway GROUP/MEMBER",
			"A gateway failed again and again; it is held down for a growing time.", "Its hold time is over and it " +
				"is healthy, or it is disabled."},
		{GatewayMAC, Warning, true, "gateway GROUP/MEMBER",
			"A gateway answers from another MAC than before, which was taken over.", "It is acknowledged."},
		{GatewayConflict, Warning, true, "gateway GROUP/MEMBER",
			"Two stations answer for a gateway; the one in use stays so.", "It is acknowledged."},
		{GatewayShared, Minor, true, "gateway GROUP/MEMBER",
			"Two members of a group have one MAC: they are one device.", "It is acknowledged."},
		{WebhookFailing, Warning, false, "webhook NAME",
			"A receiver of alarms has taken nothing for `alarm.webhook.failing_after`; notices wait on " +
				"disk.", "It takes notices again."},
		{WebhookLost, Major, true, "webhook NAME",
			"Notices for a receiver gave way to newer ones, because the spool is full, or could not be read from " +
				"disk; it will never get them.", "It is acknowledged."},
		{SpoolFailing, Major, false, "spool",
			"Alarms cannot be written to disk, or a write has not ended for 2 s. They are delivered all the same, " +
				"but a restart forgets them.", "Writing works again."},
		{StoreFailing, Critical, false, "store",
			"The tables' store takes no writes: its disk hangs, or fails so that the outcome of a write is unknown, " +
				"or its file was removed or replaced. The dataplane goes on; pushes are " +
				"refused.", "It takes writes again."},
		{VIPConflict, Major, false, "vip TENANT/NAME MAC",
			"A station claims a virtual address by ARP or neighbour discovery, and is neither its director nor one " +
				"of its servers. The claim is dropped; clients keep the virtual address's MAC.",
			"The station has claimed nothing for a minute, or the virtual address was deleted."},
		{DirectorLost, Major, false, "director BOX",
			"Another director of a virtual address has not been heard for a second: nobody takes over if this box " +
				"fails.", "It is heard again, or is no director any more."},
		{DirectorsDiffer, Major, false, "director BOX",
			"Another director's tables, servers or `balancer.key` have been different for 10 s: a takeover moves " +
				"connections.", "They are equal."},
		{SwitchSilent, Major, false, "switch MAC",
			"The only box behind an edge switch that the paths to the switch are probed with is silent on all " +
				"of them. No path is taken out, since the box may be dead.", "It, or another box there, answers."},
		{PathsAllDown, Critical, false, "switch MAC",
			"No path to an edge switch answers: each of them is down, or two boxes behind the switch are silent on " +
				"all of them. All paths are used.", "One path is up, or a box answers."},
		{ProbeOverload, Warning, false, "probes",
			"The paths in use would need more than 20,000 probes a second: intervals stretch, and a dead path is " +
				"found later.", "They need fewer."},
		{LLDPNoPlace, Major, false, "port NAME",
			"The place of a fabric port, its edge switch and the number there, does not follow from LLDP, or none " +
				"has come for 35 s. The text says what was heard, and why it is not enough.",
			"LLDP says a place, the configuration has one, or the port has no carrier."},
		{LLDPMismatch, Major, false, "port NAME",
			"LLDP contradicts `switch_mac` or `switch_port` of a fabric port. The configuration holds.",
			"They agree, LLDP is silent, or the port has no carrier."},
		{LLDPAmbiguous, Warning, false, "port NAME",
			"A fabric port hears several neighbours: its place stays as it was.", "It hears one, or none."},
		{LLDPLost, Warning, false, "port NAME",
			"The only LLDP neighbour of a fabric port has left or is silent. The place stays while there is carrier.",
			"One is heard again, or the port has no carrier."},
		{PlaceConflict, Critical, false, "place",
			"Another box says to be at this box's place. The one that was there later says nothing of its VIFs.",
			"The other box has not been heard there for a minute, or this box has another place."},
		{VIFConflict, Major, false, "vif TENANT/SEGMENT MAC, IDs",
			"Another box claims a VIF of this box, with a newer claim: this box says nothing of it any more.",
			"The VIF is deleted here, or claimed anew since it has changed."},
		{VIFFlapping, Major, false, "vif TENANT/SEGMENT MAC, or address TENANT/SEGMENT ADDRESS, IDs",
			"A VIF has moved between boxes or attachments five times within 180 s, or an address between learned " +
				"VIFs. Its binding is held as it is, whatever is claimed.",
			"540 s have passed, or the binding was cleared."},
		{BindingConflict, Warning, false, "binding TENANT/SEGMENT MAC at SWITCH/PORT, IDs",
			"Another box says that a VIF is there, and the pushed binding leads elsewhere. The pushed one holds.",
			"Nobody has said so for a minute."},
		{ClockSkew, Warning, false, "box SWITCH/PORT", "The clock of another box is 5 s or more off.",
			"It was right for a minute."},
		{TableFull, Major, false, "bindings",
			"The bindings table is full: bindings of other boxes give way to each other.",
			"There was room for a minute."},
		{VXLANLoop, Major, false, "vif TENANT/SEGMENT MAC, IDs",
			"Frames with the MAC of a VIF of this box come from a VTEP. They are dropped, and teach nothing.",
			"None has come for a minute."},
		{LearningFull, Warning, false, "attachment PORT, or PORT/VLAN",
			"More stations were heard behind an attachment than it may have, or they change too often: some are not " +
				"learned.",
			"None was refused for a minute."},
		{VXLANTwoGateways, Minor, false, "segment TENANT/SEGMENT, IDs",
			"Another box connects the segment with VTEPs, too: the one at the larger place does not.",
			"The other box has been silent, or has told nothing of stations behind VTEPs, for a minute."},
		{GuestSetupFailed, Major, false, "vif TENANT/NAME",
			"The guest behind a VIF cannot be given its virtual addresses, or cannot keep them over its restart: the " +
				"agent is absent, silent or blocks commands, or the guest's network configuration is not known. The " +
				"box tries again.", "The guest is set up, or nothing is asked of it any more."},
		{ServerDown, Minor, false, "server TENANT/SERVICE/NAME",
			"The checks of a real server fail; it gets no new connections.",
			"Its checks succeed again, or it is disabled or removed."},
		{ServersFlapping, Major, false, "servers",
			"Ten or more real servers came up or went down within 10 s. Those that are down have no alarm of " +
				"their own.",
			"All of them are up, disabled or removed, and none has changed for 10 s."},
		{ServiceDown, Critical, false, "service TENANT/NAME", "No real server of the service is up.",
			"One is up, or all are disabled or removed."},
		{ServicePanic, Critical, false, "service TENANT/NAME",
			"Real servers with less of the weight than `panic` of the service says are up: its backups are used, " +
				"without backups all enabled servers.", "Enough are up again."},
		{FlowTableFull, Minor, false, "worker NUMBER",
			"A worker's flow table holds 95 % of `balancer.flows`, or forgets connections to make room for others. " +
				"The hash alone selects the server of what such a connection sends.",
			"It holds less than 90 %, and has forgotten none for a minute."},
	}
}

// Info describes a kind; it panics for one that is not in the list.
func (k Kind) Info() KindInfo {
	for _, i := range Kinds() {
		if i.Kind == k {
			return i
		}
	}
	panic(fmt.Sprintf("alarm: no kind %q", k))
}
