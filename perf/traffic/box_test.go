package traffic_test

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/drop"
	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
	"penstock/integration/rig"
	"penstock/perf/traffic"
)

const (
	access, fabric = 0, 1
	switchMAC      = model.MAC(0x020000000a00)
	otherMAC       = model.MAC(0x020000000b00)
	boxMAC         = model.MAC(0x020000000002)
)

// box is one whose tenant 2 has the sender and the receiver of the built-in profiles: on its access port, or of the
// encapsulated ones the receiver there and the sender behind another switch.
func box(t *testing.T, remote bool) *rig.Rig {
	t.Helper()
	vif := func(name string, mac model.MAC, addr string) model.VIF {
		return model.VIF{Tenant: "red", Name: name, Segment: "web", MAC: mac, Addresses: []netip.Addr{netip.MustParseAddr(addr)}, Port: "acc"}
	}
	s := &model.State{
		Tenants:  map[string]model.Tenant{"red": {Name: "red", ID: 2}},
		Segments: map[string]model.Segment{"red/web": {Tenant: "red", Name: "web", ID: 1}},
		VIFs:     map[string]model.VIF{"red/a": vif("a", 0x020000000001, "10.0.0.1")},
		Paths:    map[string]model.Path{switchMAC.String() + "/" + otherMAC.String(): {A: switchMAC, B: otherMAC, VLANs: []model.PathVLAN{{VID: 101}}}},
	}
	far := model.MAC(0x020000000002)
	if remote { // the profiles' sender is elsewhere, their receiver here
		s.VIFs = map[string]model.VIF{"red/b": vif("b", 0x020000000002, "10.0.0.2")}
		far = 0x020000000001
	}
	r, err := rig.New(rig.Options{
		Ports: []compile.Port{{Name: "acc", Role: fib.RoleAccess}, {Name: "fab", Role: fib.RoleFabric, SwitchMAC: switchMAC, SwitchPort: 2}},
		MAC:   []model.MAC{0, boxMAC}, State: s,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Put([]model.Binding{{Tenant: "red", Segment: "web", MAC: far, SwitchMAC: otherMAC, SwitchPort: 7}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func drops(r *rig.Rig, port int) (n uint64) {
	r.Ports.Publish()
	for d := drop.Reason(0); d < drop.Count; d++ {
		n += r.Ports.Of(port, stats.Drops+int(d))
	}
	return n
}

// TestThroughBox: a box takes the good frames of the profiles for what they are, on either port, carries every one, and
// accounts for every malformed one; the signatures come through encapsulation and decapsulation.
func TestThroughBox(t *testing.T) {
	for _, tc := range []struct {
		name    string
		in, out int
	}{
		{"tenants-1", fabric, access},
		{"malformed", access, fabric},
		{"malformed-overlay", fabric, access},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := box(t, tc.in == fabric)
			g := builtin(t, tc.name, traffic.Options{})
			signed, arrived, bad, carried := 0, 0, 0, map[string]bool{}
			for seq, f := range frames(g, 500) {
				s := g.Streams()[g.Stream(uint64(seq))]
				before := drops(r, tc.in)
				if err := r.Receive(tc.in, f); err != nil {
					t.Fatal(err)
				}
				out := append(r.Sent(tc.out), r.Sent(tc.in)...)
				if !s.Signed {
					bad++
					if n := drops(r, tc.in) - before + uint64(len(out)); n != 1 {
						t.Errorf("%s: %d of it are accounted for: %d drops, %d sent", s.Name, n, n-uint64(len(out)), len(out))
					}
					if len(out) > 0 {
						carried[s.Name] = true
					}
					continue
				}
				signed++
				if len(out) != 1 {
					t.Fatalf("frame %d of %s: %d came out; %d drops", seq, s.Name, len(out), drops(r, tc.in))
				}
				got, _, ok := traffic.Signature(out[0])
				if !ok || got != uint64(seq) {
					t.Fatalf("frame %d: signature %d, %v in %x", seq, got, ok, out[0])
				}
				inner := f
				if tc.in == fabric {
					inner = f[34:]
				}
				if !bytes.HasSuffix(out[0], inner) {
					t.Fatalf("frame %d: %x became %x", seq, inner, out[0])
				}
				arrived++
			}
			if signed == 0 || arrived != signed {
				t.Errorf("%d of %d signed frames arrived", arrived, signed)
			}
			for name := range carried {
				if strings.HasPrefix(name, "bad/overlay-") || tc.in == access && (strings.HasPrefix(name, "bad/ip4-length") || strings.HasPrefix(name, "bad/vlan-")) {
					t.Errorf("%s was carried", name)
				}
			}
			if (bad == 0) != (tc.name == "tenants-1") {
				t.Errorf("%d malformed frames", bad)
			}
			t.Logf("carried, as a gateway of layer 2 may: %v", slices.Sorted(maps.Keys(carried)))
			if v, what := r.Verify.Violations(); v != 0 {
				t.Errorf("%d violations of ownership: %v", v, what)
			}
		})
	}
}
