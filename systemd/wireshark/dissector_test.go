// Package wireshark_test reads captured frames with the dissector in penstock.lua, by tshark.
package wireshark_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"penstock/dataplane/resolve"
)

const (
	switchMAC = 0x02000000000a
	sequence  = 1_800_000_000_000_000_000
)

// tshark returns the layers of each frame, as `tshark -T json` shows them.
func tshark(t *testing.T, frames ...[]byte) []map[string]any {
	t.Helper()
	return tsharkWith(t, nil, frames...)
}

// tsharkWith is tshark with further arguments.
func tsharkWith(t *testing.T, args []string, frames ...[]byte) (list []map[string]any) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("tshark is missing; make deps installs it")
		}
		t.Skip("tshark is missing; make deps installs it")
	}
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(65_536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("tshark", append([]string{"-X", "lua_script:penstock.lua", "-r", path, "-T", "json",
		"--no-duplicate-keys"}, args...)...)
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &out, &wrong
	if err := c.Run(); err != nil {
		t.Fatalf("tshark: %v\n%s", err, wrong.String())
	}
	if s := wrong.String(); strings.Contains(s, "Lua") || strings.Contains(s, "penstock.lua") {
		t.Fatalf("tshark says of the dissector: %s", s)
	}
	var packets []struct {
		Source struct {
			Layers map[string]any `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(out.Bytes(), &packets); err != nil {
		t.Fatalf("tshark's output: %v\n%s", err, out.String())
	}
	for _, p := range packets {
		list = append(list, p.Source.Layers)
	}
	if len(list) != len(frames) {
		t.Fatalf("frames read: got %d, want %d", len(list), len(frames))
	}
	return list
}

// value finds the first member of a name, at any depth.
func value(x any, name string) (any, bool) {
	switch x := x.(type) {
	case map[string]any:
		if v, ok := x[name]; ok {
			return v, true
		}
		for _, v := range x {
			if v, ok := value(v, name); ok {
				return v, true
			}
		}
	case []any:
		for _, v := range x {
			if v, ok := value(v, name); ok {
				return v, true
			}
		}
	}
	return nil, false
}

func hold(t *testing.T, layers map[string]any, want map[string]string) {
	t.Helper()
	for name, w := range want {
		v, ok := value(layers, name)
		if got, _ := v.(string); !ok || got != w {
			t.Errorf("%s: got %v, want %q", name, v, w)
		}
	}
	if t.Failed() {
		text, _ := json.MarshalIndent(layers, "", " ")
		t.Logf("%s", text)
	}
}

// broadcast is a frame on the control VLAN.
func broadcast(payload []byte) []byte {
	b, _ := hex.DecodeString("ffffffffffff02000000000a8100cfa088b5")
	return append(b, payload...)
}

// unicast is a packet between two boxes' addresses.
func unicast(t *testing.T, port layers.UDPPort, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{10, 3, 0, 1},
		DstIP: []byte{10, 17, 0, 1}}
	udp := &layers.UDP{SrcPort: 50_000, DstPort: port}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 10}, DstMAC: []byte{2, 0, 0, 0, 0, 11},
		EthernetType: layers.EthernetTypeIPv4}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip,
		udp, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestBodies(t *testing.T) {
	here, _ := hex.DecodeString(
		"505301020000000018fae27693b4000000012c0000070200000001010a00000102000000000a0011")
	at := resolve.Body{Switch: switchMAC, Port: 17, Sequence: sequence}
	where, pull, probe := at, at, at
	where.Op, where.Tenant, where.Segment, where.Flags = resolve.OpWhere, 300, 7, resolve.FlagIPv6
	where.IP6 = [16]byte{0xfd, 15: 9}
	pull.Op, pull.Tenant, pull.Segment, pull.MAC, pull.IP4 = resolve.OpPull, 300, 7, 0x020000000101, 32
	probe.Op, probe.Segment, probe.IP4 = resolve.OpProbe, 102, 77
	hello := at
	hello.Op, hello.MAC = resolve.OpHello, 0x02000000fb01
	hello.SetSummary(resolve.Summary{Count: 10_000, Digest: 0x0123456789abcdef, Held: 61})
	page, echo, flapping := pull, probe, at
	page.Op, page.IP4, page.Flags = resolve.OpPage, 0, resolve.FlagLast
	echo.Op = resolve.OpEcho
	flapping.Op, flapping.Flags = resolve.OpHere, resolve.FlagAdd|resolve.FlagStatic|resolve.FlagVTEP
	keys := []resolve.Key{{ID: 9, Octets: "secret"}}
	tagged := at
	tagged.Op, tagged.Flags, tagged.KeyID = resolve.OpNotHere, resolve.FlagTag, 9
	tagged.Tenant, tagged.Segment, tagged.MAC = 300, 7, 0x020000000101
	tag := bytes.Repeat([]byte{0xab}, resolve.TagLen)

	for _, c := range []struct {
		name  string
		frame []byte
		want  map[string]string
	}{
		{"HERE", broadcast(here), map[string]string{"penstock.opcode": "2", "penstock.tenant": "300",
			"penstock.segment": "7", "penstock.mac": "02:00:00:00:01:01", "penstock.ipv4": "10.0.0.1",
			"penstock.switch": "02:00:00:00:00:0a", "penstock.port": "17",
			"penstock.sequence": "1800000000000000000"}},
		{"WHERE by IPv6", broadcast(where.Append(nil)), map[string]string{"penstock.opcode": "1",
			"penstock.ipv6": "fd00::9", "penstock.flags.ipv6": "1"}},
		{"HELLO", broadcast(hello.Append(nil)), map[string]string{"penstock.opcode": "4",
			"penstock.mac": "02:00:00:00:fb:01", "penstock.hello.count": "10000",
			"penstock.hello.digest": "0x0123456789abcdef", "penstock.hello.held": "61"}},
		{"PULL", unicast(t, 7471, pull.Append(nil)), map[string]string{"penstock.opcode": "5",
			"penstock.pull.frames": "32", "penstock.mac": "02:00:00:00:01:01"}},
		{"PROBE", unicast(t, 7471, probe.Append(nil)), map[string]string{"penstock.opcode": "7",
			"penstock.probe.vlan": "102", "penstock.probe.number": "77"}},
		{"PAGE with a HERE and a tag", unicast(t, 7471, resolve.Message(nil, []resolve.Body{page, flapping}, keys)),
			map[string]string{"penstock.opcode": "6", "penstock.flags.last": "1", "penstock.mac": "02:00:00:00:01:01"}},
		{"ECHO", unicast(t, 7471, echo.Append(nil)), map[string]string{"penstock.opcode": "8",
			"penstock.probe.vlan": "102", "penstock.probe.number": "77"}},
		{"HERE with flags and a key", broadcast(resolve.Message(nil, []resolve.Body{flapping}, keys)),
			map[string]string{"penstock.opcode": "2", "penstock.key_id": "9", "penstock.flags.add": "1",
				"penstock.flags.static": "1", "penstock.flags.vtep": "1"}},
		{"tag", unicast(t, 7471, append(tagged.Append(nil), tag...)), map[string]string{"penstock.opcode": "3",
			"penstock.key_id": "9", "penstock.tag": strings.TrimSuffix(strings.Repeat("ab:", 16), ":")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			layers := tshark(t, c.frame)[0]
			hold(t, layers, c.want)
			if v, bad := value(layers, "penstock.malformed"); bad {
				t.Errorf("a good message is malformed: %v", v)
			}
		})
	}
}

// TestManyBodies: all bodies of a frame are read, and Ethernet's padding is none.
func TestManyBodies(t *testing.T) {
	var b []byte
	for i := range uint64(36) {
		m := resolve.Body{Op: resolve.OpHere, Tenant: 300, Segment: 7, MAC: 0x020000000100 + i, Switch: switchMAC,
			Port: 17}
		b = m.Append(b)
	}
	m := resolve.Body{Op: resolve.OpHere, Tenant: 300, Segment: 7, MAC: 0x020000000101, Switch: switchMAC, Port: 17}
	padded := append(broadcast(m.Append(nil)), make([]byte, 6)...)
	list := tshark(t, broadcast(b), padded)
	text, _ := json.Marshal(list[0])
	if n := strings.Count(string(text), `"penstock.opcode"`); n != 36 {
		t.Errorf("bodies of the frame: got %d, want 36", n)
	}
	if v, bad := value(list[1], "penstock.malformed"); bad {
		t.Errorf("padding is taken for a message: %v", v)
	}
}

// TestCut: a message that ends early is malformed at any length, and the dissector does not fail.
func TestCut(t *testing.T) {
	m := resolve.Body{Op: resolve.OpHere, Flags: resolve.FlagIPv6 | resolve.FlagTag, Tenant: 300, Segment: 7,
		MAC: 0x020000000101, Switch: switchMAC, Port: 17}
	whole := append(m.Append(nil), make([]byte, resolve.TagLen)...)
	var frames [][]byte
	for n := 1; n < len(whole); n++ {
		frames = append(frames, unicast(t, 7471, whole[:n]))
	}
	for i, layers := range tshark(t, frames...) {
		text, _ := json.Marshal(layers)
		if !strings.Contains(string(text), "penstock.malformed") {
			t.Errorf("message of %d octets of %d: got no fault, want one", i+1, len(whole))
		}
		if strings.Contains(string(text), "Lua Error") {
			t.Fatalf("message of %d octets: %s", i+1, text)
		}
	}
}

func TestDirectors(t *testing.T) {
	head := func(op byte, count uint16) []byte {
		b := []byte{0x50, 0x53, 1, op, 0, 0, byte(count >> 8), byte(count)}
		return binary.BigEndian.AppendUint64(b, sequence)
	}
	signed := func(b []byte) []byte {
		b[5] |= 2
		return append(b, (&resolve.Key{Octets: "secret"}).Tag(b)...)
	}
	hello := append(head(4, 1), 0, 0, 100, 0, 0, 7, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2)
	flows := append(head(5, 1), 0, 0, 100, 0, 0, 7, 4, 2, 0x8c, 0xa0, 0x1f, 0x90, 2, 0, 0, 0, 1, 0x14, 0, 0)
	flows = append(flows, 10, 10, 1, 10)
	six := append(head(5, 2), flows[16:]...)
	six = append(six, 0, 0, 100, 0, 0, 7, 6, 5, 0x8c, 0xa0, 0x1f, 0x90, 2, 0, 0, 0, 1, 0x14, 0, 0, 0xfd)
	six = append(six, make([]byte, 14)...)
	six = append(six, 9)
	list := tshark(t, unicast(t, 7473, hello), unicast(t, 7473, flows), unicast(t, 7473, signed(bytes.Clone(hello))),
		unicast(t, 7473, signed(six)), unicast(t, 7473, signed(head(4, 0))), unicast(t, 7473, append(hello, 1)),
		unicast(t, 7473, signed(bytes.Clone(flows))[:30]))
	for i, layers := range list {
		text, _ := json.Marshal(layers)
		if bad := strings.Contains(string(text), "penstock.malformed"); bad != (i >= 5) ||
			strings.Contains(string(text), "Lua Error") {
			t.Errorf("message %d: malformed is %t, want %t: %s", i, bad, i >= 5, text)
		}
		if _, tagged := value(layers, "penstock.tag"); tagged != (i >= 2 && i <= 4) {
			t.Errorf("message %d: a tag is %t, want %t: %s", i, tagged, i >= 2 && i <= 4, text)
		}
	}
	hold(t, list[3], map[string]string{"penstock.director.count": "2", "penstock.flow.client6": "fd00::9",
		"penstock.flow.client4": "10.10.1.10"})
	hold(t, list[0], map[string]string{"penstock.director.opcode": "4", "penstock.director.service": "7",
		"penstock.director.digest": "0x0102030405060708"})
	hold(t, list[1], map[string]string{"penstock.flow.client4": "10.10.1.10", "penstock.flow.state": "2",
		"penstock.flow.client_port": "36000", "penstock.flow.server_port": "8080"})
}

// TestInner: tenants' frames are shown behind the outer header.
func TestInner(t *testing.T) {
	inner := unicast(t, 53, []byte("question"))
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: 143, SrcIP: []byte{10, 3, 0, 7}, DstIP: []byte{10, 5, 0, 100}}
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0xfa, 10}, DstMAC: []byte{2, 0, 0, 0, 0xfa, 11},
		EthernetType: layers.EthernetTypeIPv4}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip,
		gopacket.Payload(inner))
	if err != nil {
		t.Fatal(err)
	}
	for i, packet := range tshark(t, buf.Bytes(), unicast(t, 7472, inner)) {
		text, _ := json.Marshal(packet)
		if !strings.Contains(string(text), `"53"`) { // the port
			t.Errorf("packet %d: the tenant's packet is not shown: %s", i, text)
		}
	}
	// Another fabric.udp_port takes the place of 7472; a port that cannot be one changes nothing, and 0 is none.
	for _, c := range []struct {
		option string
		shown  [2]bool
	}{{"5555", [2]bool{false, true}}, {"7472", [2]bool{true, false}}, {"0", [2]bool{false, false}},
		{"99999", [2]bool{true, false}}} {
		list := tsharkWith(t, []string{"-o", "penstock.udp_port:" + c.option}, unicast(t, 7472, inner),
			unicast(t, 5555, inner))
		for i, packet := range list {
			text, _ := json.Marshal(packet)
			if got := strings.Contains(string(text), `"53"`); got != c.shown[i] {
				t.Errorf("udp_port %s, packet %d: shown is %t, want %t", c.option, i, got, c.shown[i])
			}
		}
	}
}
