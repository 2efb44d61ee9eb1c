package conf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/model"
)

// reader walks the tree of a configuration and collects its errors.
type reader struct {
	file    string
	idx     *index
	keys    map[string]*Key // by path
	errs    Errors
	bad     map[string]bool // keys with an invalid value: no further errors about them
	partial bool            // syntax errors hid some of the text: a missing key proves nothing
}

func (r *reader) failf(path, format string, args ...any) {
	r.bad[path] = true
	r.errs = append(r.errs, Error{File: r.file, Line: r.idx.line(path), Key: path,
		Message: fmt.Sprintf(format, args...)})
}

// ok reports whether the values of all paths could be read.
func (r *reader) ok(paths ...string) bool {
	for _, p := range paths {
		if r.bad[p] {
			return false
		}
	}
	return true
}

// section is one table of the tree.
type section struct {
	*reader
	path  string // "port[1]"
	table string // "port", as in Key.Path
	m     map[string]any
	role  string // ports: the role, empty when unknown
}

func (s *section) at(name string) string { return join(s.path, name) }

// has reports whether the key is present, with a valid value or not.
func (s *section) has(name string) bool {
	_, ok := s.m[name]
	return ok
}

// lookup returns the description of a key and its value. use is false if there is no value to read: the key is absent,
// or the role does not have it.
func (s *section) lookup(name string) (k *Key, v any, use bool) {
	k = s.keys[s.table+"."+name]
	v, there := s.m[name]
	switch {
	case there && s.role != "" && !s.roleHas(k):
		s.failf(s.at(name), "only a port with role %s has this key; this one is %s: remove it", oneOf(k.Roles, ""),
			s.role)
		return k, nil, false
	case !there:
		if k.Need && !s.partial && s.roleHas(k) {
			s.failf(s.at(name), "missing, and required here: want %s", k.want())
		}
		return k, nil, false
	}
	return k, v, true
}

// roleHas reports whether the key exists for the section's role; a port with an invalid role has the common keys only.
func (s *section) roleHas(k *Key) bool { return k.Roles == nil || slices.Contains(k.Roles, s.role) }

func (s *section) wrong(name string, k *Key, v any) {
	s.failf(s.at(name), "found %s, want %s", describe(v), k.want())
}

func (s *section) integer(name string) int {
	k, v, use := s.lookup(name)
	if use {
		n, ok := v.(int64)
		if ok && n >= int64(k.Min) && n <= int64(k.Max) {
			return int(n)
		}
		s.wrong(name, k, v)
	}
	d, _ := k.Default.(int)
	return d
}

func (s *section) boolean(name string) bool {
	k, v, use := s.lookup(name)
	if use {
		if b, ok := v.(bool); ok {
			return b
		}
		s.wrong(name, k, v)
	}
	d, _ := k.Default.(bool)
	return d && s.roleHas(k)
}

// text reads a string that check accepts; check returns the fault, or "".
func (s *section) text(name string, check func(string) string) string {
	k, v, use := s.lookup(name)
	if use {
		if t, ok := v.(string); !ok {
			s.wrong(name, k, v)
		} else if problem := check(t); problem != "" {
			s.failf(s.at(name), "found %s, %s", describe(v), problem)
		} else {
			return t
		}
	}
	d, _ := k.Default.(string)
	return d
}

// enum reads one of the key's allowed values; integers are compared by their decimal form.
func (s *section) enum(name string) string {
	k, v, use := s.lookup(name)
	if use {
		t, ok := v.(string)
		if _, number := k.Default.(int); number {
			var n int64
			n, ok = v.(int64)
			t = strconv.FormatInt(n, 10)
		}
		switch {
		case ok && slices.Contains(k.Allowed, t):
			return t
		case ok && slices.Contains(k.Allowed, strings.ToLower(t)):
			s.failf(s.at(name), "found %s, want it in lower case: %q", describe(v), strings.ToLower(t))
		default:
			s.wrong(name, k, v)
		}
	}
	if k.Default == nil || !s.roleHas(k) {
		return ""
	}
	return fmt.Sprint(k.Default)
}

func (s *section) mac(name string) model.MAC {
	k, v, use := s.lookup(name)
	if !use {
		return 0
	}
	t, ok := v.(string)
	if !ok {
		s.wrong(name, k, v)
		return 0
	}
	m, err := model.ParseMAC(t)
	switch {
	case err != nil:
		s.wrong(name, k, v)
	case m == 0:
		s.failf(s.at(name), "found the zero address, want the MAC address of one device")
	case m.IsGroup():
		s.failf(s.at(name),
			"found %s, a group address (lowest bit of the first octet set), want the MAC address of one device", m)
	default:
		return m
	}
	return 0
}

