package integration

import (
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// burst is how many frames are sent before the receiver has to catch up: a veth's receive ring holds 256.
const burst = 64

// sendMix sends frames from one endpoint and expects every one at the other, once and unchanged.
func sendMix(t *testing.T, tx, rx *endpoint.Raw, frames [][]byte) {
	t.Helper()
	e := endpoint.Expect(frames)
	arrived := 0
	for sent := 0; sent < len(frames); {
		for range min(burst, len(frames)-sent) {
			must(t, tx.Send(frames[sent]))
			sent++
		}
		for arrived < sent {
			frame, err := rx.Receive(500 * time.Millisecond)
			if err != nil {
				t.Fatalf("%d of %d frames arrived, then: %v; %v", arrived, sent, err, e.Err())
			}
			e.Arrived(frame)
			if err := endpoint.CheckSums(frame); err != nil {
				t.Errorf("frame %d: %v", arrived, err)
			}
			if _, ok := endpoint.MixSequence(frame); ok {
				arrived++
			}
		}
	}
	more, err := rx.Collect(20 * time.Millisecond)
	must(t, err)
	for _, frame := range more {
		e.Arrived(frame)
	}
	if err := e.Err(); err != nil {
		t.Error(err)
	}
}

// testMix sends 10,000 mixed frames there and back between boxes, and some within a box and behind one switch.
func testMix(t *testing.T, f *fabric) {
	for _, tc := range []struct {
		name     string
		from, to string
		vlan     uint16
		n        int
	}{
		{"untagged", "red-raw1", "red-raw2", 0, 4000},
		{"untagged, back", "red-raw2", "red-raw1", 0, 4000},
		{"tagged", "red-tag1", "red-tag2", 30, 1000},
		{"tagged, back", "red-tag2", "red-tag1", 30, 1000},
		{"same box", "red-raw1", "red-vm3", 0, 500},
		{"same switch", "red-raw1", "red-vm4", 0, 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			frames, err := endpoint.Mix(endpoint.MixOptions{Seed: uint64(tc.n) + uint64(tc.vlan), From: f.host(tc.from),
				To: f.host(tc.to), VLAN: tc.vlan}, tc.n)
			must(t, err)
			sendMix(t, f.raw(t, tc.from), f.raw(t, tc.to), frames)
		})
	}
}

// rawPair is two boxes with a VM each that has no stack, for tests of frames only.
func rawPair() options {
	o := options{}
	o.VMs = lab.DemoVMs()[:2]
	for i := range o.VMs {
		o.VMs[i].Raw = true
	}
	return o
}

// TestSchemes sends mixed frames over fabrics of both addressing schemes, with the largest IDs they allow.
func TestSchemes(t *testing.T) {
	for _, tc := range []struct {
		scheme          model.Scheme
		tenant, segment uint32
		port            uint8
	}{
		{model.Scheme16, 65534, 65535, 255},
		{model.Scheme24, 16777214, 16777215, 223},
	} {
		t.Run(string(tc.scheme), func(t *testing.T) {
			o := rawPair()
			o.Scheme = tc.scheme
			o.Tenants, o.Segments, o.Subnets = lab.DemoTenants()[:1], lab.DemoSegments()[:1], lab.DemoSubnets()[:2]
			o.Tenants[0].ID, o.Segments[0].ID = tc.tenant, tc.segment
			o.Boxes = lab.DemoBoxes()
			o.Boxes[1].Port = tc.port
			f := startFabric(t, o)
			frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 24, From: f.host("red-vm1"), To: f.host("red-vm2")},
				1000)
			must(t, err)
			sendMix(t, f.raw(t, "red-vm1"), f.raw(t, "red-vm2"), frames)
		})
	}
}
