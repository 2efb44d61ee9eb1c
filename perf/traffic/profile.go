package traffic

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"penstock/conf"
	"penstock/perf/profiles"
)

// Side is a port of the generator.
type Side uint8

// The sides. A profile whose streams all have side A needs one port.
const (
	Both Side = iota // in Options: the frames of both
	A
	B
)

// String returns "a", "b" or "both".
func (s Side) String() string { return [...]string{"both", "a", "b"}[s] }

// MAC is a MAC address.
type MAC = [6]byte

// Profile is the description of a traffic mix.
type Profile struct {
	Name        string // of the file, without directory and .toml
	Title       string // one line
	Description string

	file  string
	text  []byte
	specs []spec
}

// Load reads and checks the profile in a file. Faults of the content are a conf.Errors: all of them, each with line and
// key.
func Load(path string) (*Profile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the profile: %w", err)
	}
	return Parse(path, text)
}

// Parse reads and checks a profile; name stands for its file.
func Parse(name string, text []byte) (*Profile, error) {
	p := &Profile{Name: strings.TrimSuffix(filepath.Base(name), ".toml"), file: name, text: text}
	if err := p.parse(nil, 0); err != nil {
		return nil, err
	}
	return p, nil
}

// Names returns the names of the built-in profiles.
func Names() []string { return profiles.Names() }

// Builtin returns a built-in profile.
func Builtin(name string) (*Profile, error) {
	text, err := profiles.Read(name)
	if err != nil {
		return nil, fmt.Errorf("no built-in profile %q%s", name, conf.Suggest(name, Names(), "there are "))
	}
	return Parse(name+".toml", text)
}

// Sides reports which ports the profile's streams are sent from.
func (p *Profile) Sides() (a, b bool) {
	for i := range p.specs {
		s := &p.specs[i]
		a = a || s.side == A || s.churn != nil
		b = b || s.side == B || s.churn != nil
	}
	return a, b
}

// spec is a [[stream]] as it stands in the profile.
type spec struct {
	path   string
	name   string
	side   Side
	weight int
	sizes  []size  // with FCS
	spread *number // a range of sizes, with FCS; nil = sizes
	fill   byte
	seed   uint32 // of short random values
	sign   bool
	bare   bool // no payload, only padding

	outer   *overlay
	eth     ethernet
	vlans   []vlan
	ip4     *ipv4
	ip6     *ipv6
	udp     *udp
	tcp     *tcp
	icmp    *icmp
	arp     *arp
	flows   *flows
	churn   *churn
	broken  []string // kinds of malformed frames
	isnSeed uint32   // churn: of the initial sequence numbers
	pcap    string   // path of a file; MACs replaced where eth has them
}

type size struct{ octets, weight int }

// overlay is the outer header (PROTOCOL.md#encapsulation).
type overlay struct {
	wide             bool // scheme p.t: 24 bits
	src, dst         number
	vid, path        uint16
	pcp, ttl         uint8
	srcPort, dstPort uint8
	tenant, segment  number
}

type ethernet struct {
	src, dst number
	typ      uint16 // 0 = of what follows
}

type vlan struct {
	id   number
	pcp  uint8
	tpid uint16
}

type ipv4 struct {
	src, dst, ttl, id, proto number
	dscp                     uint8
	df                       bool
}

type ipv6 struct {
	src, dst, hop, label, next number
	class                      uint8
}

type udp struct {
	src, dst number
	sum      bool
}

type tcp struct {
	src, dst, seq, ack, window number
	seqAdd, ackAdd             uint32 // added to seq and ack
	flags                      uint8
	mss                        uint16
}

type icmp struct {
	typ, code uint8
	id, seq   number
}

type arp struct {
	op                                       uint16
	senderMAC, senderIP, targetMAC, targetIP number
}

// churn makes connections of the stream.
type churn struct {
	concurrent uint32
	requests   int
	close      string
}

// flows is a tuple of address and port: the ports go on when the addresses have gone round.
type flows struct {
	count         uint32
	dst           bool
	address, port number
}
