package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/store"
)

// Do applies a transaction, whole or not at all, and returns when it is durable and live. Errors are *Error.
func (c *Core) Do(ctx context.Context, t Transaction) (Result, error) {
	if len(t.Ops) > c.cfg.Limits.Operations {
		return Result{}, refuse(model.CodeLimit, "operations", "split the transaction, or use the bulk streams",
			"%d operations are more than the %d allowed", len(t.Ops), c.cfg.Limits.Operations)
	}
	ops, err := prepare(t.Ops)
	if err != nil {
		return Result{}, err
	}
	if err := c.lock(ctx); err != nil {
		return Result{}, err
	}
	defer c.unlock()
	if err := c.match(t.IfMatch); err != nil {
		return Result{}, err
	}
	x := c.begin()
	if err := x.run(ops); err != nil {
		return Result{}, err
	}
	return x.finish(t.DryRun)
}

// prepared is an operation whose form has been checked.
type prepared struct {
	Op
	field string           // of the operation in the request
	obj   model.Object     // the value of a put
	ps    []strict.Problem // faults of the value
}

func (p *prepared) valueField() string { return p.field + ".value" }

// prepare makes the checks that need no state. Values are parsed here and not by the caller, so that only one at a time
// is in memory as a tree.
func prepare(ops []Op) ([]prepared, error) {
	var f faults
	bad := 0 // faults of puts that are kept
	out := make([]prepared, len(ops))
	for i, op := range ops {
		p := &out[i]
		*p = prepared{Op: op, field: fmt.Sprintf("operations[%d]", i)}
		switch {
		case op.Verb != Put && op.Verb != Patch && op.Verb != Delete:
			f.add(Detail{model.CodeInvalid, fmt.Sprintf("%q is not an operation", clip(string(op.Verb), maxField)),
				p.field + ".op", "allowed: put, patch, delete"})
			continue
		case !op.Kind.Valid():
			f.add(Detail{model.CodeInvalid, fmt.Sprintf("%q is not a kind of resource",
				clip(string(op.Kind), maxField)),
				p.field + ".kind", "allowed: " + model.KindList()})
			continue
		}
		key, err := model.NormalizeKey(op.Kind, clip(op.Key, maxField))
		if err != nil {
			f.add(Detail{model.CodeInvalid, err.Error(), p.field + ".key", ""})
			continue
		}
		p.Key = key
		if op.Verb == Delete {
			if len(op.Value) > 0 || op.Node != nil {
				f.add(Detail{model.CodeInvalid, "a delete has no value", p.valueField(), "leave the value out"})
			}
			continue
		}
		n, ok := p.parse(&f)
		if ok && op.Verb == Put {
			p.obj, p.ps = model.Decode(op.Kind, key, n, p.valueField())
			if bad += len(p.ps); bad > MaxProblems && len(p.ps) > 1 {
				p.ps = p.ps[:1:1]
			}
		}
	}
	return out, f.err()
}

// parse reads the value of a put or a patch as an object.
func (p *prepared) parse(f *faults) (*strict.Node, bool) {
	n := p.Node
	if n == nil {
		var err error
		n, err = strict.Parse(p.Value)
		var se *strict.SyntaxError
		if errors.As(err, &se) {
			if len(p.Value) == 0 {
				se = &strict.SyntaxError{Code: model.CodeRequired, Message: "the value is missing"}
			}
			f.add(Detail{se.Code, se.Message, p.valueField(), ""})
			return nil, false
		}
	}
	if n.Type != strict.Object {
		f.add(Detail{"type", fmt.Sprintf("found %s where an object is expected", n.Type), p.valueField(), ""})
		return nil, false
	}
	return n, true
}

// txn is a transaction under way.
type txn struct {
	c       *Core
	base    *published
	draft   *model.Draft
	before  map[model.BindingKey]model.Binding  // bindings named, as stored
	after   map[model.BindingKey]*model.Binding // bindings written; nil = deleted
	touched map[store.Ref]string                // object → field of the operation that wrote it last
	order   []store.Ref                         // the keys of touched as first named
	deleted map[store.Ref]bool
}

func (c *Core) begin() *txn {
	p := c.state.Load()
	return &txn{c: c, base: p, draft: model.NewDraft(p.state), after: map[model.BindingKey]*model.Binding{},
		touched: map[store.Ref]string{}, deleted: map[store.Ref]bool{}}
}

