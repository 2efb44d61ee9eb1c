package compile

import (
	"net/netip"
	"strings"
	"testing"

	"penstock/ctrl/model"
)

// TestClaimStatus: the status of an object that lost a claim to a MAC or an address names the claim and its owner.
func TestClaimStatus(t *testing.T) {
	w := gatewayWorld(t, outside())
	s := redAndPublic()
	s.VIFs = map[string]model.VIF{
		"pub/group": {Tenant: "pub", Name: "group", Segment: "net", MAC: groupMAC, Port: "acc0",
			Addresses: addrs("10.1.0.50")},
		"pub/vm": {Tenant: "pub", Name: "vm", Segment: "net", MAC: redVM1, Port: "acc0", Addresses: addrs("10.1.0.9",
			"10.1.0.51")},
	}
	w.apply(s)
	bind := func(tenant, segment string, mac model.MAC, list ...netip.Addr) model.Binding {
		return model.Binding{Tenant: tenant, Segment: segment, MAC: mac, Addresses: list,
			SwitchMAC: switchX, SwitchPort: 4}
	}
	push := func(puts ...model.Binding) {
		t.Helper()
		p, err := w.c.Plan(w.state, model.BindingChanges{Puts: puts})
		if err != nil {
			t.Fatal(err)
		}
		w.c.Apply(p)
	}
	push(bind("pub", "net", 0x020000000021, addrs("10.1.0.51", "10.1.0.60")...))
	push(bind("pub", "net", 0x020000000022, addrs("10.1.0.60")...), bind("red", "web", 0x020000000023,
		addrs("10.2.0.1")...))
	check := func(kind model.Kind, key string, live bool, parts ...string) {
		t.Helper()
		st := w.c.Status(kind, key).(*Status)
		if st.Live != live {
			t.Errorf("%s %s: live is %t, want %t (%s)", kind, key, st.Live, live, st.Reason)
		}
		for _, part := range parts {
			if !strings.Contains(st.Reason, part) {
				t.Errorf("%s %s: the reason is %q, want %q in it", kind, key, st.Reason, part)
			}
		}
		if strings.Contains(st.Reason, "belongs") && len(parts) == 0 {
			t.Errorf("%s %s: the reason is %q, want none about an address", kind, key, st.Reason)
		}
	}
	check(model.KindVIF, "pub/group", false, "a gateway group of this box has this MAC")
	check(model.KindVIF, "pub/vm", true, "10.1.0.9 belongs to the gateway group with MAC "+groupMAC.String())
	check(model.KindBinding, "pub/net/02:00:00:00:00:21", true,
		"10.1.0.51 belongs to the VIF of this box with MAC "+redVM1.String(),
		"10.1.0.60 belongs to the binding pushed last, MAC 02:00:00:00:00:22")
	check(model.KindBinding, "pub/net/02:00:00:00:00:22", true)
	check(model.KindBinding, "red/web/02:00:00:00:00:23", true, "10.2.0.1 belongs to the virtual router")

	// The group goes: the VIFs have what is theirs.
	if err := w.c.Reconfigure(func(c *Config) { c.Groups = nil }); err != nil {
		t.Fatal(err)
	}
	check(model.KindVIF, "pub/group", true)
	check(model.KindVIF, "pub/vm", true)
	if mac, _, ok := w.cfg.Bindings.FindIP4(w.c.segments[segName{"pub", "net"}],
		0x0a010032); !ok || mac != uint64(groupMAC) {
		t.Errorf("10.1.0.50 belongs to %012x (%t), want the VIF with %s", mac, ok, groupMAC)
	}
}
