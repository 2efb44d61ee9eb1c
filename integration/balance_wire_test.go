package integration

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/endpoint"
	"penstock/integration/lab"
)

// placement is a tenant whose client and server hang from these boxes. All tenants have the same MACs and addresses.
type placement struct{ tenant, client, server string }

var placements = []placement{{"one", "d", "d"}, {"two-near", "d", "h1"}, {"two-far", "k", "d"}, {"three", "k", "h1"},
	{"two-beside", "k", "k"}}

func placed() options {
	o := options{}
	o.Trunks = []uint16{101}
	o.Boxes = []lab.BoxSpec{{Name: "d", Switch: "swa", Port: 2}, {Name: "k", Switch: "swa", Port: 7},
		{Name: "h1", Switch: "swb", Port: 3}}
	o.Balancer = `key = "000102030405060708090a0b0c0d0e0f"`
	o.Subnets, o.Tenants, o.Segments = []model.Subnet{}, []model.Tenant{}, []model.Segment{}
	for i, p := range placements {
		o.Tenants = append(o.Tenants, model.Tenant{Name: p.tenant, ID: uint32(100 + i)})
		o.Segments = append(o.Segments, model.Segment{Tenant: p.tenant, Name: "web", ID: 1})
		o.Subnets = append(o.Subnets, model.Subnet{Tenant: p.tenant, Name: "web4", Segment: "web",
			Prefix: netip.MustParsePrefix("10.10.1.0/24")})
		o.VMs = append(o.VMs,
			lab.VMSpec{Tenant: p.tenant, Segment: "web", Name: p.tenant + "-client", Box: p.client, MAC: 0x02000000010a,
				Addresses: []netip.Prefix{netip.MustParsePrefix("10.10.1.10/24")}, Raw: true},
			lab.VMSpec{Tenant: p.tenant, Segment: "web", Name: p.tenant + "-web1", Box: p.server, MAC: 0x020000000114,
				Addresses: []netip.Prefix{netip.MustParsePrefix("10.10.1.20/24")}, Raw: true})
		o.VIPs = append(o.VIPs, model.VIP{Tenant: p.tenant, Name: "v4", Segment: "web",
			Address:   netip.MustParseAddr(vip4),
			Directors: []model.Director{{Box: "d", Address: netip.MustParseAddr(own4)}}})
	}
	return o
}

// The frames of PROTOCOL.md#balancer, as client and server send and receive them.
const (
	requestSent = "02560a0a016402000000010a080045000028000140004006244e0a0a010a" +
		"0a0a01648ca0005011111111000000005002faf0ef5d0000"
	requestGot = "020000000114024d4b000007080045000028000140003f06254e0a0a010a" +
		"0a0a01648ca01f9011111111000000005002faf0d01d0000"
	replySent = "02000000010a020000000114080045000028000240004006244d0a0a0164" +
		"0a0a010a1f908ca022222222111111125012faf08bc80000"
	replyGot = "02000000010a020000000114080045000028000240004006244d0a0a0164" +
		"0a0a010a00508ca022222222111111125012faf0ab080000"
	// UDP, once with a checksum that becomes zero and is sent as all ones, and once without a checksum.
	dnsSent  = "02560a0a016402000000010a08004500001e000300004011644b0a0a010a0a0a01648ca10035000a147f4803"
	dnsGot   = "020000000114024d4b00000708004500001e00030000 3f11654b0a0a010a0a0a01648ca114b4000affff4803"
	noneSent = "02560a0a016402000000010a08004500001e000300004011644b0a0a010a0a0a01648ca10035000a00000001"
	noneGot  = "020000000114024d4b00000708004500001e000300003f11654b0a0a010a0a0a01648ca114b4000a00000001"
)

func octets(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err) // a frame of this file
	}
	return b
}

// TestBalanceWire: what client and server receive is the same, octet for octet, wherever client, director and server
// are.
func TestBalanceWire(t *testing.T) {
	b := &balancer{fabric: startFabric(t, placed())}
	put := func(objects ...model.Object) {
		var ops []lab.Operation
		for _, v := range objects {
			ops = append(ops, lab.Operation{Op: "put", Kind: v.Kind(), Key: v.Key(), Value: v})
		}
		for _, n := range b.Boxes {
			b.push(n.Name, ops)
		}
	}
	for _, p := range placements {
		t.Run(p.tenant, func(t *testing.T) {
			addr, none := netip.MustParseAddr("10.10.1.20"), &model.Check{Type: "none"}
			put(model.Service{Tenant: p.tenant, Name: "http", VIP: "v4", ID: 7, Port: 80, Check: none},
				model.Server{Tenant: p.tenant, Service: "http", Name: "web1", Address: addr, Port: 8080})
			client, server := b.raw(t, p.tenant+"-client"), b.raw(t, p.tenant+"-web1")
			carries(t, client, server, requestSent, requestGot)
			b.counted(t, p.tenant+"/http", 1, 54)
			carries(t, server, client, replySent, replyGot)
			b.remove(t, fmt.Sprintf("servers/%s/http/web1", p.tenant), fmt.Sprintf("services/%s/http", p.tenant))
			put(model.Service{Tenant: p.tenant, Name: "dns", VIP: "v4", ID: 7, Protocol: "udp", Port: 53, Check: none},
				model.Server{Tenant: p.tenant, Service: "dns", Name: "web1", Address: addr, Port: 5300})
			carries(t, client, server, dnsSent, dnsGot)
			carries(t, client, server, noneSent, noneGot)
		})
	}
}

// counted waits until the director has counted connections, as many packets, and octets of a service.
func (b *balancer) counted(t *testing.T, service string, connections, octets uint64) {
	t.Helper()
	var got status.Service
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var l status.Items[status.Service]
		b.get("d", "/v1/stats/services", &l)
		for _, s := range l.Items {
			if s.Key == service {
				got = s
			}
		}
		if got.Connections == connections && got.InPackets == connections && got.InBytes == octets {
			return
		}
	}
	t.Errorf("%s: got %+v, want %d connections and packets, %d octets", service, got, connections, octets)
}

// carries sends a frame and expects another one, but for padding.
func carries(t *testing.T, from, to *endpoint.Raw, sent, want string) {
	t.Helper()
	must(t, to.Drain(10*time.Millisecond))
	must(t, from.Send(octets(sent)))
	expected := octets(want)
	var other []byte
	_, err := to.Find(2*time.Second, func(f []byte) bool {
		if len(f) >= 14 && f[12] == 8 && f[13] == 0 {
			other = bytes.Clone(f)
		}
		return bytes.HasPrefix(f, expected)
	})
	if err != nil {
		t.Fatalf("%x was sent: got %x last, want %x", octets(sent), other, expected)
	}
}
