package demo

import (
	"context"
	"fmt"
	"time"

	"penstock/ctrl/model"
	"penstock/integration/lab"
)

// watch draws until the time is over. A tenth of it each: all is well, a path is away, all is well, a VM moved, a
// server drained, one added, one killed, a gateway without its link, all is well, the other gateway hung.
func (d *demo) watch(ctx context.Context) error {
	trunks := d.top.Options.Trunks
	var left []uint16
	for i, vid := range trunks {
		if i != pathAway {
			left = append(left, vid)
		}
	}
	acts := []struct {
		at   time.Duration
		text string
		do   func() error
	}{
		{d.Duration / 10, fmt.Sprintf("%d taken away", trunks[pathAway]),
			func() error { return d.takeAway(ctx, left) }},
		{d.Duration * 2 / 10, "both paths", func() error { return d.bringBack(ctx, trunks) }},
		{d.Duration * 3 / 10, moverName + " moved", func() error { return d.move(ctx) }},
		{d.Duration * 4 / 10, drained + " drained", func() error { return d.drain(ctx) }},
		{d.Duration * 5 / 10, added + " added", func() error { return d.add(ctx) }},
		{d.Duration * 6 / 10, killed + " killed", func() error { return d.kill(ctx) }},
		{d.Duration * 7 / 10, "isp1: link cut", func() error {
			return d.fail("isp1", "isp1 lost its link", func() error { return d.top.Cut("isp1", true) })
		}},
		{d.Duration * 8 / 10, "isp1: link back", func() error { d.settleFailure(); return d.top.Cut("isp1", false) }},
		{d.Duration * 9 / 10, "isp2: hung", func() error {
			return d.fail("isp2", "isp2 hung", func() error { return d.top.Hang("isp2", true) })
		}},
	}
	act := "all is well"
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for time.Since(d.started) < d.Duration || len(acts) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if len(acts) > 0 && time.Since(d.started) >= acts[0].at {
			if err := acts[0].do(); err != nil {
				return err
			}
			act, acts = acts[0].text, acts[1:]
		}
		v, err := d.sample(ctx, act)
		if err != nil {
			return err
		}
		d.draw(v)
		for _, s := range d.streams {
			if err := s.failed(); err != nil {
				return fmt.Errorf("tenant %s: TCP broke: %w", s.Tenant, err)
			}
		}
	}
	if err := d.noticed(ctx); err != nil {
		return err
	}
	if err := d.top.Hang("isp2", false); err != nil {
		return err
	}
	if err := d.revive(); err != nil {
		return err
	}
	return d.heal(ctx)
}

// takeAway withdraws a path at both boxes and then cuts its trunk.
func (d *demo) takeAway(ctx context.Context, left []uint16) error {
	d.away[0] = time.Since(d.started)
	if err := d.pushPaths(ctx, left); err != nil {
		return err
	}
	t := d.top.Trunks[pathAway]
	return d.lab.SetDown(t.NamespaceA, t.PortA)
}

// bringBack mends the trunk first and then offers the path again.
func (d *demo) bringBack(ctx context.Context, all []uint16) error {
	t := d.top.Trunks[pathAway]
	if err := d.lab.SetUp(t.NamespaceA, t.PortA); err != nil {
		return err
	}
	if err := d.lab.WaitUp(t.NamespaceB, t.PortB); err != nil {
		return err
	}
	// The switches' processes see the same link event; their ports are up before a path over them is offered.
	if err := retry(ctx, 5*time.Second, func() error { return d.portsUp(ctx) }); err != nil {
		return err
	}
	d.away[1] = time.Since(d.started)
	return d.pushPaths(ctx, all)
}

func (d *demo) portsUp(ctx context.Context) error {
	for _, n := range d.nodes {
		ports, err := n.ports(ctx)
		if err != nil {
			return err
		}
		for _, p := range ports {
			if !p.Up || !p.Open {
				return fmt.Errorf("port %s of %s is not up", p.Name, n.Name)
			}
		}
	}
	return nil
}

func (d *demo) pushPaths(ctx context.Context, vlans []uint16) error {
	var ops []lab.Operation
	for _, p := range d.top.Paths(vlans) {
		ops = append(ops, lab.Operation{Op: "put", Kind: model.KindPath, Key: p.A.String() + "/" + p.B.String(),
			Value: p})
	}
	for _, n := range d.nodes {
		if len(n.Documents.Tenants) == 0 {
			continue
		}
		if _, err := n.push(ctx, ops); err != nil {
			return fmt.Errorf("push the paths to %s: %w", n.Name, err)
		}
	}
	return nil
}
