package e2e

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/perf/load"
)

const (
	serviceID = 7
	ownIP     = "10.0.0.101" // the director's own, for health checks
	mark      = model.MAC(0x024d4b000000 + serviceID)
)

// vipMAC is the MAC that a virtual address has unless it is told another.
var vipMAC = model.MAC(0x0256<<32 | uint64(binary.BigEndian.Uint32(vipIP[:])))

// Balancer is the box as the director of a virtual address. Its servers are behind another edge switch, so that it
// encapsulates the requests; or, if local, VIFs of its own.
func Balancer(name, binary string, local bool) Device {
	p := &director{box: box{binary: binary}, local: local}
	return Device{
		Name: name, Required: true, Flows: balanceFlows, Frames: toVIP(vipMAC),
		Command: p.command, Prepare: p.prepare,
		Expect: func(t load.Template) (load.Expect, error) {
			if local {
				return balanced(t, 0, routerTTL, macOctets(mark), false)
			}
			e, err := balanced(t, outer, routerTTL, macOctets(mark), false)
			e.Values = append(e.Values, outerValues()...)
			return e, err
		},
	}
}

// outerValues are the outer headers of an encapsulated frame, but for its length and what follows from the path.
func outerValues() []load.Value {
	return []load.Value{
		{Offset: 0, Octets: append(macOctets(farSwitch), macOctets(nearSwitch)...)},
		{Offset: outerVLAN, Octets: be16(vlanType)},
		{Offset: outerIPv4, Octets: append(be16(ipv4EtherType), versionAndWords)},
		{Offset: outerProtocol, Octets: []byte{etherInIP}},
		{Offset: outerSource, Octets: append([]byte{schemePrefix, nearPort}, be16(segment)...)},
		{Offset: outerTenant, Octets: be16(tenant)},
	}
}

// director is a box with a virtual service.
type director struct {
	box
	local bool
}

// command is the command of a box with a configuration for its role.
func (d *director) command(b *Bed) ([]string, error) {
	argv, err := d.box.command(b)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.Dir, "penstock.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	conf := string(text) + "[balancer]\nkey = \"000102030405060708090a0b0c0d0e0f\"\n"
	if d.local {
		fabric := fmt.Sprintf("role = \"fabric\"\nswitch_mac = %q\nswitch_port = %d\n", nearSwitch, nearPort)
		conf = strings.Replace(conf, fabric, "role = \"access\"\n", 1)
	}
	return argv, os.WriteFile(file, []byte(conf), 0o644)
}

func (d *director) prepare(ctx context.Context, b *Bed) error {
	c := client.New(socket(b))
	defer c.Close()
	s, err := waitReady(ctx, c, b.Process)
	if err != nil || s.Revision != 0 {
		return err
	}
	ops, err := operations()
	if err != nil {
		return err
	}
	more, err := d.operations()
	if err != nil {
		return err
	}
	if _, err = c.Transaction(ctx, append(ops, more...), client.WriteOptions{}); err != nil {
		return fmt.Errorf("push the tables: %w", err)
	}
	return nil
}

// operations are the puts of the virtual address, its service and servers.
func (d *director) operations() ([]core.Op, error) {
	objects := []model.Object{
		model.VIP{
			Tenant: "red", Name: "vip", Segment: "web", Address: netip.AddrFrom4(vipIP),
			Directors: []model.Director{{Box: "dut", Address: netip.MustParseAddr(ownIP)}},
		},
		model.Service{
			Tenant: "red", Name: "udp", VIP: "vip", ID: serviceID, Protocol: "udp", Port: dstPort,
			Check: &model.Check{Type: "none"},
		},
	}
	for k := range balanceServers {
		name, addr := fmt.Sprintf("s%d", k), netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + k)})
		mac := firstServer + model.MAC(k)
		if d.local {
			objects = append(objects, model.VIF{
				Tenant: "red", Name: name, Segment: "web", MAC: mac, Addresses: []netip.Addr{addr}, Port: "fab",
			})
		} else {
			objects = append(objects, model.Binding{
				Tenant: "red", Segment: "web", MAC: mac, Addresses: []netip.Addr{addr}, SwitchMAC: farSwitch,
				SwitchPort: uint16(1 + k),
			})
		}
		objects = append(objects, model.Server{
			Tenant: "red", Service: "udp", Name: name, Address: addr, Port: serverPort,
		})
	}
	var ops []core.Op
	for _, o := range objects {
		value, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: o.Kind(), Key: o.Key(), Value: value})
	}
	return ops, nil
}
