package conf

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the form of a key's value in TOML.
type Kind uint8

// The kinds.
const (
	KindString      Kind = iota // any string that the key's own check accepts
	KindInteger                 // Min … Max
	KindBool                    // true or false
	KindEnum                    // one of Allowed
	KindMAC                     // "02:00:00:00:00:01", not a group address, not zero
	KindSize                    // octets: an integer or "64MiB"; Min … Max
	KindMode                    // octal string, "0660"
	KindIntegers                // an array of integers, Min … Max, each once
	KindVLANs                   // an array of VLAN IDs and ranges "101-104"
	KindIPv4                    // "192.0.2.1"
	KindIPv6                    // "2001:db8::1"
	KindAddress4                // "192.0.2.2/29": an address and its network
	KindAddress                 // "192.0.2.1" or "2001:db8::1"
	KindVTEPAddress             // "192.0.2.1/24" or "2001:db8::1/64", or without the length
	KindDuration                // "100ms", "5s", "10m"; Min … Max in nanoseconds
	KindSources                 // "gateway", or an array of up to Max MACs, each once
	KindHexKey                  // 32 hexadecimal digits
	KindKeyring                 // an array of up to Max keys "ID:HEX", each ID once
	KindSwitchMACs              // a table: chassis ID → MAC
	KindPortNumbers             // a table: text → Min … Max
	KindLLDPRules               // an array of up to Max tables with field and match
)

// Key describes one key of the configuration. The reader, the README and Diff all work from it.
type Key struct {
	Path    string   // "dataplane.workers"; "port.…" stands for every [[port]]
	Kind    Kind     //
	Default any      // int, string or bool; nil = no fixed default, see Note and Need
	Note    string   // what the default is when it is not a fixed value
	Need    bool     // required (if its table is present; for the Roles, if any)
	Min     int      // KindInteger, KindIntegers, KindSize, KindDuration
	Max     int      //
	Allowed []string // KindEnum
	Roles   []string // of port keys: the roles that have the key; nil = all
	Live    bool     // takes effect on reload
	Why     string   // why it needs a restart when not Live
	Doc     string   // one or two sentences for the documentation
}

// ZeroKey is the key of a box that configures none.
const ZeroKey = "00000000000000000000000000000000"

// Limits with more than one use.
const (
	maxWorkers = 64

	maxFabricKeys = 8  // fabric.keys
	maxLLDPRules  = 64 // lldp.rules

	maxCPU      = 1023             // CPU_SETSIZE − 1
	maxBindings = 16 << 20         //
	maxUMEM     = int64(1)<<32 - 1 // octets: a frame's place in the UMEM is a 32-bit number
	minMTU      = 576              // RFC 791, section 3.1: every host takes 576 octets
	maxMTU      = 3822             // fits a frame of 4096 octets
	// octets of IP payload that encapsulation adds: IPv4 header and inner Ethernet header; with form "udp" one more,
	// with form "vxlan" two, and a longer one with IPv6
	encapSize   = 34
	encapUDP    = 42
	encapVXLAN  = 50
	encapVXLAN6 = 70
	frameExtra  = 256 + 18          // octets of a frame that the MTU does not count: headroom, Ethernet header, tag
	defFrames   = 16384             //
	maxSunPath  = 107               // unix(7): sun_path without its terminating zero
	maxBodyCap  = int64(16) << 30   //
	whyMemory   = "it sizes memory" //
	whySockets  = "it changes the AF_XDP sockets"
	whyThreads  = "it changes the workers"
	whyIdentity = "addresses of the fabric follow from it"
	whyListener = "listeners are opened once"
	whyTenants  = "tenants and gateways know it"

	ms     = int(time.Millisecond)
	second = int(time.Second)
)

