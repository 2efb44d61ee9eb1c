package rig

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/pathprobe"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stats"
)

// probeFrame is a PROBE of the box at port 4 of otherSwitch, as it arrives over VLAN 101, octet by octet.
const probeFrame = `
	02 00 00 00 0f 02  02 aa 00 00 00 01  08 00
	45 c0 00 44  00 65 40 00  3f 11 26 7c  0a 04 00 01  0a 03 00 01
	1d 2f 1d 2f  00 30 00 00
	50 53 01 07  00 00 00 00  00 00 00 01 02 03 04 05
	00 00 00  00 00 65  00 00 00 00 00 00  00 00 00 09
	02 aa 00 00 00 11  00 04`

// echoFrame is the ECHO to it.
const echoFrame = `
	02 aa 00 00 00 11  02 aa 00 00 00 01  81 00 c0 65  08 00
	45 c0 00 44  00 65 40 00  40 11 25 7c  0a 03 00 01  0a 04 00 01
	1d 2f 1d 2f  00 30 00 00
	50 53 01 08  00 00 00 00  00 00 00 01 02 03 04 05
	00 00 00  00 00 65  00 00 00 00 00 00  00 00 00 09
	02 aa 00 00 00 11  00 04`

func octets(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEcho: a PROBE becomes an ECHO, to the octet, in its frame.
func TestEcho(t *testing.T) {
	r := start(t, world(1))
	want := octets(t, echoFrame)
	receive(t, r, fab0, octets(t, probeFrame))
	got := r.Sent(fab0)
	if len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Errorf("sent %x, want one frame %x", got, want)
	}
	tagged := octets(t, probeFrame)
	tagged = append(tagged[:12:12], append([]byte{0x81, 0, 0, 0}, tagged[12:]...)...)
	padded := append(octets(t, probeFrame), make([]byte, 20)...)
	receive(t, r, fab0, tagged, padded)
	if got := r.Sent(fab0); len(got) != 2 || !bytes.Equal(got[0], want) || !bytes.Equal(got[1], want) {
		t.Errorf("with a priority tag, with padding: sent %x, want twice %x", got, want)
	}
}

// TestEchoWithKeys: only a PROBE with a valid tag is answered, and the ECHO has one.
func TestEchoWithKeys(t *testing.T) {
	r := start(t, world(1))
	keys := []resolve.Key{{ID: 3, Octets: "0123456789abcdef"}}
	r.Echo.SetKeys(keys)
	b := octets(t, probeFrame)
	receive(t, r, fab0, b)
	b = append(b, make([]byte, 16)...)
	binary.BigEndian.PutUint16(b[16:], 84)
	binary.BigEndian.PutUint16(b[24:], 0x267c-16)
	binary.BigEndian.PutUint16(b[38:], 64)
	b[42+5], b[42+6] = 2, 3
	pathprobe.NewSeal(keys).Put(b[82:], b[42:82])
	forged := bytes.Clone(b)
	forged[97]++
	receive(t, r, fab0, forged, b)
	r.Publish()
	if n := r.Ports.Of(fab0, stats.Drops+int(drop.ProbeTag)); n != 2 {
		t.Errorf("%d probes are dropped as probe_tag, want 2: one without a tag, one with a wrong one", n)
	}
	got := r.Sent(fab0)
	if len(got) != 1 || len(got[0]) != 102 {
		t.Fatalf("sent %x, want one ECHO of 102 octets", got)
	}
	if e := got[0]; e[46+3] != 8 || !pathprobe.NewSeal(keys).Valid(e[86:], e[46:86], 3) {
		t.Errorf("the ECHO %x has no valid tag", e)
	}
}

