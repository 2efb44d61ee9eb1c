package conf

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"penstock/ctrl/model"
	"penstock/ctrl/readfile"
)

// maxFile is more octets than any configuration has.
const maxFile = 16 << 20

// Load reads and checks the configuration in a file, which may be a pipe and is then waited for. What is wrong with the
// content is an Errors.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer f.Close()
	data, err := readfile.Limited(f, path, maxFile)
	return loaded(path, data, err)
}

// LoadRegular is Load of a regular file; everything else is an error at once, so that only a file system that hangs
// holds it up.
func LoadRegular(path string) (*Config, error) {
	data, err := readfile.Regular(path, maxFile)
	return loaded(path, data, err)
}

func loaded(path string, data []byte, err error) (*Config, error) {
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads and checks a configuration; name is the file's name in errors. A non-nil error is an Errors.
func Parse(name string, data []byte) (*Config, error) {
	tree, idx, errs := parseTree(name, string(data))
	r := &reader{file: name, idx: idx, errs: errs, bad: map[string]bool{}, partial: len(errs) > 0,
		keys: map[string]*Key{}}
	for _, k := range Keys() {
		r.keys[k.Path] = &k
	}
	c := &Config{file: name, lines: idx.lines}
	if tree != nil || len(errs) == 0 {
		r.build(c, tree)
		r.validate(c)
	}
	if len(r.errs) > 0 {
		r.errs.sort()
		return nil, r.errs
	}
	return c, nil
}

func (r *reader) build(c *Config, tree map[string]any) {
	r.unknownTables(tree)
	s := r.table(tree, "box")
	c.Box, c.named = r.box(s), s.has("name")
	c.Dataplane = r.dataplane(r.table(tree, "dataplane"))
	c.Ports = r.ports(tree)
	if _, ok := tree["edge"]; ok {
		s := r.table(tree, "edge")
		c.Edge = &Edge{MAC: s.mac("mac"), ControlVLAN: uint16(s.integer("control_vlan"))}
	}
	c.LLDP = r.lldp(r.table(tree, "lldp"))
	s = r.table(tree, "fabric")
	c.Fabric = Fabric{UDPPort: s.integer("udp_port"), ControlVLAN: uint16(s.integer("control_vlan")),
		SyncRate: s.integer("sync_rate"), Keys: s.keyring("keys")}
	s = r.table(tree, "probe")
	c.Probe = Probe{Interval: s.duration("interval"), Misses: s.integer("misses"), Goods: s.integer("goods")}
	s = r.table(tree, "balancer")
	c.Balancer = Balancer{Key: HexKey(s.text("key", checkHexKey)), Flows: s.integer("flows"),
		NewFlowRate: s.integer("new_flow_rate")}
	c.Control = r.control(r.table(tree, "control"))
	c.Groups = r.groups(tree)
	s = r.table(tree, "metrics")
	c.Metrics = Metrics{Listen: s.text("listen", checkListen)}
	c.Alarm = r.alarm(r.table(tree, "alarm"))
	s = r.table(tree, "log")
	c.Log = Log{Level: s.enum("level"), Format: s.enum("format")}

	for i := range c.Ports {
		if c.Ports[i].Queues == 0 {
			c.Ports[i].Queues = c.Dataplane.Workers
		}
	}
	if c.Dataplane.Frames == 0 {
		c.Dataplane.Frames = max(defFrames, c.FramesNeeded())
	}
}

func (r *reader) box(s *section) Box {
	b := Box{Name: s.text("name", checkName), StateDir: s.text("state_dir", checkPath),
		Scheme: model.Scheme(s.enum("scheme"))}
	if b.Name == "" {
		b.Name = "box"
		if h, err := os.Hostname(); err == nil && checkName(h) == "" {
			b.Name = h
		}
	}
	return b
}

func (r *reader) dataplane(s *section) Dataplane {
	size, _ := strconv.Atoi(s.enum("frame_size"))
	return Dataplane{
		Workers: s.integer("workers"), CPUs: s.integers("cpus"), Poll: s.enum("poll"),
		Frames: s.integer("frames"), FrameSize: size, RingSize: s.integer("ring_size"),
		HugePages: s.boolean("huge_pages"), Handoff: s.boolean("handoff"), Verify: s.boolean("verify"),
		Bindings:  s.integer("bindings"),
		FloodRate: s.integer("flood_rate"), FloodBurst: s.integer("flood_burst"),
		ICMPRate: s.integer("icmp_rate"), ICMPBurst: s.integer("icmp_burst"),
		Nice: s.integer("nice"),
	}
}

func (r *reader) ports(tree map[string]any) []Port {
	sections := r.tables(tree, "port", "port")
	list, isList := tree["port"].([]any)
	if empty := tree["port"] == nil || isList && len(list) == 0; empty && !r.partial {
		r.failf("", "no [[port]]: a box has at least one, with name, interface and role")
	}
	ports := make([]Port, len(sections))
	for i, s := range sections {
		if s != nil {
			ports[i] = port(s)
		}
	}
	return ports
}

// tables returns the elements of an array of tables, nil for an element that is no table. path is the array's path in
// the tree; its last part is the array's name in m.
func (r *reader) tables(m map[string]any, path, table string) []*section {
	head := header(table)
	var elements []map[string]any
	switch v := m[path[strings.LastIndexByte(path, '.')+1:]].(type) {
	case nil:
	case []map[string]any:
		elements = v
	case []any:
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				r.failf(fmt.Sprintf("%s[%d]", path, i), "found %s, want a table: write %s and its keys below",
					describe(e), head)
			}
			elements = append(elements, m)
		}
	case map[string]any:
		r.failf(path, "found one table, want an array of tables: write %s with double brackets for every %s", head,
			table[strings.LastIndexByte(table, '.')+1:])
	default:
		r.failf(path, "found %s, want an array of tables: write %s and its keys below, for every %s", describe(v), head,
			table[strings.LastIndexByte(table, '.')+1:])
	}
	out := make([]*section, len(elements))
	for i, m := range elements {
		if m == nil {
			continue
		}
		out[i] = &section{reader: r, path: fmt.Sprintf("%s[%d]", path, i), table: table, m: m}
		r.unknownKeys(out[i])
	}
	return out
}

