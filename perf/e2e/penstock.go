package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/lab"
	"penstock/perf/load"
)

const (
	nearSwitch, farSwitch = model.MAC(0x0200000000aa), model.MAC(0x0200000000bb)
	nearPort              = 7
	farPorts              = 48        // of the far edge switch, over which the bindings spread
	defaultCapacity       = 1_000_000 // of the bindings table, unless configured
	readyLimit            = 2 * time.Minute
)

var pathVLANs = []uint16{101, 102, 103, 104}

// Penstock is the box with the given number of bindings, each frame going to one of them at random, encapsulated (L2
// in IP). binary is the command. Settings that are not about the topology are the defaults.
func Penstock(name, binary string, bindings int) Device {
	p := &box{binary: binary, bindings: bindings}
	return p.device(name)
}

// Busy is the box with 1,000 bindings whose worker never sleeps, as testpmd and Open vSwitch never do.
func Busy(name, binary string) Device {
	p := &box{binary: binary, bindings: 1000, poll: "busy"}
	return p.device(name)
}

// TwoWorkers is the box with 1,000 bindings and two workers. With handoff all frames arrive on one queue, and the box
// spreads them by inner flow; without, the source feeds two queues, as a network card with RSS does.
func TwoWorkers(name, binary string, handoff bool) Device {
	p := &box{binary: binary, bindings: 1000, workers: 2, handoff: handoff}
	d := p.device(name)
	if d.Workers, d.Sources = 2, 2; handoff {
		d.Sources = 1
	}
	return d
}

type box struct {
	binary   string
	bindings int
	workers  int    // 0 = 1
	poll     string // mode; "" = the default
	handoff  bool
	nice     int
	env      []string // NAME=VALUE
}

func (p *box) device(name string) Device {
	return Device{
		Name: name, Required: true, Flows: p.bindings,
		Command: p.command, Prepare: p.prepare, Expect: encapsulated,
	}
}

func socket(b *Bed) string { return filepath.Join(b.Dir, "control.sock") }

func (p *box) command(b *Bed) ([]string, error) {
	poll := ""
	if p.poll != "" {
		poll = fmt.Sprintf("poll = %q\n", p.poll)
	}
	text := fmt.Sprintf(`[box]
name = "dut"
state_dir = %q
[dataplane]
workers = %d
cpus = %s
nice = %d
handoff = %t
bindings = %d
%s[[port]]
name = "acc"
interface = %q
role = "access"
[[port]]
name = "fab"
interface = %q
role = "fabric"
switch_mac = %q
switch_port = %d
[probe]
interval = "0s"
[control]
socket = %q
max_body = "1GiB"
[metrics]
listen = ""
`, filepath.Join(b.Dir, "state"), max(1, p.workers), strings.ReplaceAll(fmt.Sprint(b.CPUs), " ", ", "), p.nice,
		p.handoff, max(defaultCapacity, p.bindings+1), poll, PortA, PortB, nearSwitch, nearPort, socket(b))
	file := filepath.Join(b.Dir, "penstock.toml")
	argv := append(append([]string{"env"}, p.env...), p.binary, "run", "--config", file)
	return argv, os.WriteFile(file, []byte(text), 0o644)
}

// prepare waits until the box is ready and pushes its tables, unless its store has them from an earlier trial.
func (p *box) prepare(ctx context.Context, b *Bed) error {
	c := client.New(socket(b))
	defer c.Close()
	s, err := waitReady(ctx, c, b.Process)
	if err != nil {
		return err
	}
	if s.Revision == 0 {
		ops, err := operations()
		if err != nil {
			return err
		}
		if _, err := c.Transaction(ctx, ops, client.WriteOptions{}); err != nil {
			return fmt.Errorf("push the tables: %w", err)
		}
	}
	if s.Bindings.Count < p.bindings {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeBindings(w, p.bindings, 0)) }()
		_, err := c.Bulk(ctx, model.KindBinding, r, core.Replace, client.WriteOptions{})
		r.Close()
		if err != nil {
			return fmt.Errorf("push %d bindings: %w", p.bindings, err)
		}
	}
	if err := c.Get(ctx, "/v1/box", &s); err != nil {
		return err
	}
	// The box counts its own VIF too.
	if s.Bindings.Count != p.bindings+1 {
		return fmt.Errorf("the box has %d bindings after %d were pushed", s.Bindings.Count, p.bindings)
	}
	return nil
}

