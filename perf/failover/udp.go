package failover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"penstock/integration/lab"
)

const (
	// payload makes a frame of 60 octets, 64 with its FCS: Ethernet 14, IPv4 20, UDP 8.
	payload = 18
	udpPort = 6001
	// most is how many datagrams are sent without a pause when the sender was held up; none is left out.
	most = 64
	// receiveBuffer holds what arrives while the receiver has no CPU, in octets as the kernel counts them.
	receiveBuffer = 16 << 20
)

// datagrams is a stream of numbered datagrams at a steady rate, under way.
type datagrams struct {
	rate     int
	tx, rx   int
	run      uint32 // of the stream: what is left of an earlier one does not count
	sent     []int64
	arrived  []int64
	doubles  int
	refused  int          // by the sending interface; they are sent and lost
	latest   atomic.Int64 // the time at which the datagram that arrived last was sent
	stopTx   context.CancelFunc
	stopRx   chan struct{}
	tasks    sync.WaitGroup
	receiver sync.WaitGroup
	err      error // of either; valid once both have ended
	rxErr    error
}

// startDatagrams sends from one namespace to an address in another, for limit at most.
func startDatagrams(ctx context.Context, l *lab.Lab, from, to string, dst netip.Addr, rate int, limit time.Duration) (
	_ *datagrams, err error,
) {
	most := int(limit.Seconds()*float64(rate)) + 1
	d := &datagrams{
		rate: rate, tx: -1, rx: -1, run: uint32(time.Now().UnixNano()), sent: make([]int64, 0, most),
		arrived: make([]int64, most), stopRx: make(chan struct{}),
	}
	sock := func(ns string, fd *int) {
		if err == nil {
			err = l.Do(ns, func() (e error) {
				*fd, e = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
				return e
			})
		}
	}
	sock(from, &d.tx)
	sock(to, &d.rx)
	at := &unix.SockaddrInet4{Addr: dst.As4(), Port: udpPort}
	if err == nil {
		err = errors.Join(
			unix.SetsockoptInt(d.rx, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
			unix.SetsockoptInt(d.rx, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(d.rx, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptTimeval(d.rx, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 10_000}),
			unix.Bind(d.rx, at),
		)
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("datagrams from %s to %s: %w", from, to, err)
	}
	sending, stop := context.WithCancel(ctx)
	d.stopTx = stop
	d.receiver.Go(d.receive)
	d.tasks.Go(func() { d.err = d.send(sending, at) })
	return d, nil
}

func (d *datagrams) close() {
	for _, fd := range []int{d.tx, d.rx} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// stop ends the sending, waits for what is under way, and returns when both ends are done.
func (d *datagrams) stop(settle time.Duration) error {
	d.stopTx()
	d.tasks.Wait()
	time.Sleep(settle)
	close(d.stopRx)
	d.receiver.Wait()
	d.close()
	d.arrived = d.arrived[:len(d.sent)]
	return errors.Join(d.err, d.rxErr)
}

// send keeps to the rate: what it could not send in time it sends at once afterwards.
func (d *datagrams) send(ctx context.Context, to *unix.SockaddrInet4) error {
	punctual()
	interval := time.Second / time.Duration(d.rate)
	b := make([]byte, payload)
	binary.BigEndian.PutUint32(b, d.run)
	next := time.Now()
	for ctx.Err() == nil && len(d.sent) < cap(d.sent) {
		now := time.Now()
		for n := 0; n < most && !next.After(now) && len(d.sent) < cap(d.sent); n++ {
			binary.BigEndian.PutUint32(b[4:], uint32(len(d.sent)))
			at := time.Now().UnixNano()
			d.sent = append(d.sent, at)
			binary.BigEndian.PutUint64(b[8:], uint64(at))
			if err := unix.Sendto(d.tx, b, unix.MSG_DONTWAIT, to); err != nil {
				if !refusal(err) {
					return fmt.Errorf("send a datagram: %w", err)
				}
				d.refused++
			}
			next = next.Add(interval)
		}
		if wait := time.Until(next); wait > 0 {
			t := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&t, nil) // cut short: the loop looks at the clock
		}
	}
	return nil
}

// refusal reports whether an error is one that a host's stack returns while it has no route or no room.
func refusal(err error) bool {
	for _, e := range []unix.Errno{
		unix.EAGAIN, unix.ENOBUFS, unix.ENETDOWN, unix.ENETUNREACH,
		unix.EHOSTUNREACH, unix.EHOSTDOWN, unix.ECONNREFUSED,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// punctual gives the goroutine a thread of its own, which ends with it, that runs when it is due.
func punctual() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // if refused, the run's lateness shows it
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
}

func (d *datagrams) receive() {
	punctual()
	b, oob := make([]byte, 64), make([]byte, 128)
	for {
		n, oobn, _, _, err := unix.Recvmsg(d.rx, b, oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			select {
			case <-d.stopRx:
				return
			default:
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			d.rxErr = fmt.Errorf("receive datagrams: %w", err)
			return
		}
		if n != payload || binary.BigEndian.Uint32(b) != d.run {
			continue
		}
		number := int(binary.BigEndian.Uint32(b[4:]))
		if number >= len(d.arrived) {
			continue
		}
		if d.arrived[number] != 0 {
			d.doubles++
			continue
		}
		d.arrived[number] = stamp(oob[:oobn])
		d.latest.Store(int64(binary.BigEndian.Uint64(b[8:])))
	}
}

// stamp returns when the kernel received a datagram (SO_TIMESTAMPNS), or now if it does not say.
func stamp(oob []byte) int64 {
	if messages, err := unix.ParseSocketControlMessage(oob); err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:]))
			}
		}
	}
	return time.Now().UnixNano()
}
