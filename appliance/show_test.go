package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"penstock/conf"
	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
)

// lines takes the indentation of a raw string away.
func lines(s string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.TrimPrefix(s, "\n")) {
		b.WriteString(strings.TrimLeft(l, "\t"))
	}
	return strings.TrimRight(b.String(), "\n\t") + "\n"
}

func TestShowTables(t *testing.T) {
	w := newWorld(t, nil).example()
	for _, tc := range []struct{ args, want string }{
		{"box", `
			name          box1
			version       v1 (abc)
			up            1m30s
			ready         true
			revision      0
			scheme        10.p.t
			workers       2, adaptive
			bindings      5 of 1000, 2.0 MB
			frames        16384 of 2048 octets, 16000 free in the pool
			received      10
			from control  0
			copies        2
			sent          7
			to control    1
			dropped       4`},
		{"ports fab0", `
			name                                  fab0
			interface                             eth2
			role                                  fabric
			state                                 down
			mode                                  generic copy
			queues                                2
			MTU                                   1534
			MAC                                   -
			received                              0 packets, 0 octets
			sent                                  0 packets, 0 octets
			refused by the kernel                 0 transmit calls
			from control                          0
			to control                            0
			copies                                0
			dropped                               0
			  fabric_not_ip                       9
			kernel: dropped on receipt            0
			kernel: receive ring full             0
			kernel: fill ring empty               0
			kernel: receive descriptors refused   0
			kernel: transmit descriptors refused  0
			kernel: transmit ring empty           0`},
		{"drops acc0", `
			PORT  REASON       FRAMES  MEANING                                               CHECK
			acc0  access_vlan       2  No VIF is attached to this port with this VLAN.       the VIF's port and vlan; ` + "`penstock show vifs`" + `
			acc0  spoof_mac         1  The source MAC belongs to no VIF of this attachment.  the VIF's mac and anti_spoof`},
		{"paths 02:00:00:00:00:0a", `
			EDGE SWITCH                PORT  VLAN  STATE         SINCE    RTT P50  RTT P99  LOSS %  PACKETS  BYTES
			02:00:00:00:00:0a          fab0   100  down          -        251µs    1.2ms    25.0          0      0
			  2024-05-01 12:00:00.123  fab0   100  unknown → up  answers
			  2024-05-01 12:01:00.000  fab0   100  up → down     silent`},
		{"neighbors", `
			PORT  PLACE                ORIGIN  HEARD    SYSTEM  PORT ID         WHAT IS WRONG
			fab0  -                    -       7 s ago  leaf1   Ethernet1/17/3  port ID "Ethernet1/17/3" is one of several on one cable
			fab1  02:00:00:00:00:0b/9  stored  -        -       -               no LLDP frame has come for 35s`},
		{"boxes", `
			PLACE                 MAC                STATE    HEARD    BINDINGS  KNOWN HERE
			02:00:00:00:00:0b-9   02:00:00:00:fb:02  equal    3 s ago        12          12
			02:00:00:00:00:0b-10  02:00:00:00:fb:03  pulling  3 s ago       100           0`},
		{"gateways out", `
			name           out
			virtual MAC    02:50:53:01:00:01
			addresses      10.0.0.254
			public         false
			active         isp1
			since          1m30s
			why            answers
			switches       1
			announcements  12
			member isp1    up active
			  since        1m30s
			  why          answers
			  gateway      192.0.2.1 02:00:00:00:00:91
			  behind       up0 VLAN 7, the box is 192.0.2.2/29
			  probes       900 sent, 890 answered, 4 missed, 5 excused by data, 6 timers late
			  last answer  123.5µs
			  failures     0
			  received     1 packets, 2 octets
			  sent         3 packets, 4 octets
			member isp2    up
			  since        1m30s
			  why          answers
			  gateway      198.51.100.1
			  behind       up1, the box is 198.51.100.2/29
			  probes       0 sent, 0 answered, 0 missed, 0 excused by data, 0 timers late
			  last answer  none
			  failures     2
			  received     0 packets, 0 octets
			  sent         0 packets, 0 octets`},
		{"gateways", `
			GROUP  MEMBER          STATE  SINCE  WHY      PORT        GATEWAY       MAC                RTT      MISSED  LATE  FAILURES
			out    isp1    active  up     1m30s  answers  up0 VLAN 7  192.0.2.1     02:00:00:00:00:91  123.5µs       4     6         0
			out    isp2    -       up     1m30s  answers  up1         198.51.100.1  -                  -             0     0         2
			spare  isp3    -       down   -      carrier  up1         203.0.113.1   -                  -             0     0         0`},
		{"webhooks", `
			WEBHOOK  URL          SEVERITY  STATE     WAITING  DELIVERED  DROPPED  FAILURES  FAILING SINCE        LAST ERROR
			noc      https://noc  warning   idle            0          9        0         0  -                    -
			sms      http://sms   critical  retrying        3          0        1         7  2024-05-01 12:00:00  it answers 500`},
		{"tenants", `
			NAME   ID  ROUTER MAC         STATE
			blue  200  02:50:53:00:00:01  live
			red   100  02:50:53:00:00:01  live`},
		{"tenants red", `
			NAME   ID  ROUTER MAC         STATE
			red   100  02:50:53:00:00:01  live`},
		{"segments", `
			SEGMENT   ID  VNI   UNKNOWN UNICAST  VIFS  BINDINGS  BOXES  STATE
			blue/web   1  -     flood               1         1      1  live
			red/db     2  -     drop                1         0      0  live
			red/web    1  4096  drop                1         1      1  live`},
		{"vteps rack7", `
			VTEP   ADDRESS    FLOOD  LEARNING  PORTS  NEXT HOPS  PUSHED  LEARNED  RX  TX  STATE
			rack7  10.17.0.2  true   5m        -      -               0        0   0   0  not live: no fabric port of this box has encap "vxlan" and a vtep_address of this family`},
		{"subnets blue", `
			SUBNET     SEGMENT  PREFIX       ROUTER  STATE
			blue/web4  web      10.0.0.0/24  -       live`},
		{"vifs red/db1", `
			VIF      SEGMENT  MAC                ADDRESSES  PORT  VLAN  RX PACKETS  TX PACKETS  STATE
			red/db1  db       02:00:00:00:00:02  10.0.1.1   acc0  11             0           0  live`},
		{"bindings red/web", `
			TENANT  SEGMENT  MAC                ADDRESSES         EDGE SWITCH        SWITCH PORT  VTEP  ORIGIN  STATE
			red     web      02:00:00:00:00:03  10.0.0.2 fd00::2  02:00:00:00:00:0b            3  -     pushed  live`},
	} {
		got := w.ok(append([]string{"show"}, strings.Fields(tc.args)...)...)
		if want := lines(tc.want); got != want {
			t.Errorf("show %s:\n%s\nwant\n%s", tc.args, got, want)
		}
	}
	if bare := w.ok("show"); bare != w.ok("show", "box") {
		t.Errorf("show without more is not the summary:\n%s", bare)
	}
}

