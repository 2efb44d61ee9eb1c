package client

import (
	"context"
	"encoding/json"

	"penstock/ctrl/core"
	"penstock/ctrl/ipvs"
	"penstock/ctrl/model"
)

// Balanced reads what a tenant has of virtual services, and what they refer to.
func (c *Client) Balanced(ctx context.Context, tenant string) (*ipvs.Existing, error) {
	x := &ipvs.Existing{}
	for _, read := range [...]func() error{
		func() error { return list(ctx, c, tenant, &x.Subnets) },
		func() error { return list(ctx, c, tenant, &x.VIFs) },
		func() error { return list(ctx, c, tenant, &x.VIPs) },
		func() error { return list(ctx, c, tenant, &x.Services) },
		func() error { return list(ctx, c, tenant, &x.Servers) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// list reads the objects of a tenant.
func list[T model.Object](ctx context.Context, c *Client, tenant string, out *[]T) error {
	var zero T
	return c.Each(ctx, zero.Kind(), Pushed(zero.Kind(), tenant), func(raw json.RawMessage) error {
		var o T
		err := json.Unmarshal(raw, &o)
		*out = append(*out, o)
		return err
	})
}

// Puts returns the operations that create or replace objects.
func Puts(objects []model.Object) ([]core.Op, error) {
	ops := make([]core.Op, 0, len(objects))
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		ops = append(ops, core.Op{Verb: core.Put, Kind: o.Kind(), Key: o.Key(), Value: text})
	}
	return ops, nil
}

// Guarded runs a transaction whose operations depend on what is read before: the transaction is refused if others
// change the tables in between, and plan is called anew then.
func (c *Client) Guarded(ctx context.Context, o WriteOptions, plan func() ([]core.Op, error)) (core.Result, error) {
	for try := 0; ; try++ {
		rev, err := c.Revision(ctx)
		if err != nil {
			return core.Result{}, err
		}
		ops, err := plan()
		if err != nil {
			return core.Result{}, err
		}
		o.IfMatch = &rev.Revision
		res, err := c.Transaction(ctx, ops, o)
		if try < 5 && Is(err, core.CodeMismatch) {
			continue
		}
		return res, err
	}
}
