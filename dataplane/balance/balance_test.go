package balance_test

import (
	"bytes"
	"testing"

	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
	"penstock/dataplane/wire"
)

const (
	tcp = wire.ProtoTCP
	udp = wire.ProtoUDP
)

// request is a SYN from 10.10.1.10:36000 to 10.10.1.100:80.
const request = "02560a0a0164 02000000010a 0800 45000028000140004006244e0a0a010a0a0a0164" +
	"8ca00050 11111111 00000000 5002faf0 ef5d0000"

// TestRequest compares a request octet for octet: to a server on another box, and to one on this box.
func TestRequest(t *testing.T) {
	w := newWorld(t)
	svc := w.serve(vip4, fib.Service{ID: 7, Proto: tcp, Port: 80}, target{web1MAC, locFar, 8080, 1, fib.AcceptAll})
	w.receive(acc, unhex(t, request))
	want := unhex(t, `02000000 000b0200 0000000a 81000065 08004500 004a0065 4000408f 25570a02 00010a03 0064
		0200 00000114 024d4b00 00070800 45000028 00014000 3f06254e 0a0a010a 0a0a0164 8ca01f90 11111111 00000000
		5002faf0 d01d0000`)
	if got := w.one(fab); !bytes.Equal(got, want) {
		t.Errorf("from the fabric port\n%x, want\n%x", got, want)
	}
	w.Publish()
	if got, want := w.Services.Service(int(svc)), (stats.Service{
		In: stats.Traffic{Packets: 1, Bytes: 54}, Connections: 1,
	}); got != want {
		t.Errorf("the service counted %+v, want %+v", got, want)
	}
	if got, want := w.Servers.Server(0), (stats.Server{
		In: stats.Traffic{Packets: 1, Bytes: 54}, Connections: 1,
	}); got != want {
		t.Errorf("the server counted %+v, want %+v", got, want)
	}

	w.snap.Servers[0].Loc = locWeb1
	w.receive(acc, unhex(t, request))
	want = unhex(t, `02000000 0114024d 4b000007 08004500 00280001 40003f06 254e0a0a 010a0a0a 01648ca0 1f901111
		11110000 00005002 faf0d01d 0000`)
	if got := w.one(near); !bytes.Equal(got, want) {
		t.Errorf("from the server's port\n%x, want\n%x", got, want)
	}

	// The same from another box: the client's frame comes encapsulated.
	encapsulated := unhex(t, `020000000f02 02000000000a 0800 4500004a00654000408f25570a070001 0a020064`+request)
	h := wire.IPv4(encapsulated[14:])
	h.SetChecksum(0)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(h[i])<<8 | uint32(h[i+1])
	}
	h.SetChecksum(^uint16(sum + sum>>16))
	w.receive(fab, encapsulated)
	if got := w.one(near); !bytes.Equal(got, want) {
		t.Errorf("from the server's port, of a client on another box\n%x, want\n%x", got, want)
	}
}

// TestUDPChecksums: a checksum that comes to 0 is sent as 0xffff, none stays none, and a wrong one stays wrong.
func TestUDPChecksums(t *testing.T) {
	w := newWorld(t)
	w.serve(vip4, fib.Service{ID: 7, Proto: udp, Port: 53}, target{web1MAC, locWeb1, 5300, 1, fib.AcceptAll})
	const in = "02560a0a0164 02000000010a 0800 4500001e000300004011644b0a0a010a0a0a0164 8ca10035000a "
	const out = "020000000114 024d4b000007 0800 4500001e00030000 3f11654b0a0a010a0a0a0164 8ca114b4000a "
	for _, tt := range [][2]string{{"147f4803", "ffff4803"}, {"00000001", "00000001"}, {"14804803", "00014803"}} {
		w.receive(acc, unhex(t, in+tt[0]))
		if got, want := w.one(near), unhex(t, out+tt[1]); !bytes.Equal(got, want) {
			t.Errorf("checksum and data %s: sent\n%x, want\n%x", tt[0], got, want)
		}
	}
}
