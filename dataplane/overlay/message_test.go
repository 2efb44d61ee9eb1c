package overlay

import (
	"bytes"
	"encoding/binary"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/frame"
	"penstock/dataplane/parse"
	"penstock/dataplane/punt"
	"penstock/dataplane/resolve"
	"penstock/dataplane/stage"
	"penstock/dataplane/wire/checksum"
)

const (
	messageBox   = 10<<24 | 2<<16 | 1
	messageOther = 10<<24 | 8<<16 | 1
)

func messageFabric() *fib.Fabric {
	return &fib.Fabric{SwitchMAC: 0x02000000000a, OwnMAC: 0x020000000001, Prefix: 10<<24 | 2<<16, HostMask: 0xffff,
		BoxIP: messageBox, Number: 2}
}

// hereBody is a HERE of tenant 300, segment 7; opcode op.
func hereBody(op uint8) []byte {
	m := resolve.Body{Op: op, Sequence: 1_800_000_000_000_000_000, Tenant: 300, Segment: 7, MAC: 0x020000000101,
		IP4: 0x0a000001, Switch: 0x02000000000a, Port: 17}
	return m.Append(nil)
}

// got takes what a state has for control, and how it was told to.
func got(st *State) (list []resolve.Arrival) {
	st.Messages.Wake()
	resolve.NewReader(st.Messages).TakeMessages(func(a resolve.Arrival) {
		a.Payload = bytes.Clone(a.Payload)
		list = append(list, a)
	})
	return list
}

// TestToBox: control gets the messages of other boxes to the box address, and nothing else that is UDP.
func TestToBox(t *testing.T) {
	here := hereBody(resolve.OpHere)
	for _, c := range []struct {
		name     string
		src, dst uint32
		port     uint16
		payload  []byte
		edit     func(ip []byte)
		why      drop.Reason
		taken    bool // as a binding message
		punted   bool // as a director's
		probed   bool
	}{
		{name: "claim", src: messageOther, dst: messageBox, port: 7471, payload: here, taken: true},
		{name: "36 claims", src: messageOther, dst: messageBox, port: 7471, payload: bytes.Repeat(here, 36),
			taken: true},
		{name: "probe", src: messageOther, dst: messageBox, port: 7471, payload: hereBody(resolve.OpProbe),
			probed: true},
		{name: "echo", src: messageOther, dst: messageBox, port: 7471, payload: hereBody(resolve.OpEcho),
			probed: true},
		{name: "cut", src: messageOther, dst: messageBox, port: 7471, payload: here[:39], why: drop.MessageShort},
		{name: "padding", src: messageOther, dst: messageBox, port: 7471, payload: append(bytes.Clone(here), 0),
			why: drop.MessageShort},
		{name: "UDP length beyond the packet", src: messageOther, dst: messageBox, port: 7471, payload: here,
			edit: func(ip []byte) { ip[25]++ }, why: drop.FabricProtocol},
		{name: "UDP length below its header", src: messageOther, dst: messageBox, port: 7471, payload: here,
			edit: func(ip []byte) { ip[25] = 7 }, why: drop.FabricProtocol},
		{name: "hello of directors", src: messageOther, dst: messageBox, port: 7473, punted: true},
		{name: "another port", src: messageOther, dst: messageBox, port: 53, why: drop.FabricProtocol},
		{name: "to a tenant's address", src: messageOther, dst: messageBox + 99, port: 7473, why: drop.FabricProtocol},
		{name: "from a segment's address", src: messageOther + 1, dst: messageBox, port: 7471, payload: here,
			why: drop.FabricAddress},
		{name: "from outside of the scheme", src: 11<<24 | 8<<16 | 1, dst: messageBox, port: 7471, payload: here,
			why: drop.FabricAddress},
		{name: "fragment", src: messageOther, dst: messageBox, port: 7473, edit: func(ip []byte) { ip[6] = 0x20 },
			why: drop.FabricFragment},
		{name: "no whole UDP header", src: messageOther, dst: messageBox, port: 7473,
			edit: func(ip []byte) { ip[3] = 27 }, why: drop.FabricProtocol},
		{name: "TCP", src: messageOther, dst: messageBox, port: 7473, edit: func(ip []byte) { ip[9] = 6 },
			why: drop.FabricProtocol},
	} {
		mem := make([]byte, 256, 2048)
		mem = append(mem, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 10, 8, 0)
		ip := append([]byte{0x45, 0, 0, 0, 0, 101, 0x40, 0, 63, 17, 0, 0}, make([]byte, 16)...)
		ip = append(ip, c.payload...)
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint32(ip[12:], c.src)
		binary.BigEndian.PutUint32(ip[16:], c.dst)
		binary.BigEndian.PutUint16(ip[20:], 0xc123)
		binary.BigEndian.PutUint16(ip[22:], c.port)
		binary.BigEndian.PutUint16(ip[24:], uint16(8+len(c.payload)))
		if c.edit != nil {
			c.edit(ip)
		}
		binary.BigEndian.PutUint16(ip[10:], checksum.Checksum(ip[:20], 0))
		mem = append(mem, ip...)
		p := &frame.Packet{Off: 256, Len: uint16(len(mem) - 256), Port: 3}
		if !parse.Fabric(mem, p) {
			t.Errorf("%s: the parser drops it for %v", c.name, p.Drop)
			continue
		}
		st := &State{Env: &stage.Env{}, Messages: resolve.NewRing()}
		probed := false
		st.Probe = func(p *frame.Packet, payload []byte) {
			probed = bytes.Equal(payload, c.payload)
			p.Next = frame.NextTaken
		}
		decapsulate(mem, p, messageFabric(), &fib.Snapshot{}, st)
		next := frame.NextDrop
		switch {
		case c.taken || c.probed:
			next = frame.NextTaken
		case c.punted:
			next = frame.NextPunt
		}
		if p.Next != next || next == frame.NextDrop && p.Drop != c.why || probed != c.probed ||
			c.punted && p.Kind != uint8(punt.Director) {
			t.Errorf("%s: next %d, reason %v, probe %v; want %d, %v, %v", c.name, p.Next, p.Drop, probed, next, c.why,
				c.probed)
		}
		list := got(st)
		if !c.taken && len(list) == 0 {
			continue
		}
		if len(list) != 1 || list[0].Broadcast || list[0].From != c.src || list[0].Source != 0xc123 ||
			list[0].Port != 3 || list[0].MAC != 0x02000000000a || !bytes.Equal(list[0].Payload, c.payload) {
			t.Errorf("%s: control gets %+v, want the payload from %#x port 0xc123, MAC 02:00:00:00:00:0a", c.name, list,
				c.src)
		}
	}
}

