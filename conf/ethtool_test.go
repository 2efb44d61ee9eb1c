package conf

import (
	"encoding/binary"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// card answers like a driver with private flags.
type card struct {
	names []string
	on    uint32
	fails uint32 // command
}

func (c *card) call(_ string, b []byte) error {
	word := binary.NativeEndian
	switch cmd := word.Uint32(b); {
	case cmd == c.fails:
		return syscall.ENODEV
	case cmd == unix.ETHTOOL_GSSET_INFO && len(c.names) == 0:
		word.PutUint64(b[8:], 0)
	case cmd == unix.ETHTOOL_GSSET_INFO:
		word.PutUint32(b[16:], uint32(len(c.names)))
	case cmd == unix.ETHTOOL_GSTRINGS:
		word.PutUint32(b[8:], uint32(len(c.names)))
		for i, n := range c.names {
			copy(b[12+32*i:][:32], n)
		}
	case cmd == unix.ETHTOOL_GPFLAGS:
		word.PutUint32(b[4:], c.on)
	default:
		return syscall.EOPNOTSUPP
	}
	return nil
}

// TestFirmwareLLDP: the flags of Intel's cards say whether LLDP reaches the host.
func TestFirmwareLLDP(t *testing.T) {
	long := "a-name-of-exactly-32-octets-----"
	for _, c := range []struct {
		card card
		want string
	}{
		{card{}, ""},
		{card{names: []string{"legacy-rx"}, on: 1}, ""},
		{card{names: []string{"MFP", "flow-director-atr", "disable-fw-lldp"}, on: 2}, "disable-fw-lldp on"},
		{card{names: []string{"MFP", "flow-director-atr", "disable-fw-lldp"}, on: 4}, ""},
		{card{names: []string{"link-down-on-close", "fw-lldp-agent"}, on: 2}, "fw-lldp-agent off"},
		{card{names: []string{"link-down-on-close", "fw-lldp-agent"}, on: 1}, ""},
		{card{names: []string{long, "fw-lldp-agent"}, on: 3}, "fw-lldp-agent off"},
	} {
		flags, err := privateFlags(c.card.call, "eth0")
		if got := firmwareLLDP(flags); err != nil || got != c.want || len(flags) != len(c.card.names) {
			t.Errorf("%q, on %b: got %q of %v, %v, want %q", c.card.names, c.card.on, got, flags, err, c.want)
		}
	}
	for _, cmd := range []uint32{unix.ETHTOOL_GSSET_INFO, unix.ETHTOOL_GSTRINGS, unix.ETHTOOL_GPFLAGS} {
		c := card{names: []string{"fw-lldp-agent"}, on: 1, fails: cmd}
		if flags, err := privateFlags(c.call, "eth0"); err == nil || flags != nil {
			t.Errorf("command %#x fails: got %v, %v, want an error", cmd, flags, err)
		}
	}
	many := make([]string, 100) // more than the word of flags has bits
	for i := range many {
		many[i] = string(rune('!' + i))
	}
	if flags, err := privateFlags((&card{names: many, on: 1 << 31}).call, "eth0"); err != nil || len(flags) != 32 {
		t.Errorf("100 flags: got %v, %v, want 32", flags, err)
	}
}

// TestPrivateFlags asks the kernel about the interfaces of this namespace.
func TestPrivateFlags(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		flags, err := privateFlags(ethtool, i.Name)
		t.Logf("%s: %v, %v", i.Name, flags, err)
		if err != nil && err != syscall.EOPNOTSUPP {
			t.Errorf("%s: got %v, want flags or EOPNOTSUPP", i.Name, err)
		}
	}
	if _, err := privateFlags(ethtool, "no-such-if"); err != syscall.ENODEV {
		t.Errorf("no interface: got %v, want ENODEV", err)
	}
}
