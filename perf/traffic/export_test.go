package traffic_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/perf/traffic"
)

var profilesDir = filepath.Join("..", "profiles")

// TestExportsCurrent: the files beside the profiles are those that "make generate" writes now; none is missing, none is
// left over, and the README names the mixes that other generators cannot send.
func TestExportsCurrent(t *testing.T) {
	want := map[string]bool{}
	for _, name := range traffic.Names() {
		p, err := traffic.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range traffic.ExportKinds() {
			path := filepath.Join(profilesDir, k.Dir, traffic.ExportName(name, k.Kind))
			var b bytes.Buffer
			err := p.Export(k.Kind, traffic.Options{}, &b)
			var no *traffic.InexpressibleError
			if errors.As(err, &no) {
				if k.Kind == traffic.TRex || len(no.Reasons) == 0 || b.Len() > 0 {
					t.Errorf("%v, %d octets written", err, b.Len())
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			want[path] = true
			have, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(have, b.Bytes()) {
				t.Errorf("%s is not what the profile gives today: make generate (%v)", path, err)
			}
		}
	}
	for _, k := range traffic.ExportKinds() {
		files, err := filepath.Glob(filepath.Join(profilesDir, k.Dir, "*"+k.Ext))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if !want[f] {
				t.Errorf("%s belongs to no profile: remove it", f)
			}
		}
	}
}

// python returns an interpreter that has Scapy (Debian: python3-scapy), or skips the test.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c",
			"import importlib.util, sys; sys.exit(importlib.util.find_spec(\"scapy\") is None)").Run() == nil {
			return name
		}
	}
	if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
		t.Fatal("no Python with Scapy: install python3-scapy (make deps)")
	}
	t.Skip("no Python with Scapy: install python3-scapy (make deps)")
	return ""
}

// trexJob is a line for perf/profiles/trex/testing/packets.py.
type trexJob struct {
	File      string         `json:"file"`
	Direction int            `json:"direction"`
	Count     int            `json:"count"`
	Tunables  []string       `json:"tunables,omitempty"`
	Kwargs    map[string]any `json:"kwargs,omitempty"`
}

type trexStream struct {
	Name    string   `json:"name"`
	PPS     float64  `json:"pps"`
	ISG     float64  `json:"isg"`
	Core    int      `json:"core"`
	Packets []string `json:"packets"`
}

// trexPackets runs the jobs with the stand-in for TRex's API.
func trexPackets(t *testing.T, jobs []trexJob) (answers [][]trexStream, faults []string) {
	t.Helper()
	script, err := filepath.Abs(filepath.Join(profilesDir, "trex", "testing", "packets.py"))
	if err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	for _, j := range jobs {
		if err := json.NewEncoder(&in).Encode(j); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python(t), "-B", script)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<30)
	for lines.Scan() {
		var fault struct {
			Error string `json:"error"`
		}
		var s []trexStream
		if json.Unmarshal(lines.Bytes(), &fault) == nil && fault.Error != "" {
			answers, faults = append(answers, nil), append(faults, fault.Error)
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("answer %s: %v, want JSON", lines.Bytes(), err)
		}
		answers, faults = append(answers, s), append(faults, "")
	}
	if len(answers) != len(jobs) {
		t.Fatalf("%d answers to %d jobs: %v", len(answers), len(jobs), lines.Err())
	}
	return answers, faults
}

// streamPackets makes the first n packets of every stream of a program, in the order of Streams; signatures are zeros.
func streamPackets(g *traffic.Program, n int) [][]string {
	out := make([][]string, len(g.Streams()))
	buf := make([]byte, g.MaxLen())
	left := len(out)
	for seq := uint64(0); left > 0; seq++ {
		i := g.Stream(seq)
		if len(out[i]) == n {
			continue
		}
		out[i] = append(out[i], hex.EncodeToString(unsigned(buf[:g.Make(seq, 0, buf)])))
		if len(out[i]) == n {
			left--
		}
	}
	return out
}