// TestBroadcast: control gets what comes on the control VLAN with the binding messages' EtherType.
func TestBroadcast(t *testing.T) {
	here := hereBody(resolve.OpHere)
	const all, own, stranger = "\xff\xff\xff\xff\xff\xff", "\x02\x00\x00\x00\x00\x01", "\x02\x00\x00\x00\x00\x09"
	const from = "\x02\x00\x00\x00\x00\x0b" // another switch than the box's
	const tag, prio, path = "\x81\x00\xef\xa0", "\x81\x00\xe0\x00", "\x81\x00\x00\x65"
	for _, c := range []struct {
		name         string
		dst, src     string
		tag, payload string
		off          bool // no control VLAN
		why          drop.Reason
	}{
		{name: "control VLAN", dst: all, src: from, tag: tag, payload: string(here)},
		{name: "tag removed", dst: all, src: from, payload: string(here)},
		{name: "priority tag", dst: all, src: from, tag: prio, payload: string(here)},
		{name: "padded", dst: all, src: from, payload: string(here) + "\x00\x00\x00\x00\x00\x00"},
		{name: "own switch", dst: all, src: "\x02\x00\x00\x00\x00\x0a", tag: tag, payload: string(here)},
		{name: "to the box alone", dst: own, src: from, tag: tag, payload: string(here)},
		{name: "to a stranger", dst: stranger, src: from, tag: tag, payload: string(here), why: drop.FabricOwnMAC},
		{name: "another VLAN", dst: all, src: from, tag: path, payload: string(here), why: drop.MessageVLAN},
		{name: "a chirp", dst: all, src: from, tag: path, payload: string(hereBody(resolve.OpHello)),
			why: drop.MessageChirp},
		{name: "a cut chirp", dst: all, src: from, tag: path, payload: string(hereBody(resolve.OpHello)[:39]),
			why: drop.MessageVLAN},
		{name: "from a group", dst: all, src: all, tag: tag, payload: string(here), why: drop.SourceMAC},
		{name: "a probe", dst: all, src: from, tag: tag, payload: string(hereBody(resolve.OpProbe)),
			why: drop.MessageOpcode},
		{name: "opcode 9", dst: all, src: from, tag: tag, payload: string(hereBody(9)), why: drop.MessageOpcode},
		{name: "39 octets", dst: all, src: from, tag: tag, payload: string(here[:39]), why: drop.MessageShort},
		{name: "nothing", dst: all, src: from, tag: tag, why: drop.MessageShort},
		{name: "off", dst: all, src: from, payload: string(here), off: true, why: drop.FabricNotIP},
		{name: "off, tagged", dst: all, src: from, tag: tag, payload: string(here), off: true, why: drop.FabricVLAN},
		{name: "two tags", dst: all, src: from, tag: tag + tag, payload: string(here), why: drop.FabricVLAN},
	} {
		s := &fib.Snapshot{ControlVID: 4000, Ports: []fib.Port{{Role: fib.RoleFabric, Fabric: *messageFabric()}}}
		if c.off {
			s.ControlVID = 0
		}
		mem := append(make([]byte, frame.Headroom), c.dst+c.src+c.tag+"\x88\xb5"+c.payload...)
		st := NewState(&stage.Env{Mem: mem, Snap: s})
		st.Messages = resolve.NewRing()
		b := &frame.Batch{N: 1}
		b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: uint16(len(mem) - frame.Headroom)}
		todo := st.Fabric(b)
		p, next := &b.Pkt[0], frame.NextTaken
		if c.why != drop.None {
			next = frame.NextDrop
		}
		if p.Next != next || next == frame.NextDrop && p.Drop != c.why || todo != next.Bit() {
			t.Errorf("%s: next %d, reason %v, todo %#x; want %d, %v, %#x", c.name, p.Next, p.Drop, todo, next, c.why,
				next.Bit())
		}
		list := got(st)
		if c.why != drop.None && len(list) == 0 {
			continue
		}
		mac := binary.BigEndian.Uint64([]byte("\x00\x00" + c.src))
		if len(list) != 1 || !list[0].Broadcast || list[0].From != 0 || list[0].MAC != mac ||
			string(list[0].Payload) != string(here) {
			t.Errorf("%s: control gets %+v, want the HERE of MAC %#x", c.name, list, mac)
		}
	}
}

