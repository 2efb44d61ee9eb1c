package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveBuffer is the requested size in octets of the socket's buffer: some hundred events at once.
const receiveBuffer = 1 << 20

// retryDelay is how long Watch waits before it reads everything again after an unexpected error.
const retryDelay = 200 * time.Millisecond

// Watch reports the interfaces with the given names: first the state of each, then every change. The channel is closed
// when ctx is done.
//
// The notifications and the kernel's listing of interfaces come through one socket, in the order of the changes; so a
// state never goes back to an older one. When the kernel drops notifications because they are not read fast enough
// (ENOBUFS), all interfaces are listed again: intermediate states may then be missing, the last one never is. A reader
// that does not take events has no other effect.
//
// After an overrun the kernel drops notifications silently until the socket's queue is empty. A new listing is
// requested only then. The socket keeps its membership meanwhile, so that no new subscription is needed.
func Watch(ctx context.Context, interfaces []string) (<-chan Event, error) {
	return watch(ctx, interfaces, receiveBuffer)
}

func watch(ctx context.Context, interfaces []string, buffer int) (<-chan Event, error) {
	events := make(chan Event, 4*len(interfaces)+1)
	send := func(e Event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	if err := follow(ctx, interfaces, buffer, send, func() {}, func() { close(events) }); err != nil {
		return nil, err
	}
	return events, nil
}

// Follow is Watch without the delay of a second goroutine: it calls report with every event where the event is read, on
// a thread of its own with raised priority if the process may have one (CAP_SYS_NICE). report should be quick, since
// the events that follow wait for it. Follow returns at once.
func Follow(ctx context.Context, interfaces []string, report func(Event)) error {
	return follow(ctx, interfaces, receiveBuffer, report, prompt, func() {})
}

// prompt gives the goroutine a thread of its own, which ends with it, at niceness -20.
func prompt() {
	runtime.LockOSThread()
	// without the right the thread keeps the default priority
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
}

func follow(ctx context.Context, interfaces []string, buffer int, report func(Event), begin, end func()) error {
	w := &watcher{
		report: report,
		state:  make(map[string]*state, len(interfaces)),
		order:  slices.Clone(interfaces),
	}
	for _, name := range interfaces {
		if err := checkName(name); err != nil {
			return err
		}
		if w.state[name] != nil {
			return fmt.Errorf("interface %s is to be watched twice", name)
		}
		w.state[name] = &state{Event: Event{Name: name}}
	}
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return fmt.Errorf("watch interfaces: open netlink socket: %w", err)
	}
	w.socket = s
	// Beyond the system's limit only with CAP_NET_ADMIN; without it the buffer is smaller and overruns come sooner.
	if s.SetReceiveBufferSize(buffer, true) != nil {
		_ = s.SetReceiveBufferSize(buffer, false)
	}
	if err := w.requestList(); err != nil {
		s.Close()
		return fmt.Errorf("watch interfaces: list them: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Close)
	go func() {
		defer end()
		defer s.Close()
		defer stop()
		begin()
		w.run(ctx)
	}()
	return nil
}

type state struct {
	Event
	reported bool // the first state has been reported
	seen     bool // in the listing under way
}

type watcher struct {
	socket *nl.NetlinkSocket
	report func(Event)
	state  map[string]*state
	order  []string

	listing uint32 // sequence number of the listing under way, 0 = none
	lost    bool   // notifications were dropped: list again when the queue is empty and no listing is under way
}

// requestList requests a listing of all interfaces.
func (w *watcher) requestList() error {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err := w.socket.Send(req); err != nil {
		return err
	}
	w.listing, w.lost = req.Seq, false
	for _, s := range w.state {
		s.seen = false
	}
	return nil
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.lost && w.listing == 0 && !w.waiting() {
			if w.requestList() != nil {
				sleep(ctx, retryDelay)
				continue
			}
		}
		msgs, from, err := w.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			w.lost = true
		case err != nil:
			// The message that could not be read may have been the end of a listing.
			w.lost, w.listing = true, 0
			sleep(ctx, retryDelay)
		case from.Pid == nl.PidKernel:
			for i := range msgs {
				w.message(ctx, &msgs[i])
			}
		}
	}
}

// waiting reports whether the socket has something to be read.
func (w *watcher) waiting() bool {
	fds := []unix.PollFd{{Fd: int32(w.socket.GetFd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return n > 0 && err == nil
}

func (w *watcher) message(ctx context.Context, m *syscall.NetlinkMessage) {
	h := &m.Header
	mine := w.listing != 0 && h.Seq == w.listing
	if mine && h.Flags&unix.NLM_F_DUMP_INTR != 0 {
		w.lost = true
	}
	switch h.Type {
	case unix.NLMSG_DONE:
		if mine {
			w.listed()
		}
	case unix.NLMSG_ERROR:
		if mine { // the kernel refused the listing, as it does while another one is under way
			w.lost, w.listing = true, 0
			sleep(ctx, retryDelay)
		}
	case unix.RTM_NEWLINK:
		if e, ok := decode(m.Data); ok {
			w.gone(e.Ifindex, e.Name) // a renamed interface is absent under its old name
			if s := w.state[e.Name]; s != nil {
				s.seen = true
				w.update(s, e)
			}
		}
	case unix.RTM_DELLINK:
		if e, ok := decode(m.Data); ok {
			w.gone(e.Ifindex, "")
		}
	}
}

// decode reads an ifinfomsg and its attributes (rtnetlink(7)). Messages of family
// AF_BRIDGE are left out: a bridge reports its ports in messages of the same types, and a port that leaves a bridge is
// an RTM_DELLINK.
func decode(b []byte) (Event, bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return Event{}, false
	}
	attrs, err := nl.ParseRouteAttr(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return Event{}, false
	}
	e := Event{
		Present: true,
		Ifindex: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		Up:      isUp(binary.NativeEndian.Uint32(b[8:])),
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			e.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_MTU:
			if len(a.Value) >= 4 {
				e.MTU = int(binary.NativeEndian.Uint32(a.Value))
			}
		case unix.IFLA_ADDRESS:
			e.MAC = macOf(a.Value)
		}
	}
	return e, e.Name != "" && e.Ifindex != 0
}

// gone marks every name of ifindex but except as absent.
func (w *watcher) gone(ifindex int, except string) {
	for name, s := range w.state {
		if s.Present && s.Ifindex == ifindex && name != except {
			s.seen = false
			w.update(s, Event{Name: name})
		}
	}
}

// listed ends a listing: an interface that was not in it is absent.
func (w *watcher) listed() {
	w.listing = 0
	if w.lost {
		return
	}
	for _, name := range w.order {
		if s := w.state[name]; !s.seen {
			w.update(s, Event{Name: name})
		}
	}
}

// update reports the state if it has changed.
func (w *watcher) update(s *state, e Event) {
	if s.reported && s.Event == e {
		return
	}
	s.Event, s.reported = e, true
	w.report(e)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
