package steer_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/dataplane/xsk/xsktest"
)

func TestMain(m *testing.M) { xsktest.Main(m) }

func attach(t *testing.T, o steer.Options) *steer.Program {
	t.Helper()
	p, err := steer.Attach(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func socket(t *testing.T, e xsktest.End, queue int) *xsk.Socket {
	t.Helper()
	_, s := umemSocket(t, e, queue)
	return s
}

func umemSocket(t *testing.T, e xsktest.End, queue int) (*xsk.Umem, *xsk.Socket) {
	t.Helper()
	u, err := xsk.NewUmem(xsk.UmemConfig{Frames: 64, FrameSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	s, err := u.Open(xsk.SocketConfig{
		Ifindex: e.Index, Queue: queue, Mode: xsk.ModeCopy,
		RxSize: 64, TxSize: 64, FillSize: 64, CompSize: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	addrs := make([]uint64, 64)
	for i := range addrs {
		addrs[i] = uint64(i) * 2048
	}
	s.Fill(addrs)
	return u, s
}

// arrive says who gets a frame: the socket, the kernel, or nobody.
func arrive(s *xsk.Socket, kernel *xsktest.PacketSocket) string {
	var who []string
	if kernel.Receive(100*time.Millisecond) != nil {
		who = append(who, "kernel")
	}
	var d [1]xsk.Desc
	if s.Receive(d[:]) == 1 {
		who = append(who, "socket")
		s.Fill([]uint64{d[0].Addr})
	}
	return strings.Join(who, " and ")
}

func TestSteering(t *testing.T) {
	for _, mode := range []steer.Mode{steer.Native, steer.Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			xsktest.Namespace(t)
			a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
			p := attach(t, steer.Options{
				Ifindex: a.Index, Queues: 4, Mode: mode, PassToKernel: []steer.EtherType{0x88cc, 0x0806},
			})
			if p.Mode() != mode || p.Fallback() != nil {
				t.Errorf("mode %v, fallback %v; want mode %v without fallback", p.Mode(), p.Fallback(), mode)
			}
			kernel, far := xsktest.Packet(t, a), xsktest.Packet(t, b)
			s := socket(t, a, 0)
			send := func(etherType uint16) {
				f := xsktest.Frame(1, 60)
				f[12], f[13] = byte(etherType>>8), byte(etherType)
				far.Send(f)
			}
			expect := func(when string, etherType uint16, want string) {
				t.Helper()
				send(etherType)
				if got := arrive(s, kernel); got != want {
					t.Errorf("%s: frame of type %#04x arrived at %q, want %q", when, etherType, got, want)
				}
			}
			expect("no socket", 0x0800, "kernel")
			if err := p.Register(0, s.FD()); err != nil {
				t.Fatal(err)
			}
			for _, e := range []uint16{0x0800, 0x86dd, 0x8100, 0x88b5, 0xcc88, 0x0608} {
				expect("registered", e, "socket")
			}
			expect("registered", 0x88cc, "kernel")
			expect("registered", 0x0806, "kernel")
			if err := p.Unregister(0); err != nil {
				t.Fatal(err)
			}
			if err := p.Unregister(0); err != nil {
				t.Errorf("unregister twice: error %v, want none", err)
			}
			expect("unregistered", 0x0800, "kernel")
			if err := p.Register(0, s.FD()); err != nil {
				t.Fatal(err)
			}
			s.Close()
			send(0x0800)
			if kernel.Receive(100*time.Millisecond) == nil {
				t.Error("the socket is closed, and the frame went nowhere")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if id := xsktest.XDP(t, "a"); id != 0 {
				t.Errorf("program %d still there after Close, want none", id)
			}
			if err := p.Close(); err != nil {
				t.Errorf("second close: error %v, want none", err)
			}
			if err := p.Register(0, 0); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("register after Close: error %v, want %v", err, fs.ErrClosed)
			}
			if err := p.Unregister(0); err != nil {
				t.Errorf("unregister after Close: error %v, want none", err)
			}
		})
	}
}

// TestNothingStays: by default every frame goes to the box, down to those too short to have an EtherType that means
// anything.
func TestNothingStays(t *testing.T) {
	xsktest.Namespace(t)
	a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := attach(t, steer.Options{Ifindex: a.Index, Queues: 1})
	kernel, far := xsktest.Packet(t, a), xsktest.Packet(t, b)
	s := socket(t, a, 0)
	if err := p.Register(0, s.FD()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []uint16{0, 64, 0x0800, 0x0806, 0x86dd, 0x8100, 0x88cc, 0xffff} {
		f := xsktest.Frame(1, 60)
		f[12], f[13] = byte(e>>8), byte(e)
		far.Send(f)
		if got := arrive(s, kernel); got != "socket" {
			t.Errorf("type %#04x arrived at %q, want the socket", e, got)
		}
	}
}

func TestRegisterErrors(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := attach(t, steer.Options{Ifindex: a.Index, Queues: 2})
	for _, q := range []int{-1, 2} {
		if err := p.Register(q, 0); err == nil || !strings.Contains(err.Error(), "2 queues") {
			t.Errorf("register queue %d: error %v, want one that names 2 queues", q, err)
		}
		if err := p.Unregister(q); err == nil {
			t.Errorf("unregister queue %d: no error, want one", q)
		}
	}
	if err := p.Register(0, -1); !errors.Is(err, unix.EBADF) {
		t.Errorf("register a closed socket: error %v, want %v", err, unix.EBADF)
	}
	if err := p.Register(0, 0); err == nil { // standard input
		t.Error("register what is no socket: no error")
	}
}

// foreignProgram lets everything pass.
func foreignProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.XDP, License: "none",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	return prog
}

// TestForeignProgram: whoever was first stays, attached by netlink or by link, in whatever mode.
func TestForeignProgram(t *testing.T) {
	for _, byLink := range []bool{false, true} {
		for _, theirs := range []steer.Mode{steer.Native, steer.Generic} {
			for _, ours := range []steer.Mode{steer.Auto, steer.Native, steer.Generic} {
				t.Run(fmt.Sprintf("link=%v/%v/%v", byLink, theirs, ours), func(t *testing.T) {
					xsktest.Namespace(t)
					a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
					prog := foreignProgram(t)
					remedy := "ip link set dev a xdp off"
					flags := link.XDPDriverMode
					if theirs == steer.Generic {
						flags = link.XDPGenericMode
					}
					if byLink {
						l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: a.Index, Flags: flags})
						if err != nil {
							t.Fatal(err)
						}
						defer l.Close()
						info, err := l.Info()
						if err != nil {
							t.Fatal(err)
						}
						remedy = fmt.Sprintf("bpftool link detach id %d", info.ID)
					} else {
						l, err := netlink.LinkByIndex(a.Index)
						if err != nil {
							t.Fatal(err)
						}
						if err := netlink.LinkSetXdpFdWithFlags(l, prog.FD(), int(flags)); err != nil {
							t.Fatal(err)
						}
					}
					id := xsktest.XDP(t, "a")
					p, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1, Mode: ours})
					if err == nil {
						p.Close()
						t.Fatal("attached in spite of the other program")
					}
					var e *steer.AttachError
					if !errors.Is(err, steer.ErrOccupied) || !errors.As(err, &e) || e.Foreign != id || e.Name != "a" {
						t.Errorf("error %v, want one that names program %d on interface a", err, id)
					}
					program := fmt.Sprintf("program ID %d", id)
					if !strings.Contains(err.Error(), remedy) || !strings.Contains(err.Error(), program) {
						t.Errorf("error %q does not name %q", err, remedy)
					}
					if now := xsktest.XDP(t, "a"); now != id {
						t.Errorf("program %d was attached, now it is %d", id, now)
					}
				})
			}
		}
	}
}