// TestMessageFull: messages that find no room are dropped and counted, and those of other opcodes still find some.
func TestMessageFull(t *testing.T) {
	s := &fib.Snapshot{ControlVID: 4000, Ports: []fib.Port{{Role: fib.RoleFabric, Fabric: *messageFabric()}}}
	st := NewState(&stage.Env{Snap: s})
	st.Messages = resolve.NewRing()
	send := func(op uint8) *frame.Packet {
		st.Mem = append(make([]byte, frame.Headroom),
			"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x0b\x88\xb5"+string(hereBody(op))...)
		b := &frame.Batch{N: 1}
		b.Pkt[0] = frame.Packet{Off: frame.Headroom, Len: 54}
		st.Fabric(b)
		return &b.Pkt[0]
	}
	n := 0
	for ; n < 1_000_000; n++ {
		if p := send(resolve.OpWhere); p.Next == frame.NextDrop {
			if p.Drop != drop.MessageFull {
				t.Errorf("WHERE %d is dropped for %v, want %v", n, p.Drop, drop.MessageFull)
			}
			break
		}
	}
	if n < 1000 || n > 10_000 {
		t.Errorf("%d WHEREs wait, want some thousands", n)
	}
	if p := send(resolve.OpHere); p.Next != frame.NextTaken {
		t.Errorf("a HERE beside them: next %d, reason %v, want it taken", p.Next, p.Drop)
	}
}