// Keys returns the description of every key, in the order of the documentation.
func Keys() []Key {
	onFabric, onAccess, onTrunk := []string{RoleFabric}, []string{RoleAccess}, []string{RoleTrunk}
	return []Key{
		{Path: "box.name", Kind: KindString, Note: "the host's name", Why: "it is part of every event and metric",
			Doc: "The box's name."},
		{Path: "box.state_dir", Kind: KindString, Default: "/var/lib/penstock", Why: "the store is open",
			Doc: "Directory of the table store; an absolute path."},
		{Path: "box.scheme", Kind: KindEnum, Default: "10.p.t", Allowed: []string{"10.p.t", "p.t"}, Why: whyIdentity,
			Doc: "Addressing scheme of the fabric, the same on every box: `10.p.t` holds 65,533 tenants, `p.t` " +
				"16,777,213."},

		{Path: "dataplane.workers", Kind: KindInteger, Default: 1, Min: 1, Max: maxWorkers, Why: whyThreads,
			Doc: "Threads of the packet path, one CPU each."},
		{Path: "dataplane.cpus", Kind: KindIntegers, Min: 0, Max: maxCPU, Note: "the scheduler chooses",
			Why: whyThreads,
			Doc: "The CPUs of the workers, one for each, e.g. `[2, 3]`."},
		{Path: "dataplane.poll", Kind: KindEnum, Default: PollAdaptive,
			Allowed: []string{PollBusy, PollAdaptive, PollInterrupt}, Why: whyThreads,
			Doc: "`busy` always spins, `adaptive` spins and sleeps when idle, `interrupt` sleeps whenever no frame " +
				"is waiting."},
		{Path: "dataplane.frames", Kind: KindInteger, Min: 256, Max: int(maxUMEM / 2048),
			Note: "16384, or what the rings need if that is more", Why: whyMemory,
			Doc: "Packet buffers, shared by all ports; at least 4 × `ring_size` × the queues of all ports. " +
				"`frames` × `frame_size` is less than 4 GiB."},
		{Path: "dataplane.frame_size", Kind: KindEnum, Default: 2048, Allowed: []string{"2048", "4096"}, Why: whyMemory,
			Doc: "Octets of a buffer. The packet has all but 274 of them: 2048 carries an MTU of 1774, 4096 an MTU " +
				"of 3822."},
		{Path: "dataplane.ring_size", Kind: KindInteger, Default: 2048, Min: 64, Max: 16384, Why: whySockets,
			Doc: "Entries of each ring of a queue; a power of two."},
		{Path: "dataplane.huge_pages", Kind: KindBool, Default: false, Why: whyMemory,
			Doc: "Allocate the buffers in reserved 2 MiB pages (`vm.nr_hugepages`); otherwise in transparent ones, " +
				"if the kernel has them."},
		{Path: "dataplane.handoff", Kind: KindBool, Default: false, Why: whyThreads,
			Doc: "Spread the flows that arrive on one queue over all workers."},
		{Path: "dataplane.verify", Kind: KindBool, Default: false, Why: whyMemory,
			Doc: "Track every buffer's owner, and stop at the first error. Slow; for tests and support."},
		{Path: "dataplane.bindings", Kind: KindInteger, Default: 1_000_000, Min: 1, Max: maxBindings, Why: whyMemory,
			Doc: "How many bindings may be pushed. A box that has more stored starts with all of them and takes no " +
				"more."},
		{Path: "dataplane.flood_rate", Kind: KindInteger, Default: 10_000, Min: 1, Max: 100_000_000, Live: true,
			Doc: "Limit on the copies per second of one VIF's broadcast, multicast and unknown-unicast frames: a " +
				"frame counts once for every receiver (another box, or a VIF of this box). Independent of the " +
				"number of workers."},
		{Path: "dataplane.flood_burst", Kind: KindInteger, Default: 1000, Min: 1, Max: 100_000_000, Live: true,
			Doc: "Burst of `flood_rate`, in copies."},
		{Path: "dataplane.icmp_rate", Kind: KindInteger, Default: 1000, Min: 1, Max: 100_000_000, Live: true,
			Doc: "ICMP errors per second about the packets of one VIF, or about the packets from outside and from " +
				"the fabric for one tenant. Independent of the number of workers."},
		{Path: "dataplane.icmp_burst", Kind: KindInteger, Default: 200, Min: 1, Max: 100_000_000, Live: true,
			Doc: "Burst of `icmp_rate`, in ICMP errors."},
		{Path: "dataplane.nice", Kind: KindInteger, Default: 0, Min: -20, Max: 19, Why: whyThreads,
			Doc: "Scheduling priority of the workers, −20 (first) to 19; below 0 needs CAP_SYS_NICE."},

		{Path: "port.name", Kind: KindString, Need: true, Why: "it identifies the port",
			Doc: "The port's name in the API, the command line and the metrics."},
		{Path: "port.interface", Kind: KindString, Need: true, Why: whySockets,
			Doc: "The network interface, as `ip link` shows it."},
		{Path: "port.role", Kind: KindEnum, Need: true, Allowed: []string{RoleAccess, RoleFabric, RoleUplink,
			RoleDownlink, RoleTrunk}, Why: whySockets,
			Doc: "`access`: tenants attach here. `fabric`: towards the edge switch. `uplink`: towards gateways. " +
				"`downlink`, `trunk`: the box is an edge switch, towards boxes and towards other switches."},
		{Path: "port.queues", Kind: KindInteger, Min: 1, Max: maxWorkers, Note: "`dataplane.workers`", Why: whySockets,
			Doc: "Queues of the interface to use, at most one for each worker."},
		{Path: "port.mode", Kind: KindEnum, Default: ModeAuto, Allowed: []string{ModeAuto, ModeZeroCopy, ModeCopy,
			ModeGeneric}, Why: whySockets,
			Doc: "AF_XDP mode. `auto` takes the best that the driver offers, but zero-copy of virtio-net only " +
				"where that driver is built into the kernel (as a module it may send frames that the host cannot " +
				"read). The other values force the mode."},
		{Path: "port.mtu", Kind: KindInteger, Min: minMTU, Max: maxMTU, Note: "as the interface is",
			Why: "MTU changes go with a reset of the driver's rings",
			Doc: "Set the interface's MTU, in octets. A fabric port needs 34 more than the access ports, 42 " +
				"with the form `udp`, 50 with `vxlan` over IPv4, 70 over IPv6."},
		{Path: "port.complete_checksums", Kind: KindBool, Default: false, Roles: onAccess, Live: true,
			Doc: "Complete L4 checksums that senders leave to hardware (veth and virtio without `tx off`)."},
		{Path: "port.clamp_mss", Kind: KindBool, Default: true, Roles: onAccess, Live: true,
			Doc: "Lower the MSS of TCP connections from here to what fits both this port and the fabric, uplink or " +
				"port ahead. For those from uplinks this is always done."},
		{Path: "port.encap", Kind: KindEnum, Default: EncapIP, Allowed: []string{EncapIP, EncapUDP, EncapVXLAN},
			Roles: onFabric, Why: whyIdentity,
			Doc: "Form of encapsulation, the same in all boxes that have paths to each other. `ip`: Ethernet in " +
				"IPv4, protocol 143. `udp`: in UDP, whose source port tells flows apart for switches and NICs " +
				"that spread packets by addresses and ports. `vxlan`: VXLAN (RFC 7348) to the VTEPs that are " +
				"pushed, for segments with a `vni`."},
		{Path: "port.vtep_address", Kind: KindVTEPAddress, Note: "required with `vxlan`", Roles: onFabric,
			Why: whyIdentity,
			Doc: "With the form `vxlan`: the port's address, IPv4 or IPv6, and the length of its network. VTEPs in " +
				"that network are reached directly; without the length, all are that there is no `gateway` for."},
		{Path: "port.gateway", Kind: KindAddress, Note: "none", Roles: onFabric, Why: whyIdentity,
			Doc: "With the form `vxlan`: the next hop to VTEPs in other networks."},
		{Path: "port.zero_checksum6", Kind: KindBool, Default: false, Roles: onFabric, Why: whyIdentity,
			Doc: "With the form `vxlan` over IPv6: accept packets whose UDP checksum is 0 (RFC 6936). Those that the " +
				"box sends have one."},
		{Path: "port.switch_mac", Kind: KindMAC, Note: "by LLDP", Roles: onFabric, Live: true,
			Doc: "MAC of the edge switch that the port is connected to."},
		{Path: "port.switch_port", Kind: KindInteger, Note: "fabric: by LLDP; downlink: required", Min: 1, Max: 255,
			Roles: []string{RoleFabric, RoleDownlink}, Live: true, Why: whyIdentity,
			Doc: "Fabric: number of the edge switch's port at the other end of the cable. Downlink: number of this " +
				"port. Under `p.t` not 127 and not above 223."},
		{Path: "port.vlans", Kind: KindVLANs, Need: true, Roles: onTrunk, Live: true,
			Doc: "VLAN IDs that the trunk carries: `[101, \"110-119\"]`."},

		{Path: "edge.mac", Kind: KindMAC, Need: true, Why: whyIdentity,
			Doc: "The edge switch's own MAC, which the other boxes send to. `[edge]` is required with a downlink " +
				"or trunk port, and forbidden without one."},
		{Path: "edge.control_vlan", Kind: KindInteger, Min: 1, Max: 4094, Note: "none", Why: whyIdentity,
			Doc: "The VLAN that holds every downlink of every edge switch."},

		{Path: "gateway_group.name", Kind: KindString, Need: true, Live: true,
			Doc: "The group's name. Tenants and segments refer to it."},
		{Path: "gateway_group.mac", Kind: KindMAC, Need: true, Why: whyTenants,
			Doc: "The group's virtual MAC, for tenants and gateways, independent of the active member. Choose a " +
				"MAC that begins with 02, a different one on every box."},
		{Path: "gateway_group.ip", Kind: KindIPv4, Note: "none", Why: whyTenants,
			Doc: "The group's address in the tenant network, where it is a station of a segment."},
		{Path: "gateway_group.ip6", Kind: KindIPv6, Note: "none", Why: whyTenants,
			Doc: "The same for IPv6."},
		{Path: "gateway_group.public", Kind: KindBool, Default: false, Live: true,
			Doc: "The group is the default route of the public tenant (ID 2), unless that tenant names a group " +
				"itself. At most one group of a box."},
		{Path: "gateway_group.probe_interval", Kind: KindDuration, Default: "100ms", Min: 10 * ms, Max: 10 * second,
			Live: true,
			Doc:  "Interval of the ARP probes of a member."},
		{Path: "gateway_group.misses", Kind: KindInteger, Default: 3, Min: 1, Max: 100, Live: true,
			Doc: "A member fails after this number of consecutive probes without an answer."},
		{Path: "gateway_group.answers", Kind: KindInteger, Default: 5, Min: 1, Max: 1000, Live: true,
			Doc: "A failed member is up again after this number of consecutive answers."},
		{Path: "gateway_group.data_liveness", Kind: KindBool, Default: true, Live: true,
			Doc: "A missing answer does not count if frames from the gateway arrived within the interval."},
		{Path: "gateway_group.data_max", Kind: KindInteger, Default: 0, Min: 0, Max: 1_000_000, Live: true,
			Doc: "Limit of `data_liveness`: the number of consecutive missing answers that do not count; 0 = no " +
				"limit."},
		{Path: "gateway_group.preempt", Kind: KindBool, Default: false, Live: true,
			Doc: "When a preferred member is up again, switch back to it. Otherwise it becomes a standby."},
		{Path: "gateway_group.preempt_delay", Kind: KindDuration, Default: "1m", Min: 0, Max: 86400 * second,
			Live: true,
			Doc:  "Time that the preferred member must be up before `preempt` switches to it."},
		{Path: "gateway_group.flap_count", Kind: KindInteger, Default: 3, Min: 0, Max: 16, Live: true,
			Doc: "A member that fails this many times within `flap_window` is held down for `hold_min`, then twice " +
				"as long each time, up to `hold_max`; 0 = never. The last member left is not held down."},
		{Path: "gateway_group.flap_window", Kind: KindDuration, Default: "1m", Min: second, Max: 86400 * second,
			Live: true,
			Doc:  "See `flap_count`."},
		{Path: "gateway_group.hold_min", Kind: KindDuration, Default: "10s", Min: second, Max: 86400 * second,
			Live: true,
			Doc:  "See `flap_count`."},
		{Path: "gateway_group.hold_max", Kind: KindDuration, Default: "10m", Min: second, Max: 86400 * second,
			Live: true,
			Doc:  "See `flap_count`; at least `hold_min`."},
		{Path: "gateway_group.announce_rate", Kind: KindInteger, Default: 10_000, Min: 1, Max: 64_000, Live: true,
			Doc: "Announcements (gratuitous ARP and the like) per second after a switch, and in each later round."},
		{Path: "gateway_group.announce_interval", Kind: KindDuration, Default: "1m", Min: 0, Max: 86400 * second,
			Live: true,
			Doc:  "Interval of the rounds of announcements; 0s = only after a switch."},
		{Path: "gateway_group.member.name", Kind: KindString, Need: true, Live: true,
			Doc: "The member's name. Members are preferred in their order. On the very first start, the member " +
				"that answers first becomes active, and stays active unless `preempt` is set."},
		{Path: "gateway_group.member.port", Kind: KindString, Need: true, Live: true,
			Doc: "Name of the gateway's uplink port; members may share a port."},
		{Path: "gateway_group.member.vlan", Kind: KindInteger, Default: 0, Min: 0, Max: 4094, Note: "untagged",
			Live: true,
			Doc:  "VLAN of the gateway's network on that port."},
		{Path: "gateway_group.member.ip", Kind: KindIPv4, Need: true, Live: true,
			Doc: "The gateway's address. It may be a member of several groups."},
		{Path: "gateway_group.member.address", Kind: KindAddress4, Need: true, Live: true,
			Doc: "The box's own address in the gateway's network, with the prefix length: source of the probes, " +
				"and next hop of the gateway's routes to tenants."},
		{Path: "gateway_group.member.address6", Kind: KindIPv6, Note: "none", Live: true,
			Doc: "The box's own IPv6 address in the gateway's network. IPv6 gateways have no probe of their own: " +
				"the IPv4 probe counts for both."},
		{Path: "gateway_group.member.mac", Kind: KindMAC, Note: "resolved by ARP", Live: true,
			Doc: "The gateway's MAC, if it is fixed: the ARP sender of its answers to unicast. The box then " +
				"accepts no other MAC and sends no probe by broadcast."},
		{Path: "gateway_group.member.sources", Kind: KindSources, Max: maxSources, Note: "any station", Live: true,
			Doc: "The source MACs accepted on the member's port and VLAN: `\"gateway\"` = only the gateway's own, " +
				"which its ARP answers name; a list = these as well, such as those of the routers of a VRRP pair; " +
				"frames from them count for `data_liveness` too. See below."},

		{Path: "lldp.switch_macs", Kind: KindSwitchMACs, Note: "a chassis ID that is a MAC is the switch's", Live: true,
			Doc: "MACs of edge switches whose chassis ID is another MAC or a name, by chassis ID."},
		{Path: "lldp.ports", Kind: KindPortNumbers, Min: 1, Max: 255, Note: "by `lldp.rules`", Live: true,
			Doc: "Numbers of switch ports by their port ID or port description as the switch sends it, or by " +
				"`SYSNAME/` and that: `{ \"Ethernet1/17/3\" = 67 }`."},
		{Path: "lldp.rules", Kind: KindLLDPRules, Max: maxLLDPRules, Note: "the digits at the end of the port ID or " +
			"description, where that is sure", Live: true,
			Doc: "How the number of a port follows from what the switch sends: `field` is `port_id` or " +
				"`port_description`, `match` a regular expression whose one group is the number. The first rule that " +
				"fits counts."},
		{Path: "probe.interval", Kind: KindDuration, Default: "300ms", Min: 0, Max: 60 * second, Live: true,
			Doc: "Interval of the probes of every path to an edge switch that data went to in the last minute, 50ms " +
				"or more; the paths to others are probed every 3 s. `0s`: paths are not probed. A path with a probe " +
				"interval of 300ms is found dead within 1.3 s."},
		{Path: "probe.misses", Kind: KindInteger, Default: 3, Min: 1, Max: 100, Live: true,
			Doc: "A path is down after this number of consecutive probes without an answer, if the box that was to " +
				"answer lives."},
		{Path: "probe.goods", Kind: KindInteger, Default: 5, Min: 1, Max: 1000, Live: true,
			Doc: "A path that is down is up again after this number of consecutive answers, and not before 1 s, " +
				"doubled each time that it falls again within 10 minutes, up to 60 s."},
		{Path: "fabric.udp_port", Kind: KindInteger, Default: 7472, Min: 1, Max: 65535, Why: whyIdentity,
			Doc: "UDP port of encapsulated frames on fabric ports with the form `udp`, the same in all boxes of " +
				"the fabric."},
		{Path: "fabric.control_vlan", Kind: KindInteger, Min: 1, Max: 4094, Note: "none: bindings are pushed",
			Why: "the protocol runs from the start",
			Doc: "The VLAN that holds every downlink of every edge switch: in it boxes tell each other where VIFs " +
				"are."},
		{Path: "fabric.sync_rate", Kind: KindInteger, Default: 200_000, Min: 1000, Max: 10_000_000,
			Why: "the protocol runs from the start",
			Doc: "Bindings per second that the box asks other boxes for, when it compares what it knows with them."},
		{Path: "fabric.keys", Kind: KindKeyring, Max: maxFabricKeys, Note: "none: no message is signed", Live: true,
			Doc: "Keys of the messages that boxes send each other. The first signs, all are accepted, and a message " +
				"without a valid tag is discarded. To change the key, add the new one behind the old one on all " +
				"boxes, then put it first, then remove the old one."},

		{Path: "balancer.key", Kind: KindHexKey, Default: ZeroKey, Live: true,
			Doc: "Key of the hash that chooses servers, the same on all directors. Set it: who knows the key can " +
				"direct all of his connections to one server."},
		{Path: "balancer.flows", Kind: KindInteger, Default: 1 << 20, Min: 1 << 10, Max: 64 << 20, Why: whyMemory,
			Doc: "Flows that a worker remembers, 48 octets each, 80 with IPv6. The memory is taken when the box " +
				"first directs a virtual address. When the table is full, the flow that was idle longest gives way."},
		{Path: "balancer.new_flow_rate", Kind: KindInteger, Default: 125_000, Min: 1, Max: 100_000_000, Live: true,
			Doc: "New flows per second that a worker remembers. Those above go by the hash alone, which leads to " +
				"the same server as long as the servers stay the same."},

		{Path: "control.socket", Kind: KindString, Default: "/run/penstock/control.sock", Why: whyListener,
			Doc: "Path of the control socket."},
		{Path: "control.owner", Kind: KindString, Default: "", Note: "the user that runs the box", Why: whyListener,
			Doc: "Owner of the socket, with write access: a name or a number."},
		{Path: "control.group", Kind: KindString, Default: "", Note: "the group that runs the box", Why: whyListener,
			Doc: "Group of the socket, whose members have write access: a name or a number."},
		{Path: "control.mode", Kind: KindMode, Default: "0660", Why: whyListener,
			Doc: "Permissions of the socket, octal. Never writable for others."},
		{Path: "control.readers_any", Kind: KindBool, Default: false, Why: whyListener,
			Doc: "Every local user has read access, not only the owner and the group."},
		{Path: "control.max_body", Kind: KindSize, Default: "64MiB", Min: 4 << 10, Max: int(maxBodyCap),
			Why: whyListener,
			Doc: "Largest request, in octets or with KiB, MiB, GiB."},
		{Path: "control.max_connections", Kind: KindInteger, Default: 64, Min: 1, Max: 65536, Why: whyListener,
			Doc: "Limit on simultaneous connections."},

		{Path: "metrics.listen", Kind: KindString, Default: "127.0.0.1:9469", Why: whyListener,
			Doc: "ADDRESS:PORT of the Prometheus listener; `\"\"` turns it off."},

		{Path: "alarm.spool", Kind: KindInteger, Default: 10_000, Min: 10, Max: 1_000_000, Why: "the spool is open",
			Doc: "Notices kept on disk for unreachable receivers. When the spool is full, the oldest notices are " +
				"dropped and counted, and an alarm is raised."},
		{Path: "alarm.history", Kind: KindInteger, Default: 1000, Min: 1, Max: 100_000, Why: "the spool is open",
			Doc: "Cleared alarms that are kept."},
		{Path: "alarm.webhook.name", Kind: KindString, Need: true, Live: true,
			Doc: "The receiver's name in alarms and metrics. Delivery state is kept per name: the URL may change."},
		{Path: "alarm.webhook.url", Kind: KindString, Need: true, Live: true,
			Doc: "URL that notices are POSTed to, as JSON: `https://…` or `http://…`. An answer of 2xx accepts a " +
				"notice; redirects are not followed."},
		{Path: "alarm.webhook.severity", Kind: KindEnum, Default: "warning",
			Allowed: []string{"warning", "minor", "major", "critical"}, Live: true,
			Doc: "Lowest severity sent."},
		{Path: "alarm.webhook.timeout", Kind: KindDuration, Default: "5s", Min: 100 * ms, Max: 60 * second, Live: true,
			Doc: "Longest duration of a request, from the name's resolution to the end of the answer."},
		{Path: "alarm.webhook.retry_max", Kind: KindDuration, Default: "1m", Min: second, Max: 3600 * second,
			Live: true,
			Doc:  "Longest time between two attempts; the first is half a second, each further one is double."},
		{Path: "alarm.webhook.failing_after", Kind: KindDuration, Default: "30s", Min: second, Max: 86400 * second,
			Live: true,
			Doc:  "Time without an accepted notice until the alarm `webhook_failing` is raised."},
		{Path: "alarm.webhook.token_file", Kind: KindString, Default: "", Note: "none", Live: true,
			Doc: "File with a token, sent as `Authorization: Bearer …`. Read for every request."},
		{Path: "alarm.webhook.secret_file", Kind: KindString, Default: "", Note: "none", Live: true,
			Doc: "File with a key; requests then carry `Penstock-Signature`, see below. Read for every request."},
		{Path: "alarm.webhook.ca_file", Kind: KindString, Default: "", Note: "those of the system", Live: true,
			Doc: "File with the certificates, in PEM, that an https receiver's certificate must derive from."},

		{Path: "log.level", Kind: KindEnum, Default: "info", Allowed: []string{"debug", "info", "warn", "error"},
			Live: true,
			Doc:  "Lowest level that is logged."},
		{Path: "log.format", Kind: KindEnum, Default: FormatText, Allowed: []string{FormatText, FormatJSON},
			Why: "the log is open",
			Doc: "Format of the log."},
	}
}

