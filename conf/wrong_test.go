package conf

import (
	"errors"
	"strings"
	"testing"
)

// gateways are an uplink port (lines 1 to 4 behind the text before) and a group of two members (5 to 17).
const gateways = `[[port]]
name = "up0"
interface = "eth3"
role = "uplink"
[[gateway_group]]
name = "out"
mac = "02:50:53:01:00:01"
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.4/29"
[[gateway_group.member]]
name = "b"
port = "up0"
ip = "192.0.2.2"
address = "192.0.2.4/29"
`

func without(text, part string) string { return strings.Replace(text, part, "", 1) }

// hooks are webhooks of one name, three lines each.
func hooks(urls ...string) (text string) {
	for _, u := range urls {
		text += "[[alarm.webhook]]\nname = \"h\"\nurl = \"" + u + "\"\n"
	}
	return text
}

// TestWrong feeds one mistake at a time. The text is minimal (ports on lines 1 to 10) or, with edge, edgeSwitch (13
// lines), changed by replace (old, new) and followed by add. There must be exactly one error, on that line and key.
func TestWrong(t *testing.T) {
	for _, tc := range []struct {
		name    string
		edge    bool
		replace [2]string
		add     string
		line    int
		key     string
		message string // fragments, separated by |
	}{
		// Unknown keys and tables.
		{name: "misspelt key", add: "[dataplane]\nworker = 2", line: 12, key: "dataplane.worker",
			message: "unknown key; did you mean workers?"},
		{name: "dash for underscore", add: "[dataplane]\nring-size = 64", line: 12, key: "dataplane.ring-size",
			message: "did you mean ring_size?"},
		{name: "capital", add: "[dataplane]\nWorkers = 2", line: 12, key: "dataplane.Workers",
			message: "did you mean workers?"},
		{name: "key of another table", add: "[box]\nworkers = 2", line: 12, key: "box.workers",
			message: "unknown key here: workers belongs in [dataplane]"},
		{name: "key outside", replace: [2]string{"[[port]]\nname = \"acc0\"", "workers = 2\n[[port]]\nname = \"acc0\""},
			line: 1, key: "workers", message: "outside of any table: workers belongs in [dataplane]"},
		{name: "port key at the end of another table", add: "[log]\nclamp_mss = true", line: 12, key: "log.clamp_mss",
			message: "belongs in [[port]]"},
		{name: "misspelt table", add: "[dataplan]\nworkers = 2", line: 11, key: "dataplan",
			message: "unknown table; did you mean dataplane?"},
		{name: "foreign table", add: "[database]\nurl = 2", line: 11, key: "database",
			message: "unknown table; the tables are box, dataplane, port"},
		{name: "ports", add: "[[ports]]\nname = \"x\"", line: 11, key: "ports",
			message: "unknown table; did you mean port?"},
		{name: "table below a table", add: "[box.inner]\nx = 2", line: 11, key: "box.inner", message: "unknown key"},
		{name: "odd key", add: "[box]\n\"a b\" = 2", line: 12, key: `box."a b"`, message: "unknown key"},

		// Wrong types.
		{name: "string for integer", add: "[dataplane]\nworkers = \"2\"", line: 12, key: "dataplane.workers",
			message: `found the string "2", want an integer from 1 to 64`},
		{name: "float for integer", add: "[dataplane]\nworkers = 2.0", line: 12, key: "dataplane.workers",
			message: "found the float 2, want an integer"},
		{name: "boolean for integer", add: "[dataplane]\nworkers = true", line: 12, key: "dataplane.workers",
			message: "found true, want an integer"},
		{name: "array for integer", add: "[dataplane]\nworkers = [1]", line: 12, key: "dataplane.workers",
			message: "found an array, want an integer"},
		{name: "table for integer", add: "[dataplane.workers]\n", line: 11, key: "dataplane.workers",
			message: "found a table, want an integer"},
		{name: "date for integer", add: "[dataplane]\nworkers = 2024-01-01", line: 12, key: "dataplane.workers",
			message: "found a date or time, want an integer"},
		{name: "string for boolean", add: "[dataplane]\nverify = \"true\"", line: 12, key: "dataplane.verify",
			message: `found the string "true", want true or false, without quotes`},
		{name: "integer for boolean", add: "[dataplane]\nverify = 1", line: 12, key: "dataplane.verify",
			message: "found 1, want true or false"},
		{name: "integer for string", replace: [2]string{`"acc0"`, `7`}, line: 2, key: "port[0].name",
			message: "found 7, want a string"},
		{name: "integer for enum", add: "[log]\nlevel = 3", line: 12, key: "log.level",
			message: `found 3, want "debug", "info", "warn" or "error"`},
		{name: "integer for MAC", replace: [2]string{`"02:00:00:00:00:0a"`, `2`}, line: 9, key: "port[1].switch_mac",
			message: "found 2, want a MAC address"},
		{name: "value for table", replace: [2]string{"[[port]]\nname = \"acc0\"", "box = 2\n[[port]]\nname = \"acc0\""},
			line: 1, key: "box", message: "found 2, want a table: write [box]"},
		{name: "array of tables for table", add: "[[box]]\nname = \"x\"", line: 11, key: "box",
			message: "found an array of tables|write [box] with single brackets"},
		{name: "array for table", replace: [2]string{"[[port]]\nname = \"acc0\"",
			"log = [1]\n[[port]]\nname = \"acc0\""}, line: 1, key: "log", message: "found an array, want a table"},
		{name: "integer for array", add: "[dataplane]\ncpus = 2", line: 12, key: "dataplane.cpus",
			message: "found 2, want an array of integers from 0 to 1023"},
		{name: "string in array", add: "[dataplane]\ncpus = [\n  \"2\"\n]", line: 13, key: "dataplane.cpus[0]",
			message: `found the string "2", want an integer`},
		{name: "table in array", add: "[dataplane]\ncpus = [{a = 2}]", line: 12, key: "dataplane.cpus[0]",
			message: "found a table, want an integer"},
		{name: "tables in array", add: "[[dataplane.cpus]]\na = 2", line: 11, key: "dataplane.cpus[0]",
			message: "found a table, want an integer"},

		// Ranges and values.
		{name: "no workers", add: "[dataplane]\nworkers = 0", line: 12, key: "dataplane.workers",
			message: "found 0, want an integer from 1 to 64"},
		{name: "many workers", add: "[dataplane]\nworkers = 65", line: 12, key: "dataplane.workers",
			message: "found 65, want an integer from 1 to 64"},
		{name: "cpus too few", add: "[dataplane]\nworkers = 2\ncpus = [1]", line: 13, key: "dataplane.cpus",
			message: "1 CPUs for 2 workers: want one for each"},
		{name: "cpus twice", add: "[dataplane]\nworkers = 2\ncpus = [1, 1]", line: 13, key: "dataplane.cpus[1]",
			message: "1 is in the list twice"},
		{name: "cpu negative", add: "[dataplane]\ncpus = [-1]", line: 12, key: "dataplane.cpus[0]",
			message: "found -1, want an integer from 0 to 1023"},
		{name: "poll", add: "[dataplane]\npoll = \"spin\"", line: 12, key: "dataplane.poll",
			message: `found the string "spin", want "busy", "adaptive" or "interrupt"`},
		{name: "poll in capitals", add: "[dataplane]\npoll = \"Busy\"", line: 12, key: "dataplane.poll",
			message: `want it in lower case: "busy"`},
		{name: "few frames", add: "[dataplane]\nframes = 8192", line: 12, key: "dataplane.frames",
			message: "found 8192, but the rings of all ports need 16384 (4 rings × ring_size 2048 × 2 queues)"},
		{name: "frames over 4 GiB", add: "[dataplane]\nframe_size = 4096\nframes = 1048576", line: 13,
			key: "dataplane.frames", message: "want less than 4 GiB, at most 1048575"},
		{name: "rings over 4 GiB", add: "[dataplane]\nworkers = 64\nring_size = 16384\nframe_size = 4096", line: 11,
			key: "dataplane.frames", message: "the rings of 128 queues need 8388608 frames"},
		{name: "frame size", add: "[dataplane]\nframe_size = 3000", line: 12, key: "dataplane.frame_size",
			message: "found 3000, want 2048 or 4096"},
		{name: "frame size as string", add: "[dataplane]\nframe_size = \"2048\"", line: 12, key: "dataplane.frame_size",
			message: `found the string "2048", want 2048 or 4096`},
		{name: "ring size small", add: "[dataplane]\nring_size = 32", line: 12, key: "dataplane.ring_size",
			message: "want an integer from 64 to 16384"},
		{name: "ring size odd", add: "[dataplane]\nring_size = 100", line: 12, key: "dataplane.ring_size",
			message: "want a power of two: 64 or 128"},
		{name: "bindings", add: "[dataplane]\nbindings = 16_777_217", line: 12, key: "dataplane.bindings",
			message: "want an integer from 1 to 16777216"},
		{name: "flood rate", add: "[dataplane]\nflood_rate = 0", line: 12, key: "dataplane.flood_rate",
			message: "want an integer from 1 to"},
		{name: "icmp burst", add: "[dataplane]\nicmp_burst = -1", line: 12, key: "dataplane.icmp_burst",
			message: "found -1, want an integer from 1 to"},
		{name: "nice", add: "[dataplane]\nnice = -21", line: 12, key: "dataplane.nice",
			message: "want an integer from -20 to 19"},
		{name: "scheme", add: "[box]\nscheme = \"p.10.t\"", line: 12, key: "box.scheme",
			message: `want "10.p.t" or "p.t"`},
		{name: "state dir", add: "[box]\nstate_dir = \"state\"", line: 12, key: "box.state_dir",
			message: `found the string "state", want an absolute path`},
		{name: "empty box name", add: "[box]\nname = \"\"", line: 12, key: "box.name", message: "want 1 to 63 letters"},

		// Ports.
		{name: "no name", replace: [2]string{"name = \"acc0\"\n", ""}, line: 1, key: "port[0].name",
			message: "missing, and required here: want a string"},
		{name: "no interface", replace: [2]string{"interface = \"eth2\"\n", ""}, line: 5, key: "port[1].interface",
			message: "missing, and required here"},
		{name: "no role", replace: [2]string{"role = \"access\"\n", ""}, line: 1, key: "port[0].role",
			message: `missing, and required here: want "access", "fabric"`},
		{name: "port name", replace: [2]string{`"acc0"`, `"acc/0"`}, line: 2, key: "port[0].name",
			message: "want 1 to 63 letters, digits"},
		{name: "interface too long", replace: [2]string{`"eth1"`, `"averylonginterface"`}, line: 3,
			key: "port[0].interface", message: "1 to 15 characters"},
		{name: "interface with slash", replace: [2]string{`"eth1"`, `"eth/1"`}, line: 3, key: "port[0].interface",
			message: "want the name of a network interface"},
		{name: "loopback", replace: [2]string{`"eth1"`, `"lo"`}, line: 3, key: "port[0].interface",
			message: "the loopback interface cannot be a port"},
		{name: "interface twice", replace: [2]string{`"eth2"`, `"eth1"`}, line: 7, key: "port[1].interface",
			message: `"eth1" is used by the port on line 3 already`},
		{name: "name twice", replace: [2]string{`"fab0"`, `"acc0"`}, line: 6, key: "port[1].name",
			message: `"acc0" is the name of the port on line 2 already`},
		{name: "role", replace: [2]string{`"access"`, `"acess"`}, line: 4, key: "port[0].role",
			message: `found the string "acess", want "access", "fabric", "uplink", "downlink" or "trunk"`},
		{name: "too many queues", add: "queues = 2", line: 11, key: "port[1].queues",
			message: "found 2, want at most 1, one for each worker (dataplane.workers)"},
		{name: "no queues", add: "queues = 0", line: 11, key: "port[1].queues",
			message: "found 0, want an integer from 1 to 64"},
		{name: "mode", add: "mode = \"native\"", line: 11, key: "port[1].mode",
			message: `want "auto", "zero-copy", "copy" or "generic"`},
		{name: "UDP port", add: "[fabric]\nudp_port = 65536", line: 12, key: "fabric.udp_port",
			message: "found 65536, want an integer from 1 to 65535"},
		{name: "encap gre", add: "encap = \"gre\"", line: 11, key: "port[1].encap",
			message: `found the string "gre", want "ip", "udp" or "vxlan"`},
		{name: "small mtu", add: "mtu = 500", line: 11, key: "port[1].mtu",
			message: "found 500, want an integer from 576 to 3822"},
		{name: "mtu and frame", add: "mtu = 1775", line: 11, key: "port[1].mtu",
			message: "a frame of 2048 octets carries at most 1774|frame_size = 4096"},
		{name: "fabric key on access",
			replace: [2]string{"role = \"access\"\n", "role = \"access\"\nswitch_mac = \"02:00:00:00:00:0b\"\n"},
			line:    5, key: "port[0].switch_mac",
			message: "only a port with role fabric has this key; this one is access: remove it"},
		{name: "access key on fabric", add: "complete_checksums = true", line: 11, key: "port[1].complete_checksums",
			message: "only a port with role access"},
		{name: "vlans on fabric", add: "vlans = [1]", line: 11, key: "port[1].vlans",
			message: "only a port with role trunk"},
		{name: "paths probed too often", add: "[probe]\ninterval = \"10ms\"", line: 12, key: "probe.interval",
			message: "found 10ms: want 50ms to 60s, or 0s for no probes"},
		{name: "chassis without a MAC", add: "[lldp]\nswitch_macs = { leaf1 = \"here\" }", line: 12,
			key: "lldp.switch_macs.leaf1", message: `found the string "here", want the MAC of an edge switch`},
		{name: "chassis with a group MAC", add: "[lldp]\nswitch_macs = { leaf1 = \"03:00:00:00:00:0a\" }", line: 12,
			key: "lldp.switch_macs.leaf1", message: "want the MAC of an edge switch"},
		{name: "port number range", add: "[lldp.ports]\n\"Ethernet1/17/3\" = 256", line: 12,
			key: `lldp.ports."Ethernet1/17/3"`, message: "found 256, want an integer from 1 to 255"},
		{name: "ports as a list", add: "[lldp]\nports = [17]", line: 12, key: "lldp.ports",
			message: "want a table of numbers from 1 to 255 by port ID"},
		{name: "rule without a group", add: "[lldp]\nrules = [{ field = \"port_id\", match = \"swp\" }]", line: 12,
			key: "lldp.rules[0]", message: "has 0 groups, want one, around the number"},
		{name: "rule that is no expression", add: "[[lldp.rules]]\nfield = \"port_id\"\nmatch = \"(\"", line: 11,
			key: "lldp.rules[0]", message: "want a regular expression"},
		{name: "rule about another field", add: "[[lldp.rules]]\nfield = \"alias\"\nmatch = \"(1)\"", line: 11,
			key: "lldp.rules[0]", message: `field: found the string "alias", want "port_id" or "port_description"`},
		{name: "rule with another key", add: "[lldp]\nrules = [{ fields = \"port_id\", match = \"(1)\" }]", line: 12,
			key: "lldp.rules[0]", message: "unknown key fields; did you mean field?"},
		{name: "rule that is a string", add: "[lldp]\nrules = [\"(1)\"]", line: 12, key: "lldp.rules[0]",
			message: "want a table with field and match"},
		{name: "key that is a table without a key", add: "[fabric]\nkeys = [{ id = 9 }]", line: 12,
			key: "fabric.keys[0]", message: "want an ID from 1 to 255"},
		{name: "switch port range", replace: [2]string{"switch_port = 7", "switch_port = 256"}, line: 10,
			key: "port[1].switch_port", message: "found 256, want an integer from 1 to 255"},
		{name: "short MAC", replace: [2]string{"02:00:00:00:00:0a", "02:00:00:00:0a"}, line: 9,
			key:     "port[1].switch_mac",
			message: `found the string "02:00:00:00:0a", want a MAC address such as "02:00:00:00:00:01"`},
		{name: "group MAC", replace: [2]string{"02:00:00:00:00:0a", "03:00:00:00:00:0a"}, line: 9,
			key: "port[1].switch_mac", message: "found 03:00:00:00:00:0a, a group address"},
		{name: "zero MAC", replace: [2]string{"02:00:00:00:00:0a", "00:00:00:00:00:00"}, line: 9,
			key: "port[1].switch_mac", message: "found the zero address"},
		{name: "place twice", add: `[[port]]
name="f2"
interface="eth3"
role="fabric"
switch_mac="02:00:00:00:00:0A"
switch_port=7`, line: 16, key: "port[2].switch_port",
			message: "port 7 of switch 02:00:00:00:00:0a is connected to the port on line 10 already"},
		{name: "loopback prefix", replace: [2]string{"switch_port = 7", "switch_port = 127"},
			add: "[box]\nscheme = \"p.t\"", line: 10, key: "port[1].switch_port",
			message: "under scheme p.t its addresses are 127.0.0.0/8"},
		{name: "multicast prefix", replace: [2]string{"switch_port = 7", "switch_port = 224"},
			add: "[box]\nscheme = \"p.t\"", line: 10, key: "port[1].switch_port",
			message: "224.0.0.0/8, which are not unicast"},
		{name: "single brackets", replace: [2]string{minimal, "[port]\nname = \"acc0\""}, line: 1, key: "port",
			message: "write [[port]] with double brackets"},
		{name: "port is a value", replace: [2]string{minimal, "port = \"eth1\""}, line: 1, key: "port",
			message: `found the string "eth1", want an array of tables`},
		{name: "port is an empty list", replace: [2]string{minimal, "port = []"}, line: 0,
			message: "no [[port]]: a box has at least one, with name, interface and role"},
		{name: "port is a list of names", replace: [2]string{minimal, "port = [\"eth1\"]"}, line: 1, key: "port[0]",
			message: "want a table: write [[port]]"},
		{name: "empty", replace: [2]string{minimal, ""}, line: 0,
			message: "no [[port]]: a box has at least one, with name, interface and role"},

		// The edge switch.
		{name: "edge without ports", add: "[edge]\nmac = \"02:00:00:00:00:0b\"", line: 11, key: "edge",
			message: "no port is a downlink or trunk: remove [edge]"},
		{name: "ports without edge", edge: true,
			replace: [2]string{"[edge]\nmac = \"02:00:00:00:00:0a\"\ncontrol_vlan = 100\n", ""}, line: 4,
			key: "port[0].role", message: "a downlink port makes the box an edge switch, but there is no [edge]"},
		{name: "edge without MAC", edge: true, replace: [2]string{"mac = \"02:00:00:00:00:0a\"\n", ""}, line: 1,
			key: "edge.mac", message: "missing, and required here: want a MAC"},
		{name: "control VLAN", edge: true, replace: [2]string{"control_vlan = 100", "control_vlan = 4095"}, line: 3,
			key: "edge.control_vlan", message: "found 4095, want an integer from 1 to 4094"},
		{name: "downlink twice", edge: true, add: `[[port]]
name="d2"
interface="eth3"
role="downlink"
switch_port=1`, line: 18, key: "port[2].switch_port", message: "1 is the number of the downlink on line 8 already"},
		{name: "downlink without number", edge: true, replace: [2]string{"switch_port = 1\n", ""}, line: 4,
			key: "port[0].switch_port", message: "missing, and required here"},
		{name: "downlink with MAC", edge: true,
			replace: [2]string{"switch_port = 1\n", "switch_port = 1\nswitch_mac = \"02:00:00:00:00:0a\"\n"}, line: 9,
			key: "port[0].switch_mac", message: "only a port with role fabric"},
		{name: "trunk without VLANs", edge: true, replace: [2]string{"vlans = [100, \"101-104\"]", ""}, line: 9,
			key: "port[1].vlans", message: "missing, and required here: want an array of VLAN IDs"},
		{name: "no VLANs", edge: true, replace: [2]string{"[100, \"101-104\"]", "[]"}, line: 13, key: "port[1].vlans",
			message: "an empty list: a trunk carries at least one VLAN"},
		{name: "VLAN 0", edge: true, replace: [2]string{"100, \"101", "0, \"101"}, line: 13, key: "port[1].vlans[0]",
			message: "found 0, want a VLAN ID from 1 to 4094, or a range"},
		{name: "VLAN 4095", edge: true, replace: [2]string{"104", "4095"}, line: 13, key: "port[1].vlans[1]",
			message: `found the string "101-4095", want a VLAN ID`},
		{name: "VLAN range backwards", edge: true, replace: [2]string{"101-104", "104-101"}, line: 13,
			key: "port[1].vlans[1]", message: `a range that runs backwards: write "101-104"`},
		{name: "VLAN range open", edge: true, replace: [2]string{"101-104", "101-"}, line: 13, key: "port[1].vlans[1]",
			message: `found the string "101-", want a VLAN ID`},
		{name: "VLAN words", edge: true, replace: [2]string{"101-104", "all"}, line: 13, key: "port[1].vlans[1]",
			message: `found the string "all", want a VLAN ID`},
		{name: "VLAN float", edge: true, replace: [2]string{`"101-104"`, "101.5"}, line: 13, key: "port[1].vlans[1]",
			message: "found the float 101.5, want a VLAN ID"},
		{name: "VLAN twice", edge: true, replace: [2]string{"100, ", "103,\n"}, line: 14, key: "port[1].vlans[1]",
			message: "VLAN 103 is in the list twice"},
		{name: "VLANs as string", edge: true, replace: [2]string{`[100, "101-104"]`, `"101-104"`}, line: 13,
			key: "port[1].vlans", message: `found the string "101-104", want an array of VLAN IDs`},

		// Control, metrics, log.
		{name: "relative socket", add: "[control]\nsocket = \"control.sock\"", line: 12, key: "control.socket",
			message: "want an absolute path"},
		{name: "socket is a directory", add: "[control]\nsocket = \"/run/\"", line: 12, key: "control.socket",
			message: "not of a directory"},
		{name: "long socket", add: "[control]\nsocket = \"/" + strings.Repeat("x", 107) + "\"", line: 12,
			key: "control.socket", message: "108 octets long: the path of a Unix socket has at most 107"},
		{name: "mode as integer", add: "[control]\nmode = 660", line: 12, key: "control.mode",
			message: `found 660, want an octal string such as "0660"`},
		{name: "mode not octal", add: "[control]\nmode = \"0680\"", line: 12, key: "control.mode",
			message: "want an octal string"},
		{name: "mode for the world", add: "[control]\nmode = \"0662\"", line: 12, key: "control.mode",
			message: `writable for everybody, which the control socket must not be; want "0660", ` +
				`and readers_any = true`},
		{name: "mode without owner", add: "[control]\nmode = \"0060\"", line: 12, key: "control.mode",
			message: `the owner could not use the socket: want "0660"`},
		{name: "mode with setuid", add: "[control]\nmode = \"4660\"", line: 12, key: "control.mode",
			message: "want an octal string"},
		{name: "owner", add: "[control]\nowner = \"a:b\"", line: 12, key: "control.owner",
			message: "want the name or number of an account"},
		{name: "body unit", add: "[control]\nmax_body = \"64MB\"", line: 12, key: "control.max_body",
			message: `found the string "64MB", want octets from 4KiB to 16GiB, as an integer or with a unit: "64MiB"`},
		{name: "body small", add: "[control]\nmax_body = 100", line: 12, key: "control.max_body",
			message: "found 100, want octets from 4KiB"},
		{name: "body huge", add: "[control]\nmax_body = \"99999999999GiB\"", line: 12, key: "control.max_body",
			message: "want octets from 4KiB"},
		{name: "body negative", add: "[control]\nmax_body = \"-1MiB\"", line: 12, key: "control.max_body",
			message: "want octets from 4KiB"},
		{name: "connections", add: "[control]\nmax_connections = 0", line: 12, key: "control.max_connections",
			message: "want an integer from 1 to 65536"},
		{name: "fabric key without ID", add: "[fabric]\nkeys = [\"00010203040506070809101112131415\"]", line: 12,
			key: "fabric.keys[0]", message: "want an ID from 1 to 255"},
		{name: "fabric key with ID 0", add: "[fabric]\nkeys = [\"0:00010203040506070809101112131415\"]", line: 12,
			key: "fabric.keys[0]", message: "want an ID from 1 to 255"},
		{name: "short fabric key", add: "[fabric]\nkeys = [\"1:00010203\"]", line: 12,
			key: "fabric.keys[0]", message: "32 to 128 hexadecimal digits"},
		{name: "fabric keys with one ID", add: "[fabric]\nkeys = [\"7:00010203040506070809101112131415\", " +
			"\"7:10010203040506070809101112131415\"]", line: 12,
			key: "fabric.keys[1]", message: "the ID 7 is in the list twice"},
		{name: "key too short", add: "[balancer]\nkey = \"00010203\"", line: 12, key: "balancer.key",
			message: "want 32 hexadecimal digits"},
		{name: "key of other letters", add: "[balancer]\nkey = \"" + strings.Repeat("x", 32) + "\"", line: 12,
			key: "balancer.key", message: "want 32 hexadecimal digits"},
		{name: "few flows", add: "[balancer]\nflows = 1023", line: 12, key: "balancer.flows",
			message: "found 1023, want an integer from 1024 to 67108864"},
		{name: "listen without port", add: "[metrics]\nlisten = \"127.0.0.1\"", line: 12, key: "metrics.listen",
			message: `want ADDRESS:PORT such as "127.0.0.1:9469"`},
		{name: "listen with a name", add: "[metrics]\nlisten = \"box.example:9469\"", line: 12, key: "metrics.listen",
			message: "want ADDRESS:PORT"},
		{name: "listen port range", add: "[metrics]\nlisten = \":65536\"", line: 12, key: "metrics.listen",
			message: "want ADDRESS:PORT"},
		{name: "bare IPv6", add: "[metrics]\nlisten = \"::1:9469\"", line: 12, key: "metrics.listen",
			message: "want ADDRESS:PORT"},
		{name: "level", add: "[log]\nlevel = \"trace\"", line: 12, key: "log.level",
			message: `want "debug", "info", "warn" or "error"`},
		{name: "format", add: "[log]\nformat = \"xml\"", line: 12, key: "log.format", message: `want "text" or "json"`},

		// Gateway groups.
		{name: "group without member", add: "[[gateway_group]]\nname = \"g\"\nmac = \"02:00:00:00:01:01\"", line: 11,
			key: "gateway_group[0]", message: "the group has no member: write [[gateway_group.member]]"},
		{name: "group without MAC", add: without(gateways, "mac = \"02:50:53:01:00:01\"\n"), line: 15,
			key: "gateway_group[0].mac", message: "missing, and required here: want a MAC"},
		{name: "one group table", add: strings.Replace(gateways[:strings.Index(gateways, "[[gateway_group.")],
			"[[gateway_group]]", "[gateway_group]", 1), line: 15, key: "gateway_group",
			message: "write [[gateway_group]] with double brackets for every gateway_group"},
		{name: "group twice", add: gateways + `[[gateway_group]]
name = "out"
mac = "02:00:00:00:01:01"
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.2/29"
vlan = 9`,
			line: 29, key: "gateway_group[1].name", message: `"out" is the name of the group on line 16 already`},
		{name: "virtual MAC twice", add: gateways + `[[gateway_group]]
name = "g"
mac = "02:50:53:01:00:01"
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.2/29"
vlan = 9`,
			line: 30, key: "gateway_group[1].mac",
			message: "02:50:53:01:00:01 is the virtual MAC of the group on line 17 already"},
		{name: "virtual group MAC", add: strings.Replace(gateways, "02:50", "03:50", 1), line: 17,
			key: "gateway_group[0].mac", message: "a group address"},
		{name: "group IP", add: strings.Replace(gateways, "mac =", "ip = \"10.0.0.0/24\"\nmac =", 1), line: 17,
			key:     "gateway_group[0].ip",
			message: `found the string "10.0.0.0/24", want an IPv4 address such as "192.0.2.1"`},
		{name: "group IPv6 as ip", add: strings.Replace(gateways, "mac =", "ip = \"fd00::1\"\nmac =", 1), line: 17,
			key: "gateway_group[0].ip", message: "want an IPv4 address"},
		{name: "group IPv4 as ip6", add: strings.Replace(gateways, "mac =", "ip6 = \"10.0.0.1\"\nmac =", 1), line: 17,
			key: "gateway_group[0].ip6", message: `want an IPv6 address such as "2001:db8::1"`},
		{name: "group IP as integer", add: strings.Replace(gateways, "mac =", "ip = 10\nmac =", 1), line: 17,
			key: "gateway_group[0].ip", message: "found 10, want an IPv4 address"},
		{name: "interval short", add: strings.Replace(gateways, "mac =", "probe_interval = \"9ms\"\nmac =", 1),
			line: 17, key: "gateway_group[0].probe_interval",
			message: `found the string "9ms", want a time from 10ms to 10s`},
		{name: "interval long", add: strings.Replace(gateways, "mac =", "probe_interval = \"11s\"\nmac =", 1), line: 17,
			key: "gateway_group[0].probe_interval", message: "want a time from 10ms to 10s"},
		{name: "no misses", add: strings.Replace(gateways, "mac =", "misses = 0\nmac =", 1), line: 17,
			key: "gateway_group[0].misses", message: "want an integer from 1 to 100"},
		{name: "two public groups", add: strings.Replace(gateways, "mac =", "public = true\nmac =", 1) +
			`[[gateway_group]]
name = "g"
mac = "02:50:53:01:00:02"
public = true
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.2/29"
vlan = 9`,
			line: 32, key: "gateway_group[1].public", message: "the group on line 15 is public already"},
		{name: "hold times", add: strings.Replace(gateways, "mac =", "hold_min = \"1h\"\nmac =", 1), line: 15,
			key: "gateway_group[0].hold_max", message: "found 10m, less than hold_min (1h): want at least that"},
		{name: "member key in the group", add: strings.Replace(gateways, "mac =", "vlan = 5\nmac =", 1), line: 17,
			key: "gateway_group[0].vlan", message: "vlan belongs in [[gateway_group.member]]"},
		{name: "member twice", add: strings.Replace(gateways, "\"b\"", "\"a\"", 1), line: 24,
			key: "gateway_group[0].member[1].name", message: `"a" is the name of the member on line 19 already`},
		{name: "member's port unknown", add: strings.Replace(gateways, "port = \"up0\"", "port = \"up7\"", 1), line: 20,
			key: "gateway_group[0].member[0].port", message: "there is no port up7: want up0"},
		{name: "member's port no uplink", add: strings.Replace(gateways, "port = \"up0\"", "port = \"acc0\"", 1),
			line: 20, key: "gateway_group[0].member[0].port",
			message: "port acc0 has the role access: want a port with role uplink"},
		{name: "sources: another word", add: strings.Replace(gateways, "port = \"up0\"",
			"port = \"up0\"\nsources = \"any\"", 1), line: 21, key: "gateway_group[0].member[0].sources",
			message: `found the string "any", want "gateway" or an array of MAC addresses`},
		{name: "sources: a number", add: strings.Replace(gateways, "port = \"up0\"", "port = \"up0\"\nsources = 7", 1),
			line: 21, key: "gateway_group[0].member[0].sources", message: `found 7, want "gateway" or an array`},
		{name: "sources: none", add: strings.Replace(gateways, "port = \"up0\"", "port = \"up0\"\nsources = []", 1),
			line: 21, key: "gateway_group[0].member[0].sources", message: `found an empty list: write "gateway"`},
		{name: "sources: no MAC", add: strings.Replace(gateways, "port = \"up0\"",
			"port = \"up0\"\nsources = [\"02:00:00:00:00:91\", \"router\"]", 1), line: 21,
			key: "gateway_group[0].member[0].sources[1]", message: `found the string "router", want a MAC address`},
		{name: "sources: a group address", add: strings.Replace(gateways, "port = \"up0\"",
			"port = \"up0\"\nsources = [\"01:00:5e:00:00:12\"]", 1), line: 21,
			key: "gateway_group[0].member[0].sources[0]", message: `want the MAC address of one device`},
		{name: "sources: twice", add: strings.Replace(gateways, "port = \"up0\"",
			"port = \"up0\"\nsources = [\"02:00:00:00:00:91\", \"02:00:00:00:00:91\"]", 1), line: 21,
			key: "gateway_group[0].member[0].sources[1]", message: `is in the list twice`},
		{name: "sources: the virtual MAC", add: strings.Replace(gateways, "port = \"up0\"",
			"port = \"up0\"\nsources = [\"02:50:53:01:00:01\"]", 1), line: 21,
			key: "gateway_group[0].member[0].sources[0]", message: `is the group's virtual MAC`},
		{name: "no uplink at all",
			add: strings.Replace(without(without(gateways,
				gateways[strings.LastIndex(gateways, "[[gateway_group.member]]"):]), `[[port]]
name = "up0"
interface = "eth3"
role = "uplink"
`), "x", "x", 1), line: 16,
			key:     "gateway_group[0].member[0].port",
			message: "there is no port up0: add a [[port]] of that name with role uplink"},
		{name: "gateway is the box", add: strings.Replace(gateways, "ip = \"192.0.2.1\"", "ip = \"192.0.2.4\"", 1),
			line: 21, key: "gateway_group[0].member[0].ip", message: "192.0.2.4 is the box's own address here"},
		{name: "gateway off-subnet", add: strings.Replace(gateways, "ip = \"192.0.2.1\"", "ip = \"192.0.2.9\"", 1),
			line: 21, key: "gateway_group[0].member[0].ip", message: "192.0.2.9 is not in the network of the box's " +
				"address, 192.0.2.4/29: probes would not reach it; want a gateway in 192.0.2.0/29"},
		{name: "gateway is a broadcast address", add: strings.Replace(gateways, "ip = \"192.0.2.1\"",
			"ip = \"192.0.2.7\"", 1), line: 21, key: "gateway_group[0].member[0].ip",
			message: "the network's own or broadcast address in 192.0.2.0/29"},
		{name: "gateway multicast", add: strings.Replace(gateways, "ip = \"192.0.2.1\"", "ip = \"224.0.0.1\"", 1),
			line: 21, key: "gateway_group[0].member[0].ip", message: "want the address of one station"},
		{name: "gateway twice", add: strings.Replace(gateways, "192.0.2.2\"", "192.0.2.1\"", 1), line: 26,
			key: "gateway_group[0].member[1].ip", message: "192.0.2.1 on port up0 is the member on line 21 already"},
		{name: "gateway is the group", add: strings.Replace(gateways, "mac =", "ip = \"192.0.2.1\"\nmac =", 1),
			line: 22, key: "gateway_group[0].member[0].ip",
			message: "192.0.2.1 is the box's own address on port up0, by line 17: want that of the gateway"},
		{name: "gateway is the box by another member",
			add: strings.Replace(gateways, "ip = \"192.0.2.2\"\naddress = \"192.0.2.4/29\"",
				"ip = \"192.0.2.2\"\naddress = \"192.0.2.1/29\"", 1),
			line: 21, key: "gateway_group[0].member[0].ip",
			message: "192.0.2.1 is the box's own address on port up0, by line 27"},
		{name: "gateway is the box by another group", add: gateways + `[[gateway_group]]
name = "g"
mac = "02:50:53:01:00:02"
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.4"
address = "192.0.2.3/29"`,
			line: 34, key: "gateway_group[1].member[0].ip",
			message: "192.0.2.4 is the box's own address on port up0, by line 22"},
		{name: "gateway is another group", add: gateways + `[[gateway_group]]
name = "g"
mac = "02:50:53:01:00:02"
ip = "192.0.2.2"
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.4/29"`,
			line: 26, key: "gateway_group[0].member[1].ip",
			message: "192.0.2.2 is the box's own address on port up0, by line 31"},
		{name: "address without length", add: strings.Replace(gateways, "/29", "", 1), line: 22,
			key: "gateway_group[0].member[0].address",
			message: `found the string "192.0.2.4", want an IPv4 address with the length of its network, ` +
				`such as "192.0.2.2/29"`},
		{name: "address of the network", add: strings.Replace(gateways, "192.0.2.4/29", "192.0.2.0/29", 1), line: 22,
			key: "gateway_group[0].member[0].address", message: "neither the network's own nor its broadcast address"},
		{name: "address alone", add: strings.Replace(gateways, "192.0.2.4/29", "192.0.2.4/32", 1), line: 22,
			key: "gateway_group[0].member[0].address", message: "found the length 32, want 8 to 31"},
		{name: "member VLAN", add: strings.Replace(gateways, "ip =", "vlan = 4095\nip =", 1), line: 21,
			key: "gateway_group[0].member[0].vlan", message: "want an integer from 0 to 4094"},
		{name: "member MAC is the virtual one",
			add: strings.Replace(gateways, "ip =", "mac = \"02:50:53:01:00:01\"\nip =", 1), line: 21,
			key: "gateway_group[0].member[0].mac", message: "is the group's virtual MAC: want the gateway's"},
		{name: "member MAC twice", add: strings.ReplaceAll(gateways, "ip =", "mac = \"02:50:53:01:00:09\"\nip ="),
			line: 27, key: "gateway_group[0].member[1].mac",
			message: "02:50:53:01:00:09 on port up0 is the MAC of the member on line 21 already: they are one gateway"},

		// Alarms.
		{name: "webhook without URL", add: "[[alarm.webhook]]\nname = \"a\"", line: 11, key: "alarm.webhook[0].url",
			message: "missing, and required here"},
		{name: "webhook without name", add: "[[alarm.webhook]]\nurl = \"http://a\"", line: 11,
			key: "alarm.webhook[0].name", message: "missing, and required here"},
		{name: "webhook twice", add: hooks("http://a", "http://b"), line: 15, key: "alarm.webhook[1].name",
			message: `"h" is the name of the webhook on line 12 already`},
		{name: "one webhook table", add: "[alarm.webhook]\nname = \"a\"", line: 11, key: "alarm.webhook",
			message: "found one table, want an array of tables: write [[alarm.webhook]] with double brackets for " +
				"every webhook"},
		{name: "webhooks as strings", add: "[alarm]\nwebhook = [\"http://a\"]", line: 12, key: "alarm.webhook[0]",
			message: `found the string "http://a", want a table: write [[alarm.webhook]]`},
		{name: "webhook as string", add: "[alarm]\nwebhook = \"http://a\"", line: 12, key: "alarm.webhook",
			message: `write [[alarm.webhook]] and its keys below, for every webhook`},
		{name: "webhook in the wrong place", add: "[[webhook]]\nname = \"a\"", line: 11, key: "webhook",
			message: "unknown table"},
		{name: "webhook key in alarm", add: "[alarm]\ntimeout = \"5s\"", line: 12, key: "alarm.timeout",
			message: "timeout belongs in [[alarm.webhook]]"},
		{name: "webhook key unknown", add: hooks("http://a") + "urls = 1", line: 14, key: "alarm.webhook[0].urls",
			message: "unknown key; did you mean url?"},
		{name: "FTP", add: hooks("ftp://a/b"), line: 13, key: "alarm.webhook[0].url",
			message: `found the string "ftp://a/b", want http:// or https://`},
		{name: "URL without scheme", add: hooks("alarms.example:8080"), line: 13, key: "alarm.webhook[0].url",
			message: "want http:// or https://"},
		{name: "URL without host", add: hooks("https:///x"), line: 13, key: "alarm.webhook[0].url",
			message: `want a URL such as "https://alarms.example/penstock"`},
		{name: "URL with space", add: hooks("https://a/ b"), line: 13, key: "alarm.webhook[0].url",
			message: "want a URL such as"},
		{name: "URL with password", add: hooks("https://me:secret@a/"), line: 13, key: "alarm.webhook[0].url",
			message: "credentials do not belong in a URL: want token_file"},
		{name: "URL with fragment", add: hooks("https://a/#x"), line: 13, key: "alarm.webhook[0].url",
			message: "a fragment (#…) is never sent"},
		{name: "CA for http", add: hooks("http://a/") + "ca_file = \"/x\"", line: 14, key: "alarm.webhook[0].ca_file",
			message: "want https, or no ca_file"},
		{name: "relative file", add: hooks("https://a/") + "token_file = \"token\"", line: 14,
			key: "alarm.webhook[0].token_file", message: "want an absolute path"},
		{name: "file is a directory", add: hooks("https://a/") + "secret_file = \"/etc/\"", line: 14,
			key: "alarm.webhook[0].secret_file", message: "not of a directory"},
		{name: "timeout as integer", add: hooks("https://a/") + "timeout = 5", line: 14,
			key: "alarm.webhook[0].timeout", message: `found 5, want a time from 100ms to 1m, such as "5s"`},
		{name: "timeout without unit", add: hooks("https://a/") + "timeout = \"5\"", line: 14,
			key: "alarm.webhook[0].timeout", message: `found the string "5", want a time`},
		{name: "timeout short", add: hooks("https://a/") + "timeout = \"1ms\"", line: 14,
			key: "alarm.webhook[0].timeout", message: `found the string "1ms", want a time from 100ms`},
		{name: "retry long", add: hooks("https://a/") + "retry_max = \"61m\"", line: 14,
			key: "alarm.webhook[0].retry_max", message: "want a time from 1s to 1h"},
		{name: "failing negative", add: hooks("https://a/") + "failing_after = \"-1s\"", line: 14,
			key: "alarm.webhook[0].failing_after", message: "want a time from 1s to 24h"},
		{name: "severity", add: hooks("https://a/") + "severity = \"fatal\"", line: 14,
			key: "alarm.webhook[0].severity", message: `want "warning", "minor", "major" or "critical"`},
		{name: "spool small", add: "[alarm]\nspool = 1", line: 12, key: "alarm.spool",
			message: "found 1, want an integer from 10 to 1000000"},

		// Duplicates and syntax.
		{name: "key twice", add: "switch_port = 8", line: 11, key: "port[1].switch_port",
			message: "already set on line 10: remove one of the two"},
		{name: "table twice", add: `[log]
level = "info"
[box]
[log]
format = "xml"`, line: 14, key: "log", message: "already set on line 11: remove one of the two"},
		{name: "dotted and table", add: "[box]\nname = \"x\"\n[box.name]\n", line: 13, key: "box.name",
			message: "already"},
		{name: "single and double brackets", add: "[box]\n[[box]]\n", line: 12, key: "box", message: "already"},
		{name: "no quotes", add: "[log]\nlevel = info", line: 12, key: "log.level",
			message: "put text in double quotes"},
		{name: "no value", add: "[log]\nlevel =", line: 12, key: "log.level", message: "no value: write KEY = VALUE"},
		{name: "no equals sign", add: "[log]\nlevel \"info\"", line: 12, key: "log.level",
			message: "write KEY = VALUE"},
		{name: "open string", add: "[log]\nlevel = \"info\nformat = \"text\"", line: 12, key: "log.level",
			message: "close it with"},
		{name: "open header", add: "[log\nlevel = \"info\"", line: 11, key: "log",
			message: "not valid TOML: write [NAME]"},
		{name: "open array", add: "[dataplane]\ncpus = [1, 2\nnice = 3", line: 12, key: "dataplane.cpus",
			message: "not valid TOML: an array ends with ]"},
		{name: "leading zero", add: "[dataplane]\nnice = 03", line: 12, key: "dataplane.nice",
			message: "leading zeroes"},
		{name: "yes", add: "[dataplane]\nverify = yes", line: 12, key: "dataplane.verify",
			message: "not a TOML value"},
		{name: "integer beyond 64 bits", add: "[dataplane]\nnice = 99999999999999999999", line: 12,
			key: "dataplane.nice", message: "out of range for int64"},
		{name: "colon", add: "[log]\nlevel: \"info\"", line: 12, key: "log.level", message: "write KEY = VALUE"},
		{name: "garbage", add: "\x01\x02", line: 11, key: "port[1]", message: "no value"},
		{name: "Latin-1", add: "[box]\n# caf\xe9", line: 12, message: "not text in UTF-8"},
		{name: "UTF-16", replace: [2]string{minimal, "\xff\xfe[\x00b\x00"}, line: 0, message: "save it as UTF-8"},
		{name: "too large", add: "#" + strings.Repeat("x", maxFileSize), line: 0, message: "larger than 1 MiB"},
		{name: "deep", add: "[box]\nname = " + strings.Repeat("[", 100), line: 12, key: "box.name",
			message: "nested more than 16 deep"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := minimal
			if tc.edge {
				text = edgeSwitch
			}
			if tc.replace[0] != "" {
				if !strings.Contains(text, tc.replace[0]) {
					t.Fatalf("%q is not in the text", tc.replace[0])
				}
				text = strings.Replace(text, tc.replace[0], tc.replace[1], 1)
			}
			text += tc.add
			c, err := Parse("p.toml", []byte(text))
			if err == nil {
				t.Fatalf("accepted as %+v, want an error with %q", c, tc.message)
			}
			errs, ok := errors.AsType[Errors](err)
			if !ok || c != nil {
				t.Fatalf("Parse = %v, %T", c, err)
			}
			if len(errs) != 1 {
				t.Fatalf("want one error, got %d:\n%v", len(errs), err)
			}
			e := errs[0]
			if e.Line != tc.line || e.Key != tc.key {
				t.Errorf("at line %d, key %q; want %d, %q: %s", e.Line, e.Key, tc.line, tc.key, e.Message)
			}
			for part := range strings.SplitSeq(tc.message, "|") {
				if !strings.Contains(e.Message, part) {
					t.Errorf("got  %s\nwant %s", e.Message, part)
				}
			}
		})
	}
}
