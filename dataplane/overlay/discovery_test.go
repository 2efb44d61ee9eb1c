package overlay

import (
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/punt"
	"penstock/dataplane/stage"
)

// TestDiscovery: LLDP of a fabric port goes to control, untagged or under any one tag, and nothing like it does.
func TestDiscovery(t *testing.T) {
	const bridge, relay, customer = "\x01\x80\xc2\x00\x00\x0e", "\x01\x80\xc2\x00\x00\x03", "\x01\x80\xc2\x00\x00\x00"
	const stp, own, all = "\x01\x80\xc2\x00\x00\x01", "\x02\x00\x00\x00\x00\x01", "\xff\xff\xff\xff\xff\xff"
	const lldp, bpdu = "\x88\xcc", "\x00\x26"
	for _, c := range []struct {
		name, dst, tag, typ string
		why                 drop.Reason
	}{
		{"untagged", bridge, "", lldp, drop.None},
		{"no two-port relay", relay, "", lldp, drop.None},
		{"customer bridge", customer, "", lldp, drop.None},
		{"priority tag", bridge, "\x81\x00\xe0\x00", lldp, drop.None},
		{"VLAN 7", bridge, "\x81\x00\x00\x07", lldp, drop.None},
		{"S-tag", bridge, "\x88\xa8\x00\x07", lldp, drop.None},
		{"two tags", bridge, "\x88\xa8\x00\x07\x81\x00\x00\x07", lldp, drop.FabricVLAN},
		{"another group", stp, "", lldp, drop.FabricNotIP},
		{"to the box", own, "", lldp, drop.FabricNotIP},
		{"to all", all, "", lldp, drop.FabricNotIP},
		{"no LLDP", bridge, "", bpdu, drop.FabricNotIP},
	} {
		s := &fib.Snapshot{Ports: []fib.Port{{Role: fib.RoleFabric}}}
		mem := append(make([]byte, frame.Headroom), c.dst+"\x02\x00\x00\x00\x00\x09"+c.tag+c.typ...)
		mem = append(mem, make([]byte, 46)...)
		st := NewState(&stage.Env{Mem: mem, Snap: s})
		b := &frame.Batch{N: 1}
		b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: uint16(len(mem) - frame.Headroom)}
		todo := st.Fabric(b)
		p := &b.Pkt[0]
		next := frame.NextPunt
		if c.why != drop.None {
			next = frame.NextDrop
		}
		if p.Next != next || next == frame.NextDrop && p.Drop != c.why || todo != next.Bit() ||
			next == frame.NextPunt && p.Kind != uint8(punt.LLDP) {
			t.Errorf("%s: got next %d, kind %d, reason %v; want %d, %v", c.name, p.Next, p.Kind, p.Drop, next, c.why)
		}
	}
}
