package conf

import (
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/model"
)

// Change is one difference between two configurations.
type Change struct {
	Key      string // "dataplane.workers", "port.acc0.clamp_mss"; "port.acc0" when a port came or went
	Old, New string // as TOML writes them; empty = not there
	Live     bool   // takes effect without a restart
	Why      string // why it needs a restart; empty when Live
}

// String formats the change as text.
func (ch Change) String() string {
	s := fmt.Sprintf("%s: %s → %s", ch.Key, orNone(ch.Old), orNone(ch.New))
	if !ch.Live {
		s += " (needs a restart: " + ch.Why + ")"
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Diff returns the differences in next, in the order of the documentation. Ports and receivers are identified by name,
// so their order does not matter. A reload applies the changes if all of them are Live, otherwise none.
func (c *Config) Diff(next *Config) []Change {
	keys := Keys()
	a, b := c.values(), next.values()
	if !c.named && !next.named { // the host was renamed: that is no change of the configuration
		a["box.name"] = b["box.name"]
	}
	var out []Change
	add := func(table, instance string) {
		for i := range keys {
			k := &keys[i]
			t, name := k.table()
			if t != table {
				continue
			}
			if o, n := a[instance+"."+name], b[instance+"."+name]; o != n {
				ch := Change{Key: instance + "." + name, Old: o, New: n, Live: k.live(instance, a)}
				if !ch.Live {
					ch.Why = k.Why
				}
				out = append(out, ch)
			}
		}
	}
	for _, table := range []string{"box", "dataplane"} {
		add(table, table)
	}
	for i := range c.Ports {
		instance := "port." + c.Ports[i].Name
		if next.port(c.Ports[i].Name) == nil {
			out = append(out, Change{Key: instance, Old: portText(&c.Ports[i]), Why: whySockets})
			continue
		}
		add("port", instance)
	}
	for i := range next.Ports {
		if c.port(next.Ports[i].Name) == nil {
			out = append(out, Change{Key: "port." + next.Ports[i].Name, New: portText(&next.Ports[i]), Why: whySockets})
		}
	}
	add("edge", "edge")
	c.diffGroups(next, add, func(ch Change) { out = append(out, ch) })
	for _, table := range []string{"lldp", "fabric", "balancer", "control", "metrics", "alarm"} {
		add(table, table)
	}
	for i := range c.Alarm.Webhooks {
		w := &c.Alarm.Webhooks[i]
		instance := "alarm.webhook." + w.Name
		if next.webhook(w.Name) == nil {
			out = append(out, Change{Key: instance, Old: strconv.Quote(w.URL), Live: true})
			continue
		}
		add("alarm.webhook", instance)
	}
	for i := range next.Alarm.Webhooks {
		if w := &next.Alarm.Webhooks[i]; c.webhook(w.Name) == nil {
			out = append(out, Change{Key: "alarm.webhook." + w.Name, New: strconv.Quote(w.URL), Live: true})
		}
	}
	add("log", "log")
	return out
}

// live reports whether a change of the key takes effect on reload. A downlink's number does not: it identifies the
// downlink to the box behind it, and the edge's tables hold the route to it from the start.
func (k *Key) live(instance string, values map[string]string) bool {
	if k.Path == "port.switch_port" && values[instance+".role"] != strconv.Quote(RoleFabric) {
		return false
	}
	return k.Live
}

func portText(p *Port) string { return p.Role + " on " + p.Interface }

func (c *Config) port(name string) *Port {
	for i := range c.Ports {
		if c.Ports[i].Name == name {
			return &c.Ports[i]
		}
	}
	return nil
}

// diffGroups reports the differences of the gateway groups. The order of their members matters.
func (c *Config) diffGroups(next *Config, add func(table, instance string), report func(Change)) {
	for i := range c.Groups {
		g := &c.Groups[i]
		path := "gateway_group." + g.Name
		n := next.Group(g.Name)
		if n == nil {
			report(Change{Key: path, Old: g.text(), Live: true})
			continue
		}
		add("gateway_group", path)
		for j := range g.Members {
			if m := &g.Members[j]; n.Member(m.Name) == nil {
				report(Change{Key: path + ".member." + m.Name, Old: m.text(), Live: true})
			} else {
				add("gateway_group.member", path+".member."+m.Name)
			}
		}
		for j := range n.Members {
			if m := &n.Members[j]; g.Member(m.Name) == nil {
				report(Change{Key: path + ".member." + m.Name, New: m.text(), Live: true})
			}
		}
		if was, is := g.order(n), n.order(g); !slices.Equal(was, is) {
			report(Change{Key: path + ".member", Old: strings.Join(was, ", "), New: strings.Join(is, ", "), Live: true})
		}
	}
	for i := range next.Groups {
		if g := &next.Groups[i]; c.Group(g.Name) == nil {
			report(Change{Key: "gateway_group." + g.Name, New: g.text(), Live: true})
		}
	}
}

// Group returns the gateway group of that name, or nil.
func (c *Config) Group(name string) *Group {
	for i := range c.Groups {
		if c.Groups[i].Name == name {
			return &c.Groups[i]
		}
	}
	return nil
}

// Member returns the member of that name, or nil.
func (g *Group) Member(name string) *Member {
	for i := range g.Members {
		if g.Members[i].Name == name {
			return &g.Members[i]
		}
	}
	return nil
}

// order returns the names of the members that other has too, in their order here.
func (g *Group) order(other *Group) (names []string) {
	for i := range g.Members {
		if other.Member(g.Members[i].Name) != nil {
			names = append(names, g.Members[i].Name)
		}
	}
	return names
}

func (g *Group) text() string { return fmt.Sprintf("%s with %d members", g.MAC, len(g.Members)) }

func (m *Member) text() string { return fmt.Sprintf("%s on %s", m.IP, m.Port) }

func (c *Config) webhook(name string) *Webhook {
	for i := range c.Alarm.Webhooks {
		if c.Alarm.Webhooks[i].Name == name {
			return &c.Alarm.Webhooks[i]
		}
	}
	return nil
}

// values flattens the configuration by the toml tags: "dataplane.workers" → "1", "port.acc0.mtu" → "1500".
func (c *Config) values() map[string]string {
	out := map[string]string{}
	flatten := func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			if f := v.Field(i).Type(); f.Kind() == reflect.Slice && f.Elem().Kind() == reflect.Struct {
				continue // an array of tables
			}
			out[prefix+"."+v.Type().Field(i).Tag.Get("toml")] = valueText(v.Field(i).Interface())
		}
	}
	flatten("box", reflect.ValueOf(c.Box))
	flatten("dataplane", reflect.ValueOf(c.Dataplane))
	for i := range c.Ports {
		flatten("port."+c.Ports[i].Name, reflect.ValueOf(c.Ports[i]))
	}
	if c.Edge != nil {
		flatten("edge", reflect.ValueOf(*c.Edge))
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		flatten("gateway_group."+g.Name, reflect.ValueOf(*g))
		for j := range g.Members {
			flatten("gateway_group."+g.Name+".member."+g.Members[j].Name, reflect.ValueOf(g.Members[j]))
		}
	}
	flatten("lldp", reflect.ValueOf(c.LLDP))
	flatten("fabric", reflect.ValueOf(c.Fabric))
	flatten("balancer", reflect.ValueOf(c.Balancer))
	flatten("control", reflect.ValueOf(c.Control))
	flatten("metrics", reflect.ValueOf(c.Metrics))
	flatten("alarm", reflect.ValueOf(c.Alarm))
	for i := range c.Alarm.Webhooks {
		flatten("alarm.webhook."+c.Alarm.Webhooks[i].Name, reflect.ValueOf(c.Alarm.Webhooks[i]))
	}
	flatten("log", reflect.ValueOf(c.Log))
	return out
}

