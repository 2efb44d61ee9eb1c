package penstock_test

import (
	"go/ast"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"penstock/conf"
	"penstock/ctrl/alarm"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/dataplane/drop"
)

// names are what texts for operators may name: keys of the configuration, members of objects in the API, reasons of
// drops, kinds of alarms.
type names struct {
	paths  map[string]bool // "dataplane.ring_size"
	tables map[string]bool // "dataplane"
	words  map[string]bool // "ring_size"
}

func knownNames() names {
	n := names{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, k := range conf.Keys() {
		n.paths[k.Path] = true
		parts := strings.Split(k.Path, ".")
		n.words[parts[len(parts)-1]] = true
		for i := 1; i < len(parts); i++ {
			n.tables[parts[i-1]], n.words[parts[i-1]] = true, true
			n.paths[strings.Join(parts[i:], ".")] = true // member.mac of gateway_group.member.mac
			n.paths[strings.Join(parts[:i], ".")] = true
		}
	}
	for r := range drop.Count {
		n.words[r.String()] = true
	}
	for _, k := range alarm.Kinds() {
		n.words[string(k.Kind)] = true
	}
	for _, w := range foreignNames {
		n.words[w] = true
	}
	for _, kind := range model.Kinds {
		n.members(reflect.TypeOf(kind.Info().Example))
	}
	for _, v := range []any{
		status.Box{}, status.Port{}, status.Kernel{}, status.Worker{}, status.GatewayGroup{}, status.Neighbor{},
		alarm.Notice{}, core.Result{},
	} {
		n.members(reflect.TypeOf(v))
	}
	return n
}

// members adds the JSON names of a type's fields.
func (n *names) members(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			n.words[name] = true
			n.members(t.Field(i).Type)
		}
	}
}

// foreignNames are names of the kernel, of other programs and of queries of the API, which texts may call as well.
var foreignNames = []string{
	"arp_announce", "arp_ignore",
	"connect_timeout", "delay_loop", "lvs_method", "lvs_sched", "notify_up", "persistence_engine", // keepalived's
	"persistence_granularity", "persistence_timeout", "quorum_up", "real_server", "sorry_server", "virtual_server",
	"virtual_server_group", "vrrp_instance", "connect_ip", "connect_port", "inhibit_on_failure", "require_reply",
	"status_code",
	"bpf_link", "dry_run", "expect_active", "go_version", "not_durable", "outcome_unknown", "perf_event_open",
	"rp_filter", "rule_files", "rx_errors", "rx_missed_errors", "sched_getaffinity",
	"sd_notify", "tx_dropped", "tx_errors", "use_vmac", "virtio_net",
}

var (
	dottedName = regexp.MustCompile(`(?:^|[^\w./-])([a-z][a-z_]*(?:\.[a-z][a-z0-9_]*)+)(?:[^\w/(-]|$)`)
	snakeName  = regexp.MustCompile(`(?:^|[^\w./{$-])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?:[^\w./(-]|$)`)
	inTheFile  = regexp.MustCompile("([a-z0-9_]+)`? in the configuration( file)?\\b")
	fileName   = regexp.MustCompile(`\.(go|md|toml|json|db|yml|sock|service|socket)$`)
)

// strangers returns the names in a text for operators that nothing has.
func (n *names) strangers(text string) (out []string) {
	for _, m := range dottedName.FindAllStringSubmatch(text, -1) {
		if table, _, _ := strings.Cut(m[1], "."); n.tables[table] && !n.paths[m[1]] && !fileName.MatchString(m[1]) {
			out = append(out, m[1])
		}
	}
	for _, m := range snakeName.FindAllStringSubmatch(text, -1) {
		if !n.words[m[1]] && !strings.HasPrefix(m[1], "penstock_") { // metrics have a test of their own
			out = append(out, m[1])
		}
	}
	for _, m := range inTheFile.FindAllStringSubmatch(text, -1) {
		if m[2] == "" && !n.words[m[1]] && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

const notAName = "no key and no member of the API (of something else: add it to foreignNames)"

// TestNamesInTexts: every key of the configuration that a help text, an error, a drop reason, an alarm, an alert rule
// or the documentation names is in the schema. Every other name that looks like a key is a member of the API.
func TestNamesInTexts(t *testing.T) {
	n := knownNames()
	for _, f := range goFiles(t) {
		if f.test || !within(f.dir, "appliance", "conf", "ctrl", "dataplane") {
			continue
		}
		ast.Inspect(f.ast, func(x ast.Node) bool {
			lit, ok := x.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !strings.Contains(text, " ") { // one word is an identifier, not a text
				return true
			}
			for _, s := range n.strangers(text) {
				t.Errorf("%s: %q is %s: %q", f.path, s, notAName, text)
			}
			return true
		})
	}
	textFiles(t, func(name string, text []byte) {
		if within(name, "perf") { // traffic profiles have keys of their own
			return
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, s := range n.strangers(line) {
				t.Errorf("%s:%d: %q is %s", name, i+1, s, notAName)
			}
		}
	}, ".md", ".yml")
}

// TestStrangers: what TestNamesInTexts is there to find, it finds.
func TestStrangers(t *testing.T) {
	n := knownNames()
	for text, want := range map[string]string{
		"the port's rate; tx_ring in the configuration":   "tx_ring",
		"The port is too slow, or tx_ring too small.":     "tx_ring",
		"Raise dataplane.frams and restart":               "dataplane.frams",
		"set `member.macs` to lock it":                    "member.macs",
		"more buffs in the configuration":                 "buffs",
		"ring_size in the configuration; frames as well":  "",
		"Raise dataplane.frames, or alarm.webhook.spool":  "alarm.webhook.spool",
		"Raise alarm.spool; `penstock_frames` tells more": "",
		"see conf/README.md and dataplane/port.go":        "",
	} {
		if got := strings.Join(n.strangers(text), " "); got != want {
			t.Errorf("%q: strangers %q, want %q", text, got, want)
		}
	}
}