// TestShowCounters: these counters grow with every request, so that the test holds only their format.
func TestShowCounters(t *testing.T) {
	w := newWorld(t, nil).example()
	for _, tc := range []struct{ args, head, row string }{
		{"ports", "NAME  ROLE    INTERFACE  STATE  MODE              QUEUES   MTU  RX PACKETS  TX PACKETS  DROPS  " +
			"KERNEL DROPS",
			`(?m)^acc0  access  eth1       up     native zero-copy       2  1500` +
				` +\d+           7      3            11$`},
		{"ports --rate 20ms",
			"NAME  ROLE    STATE  RX PACKET/S  RX MBIT/S  TX PACKET/S  TX MBIT/S  DROPS/S  KERNEL DROPS/S",
			`(?m)^acc0  access  up +[1-9]\d+\.\d +[1-9]\d*\.\d +0\.0 +0\.0 +0\.0 +0\.0$`},
		{"ports fab0 --rate 1ms", "NAME  ROLE    STATE  RX PACKET/S", `(?m)^fab0  fabric  down`},
		{"workers", "WORKER  TURNS  BUSY  SLEEPS  PACKETS  PACKETS/TURN  NS/PACKET  LONGEST GAP",
			`(?m)^     0 +\d+ +\d+ +0 +\d+           4\.0      100\.0        1\.5µs$`},
		{"workers 0 --rate 20ms", "WORKER  LOAD %  PACKET/S  PACKETS/TURN  NS/PACKET  TURNS/S  SLEEPS/S",
			`(?m)^     0 +\d+\.\d +[1-9]\d*\.\d           4\.0      100\.0 +`},
		{"paths --rate 20ms", "EDGE SWITCH        PORT  VLAN  STATE  PACKET/S  MBIT/S",
			`(?m)^02:00:00:00:00:0b  fab0   101  up +[1-9]\d*\.\d`},
		{"vifs --rate 20ms", "VIF        PORT  VLAN  RX PACKET/S", `(?m)^red/web1   acc0  10 +[1-9]\d*\.\d`},
		{"drops", "PORT  REASON         FRAMES  MEANING", `(?m)^fab0  fabric_not_ip       9  Neither`},
	} {
		got := w.ok(append([]string{"show"}, strings.Fields(tc.args)...)...)
		if !strings.HasPrefix(got, tc.head) || !regexp.MustCompile(tc.row).MatchString(got) {
			t.Errorf("show %s:\n%s", tc.args, got)
		}
	}
	if a := w.run("show", "drops", "--rate", "1ms"); a.code != exitOK || strings.Count(a.out, "\n") != 1 ||
		a.err != "(none)\n" {
		t.Errorf("rates of drops that do not grow: got %+v, want exit code 0, the heading and \"(none)\"", a)
	}
}

