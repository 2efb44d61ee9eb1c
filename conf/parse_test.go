package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// minimal is a valid configuration of nine lines; test cases append to it or replace parts.
const minimal = `[[port]]
name = "acc0"
interface = "eth1"
role = "access"
[[port]]
name = "fab0"
interface = "eth2"
role = "fabric"
switch_mac = "02:00:00:00:00:0a"
switch_port = 7
`

const edgeSwitch = `[edge]
mac = "02:00:00:00:00:0a"
control_vlan = 100
[[port]]
name = "d1"
interface = "eth1"
role = "downlink"
switch_port = 1
[[port]]
name = "t1"
interface = "eth2"
role = "trunk"
vlans = [100, "101-104"]
`

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("p.toml", []byte(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, "box.name = \"b1\"\n"+minimal)
	want := Config{
		Box: Box{Name: "b1", StateDir: "/var/lib/penstock", Scheme: "10.p.t"},
		Dataplane: Dataplane{Workers: 1, Poll: "adaptive", Frames: 16384, FrameSize: 2048, RingSize: 2048,
			Bindings:  1_000_000,
			FloodRate: 10_000, FloodBurst: 1000, ICMPRate: 1000, ICMPBurst: 200},
		Ports: []Port{
			{Name: "acc0", Interface: "eth1", Role: "access", Queues: 1, Mode: "auto", ClampMSS: true},
			{Name: "fab0", Interface: "eth2", Role: "fabric", Queues: 1, Mode: "auto", Encap: "ip",
				SwitchMAC: 0x02000000000a, SwitchPort: 7},
		},
		Fabric:   Fabric{UDPPort: 7472, SyncRate: 200_000},
		Probe:    Probe{Interval: 300 * time.Millisecond, Misses: 3, Goods: 5},
		Balancer: Balancer{Key: ZeroKey, Flows: 1 << 20, NewFlowRate: 125_000},
		Control:  Control{Socket: "/run/penstock/control.sock", Mode: 0o660, MaxBody: 64 << 20, MaxConnections: 64},
		Metrics:  Metrics{Listen: "127.0.0.1:9469"},
		Groups:   []Group{},
		Alarm:    Alarm{Spool: 10_000, History: 1000, Webhooks: []Webhook{}},
		Log:      Log{Level: "info", Format: "text"},
		file:     "p.toml",
	}
	want.lines, want.named = c.lines, true
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got  %+v\nwant %+v", *c, want)
	}
	if n := mustParse(t, minimal).Box.Name; checkName(n) != "" {
		t.Errorf("default name %q is not a valid name", n)
	}
}

