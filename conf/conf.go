// Package conf turns the box's TOML file into a typed, complete and consistent configuration.
//
// The package is strict: an unknown key, a wrong type, a duplicate, a value out of range and a broken reference are
// errors. An error gives the line, the key, the value found and the values allowed; all errors are reported together.
// The keys and their defaults are defined once, by the table in schema.go. README.md is checked against that table.
//
// The files in the order of the work: syntax.go (TOML text → tree, with as many separate syntax errors as possible),
// position.go (the line of every key), reader.go (one value at a time against the schema), build.go (tree → Config),
// validate.go (rules between keys). Check compares with the machine, Diff with another configuration.
package conf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"penstock/ctrl/model"
)

// DefaultPath is the default path of the configuration.
const DefaultPath = "/etc/penstock/penstock.toml"

// The values of Port.Role.
const (
	RoleAccess   = "access"
	RoleFabric   = "fabric"
	RoleDownlink = "downlink"
	RoleTrunk    = "trunk"
	RoleUplink   = "uplink"
)

// The values of Port.Encap.
const (
	EncapIP    = "ip"
	EncapUDP   = "udp"
	EncapVXLAN = "vxlan"
)

// The values of Dataplane.Poll.
const (
	PollBusy      = "busy"
	PollAdaptive  = "adaptive"
	PollInterrupt = "interrupt"
)

// The values of Port.Mode.
const (
	ModeAuto     = "auto"
	ModeZeroCopy = "zero-copy"
	ModeCopy     = "copy"
	ModeGeneric  = "generic"
)

// The values of Log.Format.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Config is the configuration of a box. A Config from Parse or Load is complete (defaults are filled in) and
// consistent. The toml tags name the keys of the schema.
type Config struct {
	Box       Box       `toml:"box"`
	Dataplane Dataplane `toml:"dataplane"`
	Ports     []Port    `toml:"port"` // at least one; names and interfaces are unique
	Edge      *Edge     `toml:"edge"` // not nil exactly when a downlink or trunk port exists
	Groups    []Group   `toml:"gateway_group"`
	LLDP      LLDP      `toml:"lldp"`
	Probe     Probe     `toml:"probe"`
	Fabric    Fabric    `toml:"fabric"`
	Balancer  Balancer  `toml:"balancer"`
	Control   Control   `toml:"control"`
	Metrics   Metrics   `toml:"metrics"`
	Alarm     Alarm     `toml:"alarm"`
	Log       Log       `toml:"log"`

	file  string
	lines map[string]int // key path → line, for Check
	named bool           // box.name is in the file
}

// Box holds the machine's name, the directory of its state and the addressing scheme.
type Box struct {
	Name     string       `toml:"name"`
	StateDir string       `toml:"state_dir"`
	Scheme   model.Scheme `toml:"scheme"`
}

// Dataplane sizes the packet path.
type Dataplane struct {
	Workers    int    `toml:"workers"`
	CPUs       []int  `toml:"cpus"` // nil, or one CPU for each worker
	Poll       string `toml:"poll"`
	Frames     int    `toml:"frames"`     // of the whole UMEM
	FrameSize  int    `toml:"frame_size"` // octets
	RingSize   int    `toml:"ring_size"`  // entries of each of a queue's four rings; a power of two
	HugePages  bool   `toml:"huge_pages"`
	Handoff    bool   `toml:"handoff"`
	Verify     bool   `toml:"verify"`
	Bindings   int    `toml:"bindings"`
	FloodRate  int    `toml:"flood_rate"` // copies per second and VIF
	FloodBurst int    `toml:"flood_burst"`
	ICMPRate   int    `toml:"icmp_rate"` // errors per second and VIF, or tenant
	ICMPBurst  int    `toml:"icmp_burst"`
	Nice       int    `toml:"nice"`
}

// MaxMTU returns the largest MTU whose packets a buffer carries, in octets.
func (d *Dataplane) MaxMTU() int { return d.FrameSize - frameExtra }

