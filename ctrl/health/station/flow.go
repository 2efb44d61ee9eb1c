package station

import (
	"errors"
	"sync"
)

// Path is how a flow reaches its real server.
type Path struct {
	Segment Segment // of the server's VIF
	MAC     uint64  // of the server
	Source  uint64  // source MAC: the service's mark, or with Direct the port's own
	Port    uint16  // of the server, in place of the service's; 0 = the port stays
	Direct  bool    // a server that is no VIF, untagged behind port Out
	Out     int
}

// Local ports. Those below are left to a service of the director's own, should there be one.
const (
	firstPort = 32768
	ports     = 1 << 15
)

// late is how many ended flows of a station keep their path: what the stack sends afterwards (an RST to a late answer)
// still reaches their server.
const late = 256

// ErrNoPort: all local ports of the station are in use.
var ErrNoPort = errors.New("no free local port")

// flows are the local ports of a station, from 0, that have a flow or had one lately. Its memory is that of the flows.
type flows struct {
	mu    sync.RWMutex
	next  uint16
	path  map[uint16]*Path
	ended []uint16 // the oldest first
}

// take returns a local port without a flow and gives it the path.
func (f *flows) take(p *Path) (port uint16, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.path == nil {
		f.path = map[uint16]*Path{}
	}
	for range ports {
		i := f.next % ports
		f.next = (i + 1) % ports
		if f.path[i] == nil {
			f.path[i] = p
			return firstPort + i, nil
		}
	}
	return 0, ErrNoPort
}

// end says that the flow of the port has ended.
func (f *flows) end(port uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = append(f.ended, port-firstPort)
	if len(f.ended) > late {
		delete(f.path, f.ended[0])
		f.ended = f.ended[1:]
	}
}

// of returns the path of the port, nil if it has none.
func (f *flows) of(port uint16) *Path {
	if port < firstPort {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.path[port-firstPort]
}
