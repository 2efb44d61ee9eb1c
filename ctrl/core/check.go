package core

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

type netipAddr = netip.Addr

// validate checks every part of the draft that the transaction can have broken, and reports each problem at the
// operation that caused it.
func (x *txn) validate(ch *model.BindingChanges) error {
	var f faults
	scope := &model.Scope{}
	tables := false
	for _, ref := range x.order {
		if ref.Kind.Held() {
			scope.Add(ref)
			tables = true
		}
	}
	if tables {
		for _, p := range x.draft.ValidateScope(x.c.opts, scope) {
			x.blame(p, &f)
		}
	}
	x.bindings(ch, &f)
	return f.err()
}

// blame reports a problem at the operation that caused it.
func (x *txn) blame(p model.Problem, f *faults) {
	d := Detail{p.Code, label(p.Kind, p.Key) + p.Message, "", p.Hint}
	ref := store.Ref{Kind: p.Kind, Key: p.Key}
	if field, ok := x.touched[ref]; ok {
		d.Field = field
		if p.Field != "" {
			d.Field += "." + p.Field
		}
		f.add(d)
		return
	}
	if _, ok := x.base.suspended[ref]; ok {
		return // the object had its problem before, and is not live
	}
	other := store.Ref{Kind: p.OtherKind, Key: p.OtherKey}
	if field, ok := x.touched[other]; ok {
		d.Field = field
		if p.OtherField != "" && !x.deleted[other] {
			d.Field += "." + p.OtherField
		}
		if x.deleted[other] {
			d.Code = model.CodeInUse
			d.Message = fmt.Sprintf("%s %s is in use by %s %s", other.Kind.One(), other.Key, p.Kind.One(), p.Key)
			d.Hint = fmt.Sprintf("delete the %s first, or in the same transaction", p.Kind.One())
		}
		f.add(d)
		return
	}
	// An object of the same tenant no longer fits: its subnet was made smaller or deleted.
	for _, r := range x.order {
		if r.Kind.Held() && sameTenant(r, ref) {
			d.Field = x.touched[r]
			break
		}
	}
	if p.Field != "" {
		d.Message = fmt.Sprintf("%s %s would not fit any more: %s: %s", p.Kind.One(), p.Key, p.Field, p.Message)
	}
	f.add(d)
}

func sameTenant(a, b store.Ref) bool {
	of, ok := a.Tenant()
	other, both := b.Tenant()
	return ok && both && of == other
}

// bindings checks the bindings that the transaction writes, and that no segment with bindings is deleted.
func (x *txn) bindings(ch *model.BindingChanges, f *faults) {
	more := map[string]int{}
	added := 0
	checker := model.NewBindingChecker(&x.draft.State)
	for i := range ch.Puts {
		b := &ch.Puts[i]
		if _, ok := x.before[b.BindingKey()]; !ok {
			more[b.Tenant+"/"+b.Segment]++
			added++
		}
		if checker.OK(b) {
			continue
		}
		for _, p := range checker.Check(b) {
			x.blame(p, f)
		}
	}
	for _, k := range ch.Deletes {
		more[k.Tenant+"/"+k.Segment]--
		added--
	}
	for _, ref := range x.order {
		if ref.Kind != model.KindSegment || !x.deleted[ref] {
			continue
		}
		if n := x.c.bindings[ref.Key] + more[ref.Key]; n > 0 {
			users := "1 binding"
			if n > 1 {
				users = fmt.Sprintf("%d bindings", n)
			}
			f.add(Detail{model.CodeInUse, fmt.Sprintf("segment %s is in use by %s", ref.Key, users), x.touched[ref],
				"delete them first: DELETE /v1/bindings?tenant=…&segment=…"})
		}
	}
	if n := x.c.total + added; added > 0 && n > x.c.cfg.Limits.Bindings {
		f.add(Detail{CodeCapacity, fmt.Sprintf("%d bindings are more than the %d for which the box is configured", n,
			x.c.cfg.Limits.Bindings), "operations",
			"delete what is not used, or raise the table's size in the configuration"})
	}
}

// carry derives the live part of the transaction's state. If objects were suspended, which is rare, all objects are
// checked again, since the transaction may have corrected them.
func (p *published) carry(x *txn) {
	p.effective = p.state
	if len(x.base.suspended) > 0 {
		p.suspend(p.state.Validate(x.c.opts))
	}
}

// live leaves out the bindings of segments that are suspended, before (deletes) or after (puts) the change.
func (p *published) live(before *published, ch model.BindingChanges) model.BindingChanges {
	if len(before.suspended) == 0 && len(p.suspended) == 0 {
		return ch
	}
	return model.BindingChanges{
		Puts: slices.DeleteFunc(slices.Clone(ch.Puts),
			func(b model.Binding) bool { return !p.lives(b.Tenant, b.Segment) }),
		Deletes: slices.DeleteFunc(slices.Clone(ch.Deletes),
			func(k model.BindingKey) bool { return !before.lives(k.Tenant, k.Segment) }),
	}
}

func (p *published) lives(tenant, segment string) bool {
	_, ok := p.effective.Segments[tenant+"/"+segment]
	return ok
}

// revive makes the stored bindings of those segments live that were suspended before a transaction and no longer are.
func (c *Core) revive(before, after *published) error {
	var errs []error
	for ref := range before.suspended {
		if _, still := after.suspended[ref]; still || ref.Kind != model.KindSegment || c.bindings[ref.Key] == 0 {
			continue
		}
		t, s, _ := strings.Cut(ref.Key, "/")
		if !after.lives(t, s) {
			continue
		}
		if err := c.reviveSegment(t, s); err != nil {
			errs = append(errs, fmt.Errorf("bindings of segment %s: %w", ref.Key, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Core) reviveSegment(tenant, segment string) error {
	page, err := c.cfg.Store.List(tenant, segment, model.BindingKey{}, c.all(), nil)
	if err != nil {
		return err
	}
	rows := store.NewRows(len(page.Bindings))
	for i := range page.Bindings {
		rows.Put(&page.Bindings[i])
	}
	if err := c.cfg.Live.BulkBegin(BulkSize{Stored: true, Added: rows.Len(), Switches: rows.Switches()}); err != nil {
		return err
	}
	defer c.cfg.Live.BulkEnd()
	return c.cfg.Live.BulkPut(page.Bindings)
}
