package overlay

import (
	"bytes"
	"fmt"
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
	"penstock/dataplane/wire"
	"penstock/dataplane/wire/checksum"
)

// figure4 is figure 4 of RFC 6040: the ECN field after decapsulation, by the inner field (rows: Not-ECT, ECT(1),
// ECT(0), CE) and the outer one (columns, likewise). -1 = the packet is dropped.
var figure4 = [4][4]int{
	{0, 0, 0, -1},
	{1, 1, 1, 3},
	{2, 1, 2, 3},
	{3, 3, 3, 3},
}

// withECN sets the ECN field of the IP packet in frame f, with the checksum of IPv4.
func withECN(f []byte, ecn byte) []byte {
	f = bytes.Clone(f)
	ip := f[14:]
	if f[12] == 0x86 {
		ip[1] = ip[1]&^0x30 | ecn<<4
		return f
	}
	ip[1] = ip[1]&^3 | ecn
	ip[10], ip[11] = 0, 0
	wire.IPv4(ip).SetChecksum(checksum.Checksum(ip[:20], 0))
	return f
}

// TestDecapsulateECN: all combinations of the outer and the inner ECN field, by the quick pass and without it.
func TestDecapsulateECN(t *testing.T) {
	s := quickWorld(t)
	inner4 := ip4(quickVM, quickPeer, -1, 0x0a000009, 0x0a000001, 17, udpPayload())
	inner6 := ip6(quickVM, quickPeer, 17)
	inner6[14], inner6[15] = 0x6b, 0x8f // DSCP 46, flow label 0xf0000
	for name, inner := range map[string][]byte{"IPv4": inner4, "IPv6": inner6} {
		for in := range byte(4) {
			for out := range byte(4) {
				t.Run(fmt.Sprintf("%s, inner %d, outer %d", name, in, out), func(t *testing.T) {
					first := encapsulatedBy(0x0a050007, 0x0a020064, inner)
					f := withECN(encapsulatedBy(0x0a050007, 0x0a020064, withECN(inner, in)), out)
					agree(t, inUDP([][]byte{first, f, f})[:3], 3, s, 0)
					for _, workers := range []uint32{0, 3} {
						o := agree(t, [][]byte{first, f, f}, 2, s, workers)
						if workers != 0 {
							continue
						}
						for _, got := range o[1:] {
							checkMerged(t, &got, inner, figure4[in][out])
						}
					}
				})
			}
		}
	}
}

func checkMerged(t *testing.T, got *outcome, inner []byte, want int) {
	t.Helper()
	if want < 0 {
		if got.p.Next != frame.NextDrop || got.p.Drop != drop.FabricECN {
			t.Errorf("next stage %d, reason %s; want the frame dropped for %s", got.p.Next,
				got.p.Drop, drop.FabricECN)
		}
		return
	}
	if f := got.p.Bytes(got.mem); got.p.Next != frame.NextLookup || !bytes.Equal(f, withECN(inner, byte(want))) {
		t.Errorf("next stage %d with the frame\n%x, want a lookup with ECN %d:\n%x", got.p.Next, f, want,
			withECN(inner, byte(want)))
	}
}

// TestDecapsulateECNOthers: a mark drops a frame that cannot have it, and no other outer field does.
func TestDecapsulateECNOthers(t *testing.T) {
	s := quickWorld(t)
	inner := ip4(quickVM, quickPeer, -1, 0x0a000009, 0x0a000001, 17, udpPayload())
	for name, f := range map[string][]byte{
		"another EtherType": edited(inner, 13, 0x06)[:40],
		"short IPv4":        inner[:14+19],
		"no IPv4":           edited(inner, 14, 0x65),
		"short IPv6":        ip6(quickVM, quickPeer, 17)[:14+39],
		"no IPv6":           edited(ip6(quickVM, quickPeer, 17), 14, 0x40),
	} {
		if name == "another EtherType" {
			f = edited(f, 12, 0x88)
		}
		for out := range byte(4) {
			t.Run(fmt.Sprintf("%s, outer %d", name, out), func(t *testing.T) {
				got := agree(t, [][]byte{withECN(encapsulatedBy(0x0a050007, 0x0a020064, f), out)}, 2, s, 0)[0]
				dropped := got.p.Next == frame.NextDrop && got.p.Drop == drop.FabricECN
				if dropped != (out == ecnCE) {
					t.Errorf("next stage %d, reason %s; want it dropped for %s only with the outer field 3", got.p.Next,
						got.p.Drop, drop.FabricECN)
				}
				if body := got.p.Bytes(got.mem); !dropped && !bytes.Equal(body, f) {
					t.Errorf("frame %x, want it unchanged: %x", body, f)
				}
			})
		}
	}
}
