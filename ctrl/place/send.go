package place

import (
	"strconv"
	"time"

	"penstock/ctrl/model"
	"penstock/ctrl/neighbor/lldp"
)

// The intervals (IEEE 802.1AB, 9.2.5).
const (
	interval  = 30 * time.Second
	fast      = time.Second // between the first frames
	fastCount = 4
	ttl       = 121 // seconds: four intervals and one
)

// sender is when a port's next frame is due.
type sender struct {
	mac  model.MAC // of the interface
	left int       // frames at the fast interval
	due  time.Time // zero = never
	sent time.Time
	// again: the box was at this port before. A good-bye precedes its first frame, since a box that was killed has said
	// none: the switch knows it still, and would say the place with its next regular frame only, up to 30 s later.
	again bool
}

// hasten lets frames go at the fast interval: the link came up, a neighbour is new, or what is said has changed.
func (x *sender) hasten(now time.Time) {
	x.left, x.due = fastCount, now
	if soon := x.sent.Add(fast); soon.After(now) {
		x.due = soon
	}
}

func (x *sender) next() time.Time { return x.due }

// send sends the frame of a port that is due.
func (s *Service) send(p *port, now time.Time) {
	if !p.up {
		p.due = time.Time{}
		return
	}
	if p.due.IsZero() || p.due.After(now) {
		return
	}
	p.sent = now
	if p.left > 0 {
		p.left--
	}
	p.due = now.Add(interval)
	if p.left > 0 {
		p.due = now.Add(fast)
	}
	if p.again {
		p.again = false
		s.inject(p, 0)
	}
	s.inject(p, ttl)
}

func (s *Service) inject(p *port, ttl uint16) {
	if p.mac == 0 {
		return
	}
	a := lldp.Advert{Source: p.mac, Chassis: lldp.MACID(lldp.ChassisMAC, s.chassis(p)),
		Port: lldp.ID{Subtype: lldp.PortName, Octets: p.Interface}, TTL: ttl, PortDescription: p.Name,
		SystemName: s.cfg.System, SystemDescription: "Penstock " + s.cfg.Version,
		Capabilities: lldp.CapabilityStation | lldp.CapabilityBridge, Enabled: lldp.CapabilityStation}
	if !p.Fabric {
		a.Capabilities = lldp.CapabilityBridge | lldp.CapabilityRouter
		a.Enabled = a.Capabilities
	}
	if p.Number != 0 {
		a.Port = lldp.ID{Subtype: lldp.PortLocal, Octets: strconv.Itoa(int(p.Number))}
	}
	if s.cfg.Inject(p.Index, a.Append(nil)) {
		p.frames.Sent++
	} else {
		p.frames.Unsent++
	}
}

// chassis is the MAC that names the box on all its ports: that of the edge switch, or of the first fabric port.
func (s *Service) chassis(p *port) model.MAC {
	if !p.Fabric && s.set.Edge != 0 {
		return s.set.Edge
	}
	for _, x := range s.ports {
		if x.Fabric && x.mac != 0 {
			return x.mac
		}
	}
	return p.mac
}

// Leave says good-bye on all ports.
func (s *Service) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		if p.up {
			s.inject(p, 0)
		}
	}
}
