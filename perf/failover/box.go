package failover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

const (
	boxNS      = "box"
	readyLimit = 30 * time.Second
	// restartDelay is the unit's RestartSec (systemd/penstock.service).
	restartDelay = 100 * time.Millisecond
	boxMisses    = 3
)

// box is Penstock as a host with two uplinks and no fabric: a gateway group of two members.
type box struct {
	*bed
	binary   string
	interval time.Duration // of the probes
	env      []string
	config   string
	reloads  int
	process  *lab.Process
	client   *client.Client
}

func newBox(label, binary string, interval time.Duration, env ...string) (_ device, err error) {
	x := &box{binary: binary, interval: interval, env: env}
	x.bed, err = newBed(label, [2]side{
		{ns: "gwa", address: netip.MustParsePrefix("192.0.2.1/29"), via: netip.MustParseAddr("192.0.2.2")},
		{ns: "gwb", address: netip.MustParsePrefix("198.51.100.1/29"), via: netip.MustParseAddr("198.51.100.2")},
	})
	if err != nil {
		return nil, err
	}
	x.config = filepath.Join(x.Dir(), "penstock.toml")
	x.client = client.New(filepath.Join(x.Dir(), "control.sock"))
	if err := x.begin(); err != nil {
		return nil, errors.Join(err, x.close())
	}
	return x, nil
}

func (x *box) begin() error {
	if err := x.namespace(boxNS); err != nil {
		return err
	}
	port := lab.EndOptions{GRO: true, NoTSO: true}
	err := x.joinHost(boxNS, "acc0", port)
	for i, name := range []string{"up0", "up1"} {
		if err == nil {
			err = x.joinGateway(i, boxNS, name, port)
		}
	}
	if err == nil {
		err = x.configureBox()
	}
	if err == nil {
		err = x.start()
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	if err := x.ready(ctx); err != nil {
		return err
	}
	return x.push(ctx)
}

// configureBox writes the configuration, each time another one that changes nothing of importance.
func (x *box) configureBox() error {
	x.reloads++
	// Every run is a failure of the same member: damping would hold it down.
	return os.WriteFile(x.config, fmt.Appendf(nil, `[box]
name = "box"
state_dir = %q
[dataplane]
bindings = 1_100_000
[[port]]
name = "acc0"
interface = "acc0"
role = "access"
[[port]]
name = "up0"
interface = "up0"
role = "uplink"
[[port]]
name = "up1"
interface = "up1"
role = "uplink"
[[gateway_group]]
name = "out"
mac = "02:50:53:01:00:01"
ip = %q
probe_interval = %q
misses = %d
flap_count = 0
announce_rate = %d
[[gateway_group.member]]
name = "gwa"
port = "up0"
ip = "192.0.2.1"
address = "192.0.2.2/29"
[[gateway_group.member]]
name = "gwb"
port = "up1"
ip = "198.51.100.1"
address = "198.51.100.2/29"
[control]
socket = %q
max_body = "1GiB"
[metrics]
listen = ""
`, filepath.Join(x.Dir(), "state"), routerAddress, x.interval, boxMisses, 9000+x.reloads%2,
		filepath.Join(x.Dir(), "control.sock")), 0o644)
}

func (x *box) start() (err error) {
	argv := append(append([]string{"env"}, x.env...), x.binary, "run", "--config", x.config)
	x.process, err = x.Start(boxNS, "box", argv...)
	return err
}

func (x *box) ready(ctx context.Context) error {
	return until(ctx, func() error {
		if !x.process.Running() {
			return fatal{fmt.Errorf("the box has ended:\n%s", tail(x.process.Log()))}
		}
		var s status.Box
		if err := x.client.Get(ctx, "/v1/box", &s); err != nil {
			return err
		}
		if !s.Ready {
			return errors.New("the box is not ready")
		}
		return nil
	})
}

func (x *box) push(ctx context.Context) error {
	var ops []core.Op
	for _, o := range []model.Object{
		model.Tenant{Name: "red", ID: 300, Gateway: "out"},
		model.Segment{Tenant: "red", Name: "web", ID: 1},
		model.Subnet{
			Tenant: "red", Name: "web", Segment: "web",
			Prefix: tenantNetwork, Router: netip.MustParseAddr("10.0.0.253"),
		},
		model.VIF{
			Tenant: "red", Name: "vm", Segment: "web", MAC: hostMAC,
			Addresses: []netip.Addr{hostAddress.Addr()}, Port: "acc0",
		},
	} {
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: o.Kind(), Key: o.Key(), Value: value})
	}
	if _, err := x.client.Transaction(ctx, ops, client.WriteOptions{}); err != nil {
		return fmt.Errorf("push the tables: %w", err)
	}
	return nil
}

func (x *box) network() *bed { return x.bed }

func (x *box) shut() error {
	x.client.Close()
	return x.close()
}

// patience is how long the box may take to find a silent gateway.
func (x *box) patience() time.Duration { return (boxMisses + 1) * x.interval }

func (x *box) cable(i int, up bool) error {
	if up {
		return x.powerOn(i)
	}
	return x.SetDown(x.gateways[i].ns, inner)
}

func (x *box) group(ctx context.Context) (g status.GatewayGroup, err error) {
	err = x.client.Get(ctx, "/v1/gateways/out", &g)
	return g, err
}

// settle mends everything, waits until both members are up, and switches to the first one.
func (x *box) settle(ctx context.Context) error {
	if err := errors.Join(x.restore(), x.ready(ctx)); err != nil {
		return err
	}
	return until(ctx, func() error {
		g, err := x.group(ctx)
		if err != nil {
			return err
		}
		for _, m := range g.Members {
			if m.State != "up" {
				return fmt.Errorf("member %s is %s (%s)", m.Name, m.State, m.Why)
			}
		}
		if g.Active == x.gateways[0].ns {
			return nil
		}
		return errors.Join(x.planned(ctx, 0), errors.New("switched"))
	})
}

func (x *box) planned(ctx context.Context, to int) error {
	body, err := json.Marshal(map[string]string{"member": x.gateways[to].ns})
	if err != nil {
		return err
	}
	r, err := x.client.Do(ctx, "POST", "/v1/gateways/out/switch", nil, client.WriteOptions{}, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return r.Body.Close()
}

const reloaded = "msg=reloaded"

func (x *box) reload(ctx context.Context) error {
	if err := x.configureBox(); err != nil {
		return err
	}
	before := strings.Count(x.process.Log(), reloaded)
	if err := x.process.Signal(unix.SIGHUP); err != nil {
		return err
	}
	return until(ctx, func() error {
		if strings.Count(x.process.Log(), reloaded) == before {
			return fmt.Errorf("the box has not reloaded:\n%s", tail(x.process.Log()))
		}
		return nil
	})
}

// kill ends the process as nothing else does, and starts it again when systemd would.
func (x *box) kill(ctx context.Context) error {
	x.process.Kill()
	if err := sleep(ctx, restartDelay); err != nil {
		return err
	}
	return x.start()
}

// reboot of a gateway needs nothing of the box.
func (x *box) rebooting(int, bool) error { return nil }

// bulk makes these the bindings, NDJSON.
func (x *box) bulk(ctx context.Context, bindings []byte) error {
	_, err := x.client.Bulk(ctx, model.KindBinding, bytes.NewReader(bindings), core.Replace, client.WriteOptions{})
	return err
}
