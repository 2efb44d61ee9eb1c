package xsk

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNewUmem(t *testing.T) {
	for _, c := range []UmemConfig{
		{Frames: 1, FrameSize: 2048},
		{Frames: 1000, FrameSize: 4096},
		{Frames: 1000, FrameSize: 2048, HugePages: true},
		{Frames: 1025, FrameSize: 2048, HugePages: true},
	} {
		u, err := NewUmem(c)
		if err != nil {
			t.Fatalf("UMEM of %+v: %v, want no error", c, err)
		}
		m := u.Mem()
		if len(m) != c.Frames*c.FrameSize || cap(m) != len(m) {
			t.Errorf("%+v: %d octets, capacity %d", c, len(m), cap(m))
		}
		m[0], m[len(m)-1] = 1, 1
		if err := u.Close(); err != nil {
			t.Errorf("%+v: close: %v", c, err)
		}
		if err := u.Close(); err != nil {
			t.Errorf("%+v: second close: %v", c, err)
		}
		sc := SocketConfig{Ifindex: 1, RxSize: 64, TxSize: 64, FillSize: 64, CompSize: 64}
		if _, err := u.Open(sc); !errors.Is(err, ErrClosed) {
			t.Errorf("%+v: open after close: %v", c, err)
		}
	}
	for _, c := range []UmemConfig{
		{}, {Frames: 10}, {Frames: 10, FrameSize: 1024}, {Frames: -1, FrameSize: 2048},
		{Frames: 1 << 21, FrameSize: 2048}, {Frames: 1 << 20, FrameSize: 4096},
	} {
		if u, err := NewUmem(c); err == nil {
			u.Close()
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestSocketConfig(t *testing.T) {
	good := SocketConfig{Ifindex: 3, Queue: 1, RxSize: 64, TxSize: 32, FillSize: 128, CompSize: 1}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(c *SocketConfig){
		"interface index 0":    func(c *SocketConfig) { c.Ifindex = 0 },
		"queue -1":             func(c *SocketConfig) { c.Queue = -1 },
		"mode 9":               func(c *SocketConfig) { c.Mode = 9 },
		"rx ring of 0":         func(c *SocketConfig) { c.RxSize = 0 },
		"tx ring of 100":       func(c *SocketConfig) { c.TxSize = 100 },
		"fill ring of -64":     func(c *SocketConfig) { c.FillSize = -64 },
		"completion ring of 2": func(c *SocketConfig) { c.CompSize = MaxRing * 2 },
	} {
		c := good
		spoil(&c)
		if err := c.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestErrorsMatch(t *testing.T) {
	for err, errno := range map[error]unix.Errno{
		ErrLinkDown: unix.ENETDOWN, ErrGone: unix.ENXIO, ErrClosed: unix.EBADF,
	} {
		if !errors.Is(err, errno) {
			t.Errorf("%v does not match %v", err, errno)
		}
	}
	s := &Socket{}
	for errno, want := range map[unix.Errno]error{
		0: nil, unix.EAGAIN: nil, unix.EBUSY: nil, unix.ENOBUFS: nil, unix.EINTR: nil,
		unix.ENETDOWN: ErrLinkDown, unix.ENXIO: ErrGone, unix.ENODEV: ErrGone, unix.EINVAL: unix.EINVAL,
	} {
		if got := s.kicked(errno); got != want {
			t.Errorf("%v: got %v, want %v", errno, got, want)
		}
	}
	n := testing.AllocsPerRun(100, func() {
		_ = s.kicked(unix.ENETDOWN)
		_ = s.kicked(unix.ENXIO)
		_ = s.kicked(unix.EINVAL)
	})
	if n != 0 {
		t.Errorf("%v allocations for errors", n)
	}
}
