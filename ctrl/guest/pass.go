package guest

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"penstock/ctrl/guest/qga"
	"penstock/ctrl/guest/style"
)

// What a pass needs of the agent.
var (
	toLook = []string{"guest-network-get-interfaces"}
	toRun  = []string{"guest-exec", "guest-exec-status"}
	toFile = []string{"guest-file-open", "guest-file-write", "guest-file-flush", "guest-file-close"}
)

// passLimit is how long a pass takes at most.
const passLimit = 2 * time.Minute

// pass compares the guest with what is asked of it, and changes the difference.
func (w *worker) pass(ctx context.Context) (err error) {
	r, known := w.s.records.get(w.socket)
	if len(w.want.agent)+len(w.want.manual) == 0 && (!known || w.want.handsOff()) {
		return nil
	}
	if known && len(w.want.vifs) == 0 {
		if r, err = w.orphan(r); err != nil || r.Orphaned.IsZero() {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	q, err := qga.Dial(ctx, w.socket, w.s.cfg.Limits)
	if err != nil {
		return err
	}
	defer q.Close()
	info, err := q.Info(ctx)
	if err != nil {
		return err
	}
	if err := info.Check(toLook...); err != nil {
		return err
	}
	list, err := q.Interfaces(ctx)
	if err != nil {
		return err
	}
	on, all := lo(list)
	if !w.want.handsOff() {
		if w.deep--; w.deep < 0 || !hasAll(on, w.want.agent) {
			w.deep = deepEvery - 1
			if err := w.setUp(ctx, q, info, on, r); err != nil {
				return err
			}
		}
	}
	if missing := lacking(all, w.want.manual); missing != nil {
		return &missingError{missing}
	}
	return nil
}

func hasAll(on map[string]bool, addrs []netip.Addr) bool {
	return !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !on[style.Prefix(a).String()] })
}

func lacking(all map[string]bool, addrs []netip.Addr) (out []netip.Addr) {
	for _, a := range addrs {
		if !all[a.String()] {
			out = append(out, a)
		}
	}
	return out
}

// orphan notes since when no VIF refers to a guest. After Patience its record is forgotten, and r is empty.
func (w *worker) orphan(r record) (record, error) {
	if r.Orphaned.IsZero() {
		r.Orphaned = time.Now().UTC().Round(0)
		return r, w.s.records.put(w.socket, &r)
	}
	if time.Since(r.Orphaned) < w.s.cfg.Patience {
		return r, nil
	}
	w.s.cfg.Log.Warn("a guest that no VIF refers to any more could not be undone, and is forgotten", "socket", w.socket,
		"vifs", r.VIFs, "addresses", r.State.Addresses)
	return record{}, w.s.records.put(w.socket, nil)
}

// setUp changes what differs. on is what stands on lo.
func (w *worker) setUp(ctx context.Context, q *qga.Conn, info *qga.Info, on map[string]bool, r record) error {
	if err := info.Check(toRun...); err != nil {
		return err
	}
	out, err := run(ctx, q, style.InspectStep())
	if err != nil {
		return err
	}
	facts, err := style.Parse(out)
	if err != nil {
		return &qga.Error{Command: "guest-exec", Fault: qga.Nonsense, Text: err.Error()}
	}
	facts.Addresses = on
	linger, err := w.lingering(ctx, q, &r)
	if err != nil {
		return err
	}
	p := style.Make(facts, slices.Concat(w.want.agent, linger), r.State)
	w.style = string(p.Style)
	if err := w.record(&r, p); err != nil {
		return err
	}
	if p.Running() {
		if _, err := run(ctx, q, p.RunningStep()); err != nil {
			return err
		}
	}
	if p.Files() {
		if err := w.writeFiles(ctx, q, info, p); err != nil {
			return err
		}
	}
	if p.Running() {
		list, err := q.Interfaces(ctx)
		if err != nil {
			return err
		}
		if on, _ := lo(list); !hasAll(on, w.want.agent) {
			return &qga.Error{Command: "guest-exec", Fault: qga.Failed,
				Text: "ip address replace had no effect: the guest does not show the addresses on lo"}
		}
	}
	if err := w.done(p); err != nil {
		return err
	}
	switch {
	case p.Lasting != nil:
		return p.Lasting
	case linger != nil:
		return errLingering
	}
	return nil
}

// lingering returns the addresses that are no longer asked for, and stay for their connections.
func (w *worker) lingering(ctx context.Context, q *qga.Conn, r *record) (out []netip.Addr, err error) {
	for _, a := range w.unwanted(r) {
		if time.Since(w.gone[a]) >= r.Linger {
			continue
		}
		said, err := run(ctx, q, style.ConnectionsStep([]netip.Addr{a}))
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(said)) > 0 {
			out = append(out, a)
		}
	}
	return out, nil
}

// record records what is about to be done.
func (w *worker) record(r *record, p *style.Plan) error {
	next := record{State: p.State, Linger: max(r.Linger, w.want.linger), Orphaned: r.Orphaned}
	if len(w.want.agent) > 0 {
		next.Linger = w.want.linger
	}
	for _, v := range w.want.vifs {
		next.VIFs = append(next.VIFs, v.Key)
		next.Orphaned = time.Time{}
	}
	if next.VIFs == nil {
		next.VIFs = r.VIFs
	}
	if p.State.Empty() { // everything is undone: what there was stays recorded until then
		next.State = r.State
	} else {
		for _, a := range r.State.Addresses { // those that go are recorded until they have gone
			if !slices.Contains(next.State.Addresses, a) && slices.Contains(p.Del, a) {
				next.State.Addresses = append(slices.Clone(next.State.Addresses), a)
			}
		}
	}
	if next.State.Empty() {
		return nil
	}
	return w.s.records.put(w.socket, &next)
}

// done records what is left in the guest.
func (w *worker) done(p *style.Plan) error {
	r, ok := w.s.records.get(w.socket)
	switch {
	case p.State.Empty():
		return w.s.records.put(w.socket, nil)
	case !ok:
		return nil
	}
	r.State = p.State
	return w.s.records.put(w.socket, &r)
}

// writeFiles puts the files of a plan in place: each is written beside its place, then all are renamed.
func (w *worker) writeFiles(ctx context.Context, q *qga.Conn, info *qga.Info, p *style.Plan) (err error) {
	if len(p.Write) > 0 {
		if err := info.Check(toFile...); err != nil {
			return err
		}
		if _, err := run(ctx, q, p.PrepareStep()); err != nil {
			return err
		}
		for i := range p.Write {
			if err := q.WriteFile(ctx, p.Write[i].Temp(), p.Write[i].Content); err != nil {
				_, left := run(ctx, q, p.AbandonStep())
				if left != nil {
					w.s.cfg.Log.Info("files may be left in a guest", "socket", w.socket, "err", left)
				}
				return err
			}
		}
	}
	_, err = run(ctx, q, p.CommitStep())
	return err
}

// run runs a step in the guest.
func run(ctx context.Context, q *qga.Conn, s *style.Step) ([]byte, error) {
	out, err := q.Exec(ctx, style.Shell, s.Args...)
	var e *qga.Error
	if errors.As(err, &e) && e.Fault == qga.Failed {
		return nil, &qga.Error{Command: e.Command, Fault: e.Fault, Text: s.Name + ": " + e.Text}
	}
	return out, err
}
