package ipvs

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"penstock/ctrl/model"
)

// site is what a box has of tenant red.
func site() *Existing {
	box1 := func(a string) []model.Director {
		return []model.Director{{Box: "box1", Address: netip.MustParseAddr(a)}}
	}
	two := uint16(2)
	return &Existing{
		Subnets: []model.Subnet{
			{Tenant: "red", Name: "web4", Segment: "web", Prefix: netip.MustParsePrefix("10.10.1.0/24")},
			{Tenant: "red", Name: "web6", Segment: "web", Prefix: netip.MustParsePrefix("fd00:10::/64")},
		},
		VIFs: []model.VIF{{Tenant: "red", Name: "vm1", Segment: "web", Addresses: []netip.Addr{
			netip.MustParseAddr("10.10.1.20")}}},
		VIPs: []model.VIP{
			{Tenant: "red", Name: "www", Segment: "web", Address: netip.MustParseAddr("10.10.1.100"),
				Directors: box1("10.10.1.101")},
		},
		Services: []model.Service{{Tenant: "red", Name: "http", VIP: "www", ID: 7, Port: 80,
			Check: &model.Check{Type: "http"}, SlowStart: 5}},
		Servers: []model.Server{
			{Tenant: "red", Service: "http", Name: "web1", VIF: "vm1", Port: 8080, Weight: &two, QUICID: "01"},
			{Tenant: "red", Service: "http", Name: "web9", Address: netip.MustParseAddr("10.10.1.29")},
		},
	}
}

func lines(objects []model.Object) string {
	var b strings.Builder
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s %s\n", o.Kind().One(), text)
	}
	return b.String()
}

// TestObjects: what the box has keeps name, ID and what the text does not say; what it does not have is made.
func TestObjects(t *testing.T) {
	right := strings.Join(strings.SplitAfter(saved, "\n")[:4], "")
	to := Target{Tenant: "red"}
	to.Directors = []model.Director{{Box: "box1", Address: netip.MustParseAddr("fd00:10::101")}}
	x := site()
	got, faults := Parse(right, Options{}).Objects(to, x)
	if len(faults) > 0 {
		t.Fatalf("faults %v, want none", faults)
	}
	same(t, "objects", "\n"+lines(got), `
VIP {"tenant":"red","name":"fd00-10--100","segment":"web","address":"fd00:10::100","directors":[{"box":"box1","address":"fd00:10::101"}]}
service {"tenant":"red","name":"http","vip":"www","id":7,"port":80,"hash":"client","check":{"type":"http"},"slow_start":"5ns"}
service {"tenant":"red","name":"fd00-10--100-udp-53","vip":"fd00-10--100","id":6599366,"protocol":"udp","port":53}
server {"tenant":"red","service":"http","name":"web1","vif":"vm1","port":8080,"weight":2,"quic_id":"01"}
server {"tenant":"red","service":"fd00-10--100-udp-53","name":"fd00-10--20-5300","address":"fd00:10::20","port":5300}
`)
	for _, o := range got { // as if pushed
		switch o := o.(type) {
		case model.VIP:
			x.VIPs = append(x.VIPs, o)
		case model.Service:
			if o.Name == "http" {
				x.Services[0] = o
			} else {
				x.Services = append(x.Services, o)
			}
		case model.Server:
			if o.Name == "web1" {
				x.Servers[0] = o
			} else {
				x.Servers = append(x.Servers, o)
			}
		}
	}
	again, faults := Parse(right, Options{}).Objects(Target{Tenant: "red"}, x)
	if len(faults) > 0 {
		t.Fatalf("the second time: faults %v, want none", faults)
	}
	_, first, _ := strings.Cut(lines(got), "\n") // the VIP is not made again
	same(t, "the second time", lines(again), first)
}

// TestObjectsFaults: faults that only show beside the tables of the box, together with those of the text.
func TestObjectsFaults(t *testing.T) {
	text := "-A -t 10.10.1.100:80 -s wrr\n-A -t 10.99.0.1:80 -s wrr\n-A -t [fd00:10::100]:80 -s wrr\n-A -f 1\n" +
		"-A -t 10.10.1.77:80 -s wrr\n"
	objects, faults := Parse(text, Options{}).Objects(Target{Tenant: "red"}, site())
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprintf("%d: %s", f.Line, f.Message))
	}
	same(t, "faults", strings.Join(got, "\n"), `2: tenant red has neither a VIP 10.99.0.1 nor a subnet for one
3: tenant red has no VIP fd00:10::100
4: service of firewall mark 1: packets have no firewall mark here`)
	if objects != nil {
		t.Errorf("got %d objects beside faults, want none", len(objects))
	}
}

// TestKeepalivedCheck: the check of keepalived's configuration as the service has it.
func TestKeepalivedCheck(t *testing.T) {
	got, faults := Parse(read(t, "keepalived.conf"), Options{}).Objects(Target{Tenant: "red",
		Directors: []model.Director{{Box: "box1", Address: netip.MustParseAddr("fd00:10::101")}}}, site())
	if len(faults) > 0 {
		t.Fatalf("faults %v, want none", faults)
	}
	for _, want := range []string{
		`"name":"http","vip":"www","id":7,"port":80,"hash":"client","check":{"type":"http","interval":"6s",` +
			`"timeout":"3s","fall":3,"path":"/health","host":"www.example.com","status":"200-299,404"}`,
		`"check":{"type":"udp","send":"hex:ab120f","expect":"hex:0f00"},"one_packet":true`,
		`"scheduler":"lc","check":{"type":"none"}`,
		`"service":"fd00-10--100-tcp-443","name":"fd00-10--21-443","address":"fd00:10::21","weight":0`,
		`"name":"web9","address":"10.10.1.29","backup":true`,
	} {
		if !strings.Contains(lines(got), want) {
			t.Errorf("want %s in\n%s", want, lines(got))
		}
	}
}

// TestServiceID: a hash of the endpoint, the next one if it is taken, never 0.
func TestServiceID(t *testing.T) {
	e := Endpoint{netip.MustParseAddr("10.0.0.1"), "tcp", 80}
	first := ServiceID(e, func(uint32) bool { return false })
	second := ServiceID(e, func(id uint32) bool { return id == first })
	if first == 0 || first > model.MaxServiceID || second != first%model.MaxServiceID+1 {
		t.Errorf("got IDs %d and %d, want one from 1 to %d and the next one", first, second, model.MaxServiceID)
	}
	last := ServiceID(e, func(id uint32) bool { return id >= first })
	if last != 1 {
		t.Errorf("all IDs from %d on taken: got %d, want 1", first, last)
	}
}
