package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// TestEncapsulation compares every field that a box writes with the table in PROTOCOL.md#encapsulation.
func TestEncapsulation(t *testing.T) {
	for _, scheme := range []model.Scheme{model.Scheme16, model.Scheme24} {
		t.Run(string(scheme), func(t *testing.T) {
			o := oneBox()
			o.Scheme = scheme
			f := startFabric(t, o)
			edge := f.edge(t, "box1")
			swa, swb, box := f.Node("swa").MAC, f.Node("swb").MAC, f.Node("box1").MAC
			const red, web, app, pcp, dscp = 100, 7, 8, 5, 46
			for _, tc := range []struct {
				name, from, to string
				build          func(from, to endpoint.Host, vlan uint16) []byte
				dstMAC, srcMAC model.MAC
				dstPort        uint8
				segment        uint32
				pcp, dscp      uint8
			}{
				{"IPv4", "red-raw1", "red-vm2", marked4(dscp, 0), swb, swa, 2, web, 0, dscp},
				{"IPv6", "red-raw1", "red-vm2", marked6(dscp), swb, swa, 2, web, 0, dscp},
				{"not IP", "red-raw1", "red-vm2", plain, swb, swa, 2, web, 0, 0},
				{"tagged, with priority", "red-tag1", "red-tag2", marked4(0, pcp), swb, swa, 2, app, pcp, 0},
				{"same switch", "red-raw1", "red-vm4", marked4(dscp, 0), swa, box, 3, web, 0, dscp},
			} {
				t.Run(tc.name, func(t *testing.T) {
					vlan := f.VM(tc.from).VLAN
					frame := tc.build(f.host(tc.from), f.host(tc.to), vlan)
					must(t, f.raw(t, tc.from).Send(frame))
					got, err := edge.Encapsulated(time.Second)
					must(t, err)
					inner := frame
					if vlan != 0 {
						inner = append(bytes.Clone(frame[:12]), frame[16:]...)
					}
					if d := endpoint.Diff(inner, got.Inner); d != "" {
						t.Errorf("inner frame: %s", d)
					}
					if got.VID != 101 && got.VID != 102 {
						t.Errorf("VLAN %d is no path", got.VID)
					}
					want := endpoint.Outer{DstMAC: tc.dstMAC, SrcMAC: tc.srcMAC, Tagged: true, VID: got.VID,
						PCP: tc.pcp, DSCP: tc.dscp, ID: got.VID, Flags: 0x4000,
						TTL: 64, Proto: 143, Src: endpoint.Special(scheme, 1, tc.segment),
						Dst: endpoint.Special(scheme, tc.dstPort, red), Inner: got.Inner}
					if g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", want); g != w {
						t.Errorf("\nhave %s\nwant %s", g, w)
					}
				})
			}
		})
	}
}

func marked4(dscp, pcp uint8) func(from, to endpoint.Host, vlan uint16) []byte {
	return func(from, to endpoint.Host, vlan uint16) []byte {
		parts := endpoint.Ethernet(from.MAC, to.MAC, vlan, layers.EthernetTypeIPv4)
		if vlan != 0 {
			parts[1].(*layers.Dot1Q).Priority = pcp
		}
		return bytesOf(endpoint.Serialize(append(parts,
			&layers.IPv4{Version: 4, TTL: 9, TOS: dscp << 2, Protocol: 200, SrcIP: from.IPv4.AsSlice(),
				DstIP: to.IPv4.AsSlice()},
			gopacket.Payload(bytes.Repeat([]byte{1}, 50)))...))
	}
}

func marked6(dscp uint8) func(from, to endpoint.Host, vlan uint16) []byte {
	return func(from, to endpoint.Host, vlan uint16) []byte {
		return bytesOf(endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, vlan, layers.EthernetTypeIPv6),
			&layers.IPv6{Version: 6, HopLimit: 9, TrafficClass: dscp << 2, NextHeader: 200, SrcIP: from.IPv6.AsSlice(),
				DstIP: to.IPv6.AsSlice()},
			gopacket.Payload(bytes.Repeat([]byte{1}, 50)))...))
	}
}

func plain(from, to endpoint.Host, vlan uint16) []byte {
	return bytesOf(endpoint.Serialize(append(endpoint.Ethernet(from.MAC, to.MAC, vlan, 0x88b6),
		gopacket.Payload(bytes.Repeat([]byte{1}, 50)))...))
}