const everything = `
title = "what TRex can express"
[[stream]]
name = "lists"
weight = 3
size = "70-200"
size_op = "random"
[stream.ethernet]
src = { from = "02:00:00:00:00:01", to = "02:00:00:00:00:0a", op = "dec" }
dst = { list = ["02:00:00:00:01:01", "02:00:00:00:02:02", "02:00:00:00:03:03"], op = "random" }
[[stream.vlan]]
id = { from = 100, to = 109 }
pcp = 5
[stream.ipv4]
src = { from = "10.0.0.1", to = "10.0.255.254", op = "random", seed = 99 }
dst = { from = "10.1.0.1", to = "10.1.0.10", op = "dec" }
ttl = { from = 10, to = 19 }
id = { from = 0, to = 65535 }
dscp = 46
[stream.udp]
src_port = { from = 1000, to = 1099, step = 10 }
dst_port = { list = [5001, 5003, 5009], op = "dec" }
[[stream]]
name = "flows6"
weight = 2
size = "100,101,1518:3"
fill = 170
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv6]
dst = "2001:db8::2"
flow_label = { from = 1, to = 1000 }
traffic_class = 12
[stream.tcp]
dst_port = 80
seq = { from = 0, to = 4294967295, op = "random" }
flags = "psh,ack"
mss = 1460
[stream.flows]
count = 100
address = { from = "2001:db8::10", to = "2001:db8::1c" }
port = { from = 1024, to = 1040 }
[[stream]]
name = "qinq"
side = "b"
size = "72-90"
size_op = "dec"
[[stream.vlan]]
id = 7
[[stream.vlan]]
id = { from = 1, to = 4094, op = "random" }
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv4]
src = "10.0.0.1"
dst = "10.0.0.2"
df = false
[stream.udp]
src_port = 7
dst_port = { from = 1, to = 65535, op = "random" }
checksum = false
[[stream]]
name = "wide"
side = "b"
size = 150
[stream.overlay]
scheme = "p.t"
src_mac = "02:00:00:00:0a:00"
dst_mac = "02:00:00:00:0b:00"
vlan = 7
pcp = 3
src_port = 1
dst_port = 2
tenant = { from = 65536, to = 131071, op = "random" }
segment = { from = 70000, to = 70009 }
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = { from = "02:00:00:00:00:02", to = "02:00:01:00:00:01" }
[stream.ipv4]
src = "10.0.0.1"
dst = { from = "10.0.0.2", to = "10.0.0.9" }
dscp = 10
[stream.udp]
src_port = 7
dst_port = 9
[[stream]]
name = "ping"
size = 99
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv4]
src = { from = "10.0.0.1", to = "10.0.0.3" }
dst = "10.0.0.2"
[stream.icmp]
id = 7
[[stream]]
name = "plain"
size = 64
[stream.ethernet]
src = { from = "02:00:00:00:00:01", to = "02:00:00:00:00:04" }
dst = "02:00:00:00:00:02"
type = 0x88b5
[[stream]]
name = "odd"
size = 80
[stream.ethernet]
src = "02:00:00:00:00:01"
dst = "02:00:00:00:00:02"
[stream.ipv4]
src = "10.0.0.1"
dst = "10.0.0.2"
protocol = 89
`

