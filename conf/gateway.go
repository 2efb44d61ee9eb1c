package conf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/model"
)

// Limits of gateway groups.
const (
	maxMembers = 16  // of one group
	maxGroups  = 255 //
	maxGates   = 1000
	maxSources = 16 // MACs of one member
)

// Group is a gateway group.
type Group struct {
	Name             string        `toml:"name"`
	MAC              model.MAC     `toml:"mac"`
	IP               netip.Addr    `toml:"ip"`     // zero = none
	IP6              netip.Addr    `toml:"ip6"`    // zero = none
	Public           bool          `toml:"public"` // at most one
	ProbeInterval    time.Duration `toml:"probe_interval"`
	Misses           int           `toml:"misses"`
	Answers          int           `toml:"answers"`
	DataLiveness     bool          `toml:"data_liveness"`
	DataMax          int           `toml:"data_max"` // 0 = no limit
	Preempt          bool          `toml:"preempt"`
	PreemptDelay     time.Duration `toml:"preempt_delay"`
	FlapCount        int           `toml:"flap_count"` // 0 = no damping
	FlapWindow       time.Duration `toml:"flap_window"`
	HoldMin          time.Duration `toml:"hold_min"`
	HoldMax          time.Duration `toml:"hold_max"`
	AnnounceRate     int           `toml:"announce_rate"`     // per second
	AnnounceInterval time.Duration `toml:"announce_interval"` // 0 = after a switch only
	Members          []Member      `toml:"member"`            // 1 to 16, the preferred one first
}

// Member is a gateway of a group.
type Member struct {
	Name     string       `toml:"name"`
	Port     string       `toml:"port"` // with role uplink
	VLAN     int          `toml:"vlan"` // 0 = untagged
	IP       netip.Addr   `toml:"ip"`
	Address  netip.Prefix `toml:"address"`  // of the box; IP is another station of the same network
	Address6 netip.Addr   `toml:"address6"` // of the box; zero = none
	MAC      model.MAC    `toml:"mac"`      // 0 = resolved by ARP
	Sources  Sources      `toml:"sources"`
}

// Sources are the stations from which frames are accepted on a member's port and VLAN.
type Sources struct {
	Locked bool        // the gateway's own MAC and MACs alone; otherwise any station
	MACs   []model.MAC // of the gateway besides the one of its ARP answers
}

// SourcesGateway is the value for the gateway's own MAC.
const SourcesGateway = "gateway"

// Words lists the stations; nil = any.
func (s *Sources) Words() []string {
	if !s.Locked {
		return nil
	}
	out := []string{SourcesGateway}
	for _, m := range s.MACs {
		out = append(out, m.String())
	}
	return out
}