// sources reads "gateway" or a list of MACs.
func (s *section) sources(name string) (out Sources) {
	k, v, use := s.lookup(name)
	if !use {
		return out
	}
	if t, isText := v.(string); isText {
		if t != SourcesGateway {
			s.wrong(name, k, v)
		}
		return Sources{Locked: true}
	}
	list := s.list(name)
	for i, v := range list {
		path := fmt.Sprintf("%s[%d]", s.at(name), i)
		t, _ := v.(string)
		m, err := model.ParseMAC(t)
		problem := ""
		switch {
		case err != nil:
			problem = fmt.Sprintf(`found %s, want a MAC address such as "02:00:00:00:00:91"`, describe(v))
		case m == 0 || m.IsGroup():
			problem = fmt.Sprintf("found %s, want the MAC address of one device", m)
		case slices.Contains(out.MACs, m):
			problem = fmt.Sprintf("%s is in the list twice: remove one of the two", m)
		}
		if problem != "" {
			s.failf(path, "%s", problem)
			s.bad[s.at(name)] = true
			continue
		}
		out.MACs = append(out.MACs, m)
	}
	switch {
	case len(list) > k.Max:
		s.failf(s.at(name), "found %d addresses, want at most %d", len(list), k.Max)
	case len(list) == 0 && s.ok(s.at(name)):
		s.failf(s.at(name),
			`found an empty list: write "gateway" to take frames from the gateway's own MAC alone, `+
				"or leave the key out")
	}
	out.Locked = true
	return out
}

// address reads an IP address of one station. The zero Addr is none.
func (s *section) address(name string) netip.Addr {
	k, v, use := s.lookup(name)
	if !use {
		return netip.Addr{}
	}
	t, _ := v.(string)
	a, err := netip.ParseAddr(t)
	switch {
	case err != nil || k.Kind != KindAddress && a.Is4() != (k.Kind == KindIPv4) || a.Zone() != "" || a.Is4In6():
		s.wrong(name, k, v)
	case !station(a):
		s.failf(s.at(name), "found %s, want the address of one station", a)
	default:
		return a
	}
	return netip.Addr{}
}

// station reports whether an address can be that of one station on an Ethernet.
func station(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && !(a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240))
}

// prefix reads an IPv4 address with the length of its network, neither the first nor the last address of it.
func (s *section) prefix(name string) netip.Prefix {
	k, v, use := s.lookup(name)
	if !use {
		return netip.Prefix{}
	}
	t, _ := v.(string)
	p, err := netip.ParsePrefix(t)
	switch {
	case err != nil || !p.Addr().Is4():
		s.wrong(name, k, v)
	case p.Bits() < 8 || p.Bits() > 31:
		s.failf(s.at(name), "found the length %d, want 8 to 31: the gateway must be in the same network", p.Bits())
	case !station(p.Addr()) || !host(p, p.Addr()):
		s.failf(s.at(name),
			"found %s, want the address of one station, neither the network's own nor its broadcast address", p)
	default:
		return p
	}
	return netip.Prefix{}
}

// host reports whether an address is one of the network's stations (RFC 3021 for length 31).
func host(p netip.Prefix, a netip.Addr) bool {
	if !p.Contains(a) || p.Bits() >= 31 {
		return p.Contains(a)
	}
	first, b := p.Masked().Addr(), a.As4()
	all := ^uint32(0) >> p.Bits()
	return a != first && binary.BigEndian.Uint32(b[:])&all != all
}

// list returns the elements of an array.
func (s *section) list(name string) []any {
	k, v, use := s.lookup(name)
	if !use {
		return nil
	}
	switch a := v.(type) {
	case []any:
		return a
	case []map[string]any:
		out := make([]any, len(a))
		for i := range a {
			out[i] = a[i]
		}
		return out
	}
	s.wrong(name, k, v)
	return nil
}

