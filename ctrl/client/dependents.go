package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
)

// Dependents returns the pushed objects that cannot be live without ref, and those that cannot be live without these,
// and so on, in the order of model.Kinds.
func (c *Client) Dependents(ctx context.Context, ref model.Ref) (all []model.Ref, err error) {
	gone := map[model.Ref]bool{ref: true}
	tenant, _ := ref.Tenant()
	for _, kind := range model.Kinds {
		refs := kind.Info().Refs
		if refs == nil {
			continue
		}
		err := c.each(ctx, kind, tenant, func(o model.Object) error {
			for _, to := range refs(o) {
				if at := (model.Ref{Kind: kind, Key: o.Key()}); gone[to] && !gone[at] {
					gone[at] = true
					all = append(all, at)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// each calls fn for every object of a kind that was pushed, those of the tenant if one is named.
func (c *Client) each(ctx context.Context, kind model.Kind, tenant string, fn func(model.Object) error) error {
	return c.Each(ctx, kind, Pushed(kind, tenant), func(raw json.RawMessage) error {
		o, err := decode(kind, raw)
		if err != nil {
			return err
		}
		return fn(o)
	})
}

// Pushed selects of a listing what was pushed, without status; of a kind that belongs to tenants what belongs to the
// tenant, if one is named.
func Pushed(kind model.Kind, tenant string) url.Values {
	q := url.Values{"status": {"false"}}
	if kind == model.KindBinding {
		q.Set("origin", model.OriginPushed)
	}
	if tenant != "" && slices.Contains(kind.Info().FilterNames(), "tenant") {
		q.Set("tenant", tenant)
	}
	return q
}

// decode reads an object that the box listed.
func decode(kind model.Kind, raw json.RawMessage) (model.Object, error) {
	n, err := strict.Parse(raw)
	if err != nil {
		return nil, err
	}
	o, ps := model.Decode(kind, "", n, "")
	if len(ps) > 0 {
		return nil, fmt.Errorf("the box lists a %s that cannot be decoded: %s", kind.One(), ps[0].Message)
	}
	return o, nil
}
