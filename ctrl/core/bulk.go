package core

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/store"
)

// BulkBindings applies an NDJSON stream of bindings, one JSON object per line, whole or not at all, and returns when
// it is durable and live. In the dataplane each row changes atomically, the stream as a whole does not: use a
// transaction for that. Errors are *Error with the line as the field: "line[17].switch_port".
func (c *Core) BulkBindings(ctx context.Context, r io.Reader, o BulkOptions) (BulkResult, error) {
	if err := o.check(); err != nil {
		return BulkResult{}, err
	}
	st := c.State()
	rows, lines, err := c.stage(ctx, r, st)
	if err != nil {
		return BulkResult{}, err
	}
	rows.Sort()
	if err := c.lock(ctx); err != nil {
		return BulkResult{}, err
	}
	defer c.unlock()
	if now := c.State(); now != st { // the tables changed while the stream was read
		if err := recheck(rows, now); err != nil {
			return BulkResult{}, err
		}
	}
	res, err := c.applyRows(rows, o)
	res.Lines = lines
	return res, err
}

func (o *BulkOptions) check() error {
	if o.Mode == "" {
		o.Mode = Merge
	}
	if o.Mode != Merge && o.Mode != Replace {
		return refuse(model.CodeInvalid, "mode", "allowed: merge, replace", "%q is not a mode", string(o.Mode))
	}
	return nil
}

func recheck(rows *store.Rows, st *model.State) error {
	check := model.NewBindingChecker(st)
	var f faults
	_ = rows.Each(false, func(bs []model.Binding) error {
		for i := range bs {
			if !check.OK(&bs[i]) {
				for _, p := range check.Check(&bs[i]) {
					f.add(Detail{p.Code, label(p.Kind, p.Key) + p.Message, "",
						"the tables changed while the stream was read: send it again"})
				}
			}
		}
		return nil
	})
	return f.err()
}

var errDryRun = errors.New("dry run")

// applyRows stores sorted rows and makes them live. The caller is the writer.
func (c *Core) applyRows(rows *store.Rows, o BulkOptions) (BulkResult, error) {
	if err := c.match(o.IfMatch); err != nil {
		return BulkResult{}, err
	}
	res := BulkResult{DryRun: o.DryRun, Revision: c.Revision()}
	begun := false
	out, err := c.cfg.Store.Commit(&store.Batch{Rows: rows, Replace: o.Mode == Replace},
		func(out *store.Outcome) error {
			res.Created, res.Updated, res.Unchanged = out.Created, out.Updated, out.Unchanged
			res.Deleted = out.Removed.Len()
			if n := c.total + out.Created - out.Removed.Len(); n > c.total && n > c.cfg.Limits.Bindings {
				return refuse(CodeCapacity, "",
					"delete what is not used, or raise the table's size in the configuration",
					"%d bindings are more than the %d for which the box is configured", n, c.cfg.Limits.Bindings)
			}
			if o.DryRun {
				return errDryRun
			}
			if !out.Changed() {
				return nil
			}
			if err := c.cfg.Live.BulkBegin(BulkSize{Added: out.Created, Removed: out.Removed.Len(),
				Switches: rows.Switches()}); err != nil {
				return planError(err)
			}
			begun = true
			return nil
		})
	if begun {
		defer c.cfg.Live.BulkEnd()
	}
	if errors.Is(err, errDryRun) {
		return res, nil
	}
	if err != nil {
		return BulkResult{}, storeError(err)
	}
	if !begun {
		return res, nil
	}
	c.counted(out)
	p := *c.state.Load()
	p.revision, res.Revision = out.Revision, out.Revision
	err = c.live(&p, rows, out)
	c.state.Store(&p)
	c.publish(event.Bulk{Revision: res.Revision, Kind: string(model.KindBinding), Mode: string(o.Mode),
		Created: res.Created, Updated: res.Updated, Deleted: res.Deleted})
	if err != nil {
		return res, notLive(err)
	}
	return res, nil
}