func TestEveryKeySet(t *testing.T) {
	c := mustParse(t, `
[box]
name = "edge-7"
state_dir = "/srv/penstock"
scheme = "p.t"
[dataplane]
workers = 2
cpus = [2, 3]
poll = "busy"
frames = 40_000
frame_size = 4096
ring_size = 1024
huge_pages = true
handoff = true
verify = true
bindings = 16_777_216
flood_rate = 1
flood_burst = 2
icmp_rate = 3
icmp_burst = 4
nice = -20
[[port]]
name = "acc0"
interface = "eth1"
role = "access"
queues = 1
mode = "zero-copy"
mtu = 3000
complete_checksums = true
clamp_mss = false
[[port]]
name = "fab0"
interface = "eth2"
role = "fabric"
encap = "udp"
switch_mac = "02-00-00-00-00-0A"
switch_port = 223
[[port]]
name = "d1"
interface = "eth3"
role = "downlink"
switch_port = 1
[[port]]
name = "t1"
interface = "eth4"
role = "trunk"
vlans = ["4094", "101-103", 7]
[edge]
mac = "02:00:00:00:00:0b"
control_vlan = 4094
[[port]]
name = "up0"
interface = "eth5"
role = "uplink"
[[gateway_group]]
name = "out"
mac = "02:50:53:01:00:01"
ip = "10.0.0.254"
ip6 = "fd00::fe"
public = true
probe_interval = "10ms"
misses = 1
answers = 2
data_liveness = false
data_max = 7
preempt = true
preempt_delay = "0s"
flap_count = 0
flap_window = "1s"
hold_min = "2s"
hold_max = "1h"
announce_rate = 5
announce_interval = "0s"
[[gateway_group.member]]
name = "a"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.2/30"
[[gateway_group.member]]
name = "b"
port = "up0"
vlan = 4094
ip = "192.0.2.1"
address = "192.0.2.0/31"
address6 = "2001:db8::2"
mac = "02:00:00:00:00:99"
[fabric]
udp_port = 1
[probe]
interval = "50ms"
misses = 1
goods = 1000
[balancer]
key = "000102030405060708090A0b0c0d0e0f"
flows = 1024
new_flow_rate = 1
[control]
socket = "/run/p.sock"
owner = "root"
group = "_net"
mode = "0640"
readers_any = true
max_body = "1GiB"
max_connections = 3
[metrics]
listen = ""
[alarm]
spool = 20
history = 1
[[alarm.webhook]]
name = "noc"
url = "https://a.example:8443/x?y=z"
severity = "critical"
timeout = "100ms"
retry_max = "1h"
failing_after = "1m30s"
token_file = "/t"
secret_file = "/s"
ca_file = "/c"
[[alarm.webhook]]
name = "b"
url = "http://[::1]/"
[log]
level = "debug"
format = "json"
`)
	want := Config{
		Box: Box{Name: "edge-7", StateDir: "/srv/penstock", Scheme: "p.t"},
		Dataplane: Dataplane{Workers: 2, CPUs: []int{2, 3}, Poll: "busy", Frames: 40000, FrameSize: 4096,
			RingSize: 1024, HugePages: true, Handoff: true,
			Verify: true, Bindings: 16 << 20, FloodRate: 1, FloodBurst: 2, ICMPRate: 3, ICMPBurst: 4, Nice: -20},
		Ports: []Port{
			{Name: "acc0", Interface: "eth1", Role: "access", Queues: 1, Mode: "zero-copy", MTU: 3000,
				CompleteChecksums: true},
			{Name: "fab0", Interface: "eth2", Role: "fabric", Queues: 2, Mode: "auto", Encap: "udp",
				SwitchMAC: 0x02000000000a, SwitchPort: 223},
			{Name: "d1", Interface: "eth3", Role: "downlink", Queues: 2, Mode: "auto", SwitchPort: 1},
			{Name: "t1", Interface: "eth4", Role: "trunk", Queues: 2, Mode: "auto",
				VLANs: []uint16{7, 101, 102, 103, 4094}},
			{Name: "up0", Interface: "eth5", Role: "uplink", Queues: 2, Mode: "auto"},
		},
		Groups: []Group{{
			Name: "out", MAC: 0x025053010001, IP: netip.MustParseAddr("10.0.0.254"),
			IP6: netip.MustParseAddr("fd00::fe"), Public: true, ProbeInterval: 10 * time.Millisecond, Misses: 1,
			Answers: 2,
			DataMax: 7, Preempt: true, FlapWindow: time.Second, HoldMin: 2 * time.Second, HoldMax: time.Hour,
			AnnounceRate: 5,
			Members: []Member{{Name: "a", Port: "up0", IP: netip.MustParseAddr("192.0.2.1"),
				Address: netip.MustParsePrefix("192.0.2.2/30")},
				{Name: "b", Port: "up0", VLAN: 4094, IP: netip.MustParseAddr("192.0.2.1"),
					Address: netip.MustParsePrefix("192.0.2.0/31"), Address6: netip.MustParseAddr("2001:db8::2"),
					MAC: 0x020000000099}},
		}},
		Edge:     &Edge{MAC: 0x02000000000b, ControlVLAN: 4094},
		Probe:    Probe{Interval: 50 * time.Millisecond, Misses: 1, Goods: 1000},
		Balancer: Balancer{Key: "000102030405060708090A0b0c0d0e0f", Flows: 1024, NewFlowRate: 1},
		Control: Control{Socket: "/run/p.sock", Owner: "root", Group: "_net", Mode: 0o640, ReadersAny: true,
			MaxBody: 1 << 30, MaxConnections: 3},
		Alarm: Alarm{Spool: 20, History: 1, Webhooks: []Webhook{
			{Name: "noc", URL: "https://a.example:8443/x?y=z", Severity: "critical", Timeout: 100 * time.Millisecond,
				RetryMax: time.Hour, FailingAfter: 90 * time.Second,
				TokenFile: "/t", SecretFile: "/s", CAFile: "/c"},
			{Name: "b", URL: "http://[::1]/", Severity: "warning", Timeout: 5 * time.Second, RetryMax: time.Minute,
				FailingAfter: 30 * time.Second},
		}},
		Fabric: Fabric{UDPPort: 1, SyncRate: 200_000},
		Log:    Log{Level: "debug", Format: "json"},
		file:   "p.toml",
	}
	want.lines, want.named = c.lines, true
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got  %+v\nwant %+v", *c, want)
	}
}

