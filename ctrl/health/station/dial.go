package station

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// The outcomes of a connection that callers tell apart.
var (
	ErrRefused     = errors.New("connection refused")
	ErrReset       = errors.New("connection reset")
	ErrUnreachable = errors.New("host or network unreachable")
)

// errors of the stack as those above.
func plain(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrConnectionRefused:
		return ErrRefused
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted:
		return ErrReset
	case *tcpip.ErrHostUnreachable, *tcpip.ErrNetworkUnreachable, *tcpip.ErrHostDown:
		return ErrUnreachable
	case *tcpip.ErrTimeout:
		return context.DeadlineExceeded
	}
	return errors.New(err.String())
}

// conn is a connection that gives its local port back when it is closed.
type conn struct {
	net.Conn
	once sync.Once
	end  func()
}

func (c *conn) Close() (err error) {
	c.once.Do(func() {
		err = c.Conn.Close()
		c.end()
	})
	return err
}

func connecting(ep tcpip.Endpoint) bool {
	switch tcp.EndpointState(ep.State()) {
	case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		return true
	}
	return false
}

// DialTCP connects to a service through the server that path leads to. Close resets the connection: nothing waits in
// either stack for its local port.
func (st *Station) DialTCP(ctx context.Context, to netip.AddrPort, path *Path) (net.Conn, error) {
	var wq waiter.Queue
	ep, terr := st.shard.NewEndpoint(tcp.ProtocolNumber, protocol(st.Address), &wq)
	if terr != nil {
		return nil, plain(terr)
	}
	ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
	ep.SocketOptions().SetDelayOption(false)
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	port, terr, err := st.bind(ep, to, path)
	if err != nil {
		return nil, err
	}
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		for terr = nil; terr == nil && connecting(ep); {
			select {
			case <-ctx.Done():
				ep.Close()
				st.flows.end(port)
				return nil, ctx.Err()
			case <-ready:
				terr = ep.LastError()
			}
		}
		if terr == nil { // the answer may come before the first look at the state
			terr = ep.LastError()
		}
		if state := tcp.EndpointState(ep.State()); terr == nil && state == tcp.StateError {
			terr = &tcpip.ErrConnectionRefused{}
		}
	}
	if terr != nil {
		ep.Close()
		st.flows.end(port)
		return nil, plain(terr)
	}
	return &conn{Conn: gonet.NewTCPConn(&wq, ep), end: func() { st.flows.end(port) }}, nil
}

// DialUDP returns a connected UDP socket to a service, through the server that path leads to.
func (st *Station) DialUDP(to netip.AddrPort, path *Path) (net.Conn, error) {
	var wq waiter.Queue
	ep, terr := st.shard.NewEndpoint(udp.ProtocolNumber, protocol(st.Address), &wq)
	if terr != nil {
		return nil, plain(terr)
	}
	port, terr, err := st.bind(ep, to, path)
	if err != nil {
		return nil, err
	}
	if terr != nil {
		ep.Close()
		st.flows.end(port)
		return nil, plain(terr)
	}
	own := net.UDPAddrFromAddrPort(netip.AddrPortFrom(st.Address, port))
	return &conn{Conn: newUDPConn(ep, &wq, own, net.UDPAddrFromAddrPort(to)),
		end: func() { st.flows.end(port) }}, nil
}

// bind binds the endpoint to a free local port and starts to connect it. On err it is closed.
func (st *Station) bind(ep tcpip.Endpoint, to netip.AddrPort, path *Path) (port uint16, terr tcpip.Error, err error) {
	for range 16 { // the stack may hold a port for a while after its flow has ended
		if port, err = st.flows.take(path); err != nil {
			break
		}
		terr = ep.Bind(tcpip.FullAddress{NIC: st.nic, Addr: tcpip.AddrFromSlice(st.Address.AsSlice()), Port: port})
		if terr == nil {
			return port, ep.Connect(tcpip.FullAddress{NIC: st.nic, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()),
				Port: to.Port()}), nil
		}
		st.flows.end(port)
		err = plain(terr)
		if _, inUse := terr.(*tcpip.ErrPortInUse); !inUse {
			break
		}
	}
	ep.Close()
	return 0, nil, err
}