// TestFallback: an interface that cannot do native mode gets generic mode, and the reason is kept.
func TestFallback(t *testing.T) {
	xsktest.Namespace(t)
	// veth takes no native program without multi-buffer support above some 3.5 KiB.
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{MTU: 9000})
	p := attach(t, steer.Options{Ifindex: a.Index, Queues: 1})
	if p.Mode() != steer.Generic || p.Fallback() == nil {
		t.Errorf("mode %v, fallback %v", p.Mode(), p.Fallback())
	}
	p.Close()
	p2, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1, Mode: steer.Native})
	if err == nil {
		p2.Close()
		t.Fatal("native mode: no error")
	}
	if !strings.Contains(err.Error(), "lower the MTU") {
		t.Errorf("native mode: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := steer.Attach(steer.Options{Ifindex: lo.Attrs().Index, Queues: 1, Mode: steer.Native}); err == nil {
		p.Close()
		t.Error("native mode on lo: no error")
	} else if !errors.Is(err, unix.EOPNOTSUPP) || !strings.Contains(err.Error(), "mode auto or generic") {
		t.Errorf("native mode on lo: %v", err)
	}
}

func TestDeletedInterface(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	p := attach(t, steer.Options{Ifindex: a.Index, Queues: 1})
	xsktest.Delete(t, "a")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if p, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1}); err == nil {
		p.Close()
		t.Error("attached to a deleted interface")
	} else if !errors.Is(err, unix.ENODEV) {
		t.Errorf("deleted interface: %v", err)
	}
}