// TestTRex: the Python files describe the packets that Make makes, octet by octet, with all tunables.
func TestTRex(t *testing.T) {
	type run struct {
		profile *traffic.Profile
		set     map[string]string
		job     trexJob
	}
	var runs []run
	add := func(p *traffic.Profile, file string, count int, set map[string]string, job trexJob) {
		for _, d := range []int{0, 1} {
			j := job
			j.File, j.Direction, j.Count = file, d, count
			runs = append(runs, run{p, set, j})
		}
	}
	for _, name := range traffic.Names() {
		p, err := traffic.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{"malformed": 3, "malformed-overlay": 3, "size-9000": 200, "churn": 1100}[name]
		if count == 0 {
			count = 1500
		}
		add(p, filepath.Join(profilesDir, "trex", traffic.ExportName(name, traffic.TRex)), count, nil, trexJob{})
	}
	tune := func(name string, set map[string]string, job trexJob) {
		p, err := traffic.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		add(p, filepath.Join(profilesDir, "trex", traffic.ExportName(name, traffic.TRex)), 200, set, job)
	}
	small := map[string]string{"size": "131", "flows": "17"}
	tune("size-64", small, trexJob{Tunables: []string{"--size", "131", "--flows", "17", "--core", "0"}})
	tune("size-64", small, trexJob{Kwargs: map[string]any{"size": 131, "flows": 17}})
	tune("flows-1", map[string]string{"flows": "150"}, trexJob{Tunables: []string{"--flows", "150"}}) // ports too
	tune("tenants-65k", map[string]string{"tenants": "7"}, trexJob{Tunables: []string{"--tenants", "7"}})
	mac := map[string]string{"ethernet.src": "02:00:00:00:77:01", "ethernet.dst": "02:00:00:00:77:02"}
	tune("size-64", mac, trexJob{
		Tunables: []string{"--src_mac", "02:00:00:00:77:01", "--dst_mac", "02:00:00:00:77:02"},
	})

	dir := t.TempDir()
	write := func(name, text string, count int) {
		p, err := traffic.Parse(filepath.Join(dir, name+".toml"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name+".py")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := p.Export(traffic.TRex, traffic.Options{}, f); err != nil {
			t.Fatal(err)
		}
		add(p, file, count, nil, trexJob{})
	}
	write("everything", everything, 1000)

	jobs := make([]trexJob, len(runs))
	for i := range runs {
		jobs[i] = runs[i].job
	}
	answers, faults := trexPackets(t, jobs)
	compared := 0
	for i, r := range runs {
		what := fmt.Sprintf("%s %v, direction %d", r.profile.Name, append(r.job.Tunables, fmt.Sprint(r.job.Kwargs)),
			r.job.Direction)
		if faults[i] != "" {
			t.Errorf("%s: fault %s, want none", what, faults[i])
			continue
		}
		side := traffic.A + traffic.Side(r.job.Direction)
		a, b := r.profile.Sides()
		if !(side == traffic.A && a || side == traffic.B && b) {
			if len(answers[i]) != 0 {
				t.Errorf("%s: %d streams, and the profile has none for this side", what, len(answers[i]))
			}
			continue
		}
		g, err := r.profile.Program(traffic.Options{Side: side, Set: r.set})
		if err != nil {
			t.Fatal(err)
		}
		if len(answers[i]) != len(g.Streams()) {
			t.Errorf("%s: %d streams, want %d", what, len(answers[i]), len(g.Streams()))
			continue
		}
		want := streamPackets(g, r.job.Count)
		for k, s := range g.Streams() {
			got := answers[i][k]
			if got.Name != s.Name || got.PPS*float64(g.Streams()[0].Weight) != answers[i][0].PPS*float64(s.Weight) {
				t.Errorf("%s: stream %s at %v, want %s, weight %d", what, got.Name, got.PPS, s.Name, s.Weight)
			}
			if (got.Core == 0) != slices.Contains(r.job.Tunables, "--core") {
				t.Errorf("%s: core %d", what, got.Core)
			}
			for n := range want[k] {
				if got.Packets[n] != want[k][n] {
					t.Errorf("%s, stream %s, packet %d:\nTRex %s\nhere %s", what, s.Name, n, got.Packets[n], want[k][n])
					break
				}
				compared++
			}
		}
	}
	if compared < 30_000 {
		t.Errorf("compared %d packets", compared)
	}
	t.Logf("compared %d packets of %d runs", compared, len(runs))
}

// TestTRexStandIn: the stand-in refuses what TRex refuses, and knows a wrong packet from a right one.
func TestTRexStandIn(t *testing.T) {
	dir := t.TempDir()
	const frame = `
from trex.stl.api import *
class Mix(object):
    def get_streams(self, direction=0, **kwargs):
        packet = Ether() / IP() / UDP() / Raw(bytes(18))
        return [STLStream(name="x", mode=STLTXCont(pps=1), mac_src_override_by_pkt=True,
                          mac_dst_override_mode=STLStreamDstMAC_PKT,
                          packet=STLPktBuilder(pkt=packet, vm=STLScVmRaw([VM])))]
def register():
    return Mix()
`
	cases := []struct{ name, vm, want string }{
		{"good", `STLVmFlowVar(name="a", min_value=0, max_value=255, size=1, op="inc")`, ""},
		{"op", `STLVmFlowVar(name="a", op="rand")`, "op"},
		{"size", `STLVmFlowVar(name="a", size=3)`, "size"},
		{"range", `STLVmFlowVar(name="a", size=1, max_value=256)`, "does not fit"},
		{"unknown", `STLVmWrFlowVar(fv_name="a", pkt_offset=20)`, "no variable a"},
		{
			"outside", `STLVmFlowVar(name="a", size=4), STLVmWrFlowVar(fv_name="a", pkt_offset=57)`,
			"writes up to 61 of 60",
		},
		{"room", `*[STLVmFlowVarRepeatableRandom(name=str(i), size=4, seed=1) for i in range(6)]`, "take 72 octets"},
		{"seed", `STLVmFlowVar(name="a", size=1, op="random")`, "without random_seed"},
		{"trim", `STLVmFlowVar(name="a", size=4), STLVmTrimPktSize("a")`, "2 octets"},
		{"twice", `STLVmFlowVar(name="a"), STLVmFlowVar(name="a")`, "twice"},
	}
	var jobs []trexJob
	for _, c := range cases {
		file := filepath.Join(dir, c.name+".py")
		if err := os.WriteFile(file, []byte(strings.Replace(frame, "VM]", c.vm+"]", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, trexJob{File: file, Count: 5})
	}
	_, faults := trexPackets(t, jobs)
	for i, c := range cases {
		if (c.want == "") != (faults[i] == "") || !strings.Contains(faults[i], c.want) {
			t.Errorf("%s: %q, want %q", c.name, faults[i], c.want)
		}
	}
}

// TestTRexCapture: a captured file goes through TRex's own reader.
func TestTRexCapture(t *testing.T) {
	source := frames(builtin(t, "syn-flood", traffic.Options{}), 20)
	path := writeCapture(t, "x.pcap", false, layers.LinkTypeEthernet, 0, source...)
	dir := filepath.Dir(path)
	p := parse(t, "title = \"t\"\n[[stream]]\nname = \"replay\"\n[stream.pcap]\nfile = \""+path+"\"\n")
	file := filepath.Join(dir, "x.py")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := p.Export(traffic.TRex, traffic.Options{}, f); err != nil {
		t.Fatal(err)
	}
	answers, faults := trexPackets(t, []trexJob{{File: file, Count: 1}, {File: file, Count: 1, Direction: 1}})
	if faults[0] != "" || len(answers[0]) != 20 || len(answers[1]) != 0 {
		t.Fatalf("%s: %d, %d streams", faults[0], len(answers[0]), len(answers[1]))
	}
	for i, s := range answers[0] {
		if s.Packets[0] != hex.EncodeToString(source[i]) || s.ISG != 1000 {
			t.Errorf("frame %d: %s, isg %v, want %x", i, s.Packets[0], s.ISG, source[i])
		}
	}
}

// TestInexpressible: what cannot be said is refused with the reason, and nothing is written.
func TestInexpressible(t *testing.T) {
	for _, tc := range []struct{ kind, profile, want string }{
		{traffic.Pktgen, "tenants-1", "an outer header"},
		{traffic.Pktgen, "churn", "TCP connections"},
		{traffic.Pktgen, "malformed", "malformed frames"},
		{traffic.Pktgen, "syn-flood", "anything but UDP over IPv4"},
		{traffic.Pktgen, "broadcast-storm", "several streams"},
		{traffic.DPDK, "flows-1m", "1000000 values"},
		{traffic.DPDK, "flows-10k", "10000 values"},
		{traffic.DPDK, "size-imix", "sizes with weights together with values that vary"},
	} {
		p, err := traffic.Builtin(tc.profile)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = p.Export(tc.kind, traffic.Options{}, &b)
		var no *traffic.InexpressibleError
		if !errors.As(err, &no) || !strings.Contains(err.Error(), tc.want) || b.Len() != 0 {
			t.Errorf("%s of %s: %v, %d octets", tc.kind, tc.profile, err, b.Len())
		}
	}
	p := parse(t,
		everything+"[[stream]]\nname = \"echo\"\nsize = 80\n"+eth+ip4+"[stream.icmp]\nseq = { from = 0, to = 9 }\n")
	if err := p.Export(traffic.TRex, traffic.Options{}, &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), "ICMP whose header or length varies") {
		t.Error(err)
	}
	if err := p.Export("ixia", traffic.Options{}, &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), "there are trex, pktgen and dpdk") {
		t.Error(err)
	}
}
