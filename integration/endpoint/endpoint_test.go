package endpoint

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

var (
	hostA = Host{MAC: 0x020000000001, IPv4: netip.MustParseAddr("10.0.0.1"), IPv6: netip.MustParseAddr("fd00::1")}
	hostB = Host{MAC: 0x020000000002, IPv4: netip.MustParseAddr("10.0.0.2"), IPv6: netip.MustParseAddr("fd00::2")}
)

// wire returns the two ends of a veth pair.
func wire(t *testing.T, name string) (l *lab.Lab, a, b *Raw) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("PENSTOCK_REQUIRE_ROOT") == "1" {
			t.Fatal("root is required")
		}
		t.Skip("needs root")
	}
	l, err := lab.New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for _, ns := range []string{"a", "b"} {
		if err := l.Namespace(ns); err != nil {
			t.Fatal(err)
		}
		if err := l.Sysctl(ns, "net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Veth("a", "eth0", "b", "eth0", lab.VethOptions{}); err != nil {
		t.Fatal(err)
	}
	open := func(ns string) (r *Raw) {
		if err := l.Do(ns, func() (err error) { r, err = Open("eth0"); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	return l, open("a"), open("b")
}

func TestMixCrossesWireUnchanged(t *testing.T) {
	_, a, b := wire(t, "mix")
	for _, vlan := range []uint16{0, 30} {
		frames, err := Mix(MixOptions{Seed: 1, From: hostA, To: hostB, VLAN: vlan}, 2000)
		if err != nil {
			t.Fatal(err)
		}
		e := Expect(frames)
		for _, f := range frames {
			if err := a.Send(f); err != nil {
				t.Fatal(err)
			}
		}
		got, err := b.Collect(100 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			e.Arrived(f)
		}
		if err := e.Err(); err != nil {
			t.Errorf("VLAN %d: %v", vlan, err)
		}
		if own, err := a.Receive(0); err == nil {
			t.Errorf("the sender receives its own frame % x", own[:14])
		}
	}
}

func TestMixIsRight(t *testing.T) {
	frames, err := Mix(MixOptions{Seed: 7, From: hostA, To: hostB}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Mix(MixOptions{Seed: 7, From: hostA, To: hostB}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[gopacket.LayerType]int)
	shortest, longest := MaxFrame, 0
	for i, f := range frames {
		if !bytes.Equal(f, again[i]) {
			t.Fatalf("frame %d is another one with the same seed", i)
		}
		if err := CheckSums(f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		for _, layer := range gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default).Layers() {
			kinds[layer.LayerType()]++
		}
		shortest, longest = min(shortest, len(f)), max(longest, len(f))
	}
	if shortest != MinFrame || longest != MaxFrame {
		t.Errorf("lengths %d to %d", shortest, longest)
	}
	for _, want := range []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeIPv6, layers.LayerTypeTCP,
		layers.LayerTypeUDP, layers.LayerTypeICMPv4, layers.LayerTypeICMPv6Echo} {
		if kinds[want] < 300 {
			t.Errorf("%d layers %v in 5000 frames", kinds[want], want)
		}
	}
	frames[0][20] ^= 1
	frames[0][len(frames[0])-20] ^= 1
	if CheckSums(frames[0]) == nil {
		t.Error("a changed frame has right checksums")
	}
}

func TestExpectation(t *testing.T) {
	frames, err := Mix(MixOptions{Seed: 3, From: hostA, To: hostB, First: 100}, 4)
	if err != nil {
		t.Fatal(err)
	}
	e := Expect(frames)
	altered := bytes.Clone(frames[1])
	altered[14] ^= 0xff
	foreign, err := ARPRequest(hostA, 0, hostB.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Mix(MixOptions{Seed: 3, From: hostA, To: hostB, First: 200}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range [][]byte{frames[0], frames[0], altered, frames[3], foreign, other[0]} {
		e.Arrived(f)
	}
	if n, first := e.Missing(); n != 1 || first != 102 || e.Duplicates() != 1 || len(e.Altered) != 1 ||
		e.Foreign != 1 || e.Unknown != 1 || e.Complete() {
		t.Errorf("got %+v, want 1 missing (102), 1 duplicate, 1 altered, 1 foreign, 1 unknown", e)
	}
	if err := e.Err(); err == nil || !strings.Contains(err.Error(), "octet 14") {
		t.Error(err)
	}
	e = Expect(frames)
	for _, f := range frames {
		e.Arrived(f)
	}
	if err := e.Err(); err != nil || !e.Complete() {
		t.Error(err)
	}
}

func TestSteady(t *testing.T) {
	l, a, b := wire(t, "steady")
	var templates [][]byte
	for port := range uint16(4) {
		f, err := UDP4(hostA, hostB, 0, 1000+port, 9, SteadyPayload(40))
		if err != nil {
			t.Fatal(err)
		}
		putSteady(f, 0xdeadbeef)
		if err := CheckSums(f); err != nil {
			t.Errorf("the checksum does not stand another sequence number: %v", err)
		}
		templates = append(templates, f)
	}
	s, err := StartSteady(a, b, 5000, templates...)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := l.SetDown("b", "eth0"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := l.SetUp("b", "eth0"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	r, err := s.Stop(50 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Blocked < 180*time.Millisecond || r.Blocked > 450*time.Millisecond {
		t.Errorf("blocked for %v while the link was down for 200 ms", r.Blocked)
	}
	if r.Lost() < 500 || r.Lost() > 2000 || r.Received < 1000 || r.Duplicates != 0 || r.Reordered != 0 {
		t.Error(r)
	}
	if _, err := StartSteady(a, b, 1000, []byte("no template")); err == nil {
		t.Error("no error for a frame without the payload")
	}
}

func TestOuterRoundTrip(t *testing.T) {
	for _, tagged := range []bool{false, true} {
		o := &Outer{DstMAC: 0x02000000fa0a, SrcMAC: 0x02000000fa0b, Tagged: tagged, DSCP: 46, ID: 101, Flags: 0x4000,
			TTL: 64, Proto: Proto143,
			Src: Special(model.Scheme16, 1, 7), Dst: Special(model.Scheme16, 2, 100), Inner: []byte("0123456789abcdef")}
		if tagged {
			o.VID, o.PCP = 101, 5
		}
		frame := o.Encode()
		got, err := DecodeOuter(frame)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Encode(), frame) || got.Dst.String() != "10.2.0.100" || got.Src.String() != "10.1.0.7" ||
			got.Tagged != tagged || got.PCP != o.PCP {
			t.Errorf("got %+v, want %+v", got, o)
		}
		for cut := range len(frame) {
			if _, err := DecodeOuter(frame[:cut]); err == nil {
				t.Errorf("%d of %d octets decoded", cut, len(frame))
			}
		}
	}
	if a := Special(model.Scheme24, 2, 70000); a.String() != "2.1.17.112" {
		t.Error(a)
	}
}

func TestResolutionFrames(t *testing.T) {
	for name, build := range map[string]func() ([]byte, error){
		"request":      func() ([]byte, error) { return ARPRequest(hostA, 0, hostB.IPv4) },
		"tagged":       func() ([]byte, error) { return ARPRequest(hostA, 30, hostB.IPv4) },
		"reply":        func() ([]byte, error) { return ARPReply(hostA, 0, hostB) },
		"solicitation": func() ([]byte, error) { return NeighborSolicitation(hostA, 0, hostB.IPv6) },
		"echo":         func() ([]byte, error) { return Echo4(hostA, hostB, 0, 64, 1, 1, []byte("ping")) },
		"udp6":         func() ([]byte, error) { return UDP6(hostA, hostB, 0, 1, 2, []byte("six")) },
	} {
		f, err := build()
		if err != nil {
			t.Errorf("building %s: got %v, want no error", name, err)
			continue
		}
		if err := CheckSums(f); err != nil {
			t.Errorf("checksums of %s: got %v, want all correct", name, err)
		}
	}
	f, err := ARPReply(hostA, 30, hostB)
	if err != nil {
		t.Fatal(err)
	}
	if a := ParseARP(f); a == nil || a.Operation != layers.ARPReply || MACAt(a.SourceHwAddress) != hostA.MAC {
		t.Errorf("got %+v, want an ARP reply from %s", a, hostA.MAC)
	}
}