// TestOtherForms reads the same configuration written in the other ways that TOML has.
func TestOtherForms(t *testing.T) {
	want := mustParse(t, "box.name = \"b\"\n"+minimal)
	for name, text := range map[string]string{
		"inline": `box = { name = "b" }
port = [ { name = "acc0", interface = "eth1", role = "access" },
  { name = "fab0", interface = 'eth2', role = "fabric", switch_mac = "02:00:00:00:00:0a", switch_port = 0x7 } ]`,
		"windows line ends": strings.ReplaceAll("[box]\nname=\"b\"\n"+minimal, "\n", "\r\n"),
		"byte order mark":   "\ufeffbox.name = \"b\"\n" + minimal,
		"quoted keys":       "\"box\".'name' = \"b\"\n" + minimal,
	} {
		c, err := Parse("p.toml", []byte(text))
		if err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
			continue
		}
		if ch := want.Diff(c); len(ch) != 0 {
			t.Errorf("%s: differs: %v", name, ch)
		}
	}
}

// Gateways may serve several groups, in another order too, and addresses of one network mean nothing in another.
func TestSharedGateways(t *testing.T) {
	member := func(name, ip, address, more string) string {
		return fmt.Sprintf(`[[gateway_group.member]]
name = %q
port = "up0"
ip = %q
address = %q
%s
`, name, ip, address, more)
	}
	const mac1, mac2 = "mac = \"02:00:00:00:00:01\"", "mac = \"02:00:00:00:00:02\""
	text := minimal + "[[port]]\nname = \"up0\"\ninterface = \"eth3\"\nrole = \"uplink\"\n" +
		"[[gateway_group]]\nname = \"out\"\nmac = \"02:50:53:01:00:01\"\nip = \"10.0.0.254\"\n" +
		member("a", "192.0.2.1", "192.0.2.4/29", mac1) + member("b", "192.0.2.2", "192.0.2.4/29", mac2) +
		"[[gateway_group]]\nname = \"second\"\nmac = \"02:50:53:01:00:02\"\nip = \"10.0.1.254\"\n" +
		member("b", "192.0.2.2", "192.0.2.5/29", mac2) + member("a", "192.0.2.1", "192.0.2.5/29", mac1) +
		"[[gateway_group]]\nname = \"elsewhere\"\nmac = \"02:50:53:01:00:03\"\n" +
		member("a", "192.0.2.4", "192.0.2.1/29", "vlan = 7\n"+mac1)
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Groups) != 3 || c.Groups[0].Members[0].IP != c.Groups[1].Members[1].IP {
		t.Errorf("got %+v, want 3 groups, the first two with a common gateway", c.Groups)
	}
}

func TestFramesFollowTheRings(t *testing.T) {
	c := mustParse(t, "dataplane.workers = 4\n"+minimal)
	if want := 4 * 2048 * 8; c.Dataplane.Frames != want || c.FramesNeeded() != want {
		t.Errorf("frames = %d, needed %d, want %d", c.Dataplane.Frames, c.FramesNeeded(), want)
	}
	c = mustParse(t, "dataplane.ring_size = 64\ndataplane.frames = 512\n"+minimal)
	if c.Dataplane.Frames != 512 {
		t.Errorf("frames = %d, want 512", c.Dataplane.Frames)
	}
}

