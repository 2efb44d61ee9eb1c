package guest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"penstock/ctrl/guest/qga"
	"penstock/ctrl/guest/style"
)

// worker keeps one guest.
type worker struct {
	s       *Service
	socket  string
	started bool // of the service's lock
	wake    chan struct{}

	mu   sync.Mutex
	next *want
	news bool // next was not looked at

	// Of the worker's goroutine.
	want  *want
	deep  int                      // looks until one at everything
	fails int                      // in a row
	gone  map[netip.Addr]time.Time // addresses that are no longer asked for, and since when
	style string
}

func newWorker(s *Service, socket string) *worker {
	return &worker{s: s, socket: socket, wake: make(chan struct{}, 1), want: &want{}, gone: map[netip.Addr]time.Time{}}
}

// set gives the worker what its VIFs ask for; false = as before.
func (w *worker) set(next *want) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next != nil && w.next.equal(next) {
		return false
	}
	w.next, w.news = next, true
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.mu.Lock()
		if w.news {
			w.want, w.news = w.next, false
			w.deep, w.fails = 0, 0
		}
		w.mu.Unlock()
		id := identity(w.socket)
		err := w.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		w.tell(err)
		if w.over() {
			return
		}
		w.wait(ctx, w.pause(err), id)
	}
}

// over ends the worker if nobody asks for anything and nothing is left in the guest.
func (w *worker) over() bool {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.news || len(w.want.agent)+len(w.want.manual) > 0 || s.records.has(w.socket) && !w.want.handsOff() {
		return false
	}
	delete(s.guests, w.socket)
	for _, v := range w.want.vifs {
		s.forget(v.Key)
	}
	return true
}

// lingering is returned by a pass that leaves addresses because of their connections.
var errLingering = errors.New("addresses have connections")

// pause returns how long to wait after a pass.
func (w *worker) pause(err error) time.Duration {
	c := &w.s.cfg
	var lasting *style.Error
	var missing *missingError
	switch {
	case err == nil:
		w.fails = 0
		return c.Readback - rand.N(c.Readback/6+1) // guests are not all looked at in the same second
	case errors.Is(err, errLingering):
		w.fails, w.deep = 0, 0
		return c.LingerGap
	}
	w.deep = 0
	d := c.RetryMin << min(w.fails, 20)
	if w.fails++; d <= 0 || d > c.RetryMax {
		d = c.RetryMax
	}
	if errors.As(err, &lasting) || errors.As(err, &missing) { // the guest answers
		d = min(d, c.Readback)
	}
	return d
}

// wait waits until the next pass is due: the time is over, something else is asked for, or the socket is another.
func (w *worker) wait(ctx context.Context, d time.Duration, id socketID) {
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(lookAtSocket)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			return
		case <-end.C:
			return
		case <-look.C:
			if now := identity(w.socket); now != id && now != (socketID{}) {
				w.deep, w.fails = 0, 0
				return
			}
		}
	}
}

// socketID tells a socket from another one at the same path.
type socketID struct {
	dev, ino uint64
	made     int64
}

func identity(path string) socketID {
	fi, err := os.Stat(path)
	if err != nil {
		return socketID{}
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return socketID{uint64(st.Dev), st.Ino, st.Ctim.Nano()}
	}
	return socketID{}
}

// tell reports the outcome of a pass to the guest's VIFs.
func (w *worker) tell(err error) {
	if errors.Is(err, errLingering) {
		err = nil
	}
	if len(w.want.vifs) == 0 && err != nil {
		w.s.cfg.Log.Info("a guest that no VIF refers to any more cannot be undone yet", "socket", w.socket, "err", err)
	}
	for _, v := range w.want.vifs {
		reason := ""
		var missing *missingError
		switch {
		case errors.As(err, &missing):
			reason = missing.of(v.Addresses, v.Manual)
		case err != nil:
			reason = reasonOf(err, w.socket, v)
		}
		if reason == "" && len(v.Addresses) == 0 {
			w.s.mu.Lock()
			w.s.forget(v.Key)
			w.s.mu.Unlock()
			continue
		}
		w.s.report(v.Key, w.style, reason)
	}
}

// lo returns the addresses of the guest's loopback interface, and of all its interfaces, as prefixes.
func lo(list []qga.Interface) (lo, all map[string]bool) {
	lo, all = map[string]bool{}, map[string]bool{}
	for _, i := range list {
		for _, p := range i.Addresses {
			all[p.Addr().String()] = true
			if i.Name == "lo" {
				lo[p.String()] = true
			}
		}
	}
	return lo, all
}

// unwanted returns the addresses that the guest was given and that nobody asks for any more.
func (w *worker) unwanted(r *record) (out []netip.Addr) {
	now := time.Now()
	for a := range w.gone {
		if slices.Contains(w.want.agent, a) || !slices.Contains(r.State.Addresses, a) {
			delete(w.gone, a)
		}
	}
	for _, a := range r.State.Addresses {
		if slices.Contains(w.want.agent, a) {
			continue
		}
		if w.gone[a].IsZero() {
			w.gone[a] = now
		}
		out = append(out, a)
	}
	return out
}