func TestShowJSON(t *testing.T) {
	w := newWorld(t, nil).example()
	w.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: "port acc0", Text: "x"})
	w.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: "port fab0", Text: "x"})
	for _, sh := range shows() {
		v := decode[map[string]any](t, w.ok("show", sh.name, "-o", "json"))
		if items, ok := v["items"].([]any); ok && len(items) < 2 || len(v) == 0 {
			t.Errorf("show %s -o json: %v", sh.name, v)
		}
	}
	if l := decode[status.Items[status.Port]](t, w.ok("show", "ports", "fab0", "-o", "json")); len(l.Items) != 1 ||
		l.Items[0].Interface != "eth2" {
		t.Errorf("one port: got %+v, want fab0 on eth2", l)
	}
	if d := decode[status.Drops](t, w.ok("show", "drops", "fab0", "-o", "json")); len(d.Ports) != 1 ||
		d.Total["fabric_not_ip"] != 9 || len(d.Total) != 1 {
		t.Errorf("drops of one port: got %+v, want 9 of fabric_not_ip only", d)
	}
	l := decode[status.Items[model.Binding]](t, w.ok("show", "bindings", "blue/web/02:00:00:00:00:03", "-o", "json"))
	if len(l.Items) != 1 || l.Items[0].SwitchPort != 8 {
		t.Errorf("one binding: got %+v, want one with switch port 8", l)
	}
}

