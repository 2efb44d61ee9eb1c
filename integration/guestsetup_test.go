package integration

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/guest"
	"penstock/ctrl/guest/guesttest"
	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// guestOf returns the status of a VIF's guest.
func (f *fabric) guestOf(node, vif string) guest.Status {
	f.t.Helper()
	var v struct {
		Status struct{ Guest guest.Status }
	}
	f.get(node, "/v1/vifs/"+vif, &v)
	return v.Status.Guest
}

// TestGuestSetUp: within a second of a service's push the server's guest has the VIP and its file; with the last of two
// services everything is as before, also if the box was down meanwhile. A guest that hangs has an alarm of its own and
// holds up neither the other guest nor traffic.
func TestGuestSetUp(t *testing.T) {
	requireRoot(t)
	g := guesttest.New(t, map[string]string{"etc/netplan/50-cloud-init.yaml": "network:\n  version: 2\n"})
	before := g.Tree()
	f := startFabric(t, rawPair())
	op := func(op string, o model.Object, value any) lab.Operation {
		return lab.Operation{Op: op, Kind: o.Kind(), Key: o.Key(), Value: value}
	}
	put := func(o model.Object) lab.Operation { return op("put", o, o) }

	silent := filepath.Join(t.TempDir(), "silent")
	ln, err := net.Listen("unix", silent)
	must(t, err)
	defer ln.Close()
	hung := f.VM("red-vm1").VIF()
	hung.Name, hung.MAC, hung.Addresses, hung.VLAN = "hung", 0x0200000000aa, nil, 77
	hung.GuestAgent, hung.GuestAddresses = silent, []netip.Addr{netip.MustParseAddr("10.0.0.100")}
	vif := f.VM("red-vm1").VIF()
	vif.GuestAgent = g.Socket
	vip := model.VIP{Tenant: "red", Name: "www", Segment: "web", Address: netip.MustParseAddr("10.0.0.100")}
	http := model.Service{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80}
	https := model.Service{Tenant: "red", Name: "https", VIP: "www", ID: 8, Port: 443}
	byName := model.Server{Tenant: "red", Service: "http", Name: "web1", VIF: vif.Name, Port: 8080}
	byAddress := model.Server{Tenant: "red", Service: "https", Name: "web1", Address: vif.Addresses[0], Port: 8443}

	s := f.steady(t, "red-vm1", "red-vm2", 1000, 4)
	f.push("box1", []lab.Operation{put(hung), put(vif), put(vip), put(http), put(https)})
	began := time.Now()
	f.push("box1", []lab.Operation{put(byName)})
	file := filepath.Join(g.Root, "etc/netplan/90-penstock.yaml")
	f.eventually(t, "the VIP is in the guest and in a file", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "10.0.0.100/32") && g.Lo() == "10.0.0.100/32"
	})
	t.Logf("set up %v after the push", time.Since(began).Round(time.Millisecond))
	f.push("box1", []lab.Operation{put(byAddress)})
	f.eventually(t, "the status says ok", func() bool {
		return f.guestOf("box1", "red/red-vm1").State == guest.StateOK
	})
	f.eventually(t, "the guest that hangs has an alarm", func() bool {
		l := f.alarms("box1", alarm.GuestSetupFailed)
		return len(l) == 1 && l[0].Object == "vif red/hung" && strings.Contains(l[0].Text, "-delimited: no answer")
	})
	if st := f.guestOf("box1", "red/hung"); st.State != guest.StateFailed || st.Reason == "" {
		t.Errorf("the guest that hangs is %+v, want failed with a reason", st)
	}
	times := g.Times()
	f.push("box1", []lab.Operation{put(vif), put(http), op("delete", byName, nil)})
	f.push("box1", []lab.Operation{op("delete", http, nil)})
	time.Sleep(500 * time.Millisecond)
	if d := guesttest.Differ(times, g.Times()); d != nil || g.Lo() != "10.0.0.100/32" {
		t.Errorf("pushed again, and one of two services removed: written %q, on lo %q, want nothing and the VIP", d,
			g.Lo())
	}
	if r := stop(t, s); r.Lost() != 0 {
		t.Errorf("%d frames of others were lost meanwhile, want none", r.Lost())
	}

	g.StopAgent() // so that this box does not undo it
	f.push("box1", []lab.Operation{op("delete", byAddress, nil), op("delete", https, nil), op("delete", hung, nil)})
	f.procs["box1"].Kill()
	g.StartAgent()
	f.start("box1")
	f.waitReady("box1")
	f.eventually(t, "the guest is as before", func() bool {
		return g.Lo() == "" && guesttest.Differ(before, g.Tree()) == nil
	})
	f.eventually(t, "no alarm is left", func() bool { return f.active("box1", alarm.GuestSetupFailed) == 0 })
}
