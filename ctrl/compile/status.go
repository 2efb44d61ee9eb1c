package compile

import (
	"strings"
	"time"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
)

// Status is the state of one object in the dataplane. Fields without a meaning for its kind are absent from the JSON.
type Status struct {
	Live bool `json:"live"` // the dataplane acts on it

	Local *bool  `json:"local,omitempty"` // bindings: owned by a VIF of this box
	Port  string `json:"port,omitempty"`  // VIFs and local bindings
	VLAN  uint16 `json:"vlan,omitempty"`
	Up    *bool  `json:"up,omitempty"` // VIFs: the port is up

	SwitchMAC  *model.MAC `json:"switch_mac,omitempty"`  // remote bindings: where frames go
	SwitchPort uint8      `json:"switch_port,omitempty"` //
	VTEP       string     `json:"vtep,omitempty"`        // bindings behind a VTEP: its name
	Reachable  *bool      `json:"reachable,omitempty"`   // bindings: local, or there is a live path
	Origin     string     `json:"origin,omitempty"`      // bindings: one of model.Origins
	Sequence   uint64     `json:"sequence,omitempty"`    // bindings of origin "fabric" and "learned": of the claim
	TenantID   uint32     `json:"tenant_id,omitempty"`   //
	SegmentID  uint32     `json:"segment_id,omitempty"`  //
	Paths      *int       `json:"paths,omitempty"`       // live paths: remote bindings, path entries
	Ports      []string   `json:"ports,omitempty"`       // fabric ports that use the path, or lead to the VTEP

	VIFs     *int    `json:"vifs,omitempty"`     // segments: VIFs of this box
	Bindings *uint32 `json:"bindings,omitempty"` // segments, VTEPs: pushed bindings
	Boxes    *int    `json:"boxes,omitempty"`    // segments: other boxes that its broadcasts go to

	NextHops  []string `json:"next_hops,omitempty"`  // VTEPs: addresses and MACs of the stations that frames go to
	Learned   *int     `json:"learned,omitempty"`    // VTEPs: stations that were learned there
	RxPackets *uint64  `json:"rx_packets,omitempty"` // VTEPs: encapsulated frames that came from there
	RxBytes   *uint64  `json:"rx_bytes,omitempty"`   //
	TxPackets *uint64  `json:"tx_packets,omitempty"` // VTEPs: that were sent there
	TxBytes   *uint64  `json:"tx_bytes,omitempty"`   //

	Here     *bool  `json:"here,omitempty"`     // VIPs: this box directs it
	Director string `json:"director,omitempty"` // VIPs: the box that directs it
	Servers  *int   `json:"servers,omitempty"`  // services
	Usable   *int   `json:"usable,omitempty"`   // services: servers that new flows may use
	Panic    *bool  `json:"panic,omitempty"`    // services: too few servers are healthy

	State string     `json:"state,omitempty"` // servers: "init", "up", "down", "draining", "drained", "disabled"
	MAC   *model.MAC `json:"mac,omitempty"`   // servers: of the VIF
	Flows *int       `json:"flows,omitempty"` // servers: flows that the director knows

	Held *time.Time `json:"held_until,omitempty"` // bindings: the VIF moved too often, and stays here until then

	Reason string `json:"reason,omitempty"` // why it is not live, or not live as pushed
}

// NotLive returns why the dataplane does not act on the object, "" if it does.
func (s *Status) NotLive() string {
	switch {
	case s.Live:
		return ""
	case s.Reason == "":
		return "not live"
	}
	return s.Reason
}

// statusOf has the status of an object of each kind; nil if there is no such object.
var statusOf = map[model.Kind]func(c *Compiler, key string) *Status{
	model.KindTenant:  (*Compiler).tenantStatus,
	model.KindSegment: (*Compiler).segmentStatus,
	model.KindSubnet:  (*Compiler).subnetStatus,
	model.KindVIF:     (*Compiler).vifStatus,
	model.KindVIP:     (*Compiler).vipStatus,
	model.KindService: (*Compiler).serviceStatus,
	model.KindServer:  (*Compiler).serverStatus,
	model.KindPath:    (*Compiler).pathStatus,
	model.KindVTEP:    (*Compiler).vtepStatus,
	model.KindBinding: (*Compiler).bindingStatus,
}

// Status returns the state of an object in the dataplane: a *Status; nil for an unknown kind or key.
func (c *Compiler) Status(kind model.Kind, key string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of := statusOf[kind]; of != nil {
		if s := of(c, key); s != nil {
			return s
		}
	}
	return nil
}

func (c *Compiler) vifStatus(key string) *Status {
	v, ok := c.vifs[key]
	if !ok {
		return nil
	}
	port := &c.ports[v.at.port]
	up := port.up
	s := &Status{Live: true, Port: port.Name, VLAN: v.at.vid, Up: &up}
	if !up {
		s.Reason = "the port is down"
	}
	if loc, ok := c.cfg.Bindings.FindMAC(v.row.seg, v.row.mac); !ok || loc != fib.LocLocal|v.index {
		s.Live = false
		s.because("a gateway group of this box has this MAC in the segment")
	} else {
		s.because(c.claimReason(v.row))
	}
	return s
}

