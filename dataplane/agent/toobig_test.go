package agent_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"

	"penstock/dataplane/fib"
	"penstock/dataplane/wire/checksum"
)

// TestErrorAboutReply: the box's own ICMP error about a reply quotes the reply as the server has sent it, octet for
// octet, so that the server's path MTU discovery finds the connection.
func TestErrorAboutReply(t *testing.T) {
	w := newWorld(t, fib.PolicyStrict, rule(vip4, tcp, 8080, 8080, 80, 7), rule(vip4, udp, 5300, 5300, 53, 7),
		rule(vip6, tcp, 8080, 8080, 80, 7))
	w.snap.Ports[cli].MTU = 20 // of IPv4 and IPv6 alike, nothing fits
	long := func(f []byte) []byte {
		binary.BigEndian.PutUint16(f[20:], 0x4000) // DF
		binary.BigEndian.PutUint16(f[24:], 0)
		binary.BigEndian.PutUint16(f[24:], checksum.Checksum(f[14:34], 0))
		return f
	}
	four := long(tcp4(t, clientMAC, web1MAC, "10.10.1.100", 8080, "10.10.1.10", 36000, nil))
	six := tcp6(t, clientMAC, web1MAC, "fd00:10::100", 8080, "fd00:10::10", 36000)
	none := bytes.Clone(four) // UDP without a checksum
	copy(none[34:], []byte{0x14, 0xb4, 0x8c, 0xa0, 0, 26, 0, 0})
	none[23] = byte(layers.IPProtocolUDP)
	for name, f := range map[string][]byte{"TCP": four, "UDP without checksum": long(none), "IPv6": six} {
		sent := bytes.Clone(f[14:])
		w.receive(srv, f)
		at := 14 + 20 + 8
		if name == "IPv6" {
			at = 14 + 40 + 8
		}
		got := w.one(srv)
		if n := min(len(got)-at, len(sent)); n < 28 || !bytes.Equal(got[at:at+n], sent[:n]) {
			t.Errorf("%s: the error quotes\n%x, want what the server sent:\n%x", name, got[at:], sent)
		}
	}
}
