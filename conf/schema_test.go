package conf

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of keys in README.md")

// keyTable is the table of keys in README.md.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | value | default | reload | |\n|---|---|---|---|---|\n")
	for _, k := range Keys() {
		def := k.Note
		switch d := k.Default.(type) {
		case nil:
		case string:
			if def == "" {
				def = fmt.Sprintf("`%q`", d)
			}
		default:
			def = fmt.Sprintf("`%v`", d)
		}
		if k.Need {
			def = "required"
		}
		live := "yes"
		if !k.Live {
			live = "restart"
		}
		doc := k.Doc
		if k.Roles != nil {
			doc = "(" + strings.Join(k.Roles, ", ") + ") " + doc
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, k.want(), def, live, doc)
	}
	return b.String()
}

// TestReadmeTable holds the documentation of the keys to the schema. `go test ./conf -run Readme -update` rewrites it.
func TestReadmeTable(t *testing.T) {
	const begin, end = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	table, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has no %s … %s", begin, end)
	}
	if table == keyTable() {
		return
	}
	if !*update {
		t.Fatal("the table of keys in README.md is not that of the schema: go test ./conf -run Readme -update")
	}
	if err := os.WriteFile("README.md", []byte(head+begin+keyTable()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSchemaAndTypes: every key of the schema is a field with that tag, every field is a key, and no key lacks what
// its messages need.
func TestSchemaAndTypes(t *testing.T) {
	fields := map[string]bool{}
	for table, v := range map[string]any{"box": Box{}, "dataplane": Dataplane{}, "port": Port{}, "edge": Edge{},
		"balancer": Balancer{}, "lldp": LLDP{}, "probe": Probe{},
		"fabric": Fabric{}, "control": Control{}, "metrics": Metrics{},
		"alarm":                Alarm{},
		"gateway_group":        Group{},
		"gateway_group.member": Member{}, "alarm.webhook": Webhook{}, "log": Log{}} {
		for f := range reflect.TypeOf(v).Fields() {
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
				continue // an array of tables
			}
			fields[table+"."+f.Tag.Get("toml")] = true
		}
	}
	for _, k := range Keys() {
		if !fields[k.Path] {
			t.Errorf("%s is a key twice, or no field of Config", k.Path)
		}
		delete(fields, k.Path)
		if k.Doc == "" || k.Live == (k.Why != "") && k.Path != "port.switch_port" {
			t.Errorf("%s: Doc = %q, Live = %v, Why = %q: want a Doc, and a Why exactly when not Live", k.Path, k.Doc,
				k.Live, k.Why)
		}
		if !k.Need && k.Default == nil && k.Note == "" {
			t.Errorf("%s: neither needed, nor has it a default", k.Path)
		}
	}
	for f := range fields {
		t.Errorf("field %s is not a key", f)
	}
}

// TestExamplesSayTheDefaults uncomments the defaults in the examples: they must be those of the schema, and the
// examples must have all keys of their kind of box.
func TestExamplesSayTheDefaults(t *testing.T) {
	byExample := []string{"dataplane.cpus", "port.acc0.mtu", "alarm.webhook.noc.token_file",
		"alarm.webhook.noc.secret_file", "alarm.webhook.noc.ca_file", "balancer.key", "fabric.keys",
		"fabric.control_vlan",
		"lldp.switch_macs", "lldp.ports", "lldp.rules",
		// there is no default value to write
		"gateway_group.out.member.isp1.mac", "gateway_group.out.member.isp1.address6",
		"gateway_group.out.member.isp1.sources"}
	texts := map[string]string{}
	for _, name := range []string{"penstock.toml", "gateway.toml"} {
		text, err := os.ReadFile("example/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
		plain := mustParse(t, string(text))
		var b strings.Builder
		for line := range strings.Lines(string(text)) {
			rest, ok := strings.CutPrefix(line, "# ")
			if word, _, isKey := strings.Cut(rest, " = "); ok && isKey && bare(word) {
				line = rest
			}
			b.WriteString(line)
		}
		full := mustParse(t, b.String())
		for _, ch := range plain.Diff(full) {
			if !slices.Contains(byExample, ch.Key) {
				t.Errorf("%s: the comment differs from the default: %v", name, ch)
			}
		}
	}
	for _, k := range Keys() {
		table, name := k.table()
		roles := k.Roles == nil || strings.Contains(strings.Join(k.Roles, " "), RoleAccess) ||
			strings.Contains(strings.Join(k.Roles, " "), RoleFabric)
		text := texts["penstock.toml"]
		if strings.HasPrefix(table, "gateway_group") {
			text = texts["gateway.toml"]
		}
		if table != "edge" && roles && !strings.Contains(text, name+" = ") {
			t.Errorf("the examples do not mention %s", k.Path)
		}
	}
}
