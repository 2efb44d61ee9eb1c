package model

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model/strict"
)

var ports = Options{Ports: []PortRef{{"acc0", "access"}, {"fab0", "fabric"}}}

// subnet makes a subnet of the segment "s"; router "" is none.
func subnet(tenant, name, prefix, router string) Subnet {
	n := Subnet{Tenant: tenant, Name: name, Segment: "s", Prefix: netip.MustParsePrefix(prefix)}
	if router != "" {
		n.Router = netip.MustParseAddr(router)
	}
	return n
}

// big makes a valid state with n tenants, each with a segment and two subnets, and v VIFs.
func big(n, v int) *State {
	s := &State{
		Tenants: map[string]Tenant{}, Segments: map[string]Segment{}, Subnets: map[string]Subnet{},
		VIFs: map[string]VIF{}, Paths: map[string]Path{},
	}
	for i := range n {
		t := fmt.Sprint("t", i)
		s.Tenants[t] = Tenant{Name: t, ID: uint32(i + 2)}
		s.Segments[t+"/s"] = Segment{Tenant: t, Name: "s", ID: 1}
		s.Subnets[t+"/a"] = subnet(t, "a", "10.0.0.0/24", "10.0.0.1")
		s.Subnets[t+"/b"] = subnet(t, "b", "fd00::/64", "fd00::1")
	}
	for i := range v {
		t := fmt.Sprint("t", i%n)
		f := VIF{Tenant: t, Name: fmt.Sprint("v", i), Segment: "s", MAC: MAC(0x020000000000 + i), Port: "acc0",
			VLAN:      uint16(i % n % 4095),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i/n)})}}
		s.VIFs[f.Key()] = f
	}
	return s
}

func TestValid(t *testing.T) {
	if ps := big(500, 2000).Validate(ports); len(ps) > 0 {
		t.Errorf("a valid state has %d problems, want none: %v", len(ps), ps[0])
	}
	if ps := (&State{}).Validate(Options{}); len(ps) > 0 {
		t.Errorf("an empty state has the problems %v, want none", ps)
	}
	s := big(1, 0)
	s.Tenants["t0"] = Tenant{Name: "t0", ID: 70_000}
	if ps := s.Validate(Options{Scheme: Scheme24}); len(ps) > 0 {
		t.Errorf("a large ID under the scheme p.t has the problems %v, want none", ps)
	}
	// Prefixes for two hosts and for one have no special addresses.
	s.Subnets["t0/c"] = subnet("t0", "c", "10.9.0.0/31", "10.9.0.0")
	s.Subnets["t0/d"] = subnet("t0", "d", "fd01::1/128", "fd01::1")
	if ps := s.Validate(Options{Scheme: Scheme24}); len(ps) > 0 {
		t.Errorf("routers at the first address of short prefixes have the problems %v, want none", ps)
	}
}

// TestScopeFindsWhatTheWholeFinds: a scope finds problems of every kind of damage that the whole finds, and the report
// does not depend on the order of maps.
func TestScopeFindsWhatTheWholeFinds(t *testing.T) {
	damages := map[string]func(s *State){
		"tenant ID":    func(s *State) { s.Tenants["t1"] = Tenant{Name: "t1", ID: 2} },
		"tenant gone":  func(s *State) { delete(s.Tenants, "t1") },
		"segment gone": func(s *State) { delete(s.Segments, "t1/s") },
		"overlap":      func(s *State) { x := s.Subnets["t1/a"]; x.Name = "c"; s.Subnets["t1/c"] = x },
		"router moved": func(s *State) {
			x := s.Subnets["t1/a"]
			x.Router = netip.MustParseAddr("10.0.0.2")
			s.Subnets["t1/a"] = x
		},
		"VIF's VLAN":    func(s *State) { x := s.VIFs["t1/v1"]; x.VLAN = 2; s.VIFs["t1/v1"] = x },
		"VIF's port":    func(s *State) { x := s.VIFs["t1/v1"]; x.Port = "fab0"; s.VIFs["t1/v1"] = x },
		"VIF's MAC":     func(s *State) { x := s.VIFs["t1/v1"]; x.Name = "w"; x.Addresses = nil; s.VIFs["t1/w"] = x },
		"VIF's address": func(s *State) { x := s.VIFs["t1/v1"]; x.Name = "w"; x.MAC++; s.VIFs["t1/w"] = x },
		"nested overlap": func(s *State) {
			s.Subnets["t1/c"] = subnet("t1", "c", "10.0.0.0/8", "")
		},
		"router MAC taken": func(s *State) {
			m := MAC(0x020000000001)
			s.Tenants["t1"] = Tenant{Name: "t1", ID: 3, RouterMAC: &m}
		},
	}
	for name, damage := range damages {
		s := big(20, 40)
		damage(s)
		whole := s.Validate(ports)
		if len(whole) == 0 {
			t.Errorf("%s: no problem found, want at least one", name)
			continue
		}
		scope := &Scope{Tenants: map[string]bool{"t1": true}}
		found := s.ValidateScope(ports, scope)
		if len(found) == 0 {
			t.Errorf("%s: no problem found in scope, want some of those of the whole state: %v", name, whole)
		}
		for range 5 {
			if again := s.Validate(ports); !reflect.DeepEqual(again, whole) {
				t.Errorf("%s: the second report is %v, want that of the first: %v", name, again, whole)
			}
		}
		for _, p := range found {
			if !strings.HasPrefix(p.Key, "t1") {
				t.Errorf("%s: the scope finds %v, want problems of t1 only", name, p)
			}
		}
	}
}