// run applies the operations to the draft.
func (x *txn) run(ops []prepared) error {
	var keys []model.BindingKey
	for _, op := range ops {
		if op.Kind == model.KindBinding {
			k, err := model.ParseBindingKey(op.Key)
			if err != nil {
				return refuse(model.CodeInvalid, op.field+".key", "", "%v", err)
			}
			keys = append(keys, k)
		}
	}
	if len(keys) > 0 {
		var err error
		if x.before, err = x.c.cfg.Store.Bindings(keys); err != nil {
			return storeError(err)
		}
	}
	var f faults
	for i := range ops {
		x.one(&ops[i], &f)
	}
	return f.err()
}

func (x *txn) one(op *prepared, f *faults) {
	if op.Only != Always {
		_, exists := x.get(op.Kind, op.Key)
		switch {
		case exists && op.Only == IfAbsent:
			f.add(Detail{CodeExists, fmt.Sprintf("%s %s exists already", op.Kind.One(), op.Key), op.field + ".key",
				"nothing was changed; leave If-None-Match out to replace it"})
			return
		case !exists && op.Only == IfExists:
			f.add(Detail{CodeMissing, fmt.Sprintf("there is no %s %s", op.Kind.One(), op.Key), op.field + ".key",
				"nothing was changed; leave If-Match out to create it"})
			return
		}
	}
	if op.Verb == Delete {
		x.delete(op.Kind, op.Key, op.field)
		return
	}
	o, ps := op.obj, op.ps
	if op.Verb == Patch {
		old, ok := x.get(op.Kind, op.Key)
		if !ok {
			f.add(Detail{model.CodeNotFound, fmt.Sprintf("there is no %s %s to patch", op.Kind.One(), op.Key),
				op.field + ".key", "create it with put"})
			return
		}
		patch, ok := op.parse(f)
		if !ok {
			return
		}
		text, err := json.Marshal(old)
		if err == nil {
			var node *strict.Node
			if node, err = strict.Parse(text); err == nil {
				o, ps = model.Decode(op.Kind, op.Key, strict.Merge(node, patch), op.valueField())
			}
		}
		if err != nil {
			f.add(Detail{CodeInternal, err.Error(), op.field, ""})
			return
		}
	}
	f.strict(ps, label(op.Kind, op.Key))
	if len(ps) == 0 {
		x.put(o, op.Key, op.valueField())
	}
}

func (x *txn) get(kind model.Kind, key string) (model.Object, bool) {
	if kind != model.KindBinding {
		return x.draft.Get(kind, key)
	}
	k, _ := model.ParseBindingKey(key)
	if b, ok := x.after[k]; ok {
		if b == nil {
			return nil, false
		}
		return *b, true
	}
	b, ok := x.before[k]
	return b, ok
}

func (x *txn) touch(kind model.Kind, key, field string, deleted bool) {
	ref := store.Ref{Kind: kind, Key: key}
	if _, ok := x.touched[ref]; !ok {
		x.order = append(x.order, ref)
	}
	x.touched[ref] = field
	x.deleted[ref] = deleted
}

func (x *txn) put(o model.Object, key, field string) {
	x.touch(o.Kind(), key, field, false)
	if b, ok := o.(model.Binding); ok {
		// as stored: IPv4 first
		slices.SortStableFunc(b.Addresses, func(p, q netipAddr) int { return p.BitLen() - q.BitLen() })
		if len(b.Addresses) == 0 {
			b.Addresses = nil
		}
		x.after[b.BindingKey()] = &b
		return
	}
	x.draft.Put(o)
}

func (x *txn) delete(kind model.Kind, key, field string) {
	x.touch(kind, key, field, true)
	if kind == model.KindBinding {
		k, _ := model.ParseBindingKey(key)
		x.after[k] = nil
		return
	}
	x.draft.Delete(kind, key)
}

// change compares the states of an object before and after the transaction.
func (x *txn) change(ref store.Ref) (before, after model.Object, what string) {
	var had, has bool
	if ref.Kind == model.KindBinding {
		k, _ := model.ParseBindingKey(ref.Key)
		var b model.Binding
		if b, had = x.before[k]; had {
			before = b
		}
	} else {
		before, had = x.base.state.Get(ref.Kind, ref.Key)
	}
	after, has = x.get(ref.Kind, ref.Key)
	switch {
	case !had && has:
		what = "create"
	case had && !has:
		what = "delete"
	case had && !reflect.DeepEqual(before, after):
		what = "update"
	}
	return before, after, what
}