func (s *section) integers(name string) []int {
	k := s.keys[s.table+"."+name]
	var out []int
	for i, v := range s.list(name) {
		path := fmt.Sprintf("%s[%d]", s.at(name), i)
		n, ok := v.(int64)
		if !ok || n < int64(k.Min) || n > int64(k.Max) {
			s.failf(path, "found %s, want an integer from %d to %d", describe(v), k.Min, k.Max)
			s.bad[s.at(name)] = true
			continue
		}
		if slices.Contains(out, int(n)) {
			s.failf(path, "%d is in the list twice: remove one of the two", n)
			s.bad[s.at(name)] = true
			continue
		}
		out = append(out, int(n))
	}
	return out
}

// vlans reads VLAN IDs and ranges into an ascending list.
func (s *section) vlans(name string) []uint16 {
	var set [4095]bool
	elements := s.list(name)
	for i, v := range elements {
		path := fmt.Sprintf("%s[%d]", s.at(name), i)
		from, to, problem := vlanRange(v)
		if problem != "" {
			s.failf(path, "found %s, %s", describe(v), problem)
			s.bad[s.at(name)] = true
			continue
		}
		for id := from; id <= to; id++ {
			if set[id] {
				s.failf(path, "VLAN %d is in the list twice: remove one of the two", id)
				s.bad[s.at(name)] = true
				break
			}
			set[id] = true
		}
	}
	var out []uint16
	for id := range set {
		if set[id] {
			out = append(out, uint16(id))
		}
	}
	if len(elements) == 0 && s.has(name) && s.role == RoleTrunk && s.ok(s.at(name)) {
		s.failf(s.at(name), "found an empty list: a trunk carries at least one VLAN, such as [101, \"110-119\"]")
	}
	return out
}

// vlanRange reads one element of a VLAN list: 101, "101" or "101-104".
func vlanRange(v any) (from, to int, problem string) {
	const allowed = `want a VLAN ID from 1 to 4094, or a range such as "110-119"`
	switch v := v.(type) {
	case int64:
		if v < 1 || v > 4094 {
			return 0, 0, allowed
		}
		return int(v), int(v), ""
	case string:
		a, b, isRange := strings.Cut(v, "-")
		from, err := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
		to, err2 := from, error(nil)
		if isRange {
			to, err2 = strconv.ParseUint(strings.TrimSpace(b), 10, 16)
		}
		if err != nil || err2 != nil || from < 1 || to > 4094 || from > 4094 {
			return 0, 0, allowed
		}
		if from > to {
			return 0, 0, fmt.Sprintf(`a range that runs backwards: write "%d-%d"`, to, from)
		}
		return int(from), int(to), ""
	}
	return 0, 0, allowed
}

// size reads octets, as an integer or with a binary unit.
func (s *section) size(name string) int64 {
	k, v, use := s.lookup(name)
	if !use {
		v = k.Default
	}
	n, ok := parseSize(v)
	if !ok || n < int64(k.Min) || n > int64(k.Max) {
		s.wrong(name, k, v)
	}
	return n
}

// duration reads a time: a number with its unit.
func (s *section) duration(name string) time.Duration {
	k, v, use := s.lookup(name)
	if use {
		t, ok := v.(string)
		d, err := time.ParseDuration(t)
		if ok && err == nil && d >= time.Duration(k.Min) && d <= time.Duration(k.Max) {
			return d
		}
		s.wrong(name, k, v)
	}
	t, _ := k.Default.(string)
	d, _ := time.ParseDuration(t) // of the schema; "" is 0
	return d
}

// timeText returns the shortest form of a time that parses to the same time: "1m", not "1m0s".
func timeText(d time.Duration) string {
	t := d.String()
	if strings.HasSuffix(t, "m0s") {
		t = t[:len(t)-2]
	}
	if strings.HasSuffix(t, "h0m") {
		t = t[:len(t)-2]
	}
	return t
}

var sizeUnits = []struct {
	name string
	unit int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func parseSize(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case string:
		for _, u := range sizeUnits {
			if digits, ok := strings.CutSuffix(v, u.name); ok {
				n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 40)
				if err != nil || int64(n) > 1<<62/u.unit {
					return 0, false
				}
				return int64(n) * u.unit, true
			}
		}
	}
	return 0, false
}

// sizeText is the shortest exact form of n octets.
func sizeText(n int64) string {
	for _, u := range sizeUnits {
		if n%u.unit == 0 && n >= u.unit {
			return strconv.FormatInt(n/u.unit, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// describe describes a value for a message.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		if len([]rune(v)) > 60 {
			v = string([]rune(v)[:57]) + "…"
		}
		return "the string " + strconv.Quote(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return "the float " + strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return fmt.Sprintf("%v", v)
}
