package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/integration/lab"
)

const lanNS = "lan"

// keepalived is two gateways that share the tenants' default route by VRRPv3, on a switch. Everything that is not the
// interval of the advertisements is keepalived's default; so the first gateway takes over again when it is back.
type keepalived struct {
	*bed
	advert    time.Duration
	processes [2]*lab.Process
}

var priorities = [2]int{150, 100}

func newKeepalived(label string, advert time.Duration) (_ device, err error) {
	x := &keepalived{advert: advert}
	x.bed, err = newBed(label, [2]side{
		{ns: "gwa", address: netip.MustParsePrefix("10.0.0.2/24")},
		{ns: "gwb", address: netip.MustParsePrefix("10.0.0.3/24")},
	})
	if err != nil {
		return nil, err
	}
	if err := x.begin(); err != nil {
		return nil, errors.Join(err, x.close())
	}
	return x, nil
}

func (x *keepalived) begin() error {
	err := errors.Join(x.namespace(lanNS), x.joinHost(lanNS, "vm", lab.EndOptions{}))
	for i, g := range x.gateways {
		if err == nil {
			err = x.joinGateway(i, lanNS, g.ns, lab.EndOptions{})
		}
	}
	if err == nil {
		err = x.Bridge(lanNS, bridge, "vm", x.gateways[0].ns, x.gateways[1].ns)
	}
	for i := range x.gateways {
		if err == nil {
			err = x.start(i)
		}
	}
	return err
}

func (x *keepalived) start(i int) (err error) {
	g := &x.gateways[i]
	file := func(suffix string) string { return filepath.Join(x.Dir(), g.ns+suffix) }
	state := [2]string{"MASTER", "BACKUP"}[i]
	text := fmt.Sprintf(`global_defs {
	router_id %s
	vrrp_version 3
}
vrrp_instance tenants {
	state %s
	interface %s
	virtual_router_id 51
	priority %d
	advert_int %g
	virtual_ipaddress {
		%s/%d
	}
}
`, g.ns, state, inner, priorities[i], x.advert.Seconds(), routerAddress, tenantNetwork.Bits())
	if err := os.WriteFile(file(".conf"), []byte(text), 0o644); err != nil {
		return err
	}
	x.processes[i], err = x.Start(g.ns, "keepalived-"+g.ns, "keepalived", "--dont-fork", "--log-console",
		"--log-detail", "--vrrp",
		"--use-file", file(".conf"), "--pid", file(".pid"), "--vrrp_pid", file("-vrrp.pid"))
	return err
}

func (x *keepalived) network() *bed { return x.bed }
func (x *keepalived) shut() error   { return x.close() }

// patience is the interval after which a backup misses its master: three advertisements and a skew (RFC 9568, 6.1).
func (x *keepalived) patience() time.Duration { return 4 * x.advert }

// cable takes the switch's port down: the gateway loses its carrier.
func (x *keepalived) cable(i int, up bool) error {
	if !up {
		return x.SetDown(lanNS, x.gateways[i].ns)
	}
	return errors.Join(x.SetUp(lanNS, x.gateways[i].ns), x.WaitUp(x.gateways[i].ns, inner))
}

// settle mends everything, and waits until the first gateway is the master, and alone.
func (x *keepalived) settle(ctx context.Context) error {
	for i := range x.gateways {
		if err := x.cable(i, true); err != nil {
			return err
		}
	}
	if err := x.restore(); err != nil {
		return err
	}
	for i, p := range x.processes {
		if p.Running() {
			continue
		}
		if err := x.start(i); err != nil {
			return err
		}
	}
	if err := until(ctx, func() error {
		for i, p := range x.processes {
			if !p.Running() {
				return fatal{fmt.Errorf("keepalived has ended:\n%s", tail(p.Log()))}
			}
			has, err := x.has(x.gateways[i].ns, inner, routerAddress)
			if err != nil {
				return err
			}
			if has != (i == 0) {
				return fmt.Errorf("%s: master %t, want %t", x.gateways[i].ns, has, i == 0)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	// After both were masters, cut off from each other, the host may still send to the second one: nothing informs it.
	return x.onLink(hostNS, "eth0", func(l netlink.Link) error {
		err := netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: routerAddress.AsSlice()})
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
}

// planned ends the master as an operator would: it says goodbye (priority 0), and its backup takes over.
func (x *keepalived) planned(ctx context.Context, _ int) error {
	return x.processes[0].Stop(readyLimit)
}

func (x *keepalived) reload(context.Context) error {
	return errors.Join(x.processes[0].Signal(unix.SIGHUP), x.processes[1].Signal(unix.SIGHUP))
}

// kill ends the master as nothing else does, and starts it again when systemd would (Debian's unit does not).
func (x *keepalived) kill(ctx context.Context) error {
	x.processes[0].Kill()
	if err := sleep(ctx, restartDelay); err != nil {
		return err
	}
	return x.start(0)
}

// rebooting ends keepalived with its machine, and starts it with it.
func (x *keepalived) rebooting(i int, back bool) error {
	if !back {
		x.processes[i].Kill()
		return nil
	}
	return x.start(i)
}

// takeovers is how often the second gateway has become the master.
func (x *keepalived) takeovers() int {
	return strings.Count(x.processes[1].Log(), "Entering MASTER STATE")
}