func TestCaps(t *testing.T) {
	s := big(1, 0)
	for i := range MaxVIFs + 1 {
		f := VIF{Tenant: "t0", Name: fmt.Sprint(i), Segment: "s", MAC: MAC(0x020000000000 + i), Port: "acc0"}
		s.VIFs[f.Key()] = f
	}
	ps := s.Validate(ports)
	if len(ps) != 1 || ps[0].Code != CodeLimit || !strings.Contains(ps[0].Error(), "10001 vifs") {
		t.Errorf("one VIF above the limit: %v, want one problem of code limit, with the number 10001", ps)
	}
}

// TestLargeStateIsChecked: validation of 65,533 tenants takes some 0.5 s; the limit of 30 times that holds on a busy
// machine.
func TestLargeStateIsChecked(t *testing.T) {
	s := big(MaxTenants16, MaxVIFs)
	started := time.Now()
	for _, p := range s.Validate(ports) {
		if p.Code != CodeConflict { // 4,095 VLANs are fewer than the tenants
			t.Fatalf("a large state has the problem %v, want conflicts of VLANs only", p)
		}
	}
	if d := time.Since(started); d > 15*time.Second {
		t.Errorf("validation took %v, want at most 15 s", d)
	}
}

func BenchmarkValidate65kTenants(b *testing.B) {
	s := big(MaxTenants16, 4000)
	for b.Loop() {
		if ps := s.Validate(ports); len(ps) > 0 {
			b.Fatal(ps[0])
		}
	}
}

func BenchmarkValidateOneTenantOf65k(b *testing.B) {
	s := big(MaxTenants16, 4000)
	scope := &Scope{Tenants: map[string]bool{"t7": true}}
	for b.Loop() {
		if ps := s.ValidateScope(ports, scope); len(ps) > 0 {
			b.Fatal(ps[0])
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		kind     Kind
		key, out string
	}{
		{KindTenant, "RED", "RED"}, {KindTenant, "..", ""}, {KindTenant, "", ""},
		{KindTenant, "a/b", ""}, {KindTenant, "ä", ""},
		{KindSegment, "RED/web", "RED/web"}, {KindSegment, "RED", ""}, {KindSegment, "RED/", ""},
		{KindBinding, "RED/web/02-AA-00-00-00-01", "RED/web/02:aa:00:00:00:01"}, {KindBinding, "RED/web/x", ""},
		{KindPath, "02:00:00:00:00:02/02:00:00:00:00:01", "02:00:00:00:00:01/02:00:00:00:00:02"}, {"cats", "x", ""},
	} {
		got, err := NormalizeKey(c.kind, c.key)
		if got != c.out || (err == nil) != (c.out != "") {
			t.Errorf("%s: key %q is normalised to %q, %v, want %q, an error if empty", c.kind, c.key, got, err, c.out)
		}
	}
}

// TestDraft: a draft does not change its base.
func TestDraft(t *testing.T) {
	base := big(3, 3)
	before := big(3, 3)
	d := NewDraft(base)
	d.Put(Tenant{Name: "x", ID: 99})
	d.Delete(KindVIF, "t1/v1")
	d.Delete(KindPath, "none")
	if !reflect.DeepEqual(base, before) {
		t.Error("the base differs from its copy, want no change by the draft")
	}
	if _, ok := d.Get(KindTenant, "x"); !ok || len(d.VIFs) != 2 || d.Changed(KindSubnet) || !d.Changed(KindVIF) {
		t.Errorf("the draft: tenant x %v, %d VIFs, subnets changed %v, VIFs changed %v, want true, 2, false, true", ok,
			len(d.VIFs), d.Changed(KindSubnet), d.Changed(KindVIF))
	}
}

// TestMergePatch: the examples of RFC 7396, appendix A, whose patch is an object or a list.
func TestMergePatch(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		var n [3]*strict.Node
		for i := range n {
			var err error
			if n[i], err = strict.Parse([]byte(c[i])); err != nil {
				t.Fatal(err)
			}
		}
		if got := nodeText(strict.Merge(n[0], n[1])); got != nodeText(n[2]) {
			t.Errorf("%s with %s is %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// nodeText is a node without its position in the text.
func nodeText(n *strict.Node) string {
	s := fmt.Sprintf("%v %q", n.Type, n.Text)
	for _, it := range n.Items {
		s += "[" + nodeText(it) + "]"
	}
	for _, m := range n.Members {
		s += fmt.Sprintf("{%q:%s}", m.Name, nodeText(m.Value))
	}
	return s
}