// finish validates, plans, stores and publishes the transaction.
func (x *txn) finish(dryRun bool) (Result, error) {
	c := x.c
	res := Result{Revision: x.base.revision, DryRun: dryRun, Changes: []Change{}}
	batch := &store.Batch{}
	var ch model.BindingChanges
	for _, ref := range x.order {
		before, after, what := x.change(ref)
		if what == "" {
			continue
		}
		change := Change{Kind: ref.Kind, Key: ref.Key, Change: what}
		if dryRun {
			var err error
			if change.Before, change.After, err = texts(before, after); err != nil {
				return Result{}, refuse(CodeInternal, "", "", "%v", err)
			}
		}
		res.Changes = append(res.Changes, change)
		b, isBinding := after.(model.Binding)
		switch {
		case ref.Kind == model.KindBinding && what == "delete":
			k, _ := model.ParseBindingKey(ref.Key)
			ch.Deletes = append(ch.Deletes, k)
		case isBinding:
			ch.Puts = append(ch.Puts, b)
		case what == "delete":
			batch.Deletes = append(batch.Deletes, ref)
		default:
			batch.Puts = append(batch.Puts, after)
		}
	}
	if len(res.Changes) == 0 {
		if !dryRun {
			x.tellVIFs()
		}
		return res, nil
	}
	if err := x.validate(&ch); err != nil {
		return Result{}, err
	}
	next := &published{state: &x.draft.State}
	next.carry(x)
	plan, err := c.cfg.Live.Plan(next.effective, next.live(x.base, ch))
	if err != nil {
		return Result{}, planError(err)
	}
	if dryRun {
		return res, nil
	}
	if len(ch.Puts)+len(ch.Deletes) > 0 {
		batch.Rows = store.NewRows(len(ch.Puts) + len(ch.Deletes))
		for i := range ch.Puts {
			batch.Rows.Put(&ch.Puts[i])
		}
		for _, k := range ch.Deletes {
			batch.Rows.Delete(k)
		}
		batch.Rows.Sort()
	}
	out, err := c.cfg.Store.Commit(batch, nil)
	if err != nil {
		return Result{}, storeError(err)
	}
	err = c.cfg.Live.Apply(plan)
	c.counted(out)
	if err == nil {
		err = c.revive(x.base, next)
	}
	next.revision, res.Revision = out.Revision, out.Revision
	c.state.Store(next)
	c.publish(summary(res))
	if err != nil {
		return res, notLive(err)
	}
	c.noteNotLive(&res)
	x.tellVIFs()
	return res, nil
}

// tellVIFs tells of the VIFs that were put.
func (x *txn) tellVIFs() {
	var keys []string
	for _, ref := range x.order {
		if ref.Kind == model.KindVIF && !x.deleted[ref] {
			keys = append(keys, ref.Key)
		}
	}
	if len(keys) > 0 && x.c.cfg.VIFsPut != nil {
		x.c.cfg.VIFsPut(keys)
	}
}

// notLive is the answer to a push that is durable and that could not be made live in the dataplane.
func notLive(err error) error {
	return &Error{Detail: Detail{Code: CodeInternal, Message: "stored, but not all of it is live: " + err.Error(),
		Hint: "restart the box: it loads the stored state"}, Err: err}
}

// noteNotLive sets for each changed object the reason why the dataplane does not act on it. Paths are left out: most of
// them belong to other boxes.
func (c *Core) noteNotLive(res *Result) {
	for i := range res.Changes {
		ch := &res.Changes[i]
		if ch.Change == "delete" || ch.Kind == model.KindPath {
			continue
		}
		if s, ok := c.Status(ch.Kind, ch.Key).(interface{ NotLive() string }); ok {
			ch.NotLive = s.NotLive()
		}
	}
}

func texts(before, after model.Object) (b, a json.RawMessage, err error) {
	if before != nil {
		if b, err = json.Marshal(before); err != nil {
			return nil, nil, err
		}
	}
	if after != nil {
		a, err = json.Marshal(after)
	}
	return b, a, err
}

// counted adds the changes of a commit to the numbers of bindings.
func (c *Core) counted(out *store.Outcome) {
	for seg, n := range out.Segments {
		c.total += n
		if c.bindings[seg] += n; c.bindings[seg] == 0 {
			delete(c.bindings, seg)
		}
	}
}

// summary makes the event of a transaction.
func summary(res Result) event.Change {
	ev := event.Change{Revision: res.Revision}
	at := map[model.Kind]int{}
	for _, ch := range res.Changes {
		i, ok := at[ch.Kind]
		if !ok {
			i = len(ev.Kinds)
			at[ch.Kind] = i
			ev.Kinds = append(ev.Kinds, event.KindChange{Kind: string(ch.Kind)})
		}
		k := &ev.Kinds[i]
		switch ch.Change {
		case "create":
			k.Created++
		case "update":
			k.Updated++
		case "delete":
			k.Deleted++
		}
		if len(k.Keys) < event.MaxKeys {
			k.Keys = append(k.Keys, ch.Key)
		}
	}
	return ev
}