func port(s *section) Port {
	role := s.enum("role")
	s.role = role
	if k := s.keys[s.table+".switch_port"]; role == RoleDownlink && !s.has("switch_port") && !s.partial {
		s.failf(s.at("switch_port"), "missing, and required here: want %s", k.want())
	}
	return Port{
		Name: s.text("name", checkName), Interface: s.text("interface", checkInterface), Role: role,
		Queues: s.integer("queues"), Mode: s.enum("mode"), MTU: s.integer("mtu"),
		CompleteChecksums: s.boolean("complete_checksums"), ClampMSS: s.boolean("clamp_mss"),
		Encap: s.enum("encap"), SwitchMAC: s.mac("switch_mac"), SwitchPort: s.integer("switch_port"),
		VLANs: s.vlans("vlans"), VTEPAddress: s.vtepAddress("vtep_address"), Gateway: s.address("gateway"),
		ZeroChecksum6: s.boolean("zero_checksum6"),
	}
}

func (r *reader) control(s *section) Control {
	return Control{
		Socket: s.text("socket", checkSocket), Owner: s.text("owner", checkAccount),
		Group: s.text("group", checkAccount),
		Mode:  s.mode("mode"), ReadersAny: s.boolean("readers_any"),
		MaxBody: s.size("max_body"), MaxConnections: s.integer("max_connections"),
	}
}

// mode reads permissions: octal, in quotes, nothing for others to write.
func (s *section) mode(name string) fs.FileMode {
	t := s.text(name, func(t string) string {
		n, err := strconv.ParseUint(t, 8, 32)
		switch {
		case err != nil || n > 0o777 || len(t) < 3:
			return `want an octal string from "0600" to "0775", such as "0660"`
		case n&0o002 != 0:
			return fmt.Sprintf("writable for everybody, which the control socket must not be; want \"%04o\", "+
				"and readers_any = true to let everybody read", n&^0o007)
		case n&0o600 != 0o600:
			return fmt.Sprintf(`the owner could not use the socket: want "%04o"`, n|0o600)
		}
		return ""
	})
	n, _ := strconv.ParseUint(t, 8, 32)
	return fs.FileMode(n)
}

// table returns a top-level table, empty if it is not there or not a table.
func (r *reader) table(tree map[string]any, name string) *section {
	s := &section{reader: r, path: name, table: name}
	switch v := tree[name].(type) {
	case nil:
	case map[string]any:
		s.m = v
		r.unknownKeys(s)
	case []map[string]any:
		r.failf(name, "found an array of tables, want one table: write [%s] with single brackets, once", name)
	default:
		r.failf(name, "found %s, want a table: write [%s] and its keys below", describe(v), name)
	}
	return s
}

func (r *reader) unknownTables(tree map[string]any) {
	known := []string{"box", "dataplane", "port", "edge", "gateway_group", "lldp", "probe", "fabric", "balancer",
		"control", "metrics", "alarm", "log"}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if slices.Contains(known, name) {
			continue
		}
		path := join("", name)
		_, isTable := tree[name].(map[string]any)
		_, isArray := tree[name].([]map[string]any)
		if hint := r.elsewhere(name); hint != "" && !isTable && !isArray {
			r.failf(path, "unknown key outside of any table: %s", hint)
		} else {
			r.failf(path, "unknown %s%s", map[bool]string{true: "table", false: "key"}[isTable || isArray],
				suggest(name, known, "the tables are "))
		}
	}
}

