package guest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/model"
)

// TestOf: which services ask a VIF's guest for which addresses.
func TestOf(t *testing.T) {
	short := model.Duration(10 * time.Second)
	st := &model.State{
		VIFs: map[string]model.VIF{
			"red/vm1": {Tenant: "red", Name: "vm1", Segment: "web", GuestAgent: "/1",
				Addresses: addrs("10.0.0.1", "fd00::1")},
			"red/vm2": {Tenant: "red", Name: "vm2", Segment: "web", GuestAgent: "/2", Guest: "manual",
				Addresses: addrs("10.0.0.2"), GuestAddresses: addrs("192.0.2.1")},
			"red/vm3":  {Tenant: "red", Name: "vm3", Segment: "db", GuestAgent: "/3", Addresses: addrs("10.0.0.3")},
			"red/vm4":  {Tenant: "red", Name: "vm4", Segment: "web", Addresses: addrs("10.0.0.4")},
			"blue/vm1": {Tenant: "blue", Name: "vm1", Segment: "web", GuestAgent: "/b", Addresses: addrs("10.0.0.1")},
		},
		VIPs: map[string]model.VIP{
			"red/four": {Tenant: "red", Name: "four", Segment: "web", Address: addrs("10.0.0.100")[0]},
			"red/six":  {Tenant: "red", Name: "six", Segment: "web", Address: addrs("fd00::100")[0]},
			"red/more": {Tenant: "red", Name: "more", Segment: "web", Address: addrs("10.0.0.101")[0]},
		},
		Services: map[string]model.Service{
			"red/http":  {Tenant: "red", Name: "http", VIP: "four"},
			"red/https": {Tenant: "red", Name: "https", VIP: "four", DrainTimeout: &short},
			"red/six":   {Tenant: "red", Name: "six", VIP: "six", DrainTimeout: &short},
			"red/more":  {Tenant: "red", Name: "more", VIP: "more", DrainTimeout: &short},
		},
		Servers: map[string]model.Server{},
	}
	server := func(service, name string, s model.Server) {
		s.Tenant, s.Service, s.Name = "red", service, name
		st.Servers[s.Key()] = s
	}
	at := func(a string) model.Server { return model.Server{Address: addrs(a)[0]} }
	expect := func(what string, want ...string) {
		t.Helper()
		got := Of(st)
		slices.SortFunc(got, func(a, b VIF) int { return cmp.Compare(a.Key, b.Key) })
		var text []string
		for _, v := range got {
			text = append(text, fmt.Sprint(v.Key, " ", v.Socket, " ", v.Manual, " ", v.Addresses, " ", v.Linger))
		}
		if !slices.Equal(text, want) {
			t.Errorf("%s: got\n%q, want\n%q", what, text, want)
		}
	}
	blue, vm2, vm3 := "blue/vm1 /b false [] 0s", "red/vm2 /2 true [192.0.2.1] 5m0s", "red/vm3 /3 false [] 0s"
	expect("no servers", blue, "red/vm1 /1 false [] 0s", vm2, vm3)
	server("http", "a", model.Server{VIF: "vm1"})
	server("https", "a", at("10.0.0.1"))
	server("http", "c", model.Server{VIF: "vm4"}) // no agent
	server("http", "d", at("10.0.0.3"))           // another segment
	server("http", "e", model.Server{Address: addrs("10.0.0.2")[0], Via: "acc0"})
	expect("two services of an address", blue, "red/vm1 /1 false [10.0.0.100] 5m0s", vm2, vm3)
	server("six", "a", at("10.0.0.1"))
	server("more", "a", model.Server{VIF: "vm1", State: "draining"})
	expect("more addresses", blue, "red/vm1 /1 false [10.0.0.100 10.0.0.101 fd00::100] 5m0s", vm2, vm3)
	delete(st.Servers, "red/http/a")
	server("more", "a", model.Server{VIF: "vm1", State: "disabled"})
	expect("one service removed, one server disabled", blue, "red/vm1 /1 false [10.0.0.100 fd00::100] 10s", vm2, vm3)
	server("http", "f", model.Server{VIF: "vm2"})
	expect("a manual guest", blue, "red/vm1 /1 false [10.0.0.100 fd00::100] 10s",
		"red/vm2 /2 true [10.0.0.100 192.0.2.1] 5m0s", vm3)
}
