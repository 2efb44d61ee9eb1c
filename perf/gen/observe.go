package gen

import (
	"penstock/dataplane/xsk"
)

// observation is what the kernel's counters said at one moment.
type observation struct {
	ports []Counters
	socks []xsk.Stats // of each port's sockets together
}

func (e *Engine) observe() (o observation, err error) {
	for _, p := range e.ports {
		c, err := e.counters(p)
		if err != nil {
			return o, err
		}
		o.ports = append(o.ports, c)
		var sum xsk.Stats
		for _, w := range e.workers {
			if w.port != p {
				continue
			}
			for _, q := range w.queues {
				s, err := q.sock.Stats()
				if err != nil {
					return o, err
				}
				sum.RxDropped += s.RxDropped
				sum.RxRingFull += s.RxRingFull
				sum.RxFillEmpty += s.RxFillEmpty
				sum.TxInvalidDescs += s.TxInvalidDescs
			}
		}
		o.socks = append(o.socks, sum)
	}
	return o, nil
}
