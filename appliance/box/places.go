package box

import (
	"time"

	"penstock/conf"
	"penstock/ctrl/event"
	"penstock/ctrl/metrics"
	"penstock/ctrl/model"
	"penstock/ctrl/neighbor/lldp"
	"penstock/ctrl/place"
	"penstock/ctrl/status"
	"penstock/dataplane/fib"
	"penstock/dataplane/punt"
)

// leaveTime is how long the workers have to send what says good-bye: some turns, also of one that sleeps.
const leaveTime = 20 * time.Millisecond

// newPlaces makes what finds the places of the fabric ports, and makes those known before the first frame live.
func (b *Box) newPlaces() error {
	cfg := b.cfg.Load()
	b.places = place.New(place.Config{
		Setting: placeSetting(cfg), System: cfg.Box.Name, Version: b.build.Version,
		File: b.placesFile(), Inject: b.slow.Inject, SetPlace: b.compiler.SetPlace,
		Moved: b.placed, Alarms: b.alarms, Log: b.log, Now: time.Now,
	})
	if err := b.slow.Handle(punt.LLDP, b.places.Punt); err != nil {
		return err
	}
	return b.places.Apply()
}

// placeSetting is what a configuration says of LLDP.
func placeSetting(cfg *conf.Config) place.Setting {
	set := place.Setting{Rules: lldp.Rules{
		Switches: cfg.LLDP.SwitchMACs.ByChassis, Ports: cfg.LLDP.Ports.ByText, Scheme: cfg.Box.Scheme,
	}}
	for _, r := range cfg.LLDP.Rules.List {
		set.Rules.Rules = append(set.Rules.Rules, lldp.Rule{Field: r.Field, Match: r.Match})
	}
	if cfg.Edge != nil {
		set.Edge = cfg.Edge.MAC
	}
	for i, p := range cfg.Ports {
		x := place.Port{Index: i, Name: p.Name, Interface: p.Interface}
		switch roles[p.Role] {
		case fib.RoleFabric:
			x.Fabric = p.Encap != conf.EncapVXLAN // which has no place
			x.Static.Switch, x.Static.Port = p.SwitchMAC, uint8(p.SwitchPort)
		case fib.RoleDownlink:
			x.Number = uint8(p.SwitchPort)
		case fib.RoleTrunk:
		default:
			continue
		}
		set.Ports = append(set.Ports, x)
	}
	return set
}

// linkPlaces tells LLDP the state in which the ports were opened; setLink tells it of changes.
func (b *Box) linkPlaces() {
	for i, p := range b.compiler.Snapshot().Ports {
		b.places.Link(i, p.Up, model.MAC(p.MAC))
	}
}

// placed publishes where a fabric port is plugged in.
func (b *Box) placed(port string, s place.State) {
	b.tellOwned()
	b.events.Publish(event.Place{Port: port, SwitchMAC: macText(s.At.Switch), SwitchPort: s.At.Port, Origin: s.Origin})
}

func macText(m model.MAC) string {
	if m == 0 {
		return ""
	}
	return m.String()
}

// Neighbors implements api.Info.
func (b *Box) Neighbors() []status.Place {
	list := []status.Place{}
	for _, s := range b.places.States() {
		p := status.Place{Port: s.Port, SwitchMAC: s.At.Switch, SwitchPort: s.At.Port, Origin: s.Origin,
			Reason: s.NoPlace, More: s.More, Neighbors: []status.Neighbor{}, Frames: lldpFrames(&s.Frames)}
		if s.Origin != "" {
			since := s.Since.UTC()
			p.Since = &since
		}
		for _, n := range s.Neighbors {
			x := status.Neighbor{
				ChassisID: n.ChassisText(), ChassisSubtype: n.Chassis.Subtype, PortID: n.PortText(),
				PortSubtype: n.Advert.Port.Subtype, PortDescription: n.PortDescription, SystemName: n.SystemName,
				SystemDescription: n.SystemDescription, VLAN: n.VID, TTL: n.TTL, First: n.First.UTC(),
				Heard: n.Heard.UTC(), SwitchMAC: n.Switch, SwitchPort: n.Number, Reason: n.Why,
			}
			if n.Management.IsValid() {
				x.Management = n.Management.String()
			}
			p.Neighbors = append(p.Neighbors, x)
		}
		list = append(list, p)
	}
	return list
}

func lldpFrames(f *place.Frames) status.LLDPFrames {
	out := status.LLDPFrames{Received: f.Received, Crowded: f.Crowded, Sent: f.Sent, Unsent: f.Unsent}
	for r, n := range f.Refused {
		if n == 0 {
			continue
		}
		if out.Refused == nil {
			out.Refused = map[string]uint64{}
		}
		out.Refused[lldp.Fault(r).String()] = n
	}
	return out
}

func (b *Box) lldpMetrics() (list []metrics.LLDP) {
	for _, s := range b.places.States() {
		frames := map[string]uint64{"received": s.Frames.Received, "crowded": s.Frames.Crowded, "sent": s.Frames.Sent,
			"unsent": s.Frames.Unsent}
		for r, n := range s.Frames.Refused {
			frames[lldp.Fault(r).String()] = n
		}
		list = append(list, metrics.LLDP{Port: s.Port, Frames: frames, Neighbors: len(s.Neighbors)})
	}
	return list
}
