package conf

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/unix"
)

// The sizes in linux/ethtool.h: of a name, of the structs before their lists, and the number of flags that fit a word.
const (
	ethtoolName     = 32
	ssetInfoHead    = 16
	stringsHead     = 12
	maxPrivateFlags = 32
	setPrivateFlags = 2 // ETH_SS_PRIV_FLAGS
)

// ethtoolCall does what the command in b says (struct of linux/ethtool.h), for an interface; the answer is in b.
type ethtoolCall func(name string, b []byte) error

// privateFlags reads the flags of the driver, see ethtool(8) --show-priv-flags; none where the driver has none.
func privateFlags(do ethtoolCall, name string) (map[string]bool, error) {
	word := binary.NativeEndian
	info := make([]byte, ssetInfoHead+4)
	word.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	word.PutUint64(info[8:], 1<<setPrivateFlags)
	if err := do(name, info); err != nil {
		return nil, err
	}
	if bits.OnesCount64(word.Uint64(info[8:])) == 0 || word.Uint32(info[ssetInfoHead:]) == 0 {
		return nil, nil
	}
	// The kernel writes all names whatever length is given: the name may be another interface's by now.
	names := make([]byte, stringsHead+4*maxPrivateFlags*ethtoolName)
	word.PutUint32(names, unix.ETHTOOL_GSTRINGS)
	word.PutUint32(names[4:], setPrivateFlags)
	word.PutUint32(names[8:], word.Uint32(info[ssetInfoHead:]))
	if err := do(name, names); err != nil {
		return nil, err
	}
	value := make([]byte, 8)
	word.PutUint32(value, unix.ETHTOOL_GPFLAGS)
	if err := do(name, value); err != nil {
		return nil, err
	}
	flags := map[string]bool{}
	for i := range min(int(word.Uint32(names[8:])), maxPrivateFlags) {
		text, _, _ := bytes.Cut(names[stringsHead+i*ethtoolName:][:ethtoolName], []byte{0})
		flags[string(text)] = word.Uint32(value[4:])>>i&1 == 1
	}
	return flags, nil
}

// firmwareLLDP returns the flag, and the value to give it, that keeps the card's firmware from taking LLDP frames
// before the host sees them; "" if it does not take them. The flags are those of Intel's drivers i40e and ice.
func firmwareLLDP(flags map[string]bool) string {
	if disabled, ok := flags["disable-fw-lldp"]; ok && !disabled {
		return "disable-fw-lldp on"
	}
	if flags["fw-lldp-agent"] {
		return "fw-lldp-agent off"
	}
	return ""
}
