package parse

import (
	"testing"

	"penstock/dataplane/drop"
	"penstock/dataplane/frame"
)

// TestInnerLikeAccess: for every kind of frame, whole and truncated at every length, Inner sets what Access sets and
// keeps the other fields. Inner does not change the packet of a malformed frame and parses a packet once, and
// InnerHash returns the hash of the flow.
func TestInnerLikeAccess(t *testing.T) {
	const known = frame.FlagFromFabric | frame.FlagGroup | frame.FlagFlooded
	for _, k := range kinds(t) {
		for n := len(k.data); n >= 0; n-- {
			const at = 34
			mem := append(make([]byte, at), k.data[:n]...)
			outer := frame.Packet{Off: 0, Len: uint16(len(mem)), Port: 3}
			want := frame.Packet{Off: at, Len: uint16(n), Port: 3}
			ok := Access(mem, &want)
			if got := InnerHash(mem, &outer, at, uint16(n)); got != want.Hash {
				t.Fatalf("%s, %d octets: the hash is %#x, want %#x", k.name, n, got, want.Hash)
			}
			before := frame.Packet{
				Off: at, Len: uint16(n), Port: 3, L3: 14, Flags: known, Seg: 7, Loc: 9, Next: frame.NextUplink, Kind: 5,
				VIF: frame.NoIndex, Attach: frame.NoIndex,
			}
			got := before
			why := Inner(mem, &got)
			if !ok {
				if why != want.Drop || got != before {
					t.Fatalf("%s, %d octets: %q and %+v, want %q and an untouched packet",
						k.name, n, why, got, want.Drop)
				}
				continue
			}
			want.Flags |= known
			want.Seg, want.Loc, want.Next, want.Kind = 7, 9, frame.NextUplink, 5
			if why != drop.None || got != want {
				t.Fatalf("%s, %d octets: %q and\n%+v, want none and\n%+v", k.name, n, why, got, want)
			}
			clear(mem)
			if why := Inner(mem, &got); why != drop.None || got != want {
				t.Fatalf("%s, %d octets: parsed a second time: %q, %+v", k.name, n, why, got)
			}
		}
	}
}
