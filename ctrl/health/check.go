package health

import (
	"net/netip"
	"time"

	"penstock/ctrl/health/station"
)

// Type is the type of a check.
type Type uint8

// The types.
const (
	None  Type = iota // always up
	TCP               // a connection is accepted; with Expect, what comes then begins with it
	HTTP              // a response with an accepted status, and Body in its body
	HTTPS             // the same over TLS
	UDP               // no ICMP error comes back; with Expect, an answer begins with it
	ICMP              // an echo reply from the VIP
	ARP               // an answer to ARP or neighbour discovery from the server's own address
)

// Check is how a server is checked, all defaults filled in. Two servers with equal paths and equal checks are checked
// once.
type Check struct {
	Type       Type
	Interval   time.Duration
	Timeout    time.Duration // at most Interval
	Fall, Rise uint16        // checks in a row, at least 1
	Path, Host string        // of HTTP requests
	Status     string        // accepted codes and ranges, as 200,300-399; see codes
	Body       string
	Send       string // octets
	Expect     string // octets
	Verify     bool   // HTTPS: the certificate must be valid for Host
}

// Target is a server of a service that this box directs.
type Target struct {
	Key     string // TENANT/SERVICE/NAME
	Service string // TENANT/SERVICE
	VIP     string // TENANT/VIP

	Found   bool // its location is known; else it cannot be checked, and is not used
	Enabled bool // not disabled: a server that is draining is checked
	Backup  bool
	Weight  uint16

	Station   station.Key // from where it is checked: this box's own address in the VIP's segment
	MAC       uint64      // of the station
	To        netip.AddrPort
	Path      station.Path
	Address   netip.Addr // the server's own address, for ARP
	Check     Check
	SlowStart time.Duration
	Panic     uint8 // percent; 0 = never
}

// probeKey is what makes two checks one.
type probeKey struct {
	station station.Key
	to      netip.AddrPort
	path    station.Path
	address netip.Addr
	check   Check
}

func (t *Target) probe() probeKey {
	k := probeKey{station: t.Station, to: t.To, path: t.Path, check: t.Check}
	switch t.Check.Type {
	case ICMP: // has no port, and any service's mark does
		k.to = netip.AddrPortFrom(t.To.Addr(), 0)
		k.path.Port, k.path.Source = 0, 0
	case ARP:
		k.to, k.address = netip.AddrPort{}, t.Address
		k.path.Port, k.path.Source = 0, 0
	}
	return k
}
