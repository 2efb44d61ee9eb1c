// Package endpoint is the hosts of the end-to-end tests: raw frames in and out of an interface, traffic whose every
// octet is checked on arrival, and an edge switch played by a test.
//
// Frames are sent and received through AF_PACKET, past the kernel's stack. Traps: the kernel takes the 802.1Q tag out
// of a received frame and hands it over beside it (packet(7), PACKET_AUXDATA), so Raw puts it back; a packet socket
// sees the frames its own host sends unless PACKET_IGNORE_OUTGOING is set.
package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxFrame = 64 << 10
	// receiveBuffer is in octets, as the kernel counts them: it must hold what arrives while the receiver has no CPU.
	receiveBuffer = 64 << 20
)

// Raw sends and receives whole Ethernet frames on one interface. One goroutine may send while another receives.
type Raw struct {
	Interface string
	fd        int
	closed    atomic.Bool
	buf, oob  []byte
}

// Open opens an interface of the calling thread's namespace. Everything that arrives from then on is received.
func Open(name string) (*Raw, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	// Protocol 0 until bound: nothing arrives from other interfaces meanwhile.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: packet socket: %w", name, err)
	}
	r := &Raw{Interface: name, fd: fd, buf: make([]byte, maxFrame), oob: make([]byte, 256)}
	all := uint16(unix.ETH_P_ALL)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(ifi.Index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: ifi.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return r, nil
}

// Close closes the socket; a second call does nothing.
func (r *Raw) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	return unix.Close(r.fd)
}

// Send sends one frame, from the destination MAC on, without FCS. ENOBUFS means that the other end had no room.
func (r *Raw) Send(frame []byte) error {
	for {
		n, err := unix.Write(r.fd, frame)
		switch {
		case errors.Is(err, unix.EAGAIN):
			// the next write returns the error
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLOUT}}, 10)
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("send %d octets on %s: %w", len(frame), r.Interface, err)
		case n != len(frame):
			return fmt.Errorf("send on %s: %d of %d octets taken", r.Interface, n, len(frame))
		}
		return nil
	}
}

// Receive returns the next frame, with its tag if it had one. When none arrives within the given time the error is
// os.ErrDeadlineExceeded.
func (r *Raw) Receive(limit time.Duration) ([]byte, error) {
	deadline := time.Now().Add(limit)
	for {
		n, oobn, _, _, err := unix.Recvmsg(r.fd, r.buf, r.oob, 0)
		switch {
		case err == nil:
			return restoreTag(r.buf[:n], r.oob[:oobn]), nil
		case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EINTR):
			continue // the interface went down; the socket works on when it comes up
		case !errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("receive on %s: %w", r.Interface, err)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, os.ErrDeadlineExceeded
		}
		ms := int(left/time.Millisecond) + 1
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, ms); err != nil &&
			!errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for frames on %s: %w", r.Interface, err)
		}
	}
}

// Find returns the first frame that match accepts, passing over others.
func (r *Raw) Find(limit time.Duration, match func([]byte) bool) ([]byte, error) {
	deadline := time.Now().Add(limit)
	for {
		frame, err := r.Receive(time.Until(deadline))
		if err != nil || match(frame) {
			return frame, err
		}
		if time.Now().After(deadline) {
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// Collect returns all frames until none has arrived for the given time.
func (r *Raw) Collect(quiet time.Duration) ([][]byte, error) {
	var frames [][]byte
	for {
		frame, err := r.Receive(quiet)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, frame)
	}
}

// Gather returns what arrives until n of the frames are such that match accepts, at most for the given time, and then
// what follows until none has arrived for a moment: on a busy machine an answer may
// take its time, and one too many too.
func (r *Raw) Gather(n int, limit time.Duration, match func([]byte) bool) ([][]byte, error) {
	const quiet = 50 * time.Millisecond
	var frames [][]byte
	for deadline := time.Now().Add(limit); n > 0; {
		frame, err := r.Receive(time.Until(deadline))
		if errors.Is(err, os.ErrDeadlineExceeded) || err == nil && time.Now().After(deadline) {
			break
		}
		if err != nil {
			return frames, err
		}
		if frames = append(frames, frame); match(frame) {
			n--
		}
	}
	more, err := r.Collect(quiet)
	return append(frames, more...), err
}

// Drain throws away what arrives within the given time.
func (r *Raw) Drain(length time.Duration) error {
	_, err := r.Find(length, func([]byte) bool { return false })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// Overruns returns how many frames were lost because they were not received in time, since it was last called.
func (r *Raw) Overruns() (uint32, error) {
	stats, err := unix.GetsockoptTpacketStats(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("statistics of %s: %w", r.Interface, err)
	}
	return stats.Drops, nil
}

// restoreTag returns a copy of a received frame with the tag that the kernel has taken out of it back in place.
// The auxiliary data is a struct tpacket_auxdata (linux/if_packet.h): five 32- and 16-bit fields, then TCI and TPID.
func restoreTag(frame, oob []byte) []byte {
	const (
		offsetTCI  = 16
		offsetTPID = 18
		sizeAux    = 20
	)
	messages, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range messages {
			if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < sizeAux {
				continue
			}
			if binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID == 0 || len(frame) < 12 {
				continue
			}
			tagged := make([]byte, 0, len(frame)+4)
			tagged = append(tagged, frame[:12]...)
			tagged = binary.BigEndian.AppendUint16(tagged, binary.NativeEndian.Uint16(m.Data[offsetTPID:]))
			tagged = binary.BigEndian.AppendUint16(tagged, binary.NativeEndian.Uint16(m.Data[offsetTCI:]))
			return append(tagged, frame[12:]...)
		}
	}
	return append([]byte(nil), frame...)
}