// live writes the changes of a commit into the dataplane: deletions first, since they make room.
func (c *Core) live(p *published, rows *store.Rows, out *store.Outcome) error {
	all := len(p.suspended) == 0
	err := out.Removed.EachKey(func(ks []model.BindingKey) error {
		if !all {
			ks = slices.DeleteFunc(ks, func(k model.BindingKey) bool { return !p.lives(k.Tenant, k.Segment) })
		}
		return c.cfg.Live.BulkDelete(ks)
	})
	if err != nil {
		return err
	}
	return rows.Each(true, func(bs []model.Binding) error {
		if !all {
			bs = slices.DeleteFunc(bs, func(b model.Binding) bool { return !p.lives(b.Tenant, b.Segment) })
		}
		return c.cfg.Live.BulkPut(bs)
	})
}

// DeleteBindings removes the bindings that match the filter.
func (c *Core) DeleteBindings(ctx context.Context, f BindingFilter, o BulkOptions) (BulkResult, error) {
	if err := c.lock(ctx); err != nil {
		return BulkResult{}, err
	}
	defer c.unlock()
	page, err := c.cfg.Store.List(f.Tenant, f.Segment, model.BindingKey{}, c.all(), f.keep())
	if err != nil {
		return BulkResult{}, storeError(err)
	}
	rows := store.NewRows(len(page.Bindings))
	for i := range page.Bindings {
		rows.Delete(page.Bindings[i].BindingKey())
	}
	rows.Sort()
	o.Mode = Merge
	return c.applyRows(rows, o)
}

// BulkPaths applies an NDJSON stream of paths as one transaction.
func (c *Core) BulkPaths(ctx context.Context, r io.Reader, o BulkOptions) (BulkResult, error) {
	if err := o.check(); err != nil {
		return BulkResult{}, err
	}
	paths, lines, err := readPaths(r)
	if err != nil {
		return BulkResult{}, err
	}
	if err := c.lock(ctx); err != nil {
		return BulkResult{}, err
	}
	defer c.unlock()
	if err := c.match(o.IfMatch); err != nil {
		return BulkResult{}, err
	}
	x := c.begin()
	named := map[string]bool{}
	for i := range paths {
		key := paths[i].path.Key()
		named[key] = true
		x.put(paths[i].path, key, fmt.Sprintf("line[%d]", paths[i].line))
	}
	if o.Mode == Replace {
		for key := range x.base.state.Paths {
			if !named[key] {
				x.delete(model.KindPath, key, "")
			}
		}
	}
	out, err := x.finish(o.DryRun)
	if err != nil {
		return BulkResult{}, err
	}
	res := BulkResult{Revision: out.Revision, DryRun: o.DryRun, Lines: lines, Unchanged: len(named)}
	for _, ch := range out.Changes {
		switch ch.Change {
		case "create":
			res.Created++
			res.Unchanged--
		case "update":
			res.Updated++
			res.Unchanged--
		case "delete":
			res.Deleted++
		}
	}
	return res, nil
}

type pathLine struct {
	line int
	path model.Path
}

func readPaths(r io.Reader) (paths []pathLine, lines int, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 64<<10), maxLine)
	var f faults
	n := 0
	for ; !f.full() && sc.Scan(); lines++ {
		n++
		line := bytes.TrimSpace(sc.Bytes())
		if len(line) == 0 {
			lines--
			continue
		}
		if len(paths) >= 2*model.MaxPaths {
			return nil, lines, refuse(model.CodeLimit, fmt.Sprintf("line[%d]", n), "split the stream",
				"the stream has more than %d lines", 2*model.MaxPaths)
		}
		field := fmt.Sprintf("line[%d]", n)
		node, err := strict.Parse(line)
		var se *strict.SyntaxError
		if errors.As(err, &se) {
			f.add(Detail{se.Code, fmt.Sprintf("line %d: %s", n, se.Message), field, ""})
			continue
		}
		o, ps := model.Decode(model.KindPath, "", node, field)
		f.strict(ps, fmt.Sprintf("line %d: ", n))
		if len(f.list) > 0 {
			continue // a fault was found: nothing will be stored
		}
		paths = append(paths, pathLine{n, o.(model.Path)})
	}
	switch err := sc.Err(); {
	case err != nil && !errors.Is(err, bufio.ErrTooLong):
		return nil, lines, readError(n, err) // the last line is incomplete
	case len(f.list) > 0:
		return nil, lines, f.err()
	case err != nil:
		return nil, lines, refuse(model.CodeLimit, fmt.Sprintf("line[%d]", n+1), "one JSON object per line",
			"the line is longer than %d octets", maxLine)
	}
	return paths, lines, nil
}
