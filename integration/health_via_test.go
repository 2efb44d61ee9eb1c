package integration

import (
	"net/netip"
	"testing"
	"time"

	"penstock/ctrl/health"
	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// TestHealthOfStations: a station behind a port of the director that is no VIF is found, checked, used and taken out,
// like the servers that are VIFs.
func TestHealthOfStations(t *testing.T) {
	o := healthFabric()
	o.VMs = append(o.VMs, web("red", "station", "d", 30))
	o.VMs[len(o.VMs)-1].AntiSpoof = "off" // stations behind the port that are no VIFs may send
	s := model.Service{Tenant: "red", Name: "stations", VIP: "www", ID: 9, Port: 8080,
		Check: &model.Check{Interval: quickly, Timeout: halfThat}}
	f := startFabric(t, o)
	f.guests(t, "station")
	ns, dev := f.VM("station").Namespace, f.VM("station").Interface
	for _, args := range [][]string{{"link", "set", dev, "address", "02:00:00:00:03:1f"},
		{"address", "del", "10.10.1.30/24", "dev", dev}, {"address", "add", "10.10.1.31/24", "dev", dev}} {
		_, err := f.lab.Run(ns, append([]string{"ip"}, args...)...)
		must(t, err)
	}
	x := serverOf("red", s.Name, "station", 31)
	x.Via = f.VM("station").Port
	f.push("d", []lab.Operation{{Op: "put", Kind: s.Kind(), Key: s.Key(), Value: s},
		{Op: "put", Kind: x.Kind(), Key: x.Key(), Value: x}})
	at := netip.AddrPortFrom(hVIP, 8080)
	n := f.nginx(t, "station", "station", at)
	if h := f.untilHealth(t, x.Key(), health.Up); !h.Checked {
		t.Errorf("%s is %+v, want it checked", x.Key(), h)
	}
	must(t, n.Stop(2*time.Second))
	if h := f.untilHealth(t, x.Key(), health.Down); h.Reason != "connection refused" {
		t.Errorf("%s is %+v, want \"connection refused\"", x.Key(), h)
	}
	f.nginx(t, "station", "station2", at)
	f.untilHealth(t, x.Key(), health.Up)
}
