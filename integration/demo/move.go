package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// The VM that moves from box1 to box2 while it is pinged. At box2 a namespace with its MAC and address waits behind
// another port, as a hypervisor has it at the end of a migration.
const (
	moverName = "vm3"
	moverAt2  = "vm3-at-box2"
	moveEvery = 10 * time.Millisecond // between two pings
	moveBound = time.Second           // without an answer, at most
)

// move is what becomes of the VM.
type move struct {
	from, to *lab.VM
	ping     *pinger
	at       time.Duration
	live     time.Duration // from the push until the other box had the new binding
	now      string        // that binding, as penstock show bindings has it
}

func moverVMs(tenant string) []lab.VMSpec {
	var vms []lab.VMSpec
	for box, name := range map[string]string{"box1": moverName, "box2": moverAt2} {
		vms = append(vms, lab.VMSpec{Tenant: tenant, Segment: "web", Name: name, Box: box, MAC: 0x020000000003,
			Addresses: lab.DemoAddresses(3)[:1]})
	}
	return vms
}

// await keeps the VM at box1 for now: box2 does not know it, and its namespace there is silent.
func (m *move) await(d *demo) error {
	m.from, m.to = d.top.VM(moverName), d.top.VM(moverAt2)
	docs := &d.top.Node(m.to.Box).Documents
	for i, v := range docs.VIFs {
		if v.Name == moverAt2 {
			docs.VIFs = append(docs.VIFs[:i:i], docs.VIFs[i+1:]...)
			break
		}
	}
	for _, vm := range []*lab.VM{m.from, m.to} {
		if err := d.lab.Sysctl(vm.Namespace, "net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
			return err
		}
	}
	return nil
}

// start pings the VM from the tenant's first one, which stays at box1.
func (m *move) start(d *demo) (err error) {
	from, _ := d.pair(m.from.Tenant)
	m.ping, err = startPing(d.lab, from, m.from, moveEvery)
	return err
}

// vif is the VM's VIF, behind the port of one of its places.
func (m *move) vif(at *lab.VM) lab.Operation {
	v := at.VIF()
	v.Name = moverName
	return lab.Operation{Op: "put", Kind: model.KindVIF, Key: v.Key(), Value: v}
}

// move pushes the VIF to box2, and takes it away from box1: what an orchestrator does at the end of a migration.
func (d *demo) move(ctx context.Context) error {
	m := &d.mover
	m.at = time.Since(d.started)
	begun := time.Now()
	if _, err := d.node(m.to.Box).push(ctx, []lab.Operation{m.vif(m.to)}); err != nil {
		return fmt.Errorf("push %s to %s: %w", moverName, m.to.Box, err)
	}
	old := m.vif(m.from)
	old.Op, old.Value = "delete", nil
	if _, err := d.node(m.from.Box).push(ctx, []lab.Operation{old}); err != nil {
		return fmt.Errorf("delete %s at %s: %w", moverName, m.from.Box, err)
	}
	key := fmt.Sprintf("%s/%s/%s", m.from.Tenant, m.from.Segment, m.from.MAC)
	return retry(ctx, 5*time.Second, func() error {
		var b struct {
			model.Binding
			Status json.RawMessage `json:"status"`
		}
		if err := d.node(m.from.Box).client.Object(ctx, model.KindBinding, key, &b); err != nil {
			return fmt.Errorf("%s does not know where %s is: %w", m.from.Box, moverName, err)
		}
		m.live = time.Since(begun)
		m.now = fmt.Sprintf("%s at port %d of %s", key, b.SwitchPort, b.SwitchMAC)
		return nil
	})
}

// summaryMove prints how the VM moved, and returns the failed checks.
func (d *demo) summaryMove() (bad []string) {
	m := &d.mover
	r, err := m.ping.finish()
	if err != nil {
		return []string{err.Error()}
	}
	gap := r.Gap.Round(time.Millisecond)
	d.printf("\n  %s moved from %s to %s at %.1f s: %d of %d pings answered, %v between two answers at most", moverName,
		m.from.Box, m.to.Box, m.at.Seconds(), r.Received, r.Sent, gap)
	d.printf("    %s learned the binding within %d ms of the push: %s", m.from.Box, m.live.Milliseconds(), m.now)
	if gap > moveBound {
		bad = append(bad, fmt.Sprintf("%s was not reached for %v after it moved", moverName, gap))
	}
	if m.now == "" {
		bad = append(bad, moverName+" did not move")
	}
	return bad
}

// node returns a process by its name.
func (d *demo) node(name string) *node {
	for _, n := range d.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}