// TestShowLearned: bindings that other boxes have told stand among the pushed ones, with what their message said.
func TestShowLearned(t *testing.T) {
	w := newWorld(t, nil).example()
	told := []compile.FabricRow{{FabricKey: compile.FabricKey{Tenant: 100, Segment: 1, MAC: 0x020000000101},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9")}, At: compile.Place{Switch: 0x02000000000b, Port: 17},
		Sequence: 1_800_000_000_000_000_000}}
	if v := w.compiler.LearnRows(told); v[0] != compile.Taken {
		t.Fatalf("verdict: got %d, want %d", v[0], compile.Taken)
	}
	const (
		head = "TENANT  SEGMENT  MAC                ADDRESSES  EDGE SWITCH        SWITCH PORT  VTEP  ORIGIN  STATE\n"
		wide = "TENANT  SEGMENT  MAC                ADDRESSES         EDGE S" +
			"WITCH        SWITCH PORT  VTEP  ORIGIN  STATE\n"
		none  = "TENANT  SEGMENT  MAC  ADDRESSES  EDGE SWITCH  SWITCH PORT  VTEP  ORIGIN  STATE\n"
		row   = "red     web      02:00:00:00:01:01  10.0.0.9   02:00:00:00:00:0b           17  -     fabric  live\n"
		first = "red     web      02:00:00:00:00:03  10.0.0.2 fd00::2  02:00:" +
			"00:00:00:0b            3  -     pushed  live\n"
		second = "red     web      02:00:00:00:01:01  10.0.0.9          02:00:" +
			"00:00:00:0b           17  -     fabric  live\n"
	)
	for args, want := range map[string]string{
		"bindings --origin fabric":                           head + row,
		"bindings red/web --origin fabric":                   head + row,
		"bindings red/web/02:00:00:00:01:01":                 head + row,
		"bindings red/web/02:00:00:00:01:01 --origin fabric": head + row,
		"bindings red/web/02:00:00:00:01:01 --origin pushed": none,
		"bindings blue --origin fabric":                      none,
		"bindings red/web":                                   wide + first + second,
	} {
		if got := w.ok(append([]string{"show"}, strings.Fields(args)...)...); got != want {
			t.Errorf("show %s:\n%s\nwant\n%s", args, got, want)
		}
	}
	l := decode[status.Items[struct {
		Status compile.Status `json:"status"`
	}]](t, w.ok("show", "bindings", "--origin", "fabric", "-o", "json"))
	if len(l.Items) != 1 || l.Items[0].Status.Sequence != told[0].Sequence || l.Items[0].Status.TenantID != 100 ||
		l.Items[0].Status.SegmentID != 1 || l.Items[0].Status.Origin != model.OriginFabric {
		t.Errorf("as JSON: got %+v, want sequence, IDs and origin of %+v", l, told)
	}
	if a := w.run("show", "bindings", "--origin", "told"); a.code != exitRefused ||
		!strings.Contains(a.err, `"told" is not an origin of bindings (use one of pushed, learned, fabric, vtep)`) {
		t.Errorf("an unknown origin: got code %d, %q; want %d and the origins", a.code, a.err, exitRefused)
	}
}

// TestBindingClear: the hold of a binding ends, and one that is not held is an error that says where to look.
func TestBindingClear(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.ok("binding", "clear", "red/web/02:00:00:00:01:01"); got !=
		"binding red/web/02:00:00:00:01:01 is released\n" {
		t.Errorf("a binding that is held: got %q", got)
	}
	a := w.run("binding", "clear", "red/web/02:00:00:00:01:02")
	if want := "the binding red/web/02:00:00:00:01:02 is not held"; a.code != exitRefused ||
		!strings.Contains(a.err, want) {
		t.Errorf("one that is not held: got %d, %q; want %d, %q", a.code, a.err, exitRefused, want)
	}
}

// TestShowAllPages: more objects than the box answers at once, and an ID that must not become 1.6777213e+07.
func TestShowAllPages(t *testing.T) {
	const n = 5100
	w := newWorld(t, func(c *conf.Config) { c.Box.Scheme = model.Scheme24 })
	var ops []core.Op
	for i := range n {
		value, err := json.Marshal(model.Tenant{Name: fmt.Sprintf("t%05d", i), ID: uint32(16_777_213 - i)})
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: model.KindTenant, Key: fmt.Sprintf("t%05d", i), Value: value})
	}
	if _, err := w.client.Transaction(t.Context(), ops, clientOptions); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(w.ok("show", "tenants"), "\n"); got != n+1 {
		t.Errorf("%d lines for %d tenants", got, n)
	}
	if l := decode[status.Items[model.Tenant]](t, w.ok("show", "tenants", "-o", "json")); len(l.Items) != n {
		t.Errorf("%d items for %d tenants", len(l.Items), n)
	}
	if got := w.ok("show", "tenants", "t00000"); !strings.Contains(got, " 16777213 ") {
		t.Errorf("a large ID:\n%s", got)
	}
	if a := w.run("show", "tenants", "nobody"); a.code != exitRefused ||
		!strings.Contains(a.err, "there is no tenant nobody; there are t00000, t00001, ") ||
		!strings.HasSuffix(a.err, " more\n") {
		t.Errorf("an unknown tenant: got %+v, want exit code %d and the first tenants", a, exitRefused)
	}
}