// Port is a network interface that the dataplane owns.
type Port struct {
	Name              string       `toml:"name"`
	Interface         string       `toml:"interface"`
	Role              string       `toml:"role"`
	Queues            int          `toml:"queues"` // 1 … Dataplane.Workers
	Mode              string       `toml:"mode"`
	MTU               int          `toml:"mtu"` // octets behind the Ethernet header and tag; 0 = leave as is
	CompleteChecksums bool         `toml:"complete_checksums"`
	ClampMSS          bool         `toml:"clamp_mss"`
	Encap             string       `toml:"encap"`          // fabric: "ip", "udp" or "vxlan"; else empty
	VTEPAddress       netip.Prefix `toml:"vtep_address"`   // "vxlan": with its network, or alone
	Gateway           netip.Addr   `toml:"gateway"`        // "vxlan": next hop of VTEPs in other networks; zero = none
	ZeroChecksum6     bool         `toml:"zero_checksum6"` // "vxlan" over IPv6
	SwitchMAC         model.MAC    `toml:"switch_mac"`     // fabric; 0 = by LLDP
	SwitchPort        int          `toml:"switch_port"`    // fabric and downlink: 1 … 255; fabric: 0 = by LLDP
	VLANs             []uint16     `toml:"vlans"`          // trunk: ascending, each once
}

// Edge is the box as an edge switch.
type Edge struct {
	MAC         model.MAC `toml:"mac"`
	ControlVLAN uint16    `toml:"control_vlan"` // 0 = none
}

// Probe is how the paths to the other edge switches are probed.
type Probe struct {
	Interval time.Duration `toml:"interval"` // 0 = they are not probed
	Misses   int           `toml:"misses"`
	Goods    int           `toml:"goods"`
}

// Fabric is what the boxes of a fabric have in common.
type Fabric struct {
	UDPPort     int     `toml:"udp_port"`     // of encapsulated frames with encap "udp"
	ControlVLAN uint16  `toml:"control_vlan"` // 0 = none
	SyncRate    int     `toml:"sync_rate"`    // bindings per second
	Keys        Keyring `toml:"keys"`
}

// Keyring are the keys of messages between boxes; the first signs.
type Keyring struct{ Keys []FabricKey }

// FabricKey is a key and the ID by which messages name it, 1 to 255.
type FabricKey struct {
	ID  uint8
	Key string // octets
}

// text shows a hash of each key: a key is a secret.
func (k Keyring) text() string {
	var list []string
	for _, x := range k.Keys {
		list = append(list, fmt.Sprintf("%d:%x…", x.ID, sha256.Sum256([]byte(x.Key)))[:20])
	}
	return fmt.Sprintf("[%s] (of their SHA-256)", strings.Join(list, " "))
}

// Balancer is the box as a director of virtual addresses.
type Balancer struct {
	Key         HexKey `toml:"key"`
	Flows       int    `toml:"flows"`         // that a worker remembers
	NewFlowRate int    `toml:"new_flow_rate"` // per second and worker
}

// HexKey is a key of 16 octets in hexadecimal digits.
type HexKey string

// Octets returns the key.
func (k HexKey) Octets() (b [16]byte) {
	_, _ = hex.Decode(b[:], []byte(k)) // checked when it was read
	return b
}

// text tells keys apart without naming them: configurations are compared in logs.
func (k HexKey) text() string {
	sum := sha256.Sum256([]byte(strings.ToLower(string(k))))
	return fmt.Sprintf("\"%x…\" (of its SHA-256)", sum[:8])
}

// Control is the control socket: its path, its permissions and its limits.
type Control struct {
	Socket         string      `toml:"socket"`
	Owner          string      `toml:"owner"` // a name or a number; empty = the user that runs the box
	Group          string      `toml:"group"` // likewise
	Mode           fs.FileMode `toml:"mode"`  // never writable for others
	ReadersAny     bool        `toml:"readers_any"`
	MaxBody        int64       `toml:"max_body"` // octets
	MaxConnections int         `toml:"max_connections"`
}

// Metrics is the Prometheus listener.
type Metrics struct {
	Listen string `toml:"listen"` // empty = off
}

// Log is the level and format of the log, which goes to standard error.
type Log struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// File returns the name of the file the configuration was read from.
func (c *Config) File() string { return c.file }

// FramesNeeded returns the number of frames that no ring can exhaust: every queue of every port has four rings (fill,
// receive, transmit, completion), and all of them may be full at the same time.
func (c *Config) FramesNeeded() int {
	queues := 0
	for i := range c.Ports {
		queues += c.Ports[i].Queues
	}
	return 4 * c.Dataplane.RingSize * queues
}