// want describes the values of the key.
func (k *Key) want() string {
	switch k.Kind {
	case KindInteger:
		return fmt.Sprintf("an integer from %d to %d", k.Min, k.Max)
	case KindBool:
		return "true or false, without quotes"
	case KindEnum:
		if _, ok := k.Default.(int); ok {
			return oneOf(k.Allowed, "")
		}
		return oneOf(k.Allowed, `"`)
	case KindMAC:
		return `a MAC address such as "02:00:00:00:00:01"`
	case KindSize:
		return fmt.Sprintf(`octets from %s to %s, as an integer or with a unit: "64MiB"`, sizeText(int64(k.Min)),
			sizeText(int64(k.Max)))
	case KindMode:
		return `an octal string such as "0660"`
	case KindIntegers:
		return fmt.Sprintf("an array of integers from %d to %d", k.Min, k.Max)
	case KindIPv4:
		return `an IPv4 address such as "192.0.2.1"`
	case KindIPv6:
		return `an IPv6 address such as "2001:db8::1"`
	case KindAddress:
		return `an IPv4 or IPv6 address such as "192.0.2.1"`
	case KindVTEPAddress:
		return `an IPv4 or IPv6 address with the length of its network, such as "192.0.2.1/24"`
	case KindAddress4:
		return `an IPv4 address with the length of its network, such as "192.0.2.2/29"`
	case KindSources:
		return `"gateway" or an array of MAC addresses such as ["02:00:00:00:00:91", "02:00:00:00:00:92"]`
	case KindDuration:
		return fmt.Sprintf(`a time from %s to %s, such as "%s"`, timeText(time.Duration(k.Min)),
			timeText(time.Duration(k.Max)), k.Default)
	case KindKeyring:
		return `an array of keys, "ID:HEX" or { id, key }, such as ["1:000102030405060708090a0b0c0d0e0f"]`
	case KindSwitchMACs:
		return `a table of MAC addresses by chassis ID, such as { "leaf1" = "02:00:00:00:00:0a" }`
	case KindPortNumbers:
		return fmt.Sprintf(`a table of numbers from %d to %d by port ID, such as { "Ethernet1/17/3" = 67 }`, k.Min,
			k.Max)
	case KindLLDPRules:
		return `an array of tables such as [{ field = "port_description", match = '/(\d+)$' }]`
	case KindHexKey:
		return `32 hexadecimal digits such as "000102030405060708090a0b0c0d0e0f"`
	case KindVLANs:
		return `an array of VLAN IDs from 1 to 4094 and ranges, such as [101, "110-119"]`
	default:
		return "a string"
	}
}

// oneOf lists values: a, b or c.
func oneOf(values []string, quote string) string {
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = quote + v + quote
	}
	if len(q) == 1 {
		return q[0]
	}
	return strings.Join(q[:len(q)-1], ", ") + " or " + q[len(q)-1]
}

// table returns the name of the key's table, and the key's name in the table.
func (k *Key) table() (table, name string) {
	i := strings.LastIndexByte(k.Path, '.')
	return k.Path[:i], k.Path[i+1:]
}

// arrays are the tables that may occur many times: [[port]].
var arrays = []string{"port", "gateway_group", "gateway_group.member", "alarm.webhook"}

// header returns a table's header in TOML.
func header(table string) string {
	if slices.Contains(arrays, table) {
		return "[[" + table + "]]"
	}
	return "[" + table + "]"
}