// TestPathsOfFlows expects each flow to keep its path, flows to be spread over the paths, and the loss and the return
// of a path to move only the flows that were on it.
func TestPathsOfFlows(t *testing.T) {
	o := oneBox()
	o.Trunks = []uint16{101, 102, 103, 104}
	f := startFabric(t, o)
	edge, raw := f.edge(t, "box1"), f.raw(t, "red-raw1")
	from, to := f.host("red-raw1"), f.host("red-vm2")
	const flows = 400
	choose := func() map[uint16]uint16 {
		t.Helper()
		chosen := make(map[uint16]uint16)
		for port := range uint16(flows) {
			must(t, raw.Send(bytesOf(endpoint.UDP4(from, to, 0, 10000+port, 53, []byte("which way")))))
			got, err := edge.Encapsulated(time.Second)
			must(t, err)
			chosen[port] = got.VID
		}
		return chosen
	}
	all := choose()
	load := make(map[uint16]int)
	for _, vid := range all {
		load[vid]++
	}
	for _, vid := range o.Trunks {
		if load[vid] < flows/8 {
			t.Errorf("path %d carries %d of %d flows: %v", vid, load[vid], flows, load)
		}
	}
	if !maps.Equal(all, choose()) {
		t.Error("flows change their path with no reason")
	}
	f.putPaths(101, 103, 104)
	for flow, vid := range choose() {
		if vid == 102 || all[flow] != 102 && vid != all[flow] {
			t.Errorf("without path 102 flow %d goes from path %d to %d", flow, all[flow], vid)
		}
	}
	f.putPaths(o.Trunks...)
	if !maps.Equal(all, choose()) {
		t.Error("flows do not come back to their paths")
	}
	before := f.drops("box1")
	f.push("box1", []lab.Operation{{Op: "delete", Kind: model.KindPath, Key: f.Node("swa").MAC.String() + "/" +
		f.Node("swb").MAC.String()}})
	must(t, raw.Send(bytesOf(endpoint.UDP4(from, to, 0, 1, 53, []byte("no way")))))
	f.expectDrops(t, "box1", before, map[string]uint64{"no_path": 1})
}

// TestTrunkDecodedByWireshark decodes the frames of a trunk with an independent program.
func TestTrunkDecodedByWireshark(t *testing.T) {
	o := rawPair()
	o.Tap = true
	f := startFabric(t, o)
	taps := []*endpoint.Raw{f.open(t, lab.TapNamespace, f.Trunks[0].Tap), f.open(t, lab.TapNamespace, f.Trunks[1].Tap)}
	from, to := f.host("red-vm1"), f.host("red-vm2")
	frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 99, From: from, To: to}, 300)
	must(t, err)
	sendMix(t, f.raw(t, "red-vm1"), f.raw(t, "red-vm2"), frames)
	file := filepath.Join(f.lab.Dir(), "trunk.pcap")
	out, err := os.Create(file)
	must(t, err)
	w := pcapgo.NewWriter(out)
	must(t, w.WriteFileHeader(65535, layers.LinkTypeEthernet))
	for i, tap := range taps {
		got, err := tap.Collect(20 * time.Millisecond)
		must(t, err)
		for _, frame := range got {
			if o, err := endpoint.DecodeOuter(frame); err != nil || o.Proto != endpoint.Proto143 {
				continue // learning and resolving of the switches
			}
			must(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(frame),
				Length: len(frame)}, frame))
		}
	}
	must(t, out.Close())

	fields := []string{"frame.time_epoch", "eth.dst", "eth.src", "vlan.id", "vlan.priority", "ip.src", "ip.dst",
		"ip.proto", "ip.id", "ip.flags.df", "ip.ttl", "ip.checksum.status", "tcp.checksum.status",
		"udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status", "_ws.malformed"}
	args := []string{"tshark", "-n", "-r", file, "-T", "json", "-o", "ip.check_checksum:TRUE", "-o",
		"tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "eth.fcs:Never"}
	for _, field := range fields {
		args = append(args, "-e", field)
	}
	text, err := f.lab.Run(lab.TapNamespace, args...)
	must(t, err)
	if i := bytes.IndexByte(text, '['); i > 0 {
		text = text[i:] // "Running as user root"
	}
	var packets []struct {
		Source struct {
			Layers map[string][]string `json:"layers"`
		} `json:"_source"`
	}
	must(t, json.Unmarshal(text, &packets))
	if len(packets) != len(frames) {
		t.Errorf("%d frames on the trunks, want %d", len(packets), len(frames))
	}
	for i, p := range packets {
		l := p.Source.Layers
		vid := "101"
		if l["frame.time_epoch"][0][0] == '1' {
			vid = "102"
		}
		for field, want := range map[string]string{
			"eth.dst": f.Node("swb").MAC.String(), "eth.src": f.Node("swa").MAC.String(), "vlan.id": vid,
			"vlan.priority": "0",
			"ip.src":        "10.1.0.7", "ip.dst": "10.2.0.100", "ip.proto": "143",
			"ip.id":       fmt.Sprintf("0x%04x", map[string]int{"101": 101, "102": 102}[vid]),
			"ip.flags.df": "1", "ip.ttl": "64", "ip.checksum.status": "1",
		} {
			if len(l[field]) == 0 || l[field][0] != want {
				t.Errorf("packet %d: %s is %v, want %s first", i, field, l[field], want)
			}
		}
		if len(l["eth.dst"]) != 2 || l["eth.dst"][1] != to.MAC.String() || l["eth.src"][1] != from.MAC.String() {
			t.Errorf("packet %d: inner frame from %v to %v", i, l["eth.src"], l["eth.dst"])
		}
		for _, field := range []string{"ip.checksum.status", "tcp.checksum.status", "udp.checksum.status",
			"icmp.checksum.status", "icmpv6.checksum.status"} {
			for _, status := range l[field] {
				if status != "1" {
					t.Errorf("packet %d: %s is %s, want 1 (good)", i, field, status)
				}
			}
		}
		if len(l["_ws.malformed"]) != 0 && len(l["tcp.checksum.status"])+len(l["udp.checksum.status"]) == 0 {
			t.Errorf("packet %d is malformed", i)
		}
	}
}