// valueText writes a value as TOML does.
func valueText(v any) string {
	switch v := v.(type) {
	case fs.FileMode:
		return fmt.Sprintf(`"%04o"`, uint32(v))
	case []uint16:
		return vlanText(v)
	case []int:
		return strings.ReplaceAll(fmt.Sprint(v), " ", ", ")
	case time.Duration:
		return strconv.Quote(timeText(v))
	case model.MAC:
		if v == 0 {
			return ""
		}
		return strconv.Quote(v.String())
	case Keyring:
		return v.text()
	case SwitchMACs:
		return v.text()
	case PortNumbers:
		return v.text()
	case LLDPRules:
		return v.text()
	case HexKey:
		return v.text()
	case Sources:
		return v.text()
	case netip.Addr:
		if !v.IsValid() {
			return ""
		}
		return strconv.Quote(v.String())
	case fmt.Stringer:
		return strconv.Quote(v.String())
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.String {
		return strconv.Quote(rv.String())
	}
	return fmt.Sprint(v)
}

// vlanText writes ascending VLAN IDs with their ranges: [101, "110-119"].
func vlanText(ids []uint16) string {
	var parts []string
	for first, last := range model.VLANRuns(ids) {
		if first == last {
			parts = append(parts, strconv.Itoa(int(first)))
		} else {
			parts = append(parts, fmt.Sprintf(`"%d-%d"`, first, last))
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
