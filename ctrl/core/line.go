package core

import (
	"errors"
	"net/netip"

	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
)

// lineDecoder reads bindings from NDJSON lines. The quick way understands what programs write (no escapes, ASCII,
// members in any order) and gives up on everything else; the strict reader then decides and finds the words for what
// is wrong. Where the quick way accepts, the strict reader accepts with the same result (FuzzBindingLine).
type lineDecoder struct {
	names map[string]string // interned tenants and segments
	addrs [model.MaxAddresses]netip.Addr
}

func newLineDecoder() *lineDecoder { return &lineDecoder{names: map[string]string{}} }

// decode fills b from a line. b.Addresses is good until the next call.
func (d *lineDecoder) decode(line []byte, b *model.Binding) []strict.Problem {
	if d.quick(line, b) {
		return nil
	}
	n, err := strict.Parse(line)
	var se *strict.SyntaxError
	if errors.As(err, &se) {
		return []strict.Problem{{Code: se.Code, Message: se.Message}}
	}
	o, ps := model.Decode(model.KindBinding, "", n, "")
	if x, ok := o.(model.Binding); ok {
		*b = x
	}
	return ps
}

// quick decodes one line in its usual form, and returns false at the first deviation.
func (d *lineDecoder) quick(s []byte, b *model.Binding) bool {
	*b = model.Binding{}
	var seen, bit uint8
	var tok []byte
	var ok bool
	i := space(s, 0)
	if i >= len(s) || s[i] != '{' {
		return false
	}
	for i = space(s, i+1); ; i = space(s, i+1) {
		if tok, i, ok = text(s, i); !ok {
			return false
		}
		if i = space(s, i); i >= len(s) || s[i] != ':' {
			return false
		}
		i = space(s, i+1)
		switch string(tok) {
		case "tenant", "segment":
			dst := &b.Tenant
			if bit = 1; tok[0] == 's' {
				bit, dst = 2, &b.Segment
			}
			if tok, i, ok = text(s, i); !ok {
				return false
			}
			*dst = d.intern(tok)
		case "mac", "switch_mac":
			dst := &b.MAC
			if bit = 4; tok[0] == 's' {
				bit, dst = 8, &b.SwitchMAC
			}
			if tok, i, ok = text(s, i); !ok {
				return false
			}
			if *dst, ok = quickMAC(tok); !ok {
				return false
			}
		case "switch_port":
			bit = 16
			if b.SwitchPort, i, ok = number(s, i); !ok {
				return false
			}
		case "addresses":
			bit = 32
			if i, ok = d.addresses(s, i, b); !ok {
				return false
			}
		case "vtep":
			bit = 64
			if tok, i, ok = text(s, i); !ok {
				return false
			}
			b.VTEP = d.intern(tok)
		default:
			return false
		}
		if seen&bit != 0 {
			return false
		}
		seen |= bit
		if i = space(s, i); i >= len(s) {
			return false
		}
		if s[i] == '}' {
			return space(s, i+1) == len(s)
		}
		if s[i] != ',' {
			return false
		}
	}
}

func space(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// text reads a string without escapes, of printable ASCII, and returns what is between the quotes.
func text(s []byte, i int) (tok []byte, next int, ok bool) {
	if i >= len(s) || s[i] != '"' {
		return nil, i, false
	}
	start := i + 1
	for i = start; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[start:i], i + 1, i > start
		case c < 0x20 || c >= 0x7f || c == '\\':
			return nil, i, false
		}
	}
	return nil, i, false
}

func number(s []byte, i int) (v uint16, next int, ok bool) {
	start := i
	n := 0
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9' && i-start < 6; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return uint16(n), i, i > start && n <= 0xffff && (s[start] != '0' || i == start+1)
}

func (d *lineDecoder) intern(tok []byte) string {
	if s, ok := d.names[string(tok)]; ok {
		return s
	}
	s := string(tok)
	if len(d.names) < 1<<19 { // bounded: a stream may hold any number of names
		d.names[s] = s
	}
	return s
}

func (d *lineDecoder) addresses(s []byte, i int, b *model.Binding) (next int, ok bool) {
	if i >= len(s) || s[i] != '[' {
		return i, false
	}
	if i = space(s, i+1); i < len(s) && s[i] == ']' {
		return i + 1, true
	}
	for n := 0; n < len(d.addrs); n++ {
		var tok []byte
		if tok, i, ok = text(s, i); !ok {
			return i, false
		}
		if d.addrs[n], ok = quickIPv4(tok); !ok {
			var err error
			if d.addrs[n], err = netip.ParseAddr(string(tok)); err != nil {
				return i, false
			}
		}
		if i = space(s, i); i >= len(s) {
			return i, false
		}
		if s[i] == ']' {
			b.Addresses = d.addrs[:n+1]
			return i + 1, true
		}
		if s[i] != ',' {
			return i, false
		}
		i = space(s, i+1)
	}
	return i, false
}

func quickIPv4(s []byte) (netip.Addr, bool) {
	var a [4]byte
	part, v, digits := 0, 0, 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if digits == 0 || part > 3 {
				return netip.Addr{}, false
			}
			a[part] = byte(v)
			part++
			v, digits = 0, 0
			continue
		}
		c := s[i] - '0'
		if c > 9 || digits > 0 && v == 0 {
			return netip.Addr{}, false
		}
		if v = v*10 + int(c); v > 255 {
			return netip.Addr{}, false
		}
		digits++
	}
	return netip.AddrFrom4(a), part == 4
}

func quickMAC(s []byte) (model.MAC, bool) {
	if len(s) != 17 {
		return 0, false
	}
	var m model.MAC
	for i := 0; i < 17; i += 3 {
		h, l := hexDigit(s[i]), hexDigit(s[i+1])
		if h|l > 15 || i > 0 && s[i-1] != ':' && s[i-1] != '-' {
			return 0, false
		}
		m = m<<8 | model.MAC(h<<4|l)
	}
	return m, true
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