func (r *reader) unknownKeys(s *section) {
	var known []string
	for _, k := range Keys() {
		if table, name := k.table(); table == s.table {
			known = append(known, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.m)) {
		if slices.Contains(known, name) || slices.Contains(arrays, s.table+"."+name) {
			continue
		}
		if hint := r.elsewhere(name); hint != "" {
			r.failf(s.at(name), "unknown key here: %s", hint)
			continue
		}
		r.failf(s.at(name), "unknown key%s", suggest(name, known, "the keys here are "))
	}
}

// elsewhere names the tables that have a key of this name.
func (r *reader) elsewhere(name string) string {
	var in []string
	for _, k := range Keys() {
		if table, n := k.table(); n == name {
			in = append(in, header(table))
		}
	}
	if in == nil {
		return ""
	}
	return name + " belongs in " + oneOf(in, "")
}

// suggest proposes the nearest known name, or lists all names.
func suggest(name string, known []string, list string) string {
	best, dist := "", 3
	for _, k := range known {
		d := distance(strings.ToLower(strings.ReplaceAll(name, "-", "_")), k)
		if strings.HasPrefix(name, k) {
			d = min(d, 2)
		}
		if d < dist {
			best, dist = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return "; " + list + strings.Join(known, ", ")
}

// distance is the Levenshtein distance of two short strings; long ones are simply far apart.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// The checks of strings: each returns the fault, or "".

// keyTexts takes a key apart that is written "ID:HEX", or as a table with id and key.
func keyTexts(v any) (number, digits string) {
	switch v := v.(type) {
	case string:
		number, digits, _ = strings.Cut(v, ":")
	case map[string]any:
		id, _ := v["id"].(int64)
		digits, _ = v["key"].(string)
		if number = strconv.FormatInt(id, 10); len(v) != 2 {
			return "", ""
		}
	}
	return number, digits
}

// keyring reads an array of keys.
func (s *section) keyring(name string) (out Keyring) {
	k, _, use := s.lookup(name)
	if !use {
		return out
	}
	list := s.list(name)
	for i, v := range list {
		number, digits := keyTexts(v)
		id, err := strconv.ParseUint(number, 10, 8)
		key, bad := hex.DecodeString(digits)
		switch {
		case err != nil || bad != nil || id == 0 || len(key) < 16 || len(key) > 64:
			s.failf(fmt.Sprintf("%s[%d]", s.at(name), i),
				`want an ID from 1 to 255, a colon, and 32 to 128 hexadecimal digits`) // not what was found: a secret
		case slices.ContainsFunc(out.Keys, func(x FabricKey) bool { return x.ID == uint8(id) }):
			s.failf(fmt.Sprintf("%s[%d]", s.at(name), i), "the ID %d is in the list twice: give each key its own", id)
		default:
			out.Keys = append(out.Keys, FabricKey{uint8(id), string(key)})
		}
	}
	if len(list) > k.Max {
		s.failf(s.at(name), "found %d keys, want at most %d", len(list), k.Max)
	}
	return out
}

func checkHexKey(s string) string {
	if b, err := hex.DecodeString(s); err != nil || len(b) != 16 {
		return `want 32 hexadecimal digits such as "000102030405060708090a0b0c0d0e0f"`
	}
	return ""
}

func checkName(s string) string {
	const allowed = "want 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit"
	if s == "" || len(s) > model.MaxName || s[0] == '.' || s[0] == '_' || s[0] == '-' {
		return allowed
	}
	for i := range len(s) {
		if c := s[i]; c != '.' && !bare(s[i:i+1]) {
			return allowed
		}
	}
	return ""
}

// checkInterface follows the kernel's dev_valid_name: at most 15 octets, no '/', ':' or white space.
func checkInterface(s string) string {
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\r\v\f%") ||
		strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "want the name of a network interface, 1 to 15 characters, as `ip link` shows it"
	}
	if s == "lo" {
		return "the loopback interface cannot be a port: want an interface with a cable, or a veth"
	}
	return ""
}

func checkPath(s string) string {
	if !filepath.IsAbs(s) || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' }) {
		return "want an absolute path"
	}
	return ""
}

func checkSocket(s string) string {
	if problem := checkPath(s); problem != "" {
		return problem
	}
	if strings.HasSuffix(s, "/") {
		return "want the path of a socket, not of a directory"
	}
	if len(s) > maxSunPath {
		return fmt.Sprintf("%d octets long: the path of a Unix socket has at most %d", len(s), maxSunPath)
	}
	return ""
}

func checkAccount(s string) string {
	if s != "" && checkName(s) != "" && checkName(strings.TrimPrefix(s, "_")) != "" {
		return "want the name or number of an account on this machine"
	}
	return ""
}

func checkListen(s string) string {
	const allowed = `want ADDRESS:PORT such as "127.0.0.1:9469", ":9469" for all addresses, or "" for none`
	if s == "" {
		return ""
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return allowed
	}
	host, port := s[:i], s[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return allowed
	}
	if host == "" || host == "localhost" {
		return ""
	}
	if _, err := netip.ParseAddrPort(s); err != nil {
		return allowed
	}
	return ""
}
