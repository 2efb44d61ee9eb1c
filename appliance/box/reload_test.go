package box

import (
	"os"
	"strings"
	"testing"

	"penstock/ctrl/gateway"
	"penstock/dataplane/xsk/xsktest"
)

// A group that is taken out and put back is a new one: what was saved of it when the box last stopped may be long over.
func TestReloadGroupPutBack(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	xsktest.Veth(t, "u0", "g0", xsktest.VethConfig{})
	const port = "[[port]]\nname = \"up0\"\ninterface = \"u0\"\nrole = \"uplink\"\nmode = \"copy\"\n"
	const group = "[[gateway_group]]\nname = \"out\"\nmac = \"02:50:53:01:00:01\"\n" +
		`[[gateway_group.member]]
name = "isp0"
port = "up0"
ip = "198.51.100.1"
address = "198.51.100.2/29"
`
	b := startBox(t, port+group)
	b.saved = gateway.State{Groups: map[string]gateway.GroupState{"out": {Active: "isp0", Disabled: []string{"isp0"}}}}
	was, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{strings.Replace(string(was), group, "", 1), string(was)} {
		if err := os.WriteFile(b.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	groups := b.compiler.LiveGroups()
	if len(groups) != 1 || groups[0].Live.Disabled != 0 {
		t.Errorf("groups after the reloads: got %+v, want one, with no member disabled", groups)
	}
}
