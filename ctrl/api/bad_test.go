package api_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestBadInput: every kind of wrong input is refused with its code, field and remedy, and changes nothing.
func TestBadInput(t *testing.T) {
	w := newWorld(t, nil)
	w.must("POST", "/v1/transactions", base)
	before := w.must("GET", "/v1/revision", "")
	tx := func(ops string) string { return `{"operations":[` + ops + `]}` }
	vif := func(s string) string {
		return `{"segment":"web","mac":"02:00:00:00:00:77","port":"acc0"` + s + `}`
	}
	binding := func(s string) string { return `{"switch_mac":"02:aa:00:00:00:01","switch_port":3` + s + `}` }
	line := func(s string) string {
		return `{"tenant":"RED","segment":"web","mac":"02:00:00:00:02:01",` +
			`"switch_mac":"02:aa:00:00:00:01","switch_port":3` + s + "}\n"
	}
	many := func(n int, f func(int) string) string {
		var s []string
		for i := range n {
			s = append(s, f(i))
		}
		return strings.Join(s, ",")
	}
	const vifs = "/v1/vifs/RED/new"
	cases := []struct {
		name, method, url, body string
		status                  int
		code, field, text       string // text: fragment of message and hint
	}{
		// The text itself.
		{"empty body", "PUT", "/v1/tenants/X", ``, 400, "syntax", "", "empty"},
		{"not JSON", "PUT", "/v1/tenants/X", `id=7`, 400, "syntax", "", "line 1, column 1"},
		{"cut off", "PUT", "/v1/tenants/X", `{"id":7`, 400, "truncated", "", "the text ends"},
		{"cut off in a string", "PUT", "/v1/tenants/X", `{"id`, 400, "truncated", "", "inside a string"},
		{"cut off behind a name", "PUT", "/v1/tenants/X", `{"id":`, 400, "truncated", "", ""},
		{"trailing garbage", "PUT", "/v1/tenants/X", `{"id":9} {}`, 400, "trailing", "", "line 1, column 10"},
		{"two values", "POST", "/v1/transactions", `{"operations":[]}{"operations":[]}`,
			400, "trailing", "", "follows the end"},
		{"duplicate member", "PUT", "/v1/tenants/X", "{\"id\":9,\n\"id\":10}",
			400, "duplicate_key", "", "line 2, column 1"},
		{"duplicate member, escaped", "PUT", "/v1/tenants/X", `{"id":9,"\u0069d":10}`,
			400, "duplicate_key", "", "twice"},
		{"bad number", "PUT", "/v1/tenants/X", `{"id":012}`, 400, "syntax", "", "not a JSON number"},
		{"bad word", "PUT", "/v1/tenants/X", `{"id":nil}`, 400, "syntax", "", "where a JSON value is expected"},
		{"single quotes", "PUT", "/v1/tenants/X", `{'id':9}`, 400, "syntax", "", "double quotes"},
		{"trailing comma", "PUT", "/v1/tenants/X", `{"id":9,}`, 400, "syntax", "", "double quotes"},
		{"control character", "PUT", "/v1/tenants/X", "{\"name\":\"a\tb\"}", 400, "syntax", "", "control character"},
		{"not UTF-8", "PUT", "/v1/tenants/X", "{\"name\":\"\xff\"}", 400, "syntax", "", "UTF-8"},
		{"wrong escape", "PUT", "/v1/tenants/X", `{"name":"\x"}`, 400, "syntax", "", "escape"},
		{"nested too deep", "PUT", "/v1/tenants/X", strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50),
			400, "depth", "", "nest deeper"},
		{"compressed", "PUT", "/v1/tenants/X?gz", `x`, 415, "unsupported", "", "uncompressed"},
		// Form.
		{"a list", "PUT", "/v1/tenants/X", `[]`, 422, "type", "", "a list where an object"},
		{"null", "PUT", "/v1/tenants/X", `null`, 422, "type", "", "null where an object"},
		{"unknown member", "PUT", "/v1/tenants/X", `{"id":9,"color":"red"}`,
			422, "unknown_field", "color", "allowed here: name, id, router_mac, labels, gateway, gateway_addresses"},
		{"mistyped member", "PUT", "/v1/tenants/X", `{"idd":9}`, 422, "unknown_field", "idd", `did you mean "id"`},
		{"string for a number", "PUT", "/v1/tenants/X", `{"id":"9"}`, 422, "type", "id", "without quotes"},
		{"fraction", "PUT", "/v1/tenants/X", `{"id":9.5}`, 422, "range", "id", "not a whole number"},
		{"negative", "PUT", "/v1/tenants/X", `{"id":-1}`, 422, "range", "id", "from 0 to"},
		{"too large for its type", "PUT", "/v1/tenants/X", `{"id":4294967296}`, 422, "range", "id", "4294967295"},
		{"null for a number", "PUT", "/v1/tenants/X", `{"id":null}`, 422, "type", "id", "leave the member out"},
		{"number for a string", "PUT", "/v1/segments/RED/x", `{"id":3,"unknown_unicast":1}`,
			422, "type", "unknown_unicast", "a string is expected"},
		{"object for a list", "PUT", vifs, vif(`,"addresses":{}`), 422, "type", "addresses", "a list is expected"},
		{"number in a list of addresses", "PUT", vifs, vif(`,"addresses":["10.1.0.7",5]`),
			422, "type", "addresses[1]", "an IP address"},
		{"no IP address", "PUT", vifs, vif(`,"addresses":["10.1.0.300"]`),
			422, "invalid", "addresses[0]", "10.1.0.300"},
		{"labels with a number", "PUT", "/v1/tenants/X", `{"id":9,"labels":{"a":1}}`,
			422, "type", "labels.a", "a string"},
		{"no MAC address", "PUT", vifs, `{"segment":"web","mac":"02-00","port":"acc0"}`,
			422, "invalid", "mac", "02:00:00:00:00:01"},
		{"key says otherwise", "PUT", "/v1/segments/RED/x", `{"name":"y","id":3}`,
			422, "conflict", "name", `the key says \"x\"`},
		{"nested unknown member", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03",
			`{"vlans":[{"vid":1},{"vlan":2}]}`,
			422, "unknown_field", "vlans[1].vlan", "allowed here: vid, weight"},
		// URLs.
		{"no such URL", "GET", "/v1/nothing", ``, 404, "not_found", "", "openapi.json"},
		{"no such method", "POST", "/v1/tenants", `{}`, 405, "method_not_allowed", "", "allowed: GET"},
		{"bad name", "PUT", "/v1/tenants/a%20b", `{"id":9}`, 422, "invalid", "key", "1 to 63 letters"},
		{"long name", "PUT", "/v1/tenants/" + strings.Repeat("x", 64), `{"id":9}`,
			422, "invalid", "key", "1 to 63 letters"},
		{"bad MAC in the URL", "PUT", "/v1/bindings/RED/web/zz", binding(""),
			422, "invalid", "key", "not a MAC address"},
		{"unknown parameter", "GET", "/v1/tenants?colour=red", ``,
			400, "unknown_field", "colour", "allowed: limit, after, status"},
		{"parameter twice", "GET", "/v1/tenants?limit=1&limit=2", ``, 400, "duplicate", "limit", "once"},
		{"limit of 0", "GET", "/v1/tenants?limit=0", ``, 400, "invalid", "limit", "1 to 10000"},
		{"limit of a word", "GET", "/v1/tenants?limit=all", ``, 400, "invalid", "limit", "1 to 10000"},
		{"bad after", "GET", "/v1/segments?after=RED", ``, 400, "invalid", "after", "TENANT/NAME"},
		{"bad switch filter", "GET", "/v1/bindings?switch=1", ``, 400, "invalid", "switch", "MAC"},
		{"segment without tenant", "GET", "/v1/bindings?segment=web", ``,
			400, "invalid", "segment", "name the tenant too"},
		{"bad dry run", "PUT", "/v1/tenants/X?dry_run=maybe", `{"id":9}`, 400, "invalid", "dry_run", "true, false"},
		{"bad mode", "POST", "/v1/bulk/bindings?mode=append", ``, 422, "invalid", "mode", "merge, replace"},
		{"bad type", "GET", "/v1/events?type=port,foo", ``, 400, "invalid", "type", "started, reload"},
		{"empty type", "GET", "/v1/events?type=port,", ``, 400, "invalid", "type", "started, reload"},
		{"bad since", "GET", "/v1/events?since=yesterday", ``, 400, "invalid", "since", "seq"},
		{"no such object", "GET", "/v1/tenants/NONE", ``, 404, "not_found", "", "there is no tenant NONE"},
		{"no such statistics", "GET", "/v1/stats/weather", ``, 404, "not_found", "", "workers"},
		{"delete all by accident", "DELETE", "/v1/bindings", ``, 400, "required", "tenant", "mode=replace"},
		{"delete with an empty segment", "DELETE", "/v1/bindings?tenant=RED&segment=", ``,
			400, "required", "segment", "leave it out"},
		{"delete with an empty tenant", "DELETE", "/v1/bindings?tenant=&switch=02:aa:00:00:00:01", ``,
			400, "required", "tenant", "leave it out"},
		// Tenants.
		{"no ID", "PUT", "/v1/tenants/X", `{}`, 422, "required", "id", "2 to 65534"},
		{"ID 0", "PUT", "/v1/tenants/X", `{"id":0}`, 422, "required", "id", "reserved"},
		{"ID 1", "PUT", "/v1/tenants/X", `{"id":1}`, 422, "reserved", "id", "the box itself"},
		{"ID too large", "PUT", "/v1/tenants/X", `{"id":65535}`, 422, "invalid", "id", `scheme \"p.t\"`},
		{"ID taken", "PUT", "/v1/tenants/X", `{"id":7}`, 422, "duplicate", "id", "belongs to tenant RED"},
		{"router MAC is multicast", "PUT", "/v1/tenants/X", `{"id":9,"router_mac":"01:00:5e:00:00:01"}`,
			422, "invalid", "router_mac", "multicast"},
		{"too many labels", "PUT", "/v1/tenants/X",
			`{"id":9,"labels":{` + many(33, func(i int) string { return fmt.Sprintf(`"l%d":""`, i) }) + `}}`,
			422, "limit", "labels", "32"},
		// Segments.
		{"segment of no tenant", "PUT", "/v1/segments/NONE/web", `{"id":1}`,
			422, "not_found", "tenant", "create the tenant first"},
		{"segment ID taken", "PUT", "/v1/segments/RED/x", `{"id":1}`, 422, "duplicate", "id", "RED/web"},
		{"segment ID 0", "PUT", "/v1/segments/RED/x", `{}`, 422, "required", "id", "1 to 65535"},
		{"segment ID too large", "PUT", "/v1/segments/RED/x", `{"id":65536}`, 422, "invalid", "id", "1 to 65535"},
		{"no such treatment", "PUT", "/v1/segments/RED/x", `{"id":3,"unknown_unicast":"maybe"}`,
			422, "invalid", "unknown_unicast", "drop, flood"},
		// Subnets.
		{"no prefix", "PUT", "/v1/subnets/RED/x", `{"segment":"web"}`, 422, "required", "prefix", "10.1.0.0/24"},
		{"no prefix length", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"10.2.0.0"}`,
			422, "invalid", "prefix", "10.1.0.0/24"},
		{"no segment", "PUT", "/v1/subnets/RED/x", `{"prefix":"10.2.0.0/24"}`, 422, "required", "segment", ""},
		{"no such segment", "PUT", "/v1/subnets/RED/x", `{"segment":"no","prefix":"10.2.0.0/24"}`,
			422, "not_found", "segment", "create the segment first"},
		{"host bits", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"10.2.0.7/24"}`,
			422, "invalid", "prefix", `write \"10.2.0.0/24\"`},
		{"default route", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"0.0.0.0/0"}`,
			422, "reserved", "prefix", "gateway group"},
		{"IPv6 default route", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"::/0"}`,
			422, "reserved", "prefix", "gateway group"},
		{"multicast prefix", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"224.1.0.0/16"}`,
			422, "invalid", "prefix", "multicast"},
		{"link-local prefix", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"fe80::/64"}`,
			422, "reserved", "prefix", "no subnet"},
		{"mapped prefix", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"::ffff:10.2.0.0/120"}`,
			422, "invalid", "prefix", "IPv4"},
		{"overlap", "PUT", "/v1/subnets/RED/x", `{"segment":"db","prefix":"10.1.0.128/25"}`,
			422, "overlap", "prefix", "RED/web4 (10.1.0.0/24)"},
		{"overlap from above", "PUT", "/v1/subnets/RED/x", `{"segment":"db","prefix":"10.0.0.0/8"}`,
			422, "overlap", "", "overlaps subnet"},
		{"IPv6 overlap", "PUT", "/v1/subnets/RED/x", `{"segment":"db","prefix":"fd00:1::/96"}`,
			422, "overlap", "prefix", "RED/web6"},
		{"router outside", "PUT", "/v1/subnets/RED/x", `{"segment":"web","prefix":"10.2.0.0/24","router":"10.3.0.1"}`,
			422, "invalid", "router", "from 10.2.0.0 to 10.2.0.255"},
		{"router of the other family", "PUT", "/v1/subnets/RED/x",
			`{"segment":"web","prefix":"10.2.0.0/24","router":"fd00::1"}`,
			422, "invalid", "router", "not inside"},
		{"router is the network", "PUT", "/v1/subnets/RED/x",
			`{"segment":"web","prefix":"10.2.0.0/24","router":"10.2.0.0"}`,
			422, "invalid", "router", "network address"},
		{"router is broadcast", "PUT", "/v1/subnets/RED/x",
			`{"segment":"web","prefix":"10.2.0.0/24","router":"10.2.0.255"}`,
			422, "invalid", "router", "broadcast address"},
		{"router is anycast", "PUT", "/v1/subnets/RED/x",
			`{"segment":"web","prefix":"fd00:2::/64","router":"fd00:2::"}`,
			422, "invalid", "router", "anycast"},
		// VIFs.
		{"no MAC", "PUT", vifs, `{"segment":"web","port":"acc0"}`, 422, "required", "mac", "missing"},
		{"broadcast MAC", "PUT", vifs, `{"segment":"web","mac":"ff:ff:ff:ff:ff:ff","port":"acc0"}`,
			422, "invalid", "mac", "broadcast"},
		{"MAC taken", "PUT", vifs, `{"segment":"web","mac":"02:00:00:00:00:01","port":"acc0"}`,
			422, "duplicate", "", "unique within a segment"},
		{"MAC of the router", "PUT", vifs, `{"segment":"web","mac":"02:50:53:00:00:01","port":"acc0"}`,
			422, "reserved", "mac", "router_mac"},
		{"own MAC of the router", "PUT", "/v1/vifs/BLUE/x",
			`{"segment":"web","mac":"02:00:00:00:0b:0b","port":"acc1"}`,
			422, "reserved", "mac", "virtual router"},
		{"no port", "PUT", vifs, `{"segment":"web","mac":"02:00:00:00:00:77"}`,
			422, "required", "port", "access ports: acc0, acc1"},
		{"no such port", "PUT", vifs, `{"segment":"web","mac":"02:00:00:00:00:77","port":"eth9"}`,
			422, "not_found", "port", "access ports: acc0, acc1"},
		{"fabric port", "PUT", vifs, `{"segment":"web","mac":"02:00:00:00:00:77","port":"fab0"}`,
			422, "role", "port", "role fabric"},
		{"VLAN 4095", "PUT", vifs, vif(`,"vlan":4095`), 422, "invalid", "vlan", "1 to 4094"},
		{"VLAN of another segment", "PUT", vifs, vif(`,"vlan":20`), 422, "conflict", "", "RED/"},
		{"untagged of another segment", "PUT", "/v1/vifs/BLUE/x",
			`{"segment":"web","mac":"02:00:00:00:00:77","port":"acc0"}`,
			422, "conflict", "vlan", "untagged side of port acc0"},
		{"no such policy", "PUT", vifs, vif(`,"anti_spoof":"loose"`), 422, "invalid", "anti_spoof", "strict, mac, off"},
		{"address in no subnet", "PUT", vifs, vif(`,"addresses":["10.9.0.1"]`),
			422, "not_found", "addresses[0]", "10.1.0.0/24"},
		{"address of the router", "PUT", vifs, vif(`,"addresses":["10.1.0.1"]`),
			422, "reserved", "addresses[0]", "RED/web4"},
		{"network address", "PUT", vifs, vif(`,"addresses":["10.1.0.0"]`),
			422, "invalid", "addresses[0]", "network address"},
		{"broadcast address", "PUT", vifs, vif(`,"addresses":["10.1.0.255"]`),
			422, "invalid", "addresses[0]", "broadcast address"},
		{"address taken", "PUT", vifs, vif(`,"addresses":["10.1.0.5"]`),
			422, "duplicate", "", "unique within a segment"},
		{"address twice", "PUT", vifs, vif(`,"addresses":["10.1.0.7","10.1.0.7"]`),
			422, "duplicate", "addresses[1]", "addresses[0] already"},
		{"multicast address", "PUT", vifs, vif(`,"addresses":["224.0.0.1"]`),
			422, "invalid", "addresses[0]", "multicast"},
		{"unspecified address", "PUT", vifs, vif(`,"addresses":["::"]`), 422, "invalid", "addresses[0]", "unspecified"},
		{"mapped address", "PUT", vifs, vif(`,"addresses":["::ffff:10.1.0.7"]`),
			422, "invalid", "addresses[0]", `write \"10.1.0.7\"`},
		{"address with a zone", "PUT", vifs, vif(`,"addresses":["fe80::1%eth0"]`),
			422, "invalid", "addresses[0]", "zone"},
		{"empty address", "PUT", vifs, vif(`,"addresses":[""]`), 422, "invalid", "addresses[0]", "IP address"},
		{"too many addresses", "PUT", vifs,
			vif(`,"addresses":[` + many(17, func(i int) string { return fmt.Sprintf(`"10.1.0.%d"`, 20+i) }) + `]`),
			422, "limit", "addresses", "16"},
		{"VIF of no segment", "PUT", vifs, `{"segment":"no","mac":"02:00:00:00:00:77","port":"acc0"}`,
			422, "not_found", "segment", "create the segment"},
		// Bindings.
		{"binding of no segment", "PUT", "/v1/bindings/RED/no/02:00:00:00:02:01", binding(""),
			422, "not_found", "segment", "create the segment"},
		{"binding without switch", "PUT", "/v1/bindings/RED/web/02:00:00:00:02:01", `{"switch_port":3}`,
			422, "required", "switch_mac", "edge switch"},
		{"switch port 0", "PUT", "/v1/bindings/RED/web/02:00:00:00:02:01", `{"switch_mac":"02:aa:00:00:00:01"}`,
			422, "invalid", "switch_port", "1 to 255"},
		{"switch port 256", "PUT", "/v1/bindings/RED/web/02:00:00:00:02:01",
			`{"switch_mac":"02:aa:00:00:00:01","switch_port":256}`,
			422, "invalid", "switch_port", "1 to 255"},
		{"binding of a group", "PUT", "/v1/bindings/RED/web/03:00:00:00:02:01", binding(""),
			422, "invalid", "mac", "multicast"},
		{"binding of the router", "PUT", "/v1/bindings/RED/web/02:50:53:00:00:01", binding(""),
			422, "reserved", "mac", "no binding"},
		{"binding with the router's address", "PUT", "/v1/bindings/RED/web/02:00:00:00:02:01",
			binding(`,"addresses":["fd00:1::1"]`),
			422, "reserved", "addresses[0]", "RED/web6"},
		// Paths.
		{"path without VLANs", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03", `{}`,
			422, "required", "vlans", "at least one"},
		{"VID 0", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03", `{"vlans":[{"vid":0}]}`,
			422, "invalid", "vlans[0].vid", "1 to 4094"},
		{"VID 4095", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03", `{"vlans":[{"vid":4095}]}`,
			422, "invalid", "vlans[0].vid", "1 to 4094"},
		{"VID twice", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03", `{"vlans":[{"vid":5},{"vid":5}]}`,
			422, "duplicate", "vlans[1].vid", "vlans[0] already"},
		{"weight 0", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03", `{"vlans":[{"vid":5,"weight":0}]}`,
			422, "invalid", "vlans[0].weight", "1 (the default) to 100"},
		{"weight 101", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03", `{"vlans":[{"vid":5,"weight":101}]}`,
			422, "invalid", "vlans[0].weight", "100"},
		{"path of a group", "PUT", "/v1/paths/03:aa:00:00:00:01/02:aa:00:00:00:03", `{"vlans":[{"vid":5}]}`,
			422, "invalid", "b", "multicast"},
		{"path of another pair", "PUT", "/v1/paths/02:aa:00:00:00:01/02:aa:00:00:00:03",
			`{"a":"02:aa:00:00:00:01","b":"02:aa:00:00:00:04","vlans":[{"vid":5}]}`,
			422, "conflict", "a", "the key says"},
		// What others need.
		{"tenant in use", "DELETE", "/v1/tenants/RED", ``, 409, "in_use", "", "in use by segment RED/"},
		{"segment in use", "DELETE", "/v1/segments/RED/db", ``, 409, "in_use", "", "in use by VIF RED/vm2"},
		{"segment in use by bindings", "POST", "/v1/transactions", tx(`
			{"op":"delete","kind":"vifs","key":"RED/vm1"},{"op":"delete","kind":"subnets","key":"RED/web4"},
			{"op":"delete","kind":"subnets","key":"RED/web6"},{"op":"delete","kind":"segments","key":"RED/web"}`),
			409, "in_use", "operations[3]", "1 binding"},
		{"subnet shrinks from under a VIF", "PUT", "/v1/subnets/RED/web4",
			`{"segment":"web","prefix":"10.1.0.128/25"}`,
			422, "not_found", "", "VIF RED/vm1 would not fit any more: addresses[0]"},
		{"router takes a VIF's address", "PUT", "/v1/subnets/RED/web4",
			`{"segment":"web","prefix":"10.1.0.0/24","router":"10.1.0.5"}`,
			422, "reserved", "", "VIF RED/vm1"},
		// Transactions.
		{"no operations", "POST", "/v1/transactions", `{}`, 422, "required", "operations", `\"op\":\"put\"`},
		{"unknown in transaction", "POST", "/v1/transactions", `{"operations":[],"dry":1}`,
			422, "unknown_field", "dry", "operations"},
		{"unknown in operation", "POST", "/v1/transactions", tx(`{"op":"put","kind":"tenants","key":"X","val":{}}`),
			422, "unknown_field", "operations[0].val", "did you mean"},
		{"no such operation", "POST", "/v1/transactions", tx(`{"op":"create","kind":"tenants","key":"X","value":{}}`),
			422, "invalid", "operations[0].op", "put, patch, delete"},
		{"no such kind", "POST", "/v1/transactions", tx(`{"op":"put","kind":"tenant","key":"X","value":{}}`),
			422, "invalid", "operations[0].kind", "tenants, segments"},
		{"bad key", "POST", "/v1/transactions", tx(`{"op":"put","kind":"segments","key":"X","value":{}}`),
			422, "invalid", "operations[0].key", "TENANT/NAME"},
		{"no value", "POST", "/v1/transactions", tx(`{"op":"put","kind":"tenants","key":"X"}`),
			422, "required", "operations[0].value", "missing"},
		{"value of a delete", "POST", "/v1/transactions", tx(`{"op":"delete","kind":"tenants","key":"X","value":{}}`),
			422, "invalid", "operations[0].value", "leave"},
		{"patch of nothing", "POST", "/v1/transactions",
			tx(`{"op":"patch","kind":"tenants","key":"X","value":{"id":9}}`),
			422, "not_found", "operations[0].key", "create it with put"},
		{"second operation is wrong", "POST", "/v1/transactions", tx(`
			{"op":"put","kind":"tenants","key":"X","value":{"id":9}},
			{"op":"put","kind":"segments","key":"X/a","value":{"id":"1"}}`),
			422, "type", "operations[1].value.id", "without quotes"},
		{"two tenants, one ID", "POST", "/v1/transactions", tx(`
			{"op":"put","kind":"tenants","key":"X","value":{"id":9}},
			{"op":"put","kind":"tenants","key":"Y","value":{"id":9}}`),
			422, "duplicate", "operations[1].value.id", "tenant X"},
		{"patch of nothing", "PATCH", "/v1/tenants/NONE", `{"id":9}`, 404, "not_found", "key", "put"},
		{"patch to something wrong", "PATCH", "/v1/tenants/RED", `{"id":null}`, 422, "required", "id", "2 to 65534"},
		{"patch of the key", "PATCH", "/v1/tenants/RED", `{"name":"GREEN"}`, 422, "conflict", "name", "key says"},
		// Streams.
		{"bad line", "POST", "/v1/bulk/bindings", line("") + "{\n", 400, "truncated", "line[2]", "line 2"},
		{"unknown member in a line", "POST", "/v1/bulk/bindings", line("") + "\n" + line(`,"port":1`),
			422, "unknown_field", "line[3].port", "line 3"},
		{"no such segment in a line", "POST", "/v1/bulk/bindings", strings.Replace(line(""), "web", "none", 1),
			422, "not_found", "line[1].segment", "line 1: tenant RED has no segment"},
		{"no segment in a line", "POST", "/v1/bulk/bindings", strings.Replace(line(""), `"segment":"web",`, "", 1),
			422, "required", "line[1].segment", ""},
		{"bad switch port in a line", "POST", "/v1/bulk/bindings", strings.Replace(line(""), ":3", ":0", 1),
			422, "invalid", "line[1].switch_port", "1 to 255"},
		{"two values in a line", "POST", "/v1/bulk/bindings", strings.Replace(line(""), "\n", "", 1) + line(""),
			400, "trailing", "line[1]", ""},
		{"endless line", "POST", "/v1/bulk/bindings", strings.Repeat("x", 700_000), 422, "limit", "line[1]", "65536"},
		{"bad path line", "POST", "/v1/bulk/paths",
			`{"a":"02:aa:00:00:00:01","b":"02:aa:00:00:00:03","vlans":[{"vid":0}]}`,
			422, "invalid", "line[1].vlans[0].vid", "1 to 4094"},
		{"path line without switches", "POST", "/v1/bulk/paths", `{"vlans":[{"vid":5}]}`,
			422, "required", "line[1].a", "edge switch"},
		{"path line that is no JSON", "POST", "/v1/bulk/paths", "\n{]", 400, "syntax", "line[2]", ""},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			w.t = t
			var header []string
			url := strings.TrimSuffix(c.url, "?gz")
			if url != c.url {
				header = []string{"Content-Encoding", "gzip"}
			}
			e := w.refused(c.method, url, c.body, header...)
			if e.Status != c.status || e.Code != c.code || e.Field != c.field && (c.field != "" || c.code == "type") {
				t.Errorf("status %d, code %q, field %q, want %d, %q, %q: %s (%s)", e.Status, e.Code, e.Field,
					c.status, c.code, c.field, e.Message, e.Hint)
			}
			if text := strings.ReplaceAll(e.Message+" "+e.Hint, `"`, `\"`); !strings.Contains(text, c.text) &&
				!strings.Contains(e.Message+" "+e.Hint, c.text) {
				t.Errorf("message %q and hint %q, want %q in one of them", e.Message, e.Hint, c.text)
			}
			if len(e.Message) > 400 || len(e.Hint) > 200 {
				t.Errorf("message %q and hint %q, want at most 400 and 200 octets", e.Message, e.Hint)
			}
		})
	}
	w.t = t
	if after := w.must("GET", "/v1/revision", ""); after != before {
		t.Errorf("bad input changed something: %s, before %s", after, before)
	}
	if len(cases) < 100 {
		t.Errorf("%d cases, want at least 100", len(cases))
	}
}

// TestAllProblems: one answer holds all faults.
func TestAllProblems(t *testing.T) {
	w := newWorld(t, nil)
	e := w.refused("POST", "/v1/transactions", `{"operations":[
		{"op":"put","kind":"tenants","key":"A","value":{"id":1}},
		{"op":"put","kind":"segments","key":"A/s","value":{"id":0,"unknown_unicast":"x"}},
		{"op":"put","kind":"vifs","key":"A/v",
		 "value":{"segment":"s","mac":"ff:ff:ff:ff:ff:ff","port":"x","vlan":5000}}]}`)
	got := map[string]bool{}
	for _, p := range e.Problems {
		got[p.Field] = true
	}
	for _, f := range []string{
		"operations[0].value.id", "operations[1].value.id", "operations[1].value.unknown_unicast",
		"operations[2].value.mac", "operations[2].value.port", "operations[2].value.vlan"} {
		if !got[f] {
			t.Errorf("%s is not told: %+v", f, e.Problems)
		}
	}
	lines := strings.Repeat("{}\n", 500)
	if e := w.refused("POST", "/v1/bulk/bindings", lines); len(e.Problems) != 100 {
		t.Errorf("%d problems of 500 bad lines, want the first 100", len(e.Problems))
	}
}
