package integration

import (
	"net"
	"testing"
	"time"

	"github.com/asavie/xdp"

	"penstock/integration/endpoint"
)

// peer is an AF_XDP endpoint that shares no code with the box: github.com/asavie/xdp on the VM's end of an access port.
type peer struct {
	program *xdp.Program
	socket  *xdp.Socket
	ifindex int
}

func openPeer(t *testing.T, f *fabric, vm string) *peer {
	t.Helper()
	p := &peer{}
	v := f.VM(vm)
	must(t, f.lab.Do(v.Namespace, func() error {
		ifi, err := net.InterfaceByName(v.Interface)
		if err != nil {
			return err
		}
		p.ifindex = ifi.Index
		if p.program, err = xdp.NewProgram(1); err != nil {
			return err
		}
		if err := p.program.Attach(p.ifindex); err != nil {
			return err
		}
		if p.socket, err = xdp.NewSocket(p.ifindex, 0, nil); err != nil {
			return err
		}
		return p.program.Register(0, p.socket.FD())
	}))
	t.Cleanup(func() {
		if err := f.lab.Do(v.Namespace, func() error { return p.program.Detach(p.ifindex) }); err != nil {
			t.Error(err)
		}
		p.socket.Close()
		p.program.Close()
	})
	p.fill()
	return p
}

// fill hands free frames to the kernel, keeping some to send.
func (p *peer) fill() {
	p.socket.Fill(p.socket.GetDescs(min(32, p.socket.NumFreeFillSlots())))
}

func (p *peer) send(frame []byte) {
	descs := p.socket.GetDescs(1)
	for len(descs) == 0 {
		_, _, _ = p.socket.Poll(1) // reaps what was sent
		descs = p.socket.GetDescs(1)
	}
	descs[0].Len = uint32(copy(p.socket.GetFrame(descs[0]), frame))
	p.socket.Transmit(descs)
	_, _, _ = p.socket.Poll(0)
}

// receive returns what has arrived, waiting for it up to the given time.
func (p *peer) receive(limit time.Duration) (frames [][]byte) {
	n, _, err := p.socket.Poll(int(limit.Milliseconds()))
	if err != nil || n == 0 {
		return nil
	}
	for _, d := range p.socket.Receive(n) {
		frames = append(frames, append([]byte(nil), p.socket.GetFrame(d)...))
	}
	p.fill()
	return frames
}

// TestForeignPeer exchanges mixed frames with an AF_XDP program that is not our own.
func TestForeignPeer(t *testing.T) {
	f := startFabric(t, rawPair())
	p := openPeer(t, f, "red-vm1")
	raw := f.raw(t, "red-vm2")
	const n, window = 1000, 8
	t.Run("from the peer", func(t *testing.T) {
		frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 11, From: f.host("red-vm1"), To: f.host("red-vm2")}, n)
		must(t, err)
		e := endpoint.Expect(frames)
		for i, frame := range frames {
			p.send(frame)
			if i%window == window-1 {
				for range window {
					got, err := raw.Receive(time.Second)
					if err != nil {
						t.Fatalf("after %d frames: %v; %v", i+1, err, e.Err())
					}
					e.Arrived(got)
				}
			}
		}
		if err := e.Err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("to the peer", func(t *testing.T) {
		frames, err := endpoint.Mix(endpoint.MixOptions{Seed: 12, From: f.host("red-vm2"), To: f.host("red-vm1")}, n)
		must(t, err)
		e := endpoint.Expect(frames)
		arrived := 0
		for i, frame := range frames {
			must(t, raw.Send(frame))
			if i%window != window-1 {
				continue
			}
			for deadline := time.Now().Add(time.Second); arrived <= i; {
				got := p.receive(100 * time.Millisecond)
				for _, frame := range got {
					e.Arrived(frame)
				}
				arrived += len(got)
				if time.Now().After(deadline) {
					t.Fatalf("after %d frames: %v", i+1, e.Err())
				}
			}
		}
		if err := e.Err(); err != nil {
			t.Error(err)
		}
	})
}
