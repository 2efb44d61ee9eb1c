package xsktest

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// EtherType is that of the test frames: IEEE 802 local experimental 1.
const EtherType = 0x88b5

// Frame returns a test frame of size octets (at least 22) that carries seq; its other octets depend on seq too.
func Frame(seq uint64, size int) []byte {
	f := make([]byte, size)
	copy(f, []byte{0x02, 0, 0, 0, 0, 0xbb, 0x02, 0, 0, 0, 0, 0xaa})
	binary.BigEndian.PutUint16(f[12:], EtherType)
	binary.BigEndian.PutUint64(f[14:], seq)
	for i := 22; i < size; i++ {
		f[i] = byte(seq) + byte(i)
	}
	return f
}

// Seq returns what Frame was made with, and whether f is such a frame, whole.
func Seq(f []byte) (uint64, bool) {
	if len(f) < 22 || binary.BigEndian.Uint16(f[12:]) != EtherType {
		return 0, false
	}
	seq := binary.BigEndian.Uint64(f[14:])
	for i := 22; i < len(f); i++ {
		if f[i] != byte(seq)+byte(i) {
			return seq, false
		}
	}
	return seq, true
}

// PacketSocket is a raw packet socket on an interface: an endpoint that has nothing to do with AF_XDP.
type PacketSocket struct {
	t   testing.TB
	fd  int
	buf [16384]byte
}

// Packet opens a packet socket on e; it is closed with the test.
func Packet(t testing.TB, e End) *PacketSocket {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("packet socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	// Before bind, so that nothing of what this end sends is ever queued.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		t.Fatalf("packet socket: ignore outgoing: %v", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
		t.Fatalf("packet socket: receive buffer: %v", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: e.Index}); err != nil {
		t.Fatalf("bind packet socket to %s: %v", e.Name, err)
	}
	return &PacketSocket{t: t, fd: fd}
}

// TrySend sends a frame.
func (p *PacketSocket) TrySend(f []byte) error {
	_, err := unix.Write(p.fd, f)
	return err
}

// Send sends a frame or fails the test.
func (p *PacketSocket) Send(f []byte) {
	p.t.Helper()
	if err := p.TrySend(f); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// Receive returns the next frame, or nil if none comes within the given time or the interface goes down. The frame
// is valid until the next call.
func (p *PacketSocket) Receive(within time.Duration) []byte {
	p.t.Helper()
	until := time.Now().Add(within)
	for {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, time.Until(until)).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n == 0 || err != nil {
			return nil
		}
		n, _, err = unix.Recvfrom(p.fd, p.buf[:], unix.MSG_DONTWAIT)
		if err != nil {
			return nil
		}
		return p.buf[:n]
	}
}
