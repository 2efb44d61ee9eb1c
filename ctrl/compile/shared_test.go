package compile

import (
	"testing"

	"penstock/ctrl/model"
)

// TestSharedAddressesAreNoClaim: an address that VIFs share is in no row of the table, whoever is pushed first; the
// VIFs may send from it, and keep their own addresses.
func TestSharedAddressesAreNoClaim(t *testing.T) {
	w := gatewayWorld(t, outside())
	s := redAndPublic()
	shared := addrs("10.1.0.60", "fd00:1::60")
	s.VIFs = map[string]model.VIF{
		"pub/a": {Tenant: "pub", Name: "a", Segment: "net", MAC: 0x020000000031, Port: "acc0",
			Addresses: addrs("10.1.0.31", "fd00:1::31"), SharedAddresses: shared},
		"pub/b": {Tenant: "pub", Name: "b", Segment: "net", MAC: 0x020000000032, Port: "acc0",
			SharedAddresses: shared},
	}
	w.apply(s)
	seg := w.c.segments[segName{"pub", "net"}]
	for key, own := range map[string]int{"pub/a": 1, "pub/b": 0} {
		v := s.VIFs[key]
		row, ok := w.c.cfg.Bindings.Get(seg, uint64(v.MAC))
		if !ok || len(row.IP4) != own || len(row.IP6) != own {
			t.Errorf("%s: the row has %d IPv4 and %d IPv6 addresses, want %d of each", key,
				len(row.IP4), len(row.IP6), own)
		}
		i, _ := w.c.VIFIndex(key)
		if f := w.c.Snapshot().VIFs[i]; len(f.IP4) != own+1 || len(f.IP6) != own+1 {
			t.Errorf("%s: it may send from %d IPv4 and %d IPv6 addresses, want %d of each", key,
				len(f.IP4), len(f.IP6), own+1)
		}
	}
	if len(w.c.contested) > 0 {
		t.Errorf("%d addresses are contested, want none: %v", len(w.c.contested), w.c.contested)
	}
}