// TestSeveralErrorsAtOnce has an error of every kind, two of them in the syntax, and expects each of them once,
// in the order of the lines.
func TestSeveralErrorsAtOnce(t *testing.T) {
	_, err := Parse("p.toml", []byte(`[box]
name = "b 1"
colour = "red"
[dataplane]
workers = "two"
workers = 3
ring_size = 1000
poll = bsy
[[port]]
name = "acc0"
interface = "eth1"
role = "gateway"
[[port]]
name = "acc0"
interface = "eth2"
role = "access"
switch_port = 300
mtu = 9000
[control]
mode = "0666"
[loging]
level = "info"
`))
	errs, ok := errors.AsType[Errors](err)
	if !ok {
		t.Fatalf("err = %v", err)
	}
	want := []string{
		`p.toml:2: box.name: found the string "b 1", want 1 to 63 letters, digits`,
		`p.toml:3: box.colour: unknown key; the keys here are name, state_dir, scheme`,
		`p.toml:5: dataplane.workers: found the string "two", want an integer from 1 to 64`,
		`p.toml:6: dataplane.workers: already set on line 5: remove one of the two`,
		`p.toml:7: dataplane.ring_size: found 1000, want a power of two: 512 or 1024`,
		`p.toml:8: dataplane.poll: bsy is not a TOML value`,
		`p.toml:12: port[0].role: found the string "gateway", want "access", "fabric", "uplink", "downlink" or "trunk"`,
		`p.toml:14: port[1].name: "acc0" is the name of the port on line 10 already`,
		`p.toml:17: port[1].switch_port: only a port with role fabric or downlink has this key; ` +
			`this one is access: remove it`,
		`p.toml:18: port[1].mtu: found 9000, want an integer from 576 to 3822`,
		`p.toml:20: control.mode: found the string "0666", writable for everybody, ` +
			`which the control socket must not be; want "0660"`,
		`p.toml:21: loging: unknown table; did you mean log?`,
	}
	for i := range max(len(want), len(errs)) {
		switch {
		case i >= len(errs):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("one too many: %s", errs[i])
		case !strings.HasPrefix(errs[i].Error(), want[i]):
			t.Errorf("error %d:\ngot  %s\nwant %s", i, errs[i], want[i])
		}
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(errs) {
		t.Errorf("Error() has %d lines for %d errors", len(lines), len(errs))
	}
	if e, ok := errors.AsType[Error](err); !ok || e.Line != 2 {
		t.Errorf("errors.As finds %v", e)
	}
}

// TestLargeInput: time does not grow beyond measure with anything that fits a file.
func TestLargeInput(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a\n", maxFileSize/2), strings.Repeat("[", maxFileSize),
		strings.Repeat("[[a]]\n", maxFileSize/6), strings.Repeat("a=[1,\n", maxFileSize/6),
		"x=" + strings.Repeat("{a=", maxFileSize/4), "x=[" + strings.Repeat("1,", maxFileSize/3) + "]",
		strings.Repeat("a.", maxFileSize/3) + "=1",
		"[" + strings.Repeat("a.", maxFileSize/3) + "b]", "x=[" + strings.Repeat("{a=1},", maxFileSize/7) + "]",
		"x=\"\"\"" + strings.Repeat("\n", maxFileSize/2),
	} {
		start := time.Now()
		if _, err := Parse("p.toml", []byte(text)); err == nil {
			t.Errorf("%.10q… accepted", text)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%.10q… took %v", text, d)
		}
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load("/nonexistent/penstock.toml"); err == nil ||
		!strings.Contains(err.Error(), "cannot read the configuration: open /nonexistent/penstock.toml") {
		t.Errorf("err = %v", err)
	}
	for _, name := range []string{"penstock.toml", "edge-switch.toml", "gateway.toml"} {
		c, err := Load("example/" + name)
		if err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
			continue
		}
		if c.File() != "example/"+name {
			t.Errorf("File() = %q", c.File())
		}
	}
}
