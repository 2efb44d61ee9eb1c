package overlay

import (
	"encoding/binary"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/punt"
	"penstock/dataplane/wire/checksum"
)

// TestToBox: control gets the messages of other boxes to the box address, and nothing else that is UDP.
func TestToBox(t *testing.T) {
	const box, other = 10<<24 | 2<<16 | 1, 10<<24 | 8<<16 | 1
	f := &fib.Fabric{SwitchMAC: 0x02000000000a, OwnMAC: 0x020000000001, Prefix: 10<<24 | 2<<16, HostMask: 0xffff,
		BoxIP: box, Number: 2}
	for _, c := range []struct {
		name     string
		src, dst uint32
		port     uint16
		edit     func(ip []byte)
		kind     punt.Kind
		why      drop.Reason
	}{
		{name: "claim", src: other, dst: box, port: 7471, kind: punt.Binding},
		{name: "hello", src: other, dst: box, port: 7473, kind: punt.Director},
		{name: "another port", src: other, dst: box, port: 53, why: drop.FabricProtocol},
		{name: "to a tenant's address", src: other, dst: box + 99, port: 7473, why: drop.FabricProtocol},
		{name: "from a segment's address", src: other + 1, dst: box, port: 7473, why: drop.FabricAddress},
		{name: "from outside of the scheme", src: 11<<24 | 8<<16 | 1, dst: box, port: 7473, why: drop.FabricAddress},
		{name: "fragment", src: other, dst: box, port: 7473, edit: func(ip []byte) { ip[6] = 0x20 },
			why: drop.FabricFragment},
		{name: "no whole UDP header", src: other, dst: box, port: 7473, edit: func(ip []byte) { ip[3] = 27 },
			why: drop.FabricProtocol},
		{name: "TCP", src: other, dst: box, port: 7473, edit: func(ip []byte) { ip[9] = 6 }, why: drop.FabricProtocol},
	} {
		mem := make([]byte, 256, 512)
		mem = append(mem, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 10, 8, 0)
		ip := append([]byte{0x45, 0, 0, 48, 0, 101, 0x40, 0, 63, 17, 0, 0}, make([]byte, 36)...)
		binary.BigEndian.PutUint32(ip[12:], c.src)
		binary.BigEndian.PutUint32(ip[16:], c.dst)
		binary.BigEndian.PutUint16(ip[22:], c.port)
		binary.BigEndian.PutUint16(ip[24:], 28)
		if c.edit != nil {
			c.edit(ip)
		}
		binary.BigEndian.PutUint16(ip[10:], checksum.Checksum(ip[:20], 0))
		mem = append(mem, ip...)
		p := &frame.Packet{Off: 256, Len: uint16(len(mem) - 256)}
		if !parse.Fabric(mem, p) {
			t.Errorf("%s: the parser drops it for %v", c.name, p.Drop)
			continue
		}
		decapsulate(mem, p, f, &fib.Snapshot{}, nil)
		if c.kind != punt.None && (p.Next != frame.NextPunt || p.Kind != uint8(c.kind)) {
			t.Errorf("%s: next %d, kind %v; want it punted as %v", c.name, p.Next, punt.Kind(p.Kind), c.kind)
		}
		if c.kind == punt.None && (p.Next != frame.NextDrop || p.Drop != c.why) {
			t.Errorf("%s: next %d, reason %v; want it dropped for %v", c.name, p.Next, p.Drop, c.why)
		}
	}
}
