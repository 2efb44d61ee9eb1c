package traffic_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"penstock/conf"
	"penstock/ctrl/client"
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
	boxMAC         = model.MAC(0x020000000002)
)

// box is that of perf/profiles/box with one of its tables.
func box(t *testing.T, tables string) *rig.Rig {
	t.Helper()
	dir := filepath.Join("..", "profiles", "box")
	c, err := conf.Load(filepath.Join(dir, "penstock.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, tables))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ParseDocument(tables, text); err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := toml.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Tenants  []model.Tenant
		Segments []model.Segment
		VIFs     []model.VIF
		Bindings []model.Binding
		Paths    []model.Path
	}
	if err := json.Unmarshal(asJSON, &all); err != nil {
		t.Fatal(err)
	}
	s := &model.State{
		Tenants: map[string]model.Tenant{}, Segments: map[string]model.Segment{},
		VIFs: map[string]model.VIF{}, Paths: map[string]model.Path{},
	}
	for _, x := range all.Tenants {
		s.Tenants[x.Name] = x
	}
	for _, x := range all.Segments {
		s.Segments[x.Tenant+"/"+x.Name] = x
	}
	for _, x := range all.VIFs {
		s.VIFs[x.Tenant+"/"+x.Name] = x
	}
	for _, x := range all.Paths {
		s.Paths[x.A.String()+"/"+x.B.String()] = x
	}
	o := rig.Options{State: s, Bindings: all.Bindings, FrameSize: c.Dataplane.FrameSize, MAC: []model.MAC{0, boxMAC}}
	for _, p := range c.Ports {
		role := map[string]fib.Role{conf.RoleAccess: fib.RoleAccess, conf.RoleFabric: fib.RoleFabric}[p.Role]
		o.Ports = append(o.Ports, compile.Port{
			Name: p.Name, Role: role, ClampMSS: p.ClampMSS,
			SwitchMAC: p.SwitchMAC, SwitchPort: uint8(p.SwitchPort),
		})
		o.MTU = append(o.MTU, uint16(p.MTU))
	}
	r, err := rig.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
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
		{"size-64", access, fabric},
		{"size-imix", access, fabric},
		{"size-1518", access, fabric},
		{"flows-1m", access, fabric},
		{"churn", access, fabric},
		{"tenants-1", fabric, access},
		{"malformed", access, fabric},
		{"malformed-overlay", fabric, access},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tables := "access.toml"
			if tc.in == fabric {
				tables = "fabric.toml"
			}
			r := box(t, tables)
			g := builtin(t, tc.name, traffic.Options{Side: traffic.A, MTU: 1534})
			signed, arrived, bad, carried := 0, 0, 0, map[string]bool{}
			for seq, f := range frames(g, 500) {
				s := g.Streams()[g.Stream(uint64(seq))]
				before := drops(r, tc.in)
				if err := r.Receive(tc.in, f); err != nil {
					t.Fatal(err)
				}
				out := append(r.Sent(tc.out), r.Sent(tc.in)...)
				if strings.HasPrefix(s.Name, "bad/") {
					bad++
					if n := drops(r, tc.in) - before + uint64(len(out)); n != 1 {
						t.Errorf("%s: %d of it are accounted for: %d drops, %d sent",
							s.Name, n, n-uint64(len(out)), len(out))
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
				if ok != s.Signed || ok && got != uint64(seq) {
					t.Fatalf("frame %d: signature %d, %v in %x", seq, got, ok, out[0])
				}
				inner := f
				if tc.in == fabric {
					inner = f[34:]
				}
				if strings.Contains(s.Name, "/syn") { // the box clamps its MSS
					inner, out[0] = inner[:46], out[0][:len(out[0])-len(inner)+46]
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
				if strings.HasPrefix(name, "bad/overlay-") || tc.in == access &&
					(strings.HasPrefix(name, "bad/ip4-length") || strings.HasPrefix(name, "bad/vlan-")) {
					t.Errorf("%s was carried", name)
				}
			}
			if (bad > 0) != strings.HasPrefix(tc.name, "malformed") {
				t.Errorf("%d malformed frames", bad)
			}
			t.Logf("carried, as a gateway of layer 2 may: %v", slices.Sorted(maps.Keys(carried)))
			if v, what := r.Verify.Violations(); v != 0 {
				t.Errorf("%d violations of ownership: %v", v, what)
			}
		})
	}
}