// TestWithoutCapabilities: the error names what is missing.
func TestWithoutCapabilities(t *testing.T) {
	xsktest.Namespace(t)
	a, _ := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
	xsktest.WithoutCapabilities(t, func() {
		p, err := steer.Attach(steer.Options{Ifindex: a.Index, Queues: 1})
		if err == nil {
			p.Close()
			t.Fatal("no error")
		}
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_BPF and CAP_NET_ADMIN") {
			t.Error(err)
		}
	})
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]steer.Options{
		"index 0":    {Queues: 1},
		"0 queues":   {Ifindex: 1},
		"mode 7":     {Ifindex: 1, Queues: 1, Mode: 7},
		"at most 16": {Ifindex: 1, Queues: 1, PassToKernel: make([]steer.EtherType, 17)},
	} {
		if p, err := steer.Attach(o); err == nil {
			p.Close()
			t.Errorf("%+v: no error", o)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// TestStamp: frames carry the time of arrival in front of them, by the clock that the process reads.
func TestStamp(t *testing.T) {
	for _, mode := range []steer.Mode{steer.Native, steer.Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			xsktest.Namespace(t)
			a, b := xsktest.Veth(t, "a", "b", xsktest.VethConfig{})
			p := attach(t, steer.Options{
				Ifindex: a.Index, Queues: 1, Mode: mode, PassToKernel: []steer.EtherType{0x88cc}, Stamp: true,
			})
			far := xsktest.Packet(t, b)
			u, s := umemSocket(t, a, 0)
			if err := p.Register(0, s.FD()); err != nil {
				t.Fatal(err)
			}
			last := monotonic(t)
			for seq := range uint64(20) {
				far.Send(xsktest.Frame(seq, 60+int(seq)))
				var d [1]xsk.Desc
				for deadline := time.Now().Add(5 * time.Second); s.Receive(d[:]) == 0; {
					if time.Now().After(deadline) {
						t.Fatal("the frame does not arrive")
					}
				}
				got, ok := xsktest.Seq(u.Mem()[d[0].Addr : d[0].Addr+uint64(d[0].Len)])
				if !ok || got != seq {
					t.Fatalf("frame %d: got %d, %v", seq, got, ok)
				}
				at := int64(binary.NativeEndian.Uint64(u.Mem()[d[0].Addr-steer.StampLen:]))
				if now := monotonic(t); at < last || at > now {
					t.Fatalf("frame %d arrived at %d, want %d to %d", seq, at, last, now)
				}
				last = at
			}
		})
	}
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}
