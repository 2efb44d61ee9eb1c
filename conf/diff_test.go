package conf

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	const trunk = edgeSwitch
	for _, tc := range []struct {
		name     string
		old, new string
		want     []string // Change.String, prefixes
		live     bool
	}{
		{name: "nothing", old: minimal, new: "# comment\n" + minimal, live: true},
		{name: "default written out", old: minimal, new: "[dataplane]\nworkers = 1\nring_size = 2048\n" + minimal,
			live: true},
		{name: "log level", old: minimal, new: minimal + "[log]\nlevel = \"debug\"",
			want: []string{`log.level: "info" → "debug"`}, live: true},
		{name: "rates", old: minimal, new: minimal + "[dataplane]\nflood_rate = 5\nicmp_burst = 6",
			want: []string{"dataplane.flood_rate: 10000 → 5", "dataplane.icmp_burst: 200 → 6"}, live: true},
		{name: "fabric", old: minimal,
			new:  minimal + "[fabric]\nkeys = [\"3:000102030405060708090a0b0c0d0e0f\"]",
			want: []string{`fabric.keys: [] (of their SHA-256) → [3:be45cb2605bf36bebd] (of their SHA-256)`},
			live: true},
		{name: "balancer", old: minimal, new: minimal + "[balancer]\nkey = " +
			"\"000102030405060708090A0b0c0d0e0f\"\nflows = 2048",
			want: []string{`balancer.key: "84e0c0eafaa95a34…" (of its SHA-256) → "d65df89f702eec58…" (of its SHA-256)`,
				"balancer.flows: 1048576 → 2048 (needs a restart: it sizes memory)"}},
		{name: "control", old: minimal, new: minimal + `[control]
mode = "0600"
group = "g"
readers_any = true
max_body = "1MiB"`,
			want: []string{`control.group: "" → "g" (needs a restart: listeners are opened once)`,
				`control.mode: "0660" → "0600"`, "control.readers_any: false → true",
				"control.max_body: 67108864 → 1048576"}},
		{name: "fabric place", old: minimal, new: strings.Replace(minimal, "switch_port = 7", "switch_port = 8", 1),
			want: []string{"port.fab0.switch_port: 7 → 8"}, live: true},
		{name: "switch MAC", old: minimal, new: strings.Replace(minimal, ":0a", ":0b", 1),
			want: []string{`port.fab0.switch_mac: "02:00:00:00:00:0a" → "02:00:00:00:00:0b"`}, live: true},
		{name: "access", old: minimal, new: strings.Replace(minimal, "role = \"access\"",
			"role = \"access\"\nclamp_mss = false\ncomplete_checksums = true", 1), live: true,
			want: []string{"port.acc0.complete_checksums: false → true", "port.acc0.clamp_mss: true → false"}},
		{name: "vlans", old: trunk, new: strings.Replace(trunk, "101-104", "101-103", 1),
			want: []string{`port.t1.vlans: ["100-104"] → ["100-103"]`}, live: true},
		{name: "downlink number", old: trunk, new: strings.Replace(trunk, "switch_port = 1", "switch_port = 2", 1),
			want: []string{"port.d1.switch_port: 1 → 2 (needs a restart: addresses of the fabric follow from it)"}},
		{name: "workers", old: minimal, new: minimal + "[dataplane]\nworkers = 2\ncpus = [0, 1]",
			want: []string{"dataplane.workers: 1 → 2 (needs a restart: it changes the workers)",
				"dataplane.cpus: [] → [0, 1] (needs",
				"dataplane.frames: 16384 → 32768 (needs a restart: it sizes memory)",
				"port.acc0.queues: 1 → 2 (needs", "port.fab0.queues: 1 → 2 (needs"}},
		{name: "role", old: minimal, new: edgeSwitch,
			want: []string{"port.acc0: access on eth1 → none (needs a restart: it changes the AF_XDP sockets)",
				"port.fab0: fabric on eth2 → none", "port.d1: none → downlink on eth1", "port.t1: none → trunk on eth2",
				`edge.mac: none → "02:00:00:00:00:0a" (needs`, "edge.control_vlan: none → 100 (needs"}},
		{name: "gateways", old: minimal + gateways, live: true,
			new: minimal + strings.Replace(strings.ReplaceAll(gateways, "\"b\"", "\"c\""), "mac =", "misses = 4\nmac =",
				1),
			want: []string{"gateway_group.out.misses: 3 → 4", "gateway_group.out.member.b: 192.0.2.2 on up0 → none",
				"gateway_group.out.member.c: none → 192.0.2.2 on up0"}},
		{name: "gateway moves", old: minimal + gateways, live: true,
			new: minimal + strings.Replace(gateways, "ip = \"192.0.2.1\"",
				"ip = \"192.0.2.3\"\nmac = \"02:00:00:00:00:77\"", 1),
			want: []string{`gateway_group.out.member.a.ip: "192.0.2.1" → "192.0.2.3"`,
				`gateway_group.out.member.a.mac: none → "02:00:00:00:00:77"`}},
		{name: "sources", old: minimal + gateways, live: true,
			new: minimal + strings.Replace(gateways, "port = \"up0\"",
				"port = \"up0\"\nsources = [\"02:00:00:00:00:91\"]", 1),
			want: []string{`gateway_group.out.member.a.sources: none → ["02:00:00:00:00:91"]`}},
		{name: "sources locked", old: minimal + strings.Replace(gateways, "port = \"up0\"",
			"port = \"up0\"\nsources = \"gateway\"", 1), live: true, new: minimal + gateways,
			want: []string{`gateway_group.out.member.a.sources: "gateway" → none`}},
		{name: "another preference", old: minimal + gateways, live: true,
			new: minimal + strings.NewReplacer("\"a\"", "\"b\"", "\"b\"", "\"a\"", "192.0.2.1", "192.0.2.2",
				"192.0.2.2", "192.0.2.1").Replace(gateways),
			want: []string{"gateway_group.out.member: a, b → b, a"}},
		{name: "virtual MAC", old: minimal + gateways, new: minimal + strings.Replace(gateways, "02:50", "02:51", 1),
			want: []string{`gateway_group.out.mac: "02:50:53:01:00:01" → "02:51:53:01:00:01" ` +
				"(needs a restart: tenants and gateways know it)"}},
		{name: "group gone", old: minimal + gateways,
			new: minimal + gateways[:strings.Index(gateways, "[[gateway_group]]")], live: true,
			want: []string{"gateway_group.out: 02:50:53:01:00:01 with 2 members → none"}},
		{name: "webhooks", old: minimal + hooks("http://a"), live: true,
			new: minimal + strings.ReplaceAll(hooks("http://b"), "\"h\"", "\"i\"") + hooks("http://c") +
				"timeout = \"60s\"",
			want: []string{`alarm.webhook.h.url: "http://a" → "http://c"`, `alarm.webhook.h.timeout: "5s" → "1m"`,
				`alarm.webhook.i: none → "http://b"`}},
		{name: "webhook gone", old: minimal + hooks("http://a"), new: minimal, live: true,
			want: []string{`alarm.webhook.h: "http://a" → none`}},
		{name: "spool", old: minimal, new: minimal + "[alarm]\nspool = 99",
			want: []string{"alarm.spool: 10000 → 99 (needs a restart: the spool is open)"}},
		{name: "metrics off", old: minimal, new: minimal + "[metrics]\nlisten = \"\"",
			want: []string{`metrics.listen: "127.0.0.1:9469" → "" (needs a restart: listeners are opened once)`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := mustParse(t, "box.name = \"b\"\n"+tc.old), mustParse(t, "box.name = \"b\"\n"+tc.new)
			got := a.Diff(b)
			live := true
			for i, ch := range got {
				live = live && ch.Live
				if i >= len(tc.want) || !strings.HasPrefix(ch.String(), tc.want[i]) {
					t.Errorf("change %d: %s", i, ch)
				}
			}
			if len(got) != len(tc.want) || live != tc.live {
				t.Errorf("%d changes, live %v; want %d, %v", len(got), live, len(tc.want), tc.live)
			}
		})
	}
}

// TestDiffIgnoresOrder: a port is known by its name.
func TestDiffIgnoresOrder(t *testing.T) {
	i := strings.LastIndex(minimal, "[[port]]")
	a, b := mustParse(t, minimal), mustParse(t, minimal[i:]+minimal[:i])
	if ch := a.Diff(b); len(ch) != 0 {
		t.Errorf("Diff = %v", ch)
	}
}

// TestDiffHostName: a host that is renamed can still reload.
func TestDiffHostName(t *testing.T) {
	a, b := mustParse(t, minimal), mustParse(t, minimal)
	a.Box.Name, b.Box.Name = "localhost", "box7.example"
	if ch := a.Diff(b); len(ch) != 0 {
		t.Errorf("Diff = %v", ch)
	}
	named := mustParse(t, "box.name = \"localhost\"\n"+minimal)
	if ch := named.Diff(b); len(ch) != 1 || ch[0].Key != "box.name" || ch[0].Live {
		t.Errorf("Diff = %v", ch)
	}
}