// TestShowMissing: an unknown name is an error that lists the known ones; an empty object is no error.
func TestShowMissing(t *testing.T) {
	w := newWorld(t, nil).example()
	for args, want := range map[string]string{
		"ports acc9":         "there is no port acc9; there are acc0, fab0",
		"ports acc9 -o json": "there is no port acc9; there are acc0, fab0",
		"workers 7":          "there is no worker 7; there are 0, 1",
		"drops x":            "there is no port x; there are acc0, fab0",
		"paths 02:00:00:00:00:0c": "there is no edge switch 02:00:00:00:00:0c; there are " +
			"02:00:00:00:00:0a, 02:00:00:00:00:0b",
		"neighbors acc0":        "there is no port with LLDP acc0; there are fab0, fab1",
		"gateways in":           "there is no gateway group in; there are out, spare",
		"webhooks pager":        "there is no webhook pager; there are noc, sms",
		"tenants green":         "there is no tenant green; there are blue, red",
		"segments green":        "there is no tenant green; there are blue, red",
		"segments red/app":      "there is no segment red/app; there are red/db, red/web",
		"subnets blue/x":        "there is no subnet blue/x; there are blue/web4",
		"vifs green/web1":       "there is no VIF green/web1; there is none",
		"vifs red/web9 -o json": "there is no VIF red/web9; there are red/db1, red/web1",
		"bindings red/app":      "there is no segment red/app; there are red/db, red/web",
		"bindings red/web/02:00:00:00:00:99": "there is no binding red/web/02:00:00:00:00:99; there are " +
			"red/web/02:00:00:00:00:03",
		"bindings red/web/nonsense": "key: \"nonsense\" is not a MAC address: want the form 02:00:00:00:00:01",
	} {
		a := w.run(append([]string{"show"}, strings.Fields(args)...)...)
		if a.code != exitRefused || a.out != "" || a.err != "penstock: "+want+"\n" {
			t.Errorf("show %s: %+v\nwant %s", args, a, want)
		}
	}
	if a := w.run("show", "bindings", "red/db"); a.code != exitOK || a.err != "(none)\n" ||
		!strings.HasPrefix(a.out, "TENANT ") {
		t.Errorf("an empty segment: got %+v, want exit code 0, the heading and \"(none)\"", a)
	}
	if a := w.run("show", "vifs", "red/a/b"); a.code != exitUsage {
		t.Errorf("a key with too many parts: got %+v, want exit code %d", a, exitUsage)
	}
}

// TestShowState: an object that is not live has a reason.
func TestShowState(t *testing.T) {
	w := newWorld(t, nil).example()
	w.compiler.SetLink(0, false, 1500, 1)
	w.compiler.SetLink(1, false, 1534, 2)
	if got := w.ok("show", "vifs", "red/web1"); !strings.Contains(got, "live: the port is down") {
		t.Errorf("a VIF on a port that is down:\n%s", got)
	}
	if got := w.ok("show", "bindings", "red"); !strings.Contains(got, "live: no live path to the edge switch") {
		t.Errorf("a binding without path:\n%s", got)
	}
	o := object{"status": map[string]any{"state": "suspended", "reason": "there is no port acc7"}}
	if got := o.state(); got != "suspended: there is no port acc7" {
		t.Errorf("a suspended object: %s", got)
	}
}
