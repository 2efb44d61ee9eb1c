package conf

import (
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/gateway"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
	"penstock/dataplane/wire"
	"penstock/dataplane/xsk"
)

// keyMax returns the Max of a key, and its Min.
func keyMax(t *testing.T, path string) (most, least int) {
	t.Helper()
	for _, k := range Keys() {
		if k.Path == path {
			return k.Max, k.Min
		}
	}
	t.Fatalf("there is no key %s", path)
	return 0, 0
}

// TestPairedLimits: the packet path supports all values that the configuration allows. The configuration does not
// import the packet path, so the limits of both stand in two places.
func TestPairedLimits(t *testing.T) {
	flaps, _ := keyMax(t, "gateway_group.flap_count")
	longest, shortest := keyMax(t, "gateway_group.probe_interval")
	ring, _ := keyMax(t, "dataplane.ring_size")
	bindings, _ := keyMax(t, "dataplane.bindings")
	mtu, _ := keyMax(t, "port.mtu")
	switchPort, _ := keyMax(t, "port.switch_port")
	controlVLAN, _ := keyMax(t, "edge.control_vlan")
	memberVLAN, _ := keyMax(t, "gateway_group.member.vlan")
	const largest = 4096 // octets: of dataplane.frame_size, and of a page
	for _, tc := range []struct {
		what      string
		conf, box int
		atMost    bool // the configuration may allow less
	}{
		{"members of a group, gateway.MaxMembers", maxMembers, gateway.MaxMembers, false},
		{"gateway_group.flap_count, gateway.MaxFlaps", flaps, gateway.MaxFlaps, false},
		{"gateway_group.probe_interval, gateway.MaxInterval", longest, gateway.MaxInterval, false},
		{"gateway_group.probe_interval from gateway.MinInterval", shortest, gateway.MinInterval, false},
		{"members of all groups, stats.MaxIndices", maxGates, stats.MaxIndices, true},
		{"dataplane.ring_size, xsk.MaxRing", ring, xsk.MaxRing, true},
		{"dataplane.bindings, table.MaxCapacity", bindings, table.MaxCapacity, true},
		{"octets that the MTU does not count", frameExtra, frame.Headroom + wire.EthernetLen + 4, false},
		{"port.mtu and what it does not count, largest frame", mtu + frameExtra, largest, false},
		{"octets of encapsulation ip", encapSize, int(fib.FormIP.Overhead()), false},
		{"octets of encapsulation udp", encapUDP, int(fib.FormUDP.Overhead()), false},
		{"octets of encapsulation vxlan", encapVXLAN, int(fib.FormVXLAN.Overhead()), false},
		{"octets of encapsulation vxlan over IPv6", encapVXLAN6, int(fib.FormVXLAN6.Overhead()), false},
		{"edge.control_vlan, VLANs of VIFs and paths", controlVLAN, model.MaxVLAN, false},
		{"gateway_group.member.vlan, VLANs of VIFs and paths", memberVLAN, model.MaxVLAN, false},
		{"port.switch_port, bindings' switch_port", switchPort, model.MaxSwitchPort, false},
	} {
		if tc.conf > tc.box || tc.conf < tc.box && !tc.atMost {
			t.Errorf("%s: the configuration has %d, the other end %d", tc.what, tc.conf, tc.box)
		}
	}
}
