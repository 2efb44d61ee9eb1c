package model

import (
	"fmt"
	"strconv"
)

// MAC is a 48-bit MAC address in the low bits, aa:bb:cc:dd:ee:ff = 0xaabbccddeeff. Text form: lower case, colons.
type MAC uint64

// ParseMAC reads the form aa:bb:cc:dd:ee:ff, in either case, with ':' or '-'.
func ParseMAC(s string) (MAC, error) {
	if len(s) != 17 {
		return 0, fmt.Errorf("%q is not a MAC address: want the form 02:00:00:00:00:01", s)
	}
	var m MAC
	for i := 0; i < 17; i += 3 {
		if i > 0 && s[i-1] != ':' && s[i-1] != '-' {
			return 0, fmt.Errorf("%q is not a MAC address: want the form 02:00:00:00:00:01", s)
		}
		b, err := strconv.ParseUint(s[i:i+2], 16, 8)
		if err != nil {
			return 0, fmt.Errorf("%q is not a MAC address: want the form 02:00:00:00:00:01", s)
		}
		m = m<<8 | MAC(b)
	}
	return m, nil
}

// String returns the text form.
func (m MAC) String() string {
	const hex = "0123456789abcdef"
	var b [17]byte
	for i := range 6 {
		v := byte(m >> (40 - 8*i))
		b[3*i], b[3*i+1] = hex[v>>4], hex[v&15]
		if i < 5 {
			b[3*i+2] = ':'
		}
	}
	return string(b[:])
}

// IsGroup reports whether m is a broadcast or multicast address.
func (m MAC) IsGroup() bool { return m>>40&1 == 1 }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}