// TestEchoRefused: what is no sound PROBE is dropped under its reason, and nothing is sent.
func TestEchoRefused(t *testing.T) {
	r := start(t, world(1))
	good := octets(t, probeFrame)
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	cut := bytes.Clone(good) // a body of 39 octets
	binary.BigEndian.PutUint16(cut[38:], 47)
	for _, tc := range []struct {
		what  string
		frame []byte
		want  drop.Reason
	}{
		{"cut", cut, drop.MessageShort},
		{"another VLAN in the body", change(42+19, 0, 0, 0x66), drop.ProbeInvalid},
		{"VLAN 0", change(42+19, 0, 0, 0), drop.ProbeInvalid},
		{"another port number", change(42+38, 0, 5), drop.ProbeInvalid},
		{"a switch without path", change(42+32, 2, 0xbb), drop.ProbeInvalid},
		{"tag announced", change(42+5, 2), drop.ProbeInvalid},
		{"with IPv6", change(42+5, 1), drop.MessageShort},
		{"another version", change(42+2, 2), drop.MessageVersion},
		{"an ECHO that nobody asked for", change(42+3, 8), drop.ProbeUnasked},
	} {
		r.Publish()
		before := r.Ports.Of(fab0, stats.Drops+int(tc.want))
		receive(t, r, fab0, tc.frame)
		r.Publish()
		after := r.Ports.Of(fab0, stats.Drops+int(tc.want))
		if sent := r.Sent(fab0); after != before+1 || len(sent) > 0 {
			t.Errorf("%s: sent %x, %v counted %d times, want nothing and once", tc.what, sent, tc.want, after-before)
		}
	}
}

// TestPathDown: when a path is down only its flows move; when it is back they are back; all down is as none down.
func TestPathDown(t *testing.T) {
	o := world(1)
	o.State.Paths["p"] = model.Path{A: ourSwitch, B: otherSwitch, VLANs: []model.PathVLAN{{VID: 101, Weight: 1},
		{VID: 102, Weight: 1}, {VID: 103, Weight: 3}, {VID: 104, Weight: 1}}}
	r := start(t, o)
	vlans := func() (v [500]uint16) {
		for i := range v {
			b := udp(t, remoteMAC(0), localMAC, remoteIP(0), localIP, 100)
			binary.BigEndian.PutUint16(b[34:], uint16(1000+i))
			binary.BigEndian.PutUint16(b[40:], 0)
			receive(t, r, acc0, b)
			got := r.Sent(fab0)
			if len(got) != 1 {
				t.Fatalf("flow %d: %d frames sent, want 1", i, len(got))
			}
			v[i] = binary.BigEndian.Uint16(got[0][14:]) & 0xfff
			r.Tick(time.Microsecond)
		}
		return v
	}
	set := func(down bool, vids ...uint16) {
		for _, p := range r.Compiler.PathStats() {
			for _, v := range vids {
				if p.Switch == otherSwitch && p.VID == v {
					p.Probe.Down.Store(down)
				}
			}
		}
		r.Compiler.RefreshPaths()
	}
	before := vlans()
	for _, vid := range []uint16{102, 103} {
		set(true, vid)
		moved := 0
		for i, v := range vlans() {
			switch {
			case before[i] == vid && v != vid:
				moved++
			case before[i] == vid || v != before[i]:
				t.Fatalf("VLAN %d is down: flow %d goes from VLAN %d to %d", vid, i, before[i], v)
			}
		}
		if moved < 20 {
			t.Errorf("VLAN %d is down: %d flows move, want those of the VLAN, some dozens", vid, moved)
		}
		set(false, vid)
		if vlans() != before {
			t.Errorf("VLAN %d is up again: the flows are not where they were", vid)
		}
	}
	set(true, 101, 102, 103, 104)
	if vlans() != before {
		t.Error("all paths are down: the flows are not where they were, want all paths to be used")
	}
	for _, p := range r.Compiler.PathStats() {
		if p.Switch == otherSwitch && !p.Used {
			t.Errorf("VLAN %d is not used, want all to be used when all are down", p.VID)
		}
	}
	set(false, 104)
	for i, v := range vlans() {
		if v != 104 {
			t.Fatalf("only VLAN 104 is up: flow %d goes by VLAN %d", i, v)
		}
	}
}
