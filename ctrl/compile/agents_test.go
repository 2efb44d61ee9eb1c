package compile

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// host is the box H with the VIF web1 at 10.10.1.20, a server of red/http (80 → 8080).
func host(t testing.TB) *balanced {
	b := newBalanced(t, "H")
	b.change(func(d *model.Draft) {
		d.Put(model.VIF{Tenant: "red", Name: "web1", Segment: "web", MAC: 0x020000000114, Port: "acc0",
			Addresses: []netip.Addr{netip.MustParseAddr("10.10.1.20")}})
		d.Put(vipWWW())
		d.Put(model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80})
		d.Put(serverAt("web1", 20))
	})
	return b
}

// rules writes the reply rules of web1: first-last>to service, with * when shared and ! when of a server that is gone.
func (b *balanced) rules() string {
	a := b.c.Snapshot().VIFs[b.c.vifs["red/web1"].index].Agent
	if a == nil {
		return "none"
	}
	var list []string
	for _, r := range a.Rules {
		s := fmt.Sprintf("%d-%d>%d #%d", r.First, r.Last, r.To, r.ID)
		if r.Shared {
			s += "*"
		}
		if r.Server == fib.None {
			s += "!"
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func (b *balanced) wantRules(what, want string) {
	b.t.Helper()
	if got := b.rules(); got != want {
		b.t.Errorf("%s: rules %q, want %q", what, got, want)
	}
}

// TestAgentRules: what a box knows of its VIF that is a server, as servers come and go.
func TestAgentRules(t *testing.T) {
	b := host(t)
	b.wantRules("one server", "8080-8080>80 #7")
	a := b.c.Snapshot().VIFs[b.c.vifs["red/web1"].index].Agent
	if i, ok := fib.FindVIP4(a.VIPs4, 0x0a0a0164); !ok || b.c.Snapshot().VIPs[i].MAC != 0x02560a0a0164 {
		t.Errorf("the VIF's virtual addresses are %v, want 10.10.1.100", a.VIPs4)
	}
	share := func(name string, id uint32, port uint16) model.Service {
		return model.Service{Tenant: "red", Name: name, VIP: "www", ID: id, Port: port, SharedPorts: true}
	}
	alt := serverAt("web1", 20)
	alt.Service = "alt"
	b.change(func(d *model.Draft) {
		d.Put(share("http", 7, 80))
		d.Put(share("alt", 8, 8888))
		d.Put(alt)
	})
	b.wantRules("two services of one port", "8080-8080>80 #7*, 8080-8080>8888 #8*")
	b.change(func(d *model.Draft) {
		d.Delete(model.KindServer, "red/alt/web1")
		d.Delete(model.KindService, "red/alt")
	})
	b.wantRules("one is gone", "8080-8080>80 #7*, 8080-8080>8888 #8*!")
	b.clock.turn(5*time.Minute - time.Second)
	b.wantRules("shortly before the timeout", "8080-8080>80 #7*, 8080-8080>8888 #8*!")
	b.clock.turn(time.Second)
	b.wantRules("after the timeout", "8080-8080>80 #7")

	// A range around it: the part that is exact stays the exact service's.
	wide := serverAt("web1", 20)
	wide.Service, wide.Port = "wide", 8070
	b.change(func(d *model.Draft) {
		d.Put(model.Service{Tenant: "red", Name: "wide", VIP: "www", ID: 9, Port: 70, PortEnd: 90})
		d.Put(wide)
	})
	b.wantRules("a range around it", "8070-8079>70 #9, 8080-8080>80 #7, 8081-8090>81 #9")
	b.change(func(d *model.Draft) {
		d.Delete(model.KindServer, "red/wide/web1")
		d.Delete(model.KindServer, "red/http/web1")
	})
	b.wantRules("servers gone, services not", "8070-8079>70 #9!, 8080-8080>80 #7!, 8081-8090>81 #9!")
	b.change(func(d *model.Draft) {
		d.Delete(model.KindService, "red/wide")
		d.Delete(model.KindService, "red/http")
		d.Delete(model.KindVIP, "red/www")
	})
	b.wantRules("the VIP is gone", "none")
}

// TestSuccessor: a service that takes over a port of servers from a deleted one shares it with it for a time, without
// having said so: the agents need notes of flows.
func TestSuccessor(t *testing.T) {
	b := host(t)
	if b.c.Snapshot().SharedReplies {
		t.Error("a single service: agents are to note flows, want none")
	}
	alt := serverAt("web1", 20)
	alt.Service = "alt"
	b.change(func(d *model.Draft) {
		d.Delete(model.KindServer, "red/http/web1")
		d.Delete(model.KindService, "red/http")
		d.Put(model.Service{Tenant: "red", Name: "alt", VIP: "www", ID: 8, Port: 8888})
		d.Put(alt)
	})
	b.wantRules("successor", "8080-8080>8888 #8*, 8080-8080>80 #7*!")
	if !b.c.Snapshot().SharedReplies {
		t.Error("no notes of flows, want them: else all replies of the successor's servers are dropped")
	}
}

// TestAgentDisabled: the rules of a server stay while it is there, whatever its state and its health.
func TestAgentDisabled(t *testing.T) {
	b := host(t)
	b.change(func(d *model.Draft) {
		s := serverAt("web1", 20)
		s.State = model.StateDisabled
		d.Put(s)
	})
	b.c.SetHealth(map[string]ServerHealth{"red/http/web1": {}})
	b.wantRules("disabled and down", "8080-8080>80 #7")
}

// TestGuestAddresses: a guest may use a virtual address without any service.
func TestGuestAddresses(t *testing.T) {
	b := host(t)
	b.change(func(d *model.Draft) {
		d.Put(model.VIP{Tenant: "red", Name: "more", Segment: "web", Address: netip.MustParseAddr("10.10.1.200")})
		v := d.VIFs["red/web1"]
		v.GuestAgent, v.GuestAddresses = "/x", []netip.Addr{netip.MustParseAddr("10.10.1.200"),
			netip.MustParseAddr("10.10.1.201")}
		d.Put(v)
	})
	a := b.c.Snapshot().VIFs[b.c.vifs["red/web1"].index].Agent
	if len(a.VIPs4) != 2 || a.VIPs4[1].IP != 0x0a0a01c8 {
		t.Errorf("virtual addresses %x, want 10.10.1.100 and 10.10.1.200", a.VIPs4)
	}
}
