package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"penstock/ctrl/client"
	"penstock/ctrl/core"
	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// node is one Penstock process of the lab and its control socket.
type node struct {
	*lab.Node
	process *lab.Process
	client  *client.Client
}

func newNode(n *lab.Node, p *lab.Process) *node {
	return &node{Node: n, process: p, client: client.New(n.Socket)}
}

// waitReady waits until the box reports that its rings are filled and its tables live.
func (n *node) waitReady(ctx context.Context) error {
	return retry(ctx, 15*time.Second, func() error {
		if !n.process.Running() {
			return fmt.Errorf("%s has ended: %s", n.Name, n.process.Log())
		}
		b, err := n.box(ctx)
		if err == nil && !b.Ready {
			err = fmt.Errorf("%s is not ready yet", n.Name)
		}
		return err
	})
}

// push sends the operations as one transaction and returns the revision after it.
func (n *node) push(ctx context.Context, ops []lab.Operation) (uint64, error) {
	list := make([]core.Op, len(ops))
	for i, op := range ops {
		list[i] = core.Op{Verb: core.Verb(op.Op), Kind: op.Kind, Key: op.Key}
		if op.Value == nil {
			continue
		}
		var err error
		if list[i].Value, err = json.Marshal(op.Value); err != nil {
			return 0, err
		}
	}
	r, err := n.client.Transaction(ctx, list, client.WriteOptions{})
	return r.Revision, err
}

func (n *node) box(ctx context.Context) (b status.Box, err error) {
	err = n.client.Get(ctx, "/v1/box", &b)
	return b, err
}

func (n *node) drops(ctx context.Context) (d status.Drops, err error) {
	err = n.client.Get(ctx, "/v1/stats/drops", &d)
	return d, err
}

func (n *node) paths(ctx context.Context) ([]status.Path, error) {
	var l status.Items[status.Path]
	err := n.client.Get(ctx, "/v1/stats/paths", &l)
	return l.Items, err
}

func (n *node) ports(ctx context.Context) ([]status.Port, error) {
	var l status.Items[status.Port]
	err := n.client.Get(ctx, "/v1/stats/ports", &l)
	return l.Items, err
}