// text writes the stations as TOML does, "" for any.
func (s *Sources) text() string {
	switch {
	case !s.Locked:
		return ""
	case len(s.MACs) == 0:
		return strconv.Quote(SourcesGateway)
	}
	texts := make([]string, len(s.MACs))
	for i, m := range s.MACs {
		texts[i] = strconv.Quote(m.String())
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func (r *reader) groups(tree map[string]any) []Group {
	sections := r.tables(tree, "gateway_group", "gateway_group")
	groups := make([]Group, len(sections))
	for i, s := range sections {
		if s == nil {
			continue
		}
		groups[i] = Group{
			Name: s.text("name", checkName), MAC: s.mac("mac"), IP: s.address("ip"), IP6: s.address("ip6"),
			Public:        s.boolean("public"),
			ProbeInterval: s.duration("probe_interval"), Misses: s.integer("misses"), Answers: s.integer("answers"),
			DataLiveness: s.boolean("data_liveness"), DataMax: s.integer("data_max"),
			Preempt: s.boolean("preempt"), PreemptDelay: s.duration("preempt_delay"),
			FlapCount: s.integer("flap_count"), FlapWindow: s.duration("flap_window"), HoldMin: s.duration("hold_min"),
			HoldMax:      s.duration("hold_max"),
			AnnounceRate: s.integer("announce_rate"), AnnounceInterval: s.duration("announce_interval"),
			Members: r.members(s),
		}
	}
	return groups
}

func (r *reader) members(g *section) []Member {
	sections := r.tables(g.m, g.path+".member", "gateway_group.member")
	members := make([]Member, len(sections))
	for i, s := range sections {
		if s == nil {
			continue
		}
		members[i] = Member{
			Name: s.text("name", checkName), Port: s.text("port", checkName), VLAN: s.integer("vlan"),
			IP: s.address("ip"), Address: s.prefix("address"), Address6: s.address("address6"), MAC: s.mac("mac"),
			Sources: s.sources("sources"),
		}
	}
	return members
}

// validateGroups checks groups against each other, members against each other and both against the ports.
func (r *reader) validateGroups(c *Config) {
	v := groupCheck{reader: r, c: c, names: map[string]int{}, macs: map[model.MAC]int{}, own: map[gate]string{},
		public: -1}
	v.listOwn()
	members := 0
	for i := range c.Groups {
		v.group(i)
		members += len(c.Groups[i].Members)
	}
	if len(c.Groups) > maxGroups {
		r.failf("gateway_group", "found %d groups, want at most %d", len(c.Groups), maxGroups)
	}
	if members > maxGates {
		r.failf("gateway_group", "found %d members in all groups, want at most %d", members, maxGates)
	}
}

// gate is the location of a station (a gateway or the box itself): port, VLAN and address.
type gate struct {
	port string
	vlan int
	ip   netip.Addr
}

type fixedMAC struct {
	port string
	vlan int
	mac  model.MAC
}

type groupCheck struct {
	*reader
	c     *Config
	names map[string]int
	macs  map[model.MAC]int
	own   map[gate]string // key path of the first address of the box's there

	public int // index of the public group, or -1
}

// seen holds the values that no two members of a group may share, with the key path of the first member that has each.
// Groups may share gateways.
type seen struct {
	names map[string]string
	gates map[gate]string
	fixed map[fixedMAC]string
}

// listOwn notes the box's addresses on every network: those of members, and those of the groups that have a member
// there, since the box answers for these by any port of the group.
func (v *groupCheck) listOwn() {
	note := func(m *Member, ip netip.Addr, path string) {
		k := gate{m.Port, m.VLAN, ip}
		if v.there(path) && v.own[k] == "" {
			v.own[k] = path
		}
	}
	for i := range v.c.Groups {
		g := &v.c.Groups[i]
		group := fmt.Sprintf("gateway_group[%d]", i)
		for j := range g.Members {
			m := &g.Members[j]
			note(m, m.Address.Addr(), fmt.Sprintf("%s.member[%d].address", group, j))
			note(m, g.IP, group+".ip")
		}
	}
}

// there reports whether a key is present and its value is valid.
func (v *groupCheck) there(path string) bool { return v.ok(path) && v.idx.lines[path] > 0 }

func (v *groupCheck) group(i int) {
	g := &v.c.Groups[i]
	path := fmt.Sprintf("gateway_group[%d]", i)
	at := func(name string) string { return path + "." + name }
	if v.there(at("name")) {
		if first, dup := v.names[g.Name]; dup {
			v.failf(at("name"), "%q is the name of the group on line %d already: every group has its own", g.Name,
				v.idx.line(fmt.Sprintf("gateway_group[%d].name", first)))
		} else {
			v.names[g.Name] = i
		}
	}
	if v.there(at("mac")) {
		if first, dup := v.macs[g.MAC]; dup {
			v.failf(at("mac"), "%s is the virtual MAC of the group on line %d already: every group has its own", g.MAC,
				v.idx.line(fmt.Sprintf("gateway_group[%d].mac", first)))
		} else if v.c.Edge != nil && g.MAC == v.c.Edge.MAC {
			v.failf(at("mac"), "%s is the edge switch's MAC (edge.mac): want another", g.MAC)
		} else {
			v.macs[g.MAC] = i
		}
	}
	if v.ok(at("public")) && g.Public {
		if v.public >= 0 {
			v.failf(at("public"), "the group on line %d is public already: want one public group at most",
				v.idx.line(fmt.Sprintf("gateway_group[%d]", v.public)))
		} else {
			v.public = i
		}
	}
	if v.ok(at("hold_min"), at("hold_max")) && g.HoldMin > g.HoldMax {
		v.failf(at("hold_max"), "found %s, less than hold_min (%s): want at least that", timeText(g.HoldMax),
			timeText(g.HoldMin))
	}
	if n := len(g.Members); v.ok(at("member")) && !v.partial && n == 0 {
		v.failf(path, "the group has no member: write [[gateway_group.member]] below it, with name, port, ip and "+
			"address, for every gateway")
	} else if n > maxMembers {
		v.failf(at("member"), "found %d members, want at most %d", n, maxMembers)
	}
	first := seen{map[string]string{}, map[gate]string{}, map[fixedMAC]string{}}
	for j := range g.Members {
		v.member(g, fmt.Sprintf("%s.member[%d]", path, j), &g.Members[j], &first)
	}
}

func (v *groupCheck) member(g *Group, path string, m *Member, seen *seen) {
	at := func(name string) string { return path + "." + name }
	if v.there(at("name")) {
		if first, dup := seen.names[m.Name]; dup {
			v.failf(at("name"), "%q is the name of the member on line %d already: every member of a group has its own",
				m.Name, v.idx.line(first))
		} else {
			seen.names[m.Name] = at("name")
		}
	}
	if v.there(at("port")) && !v.partial {
		v.port(at("port"), m.Port)
	}
	if v.there(at("ip")) && v.there(at("address")) {
		switch own := m.Address.Addr(); {
		case m.IP == own:
			v.failf(at("ip"), "%s is the box's own address here: want that of the gateway", m.IP)
		case !m.Address.Contains(m.IP):
			v.failf(at("ip"), "%s is not in the network of the box's address, %s: probes would not reach it; want a "+
				"gateway in %s, or another address", m.IP, m.Address, m.Address.Masked())
		case !host(m.Address, m.IP):
			v.failf(at("ip"), "%s is the network's own or broadcast address in %s: want the gateway's", m.IP,
				m.Address.Masked())
		}
	}
	if v.there(at("ip")) && v.there(at("port")) && v.ok(at("vlan")) {
		k := gate{m.Port, m.VLAN, m.IP}
		if first, dup := seen.gates[k]; dup {
			v.failf(at("ip"),
				"%s on port %s is the member on line %d already: a switch between them would change nothing", m.IP,
				m.Port, v.idx.line(first))
		} else {
			seen.gates[k] = at("ip")
		}
		if own := v.own[k]; own != "" && m.IP != m.Address.Addr() { // otherwise it is reported already
			v.failf(at("ip"), "%s is the box's own address on port %s, by line %d: want that of the gateway", m.IP,
				m.Port, v.idx.line(own))
		}
	}
	for i, mac := range m.Sources.MACs {
		if mac == g.MAC {
			v.failf(fmt.Sprintf("%s[%d]", at("sources"), i),
				"%s is the group's virtual MAC, from which no frame is ever accepted: want MACs of the gateway", mac)
		}
	}
	if !v.there(at("mac")) {
		return
	}
	switch k := (fixedMAC{m.Port, m.VLAN, m.MAC}); {
	case m.MAC == g.MAC:
		v.failf(at("mac"), "%s is the group's virtual MAC: want the gateway's", m.MAC)
	case seen.fixed[k] != "":
		v.failf(at("mac"), "%s on port %s is the MAC of the member on line %d already: they are one gateway", m.MAC,
			m.Port, v.idx.line(seen.fixed[k]))
	default:
		seen.fixed[k] = at("mac")
	}
}

// port checks that a member's port exists and is an uplink.
func (v *groupCheck) port(path, name string) {
	var uplinks []string
	for i := range v.c.Ports {
		p := &v.c.Ports[i]
		if p.Role == RoleUplink && p.Name != "" {
			uplinks = append(uplinks, p.Name)
		}
		if p.Name != name {
			continue
		}
		if p.Role != "" && p.Role != RoleUplink {
			v.failf(path, "port %s has the role %s: want a port with role uplink", name, p.Role)
		}
		return
	}
	if len(uplinks) == 0 {
		v.failf(path, "there is no port %s: add a [[port]] of that name with role uplink", name)
		return
	}
	v.failf(path, "there is no port %s: want %s", name, oneOf(uplinks, ""))
}
