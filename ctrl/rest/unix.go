package rest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenUnix opens the socket at path. A socket left behind by an ended process is replaced. A socket on which a
// process listens, or a file of another kind, is an error.
func ListenUnix(path string, mode os.FileMode, owner, group int) (*net.UnixListener, error) {
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf(
				"control socket %s: the file there is not a socket: move it away, or configure another path", path)
		}
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			return nil,
				fmt.Errorf("control socket %s: another process listens on it: end it, or configure another path", path)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("control socket %s: cannot determine whether it is in use: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("control socket: remove the stale one: %w", err)
		}
	}
	// Between bind and chmod only the owner may connect.
	old := unix.Umask(0o177)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	if os.Geteuid() == 0 {
		err = os.Chown(path, owner, group)
	} else if group >= 0 {
		err = os.Chown(path, -1, group)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return ln, nil
}

// UnixPeers sets the permissions on a Unix socket. Root and the user of this process may do everything.
type UnixPeers struct {
	Owner      int  // uid that may write
	Group      int  // gid whose members may write; -1 = none
	ReadersAny bool // every other local user may read
	ReadOnly   bool // no caller may write here
}

// Identify reads the caller's credentials from the kernel: they are those of the moment of connect(2) and cannot be
// forged.
func (u UnixPeers) Identify(c net.Conn) *Peer {
	p := &Peer{
		ReadHint:  "become a member of the socket's group, or set readers_any in the configuration",
		WriteHint: "write as root, as the socket's owner or as a member of its group, on the control socket",
	}
	uc, ok := c.(syscall.Conn)
	if !ok {
		p.Err = errors.New("not a Unix socket")
		return p
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		p.Err = err
		return p
	}
	var groups []uint32
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, p.Err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); p.Err == nil {
			p.UID, p.GID, p.PID = cred.Uid, cred.Gid, cred.Pid
			groups, p.Err = peerGroups(fd)
		}
	})
	if p.Err = errors.Join(p.Err, err); p.Err != nil {
		return p
	}
	p.Name = fmt.Sprintf("user %d", p.UID)
	p.Privileged = p.UID == 0 || int(p.UID) == u.Owner || int(p.UID) == os.Geteuid()
	writer := p.Privileged ||
		u.Group >= 0 && (int(p.GID) == u.Group || slices.Contains(groups, uint32(u.Group)))
	p.Write = writer && !u.ReadOnly
	p.Read = writer || u.ReadersAny
	return p
}