// because adds a reason.
func (s *Status) because(why string) {
	switch {
	case s.Reason == "":
		s.Reason = why
	case why != "":
		s.Reason += "; " + why
	}
}

// claimReason names the claims of a row that another row owns, "" if the row owns all.
func (c *Compiler) claimReason(k rowKey) string {
	s := Status{Reason: c.lostReason(k)}
	snap := c.snap.Load()
	if int(k.seg) >= len(snap.Segments) || int(snap.Segments[k.seg].Router) >= len(snap.Routers) {
		return s.Reason
	}
	r := &snap.Routers[snap.Segments[k.seg].Router]
	if r.MAC == k.mac {
		s.because("the virtual router has this MAC")
	}
	b, _ := c.cfg.Bindings.Get(k.seg, k.mac)
	for _, a := range addrKeys(nil, k.seg, b.IP4, b.IP6) {
		n4, n6 := fib.FindSubnet4(r.Subnets4, uint32(a.lo)), fib.FindSubnet6(r.Subnets6, [2]uint64{a.hi, a.lo})
		if !a.v6 && n4 != nil && uint64(n4.RouterIP) == a.lo || a.v6 && n6 != nil &&
			n6.RouterIP == [2]uint64{a.hi, a.lo} {
			s.because(a.addr().String() + " belongs to the virtual router")
		}
	}
	return s.Reason
}

func (c *Compiler) bindingStatus(key string) *Status {
	s, held := c.rowStatus(key)
	if held && s.Origin == "" {
		s.Origin = model.OriginPushed
	}
	return s
}

// rowStatus has the status of a row, and whether it is a pushed one that is held back.
func (c *Compiler) rowStatus(key string) (s *Status, isHeld bool) {
	tenant, rest, _ := strings.Cut(key, "/")
	segment, text, _ := strings.Cut(rest, "/")
	mac, err := model.ParseMAC(text)
	i, ok := c.segments[segName{tenant, segment}]
	if err != nil || !ok {
		return nil, false
	}
	k := rowKey{i, uint64(mac)}
	loc, inTable := c.cfg.Bindings.FindMAC(k.seg, k.mac)
	held, isHeld := c.held[k]
	no, yes := false, true
	snap := c.snap.Load()
	switch {
	case inTable && loc >= fib.GroupLoc(0):
		return &Status{Live: true, Local: &yes, Reachable: &yes,
			Reason: "a gateway group of this box has this MAC and wins over the pushed location"}, isHeld
	case inTable && c.isVirtual(k):
		s := &Status{Live: true, Local: &no, Reachable: &yes,
			Reason: "a virtual address has this MAC; the binding says where it is served, unless this box serves it"}
		return s, isHeld
	case inTable && loc&fib.LocLocal != 0:
		v := &snap.VIFs[loc&^fib.LocLocal]
		a := snap.Attachments[v.Attach]
		s := &Status{Live: true, Local: &yes, Reachable: &yes, Port: c.ports[a.Port].Name, VLAN: a.VID}
		if h := c.stranger(k); h != nil {
			g := &snap.Segments[k.seg]
			s.Origin, s.Sequence, s.TenantID, s.SegmentID = model.OriginLearned, h.sequence, g.Tenant, g.ID
			s.because(c.claimReason(k))
		} else if isHeld {
			s.Reason = "a VIF of this box has this MAC and wins over the pushed location"
		}
		return s, isHeld
	case inTable:
		paths := len(snap.Switches[switchOf(loc)].Paths)
		reachable := paths > 0
		s := c.locationStatus(loc)
		s.Live, s.Local, s.Reachable, s.Paths = true, &no, &reachable, &paths
		if !reachable {
			s.Reason = "no live path to the edge switch"
			if fib.IsVTEP(loc) {
				s.Reason = "no live path to the VTEP"
			}
		}
		s.because(c.claimReason(k))
		if x, ok := c.learned.get(k); ok {
			g := &snap.Segments[k.seg]
			s.Origin, s.Sequence, s.TenantID, s.SegmentID = model.OriginFabric, x.sequence, g.Tenant, g.ID
			if fib.IsVTEP(loc) {
				s.Origin = model.OriginVTEP
			}
		} else {
			s.Origin = model.OriginPushed
		}
		return s, isHeld
	case isHeld:
		s := c.locationStatus(held.loc)
		s.Local, s.Reachable = &no, &no
		s.Reason = "the location is this box, which has no VIF with this MAC"
		return s, isHeld
	}
	return nil, false
}

func (c *Compiler) locationStatus(loc fib.Loc) *Status {
	if fib.IsVTEP(loc) {
		return &Status{VTEP: c.vtepName(loc)}
	}
	mac := model.MAC(c.snap.Load().Switches[switchOf(loc)].MAC)
	return &Status{SwitchMAC: &mac, SwitchPort: uint8(loc)}
}

// VIFIndex returns the index of a live VIF (its counters and its entry in fib.Snapshot.VIFs) by its key TENANT/NAME.
func (c *Compiler) VIFIndex(key string) (uint32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.vifs[key]
	return v.index, ok
}