func waitReady(ctx context.Context, c *client.Client, p *lab.Process) (s status.Box, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		if err = c.Get(ctx, "/v1/box", &s); err == nil && s.Ready {
			return s, nil
		}
		if !p.Running() {
			return s, errors.New("the box has ended")
		}
		if werr := sleep(ctx, 20*time.Millisecond); werr != nil {
			return s, fmt.Errorf("the box is not ready: %w", errors.Join(err, werr))
		}
	}
}

// operations are the puts for everything but the bindings.
func operations() ([]core.Op, error) {
	path := model.Path{A: nearSwitch, B: farSwitch}
	for _, vid := range pathVLANs {
		path.VLANs = append(path.VLANs, model.PathVLAN{VID: vid})
	}
	var ops []core.Op
	for _, o := range []model.Object{
		model.Tenant{Name: "red", ID: tenant},
		model.Segment{Tenant: "red", Name: "web", ID: segment},
		model.Subnet{
			Tenant: "red", Name: "web", Segment: "web", Prefix: netip.MustParsePrefix("10.0.0.0/24"),
			Router: netip.MustParseAddr("10.0.0.254"),
		},
		model.VIF{
			Tenant: "red", Name: "vm", Segment: "web", MAC: sender,
			Addresses: []netip.Addr{netip.AddrFrom4(senderIP)}, Port: "acc",
		},
		path,
	} {
		value, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: o.Kind(), Key: o.Key(), Value: value})
	}
	return ops, nil
}

// writeBindings writes bindings for all flows as NDJSON. With another shift every location is another one.
func writeBindings(w io.Writer, n, shift int) error {
	b := bufio.NewWriterSize(w, 1<<16)
	e := json.NewEncoder(b)
	for k := range n {
		if err := e.Encode(model.Binding{
			Tenant: "red", Segment: "web", MAC: firstRemote + model.MAC(k), SwitchMAC: farSwitch,
			SwitchPort: uint16(1 + (k+shift)%farPorts),
		}); err != nil {
			return err
		}
	}
	return b.Flush()
}

// The outer headers (PROTOCOL.md#encapsulation) and where things stand in them.
const (
	outer           = 38 // Ethernet, 802.1Q, IPv4
	outerVLAN       = 12 // TPID; the TCI that follows is one of the paths
	outerIPv4       = 16 // EtherType
	outerLength     = 20
	outerProtocol   = 27
	outerSource     = 30
	outerTenant     = 36 // lower half of the destination
	etherInIP       = 143
	schemePrefix    = 10 // first octet under 10.p.t
	vlanType        = 0x8100
	ipv4EtherType   = 0x0800
	versionAndWords = 0x45
)

// encapsulated is what the box owes: the frame as it was, inside outer headers to the right switch, tenant and segment.
func encapsulated(t load.Template) (load.Expect, error) {
	e, err := shifted(t, outer)
	if err != nil {
		return e, err
	}
	e.Values = append(e.Values,
		load.Value{Offset: 0, Octets: append(macOctets(farSwitch), macOctets(nearSwitch)...)},
		load.Value{Offset: outerVLAN, Octets: be16(vlanType)},
		load.Value{Offset: outerIPv4, Octets: append(be16(ipv4EtherType), versionAndWords)},
		load.Value{Offset: outerLength, Octets: be16(uint16(e.Size - 18))},
		load.Value{Offset: outerProtocol, Octets: []byte{etherInIP}},
		load.Value{Offset: outerSource, Octets: append([]byte{schemePrefix, nearPort}, be16(segment)...)},
		load.Value{Offset: outerTenant, Octets: be16(tenant)},
		load.Value{Offset: outer, Octets: be16(uint16(firstRemote >> 32))},
		load.Value{Offset: outer + 6, Octets: macOctets(sender)},
	)
	return e, nil
}
