package compile

import (
	"maps"
	"slices"

	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
)

// plan is one change: edits of the compiler's maps, the next snapshot, the changes of the bindings. Its fields are
// grouped by what they are for; within a group each belongs to the step that is named with it, and later steps read it.
type plan struct {
	c       *Compiler
	version uint64 // of the compiler when the plan was made
	forced  bool   // too late to fail: capacity is not checked

	request
	names
	tables
	tenantStep
	gatewayStep
	attachStep
	switchStep
	rowStep
	balanceStep
	vtepStep
}

// request is what is to change.
type request struct {
	next *model.State
	ch   model.BindingChanges
	cfg  Config

	ports        []portState
	boxMACs      *[256]uint64 // nil = unchanged
	reconfigured bool         // anything in cfg
	portsChanged bool         // configuration, or place, of any port
	replaced     bool         // a port has another place than before: rows that lead there are held back
	linksChanged bool         // state of any link
	pathsChanged bool         // verdicts of the probes, or what is probed
}

// names are the edits of the compiler's own maps, committed by Apply.
type names struct {
	tenants  edit[string, tenantRef]
	segments edit[segName, uint32]
	segs     map[uint32]*segInfo
	vifs     edit[string, vifRef]
	attach   edit[attachKey, attachRef]
	switches edit[uint64, uint32]
	swRows   map[uint32]int // change of the row count by switch index
	stats    edit[statKey, uint32]
	groups   map[string]groupRef
	stations edit[string, []rowKey]
	self     []fib.Loc
	paths    topology

	routerIDs, segIDs, vifIDs, attachIDs, switchIDs, statIDs, groupIDs, memberIDs idEdit
}

// tables are the next snapshot, slice by slice.
type tables struct {
	snap            *fib.Snapshot
	snapPorts       cow[fib.Port]
	snapAttachments cow[fib.Attachment]
	snapVIFs        cow[fib.VIF]
	snapSegments    cow[fib.Segment]
	snapRouters     cow[fib.Router]
	snapSwitches    cow[fib.Switch]
	snapGroups      cow[fib.Group]
	tenantKeys      bool // Tenants must be rebuilt
	segmentKeys     bool // SegmentByID
	vifKeys         bool // VIFByMAC, VRRP
}

// tenantStep is what diffTenants, diffSegments and diffSubnets leave for later steps.
type tenantStep struct {
	goneTenants bool
	goneSegs    []uint32
	renumbered  map[uint32]uint32 // new ID of tenants whose ID changed, by router index
	regate      map[string]bool   // tenants whose way to the outside may have changed
}

// gatewayStep is what gateways leaves for fillPorts.
type gatewayStep struct {
	uplinks [][]fib.UplinkMember // by port, nil = unchanged
}

// attachStep is what diffVIFs leaves for releaseAttachments, fillPorts and fillSegments.
type attachStep struct {
	relocal map[uint32]bool // segments whose attachments changed
	reports map[uint16]bool // ports whose attachments changed
}

// switchStep is what findPaths and the rows leave for fillPaths and releaseSwitches.
type switchStep struct {
	newPaths bool
	idle     map[uint32]bool // switches that may be unused now
}

// rowStep is who claims a row of the bindings, edited by diffVIFs, gateways and resolveBindings, and what decideRows
// makes of the claims.
type rowStep struct {
	stationRows edit[rowKey, station] // groups that are stations
	vifRows     edit[rowKey, vifRow]  // of VIFs of this box
	held        edit[rowKey, pushed]  // pushed rows that are not in the table
	pushes      map[rowKey]*pushed    // pushed rows of this change, nil = deleted
	touched     []rowKey              // keys to be decided, in order
	seen        map[rowKey]bool       // likewise
	outdated    map[uint32]bool       // segments whose learned rows go: their IDs changed
	unheard     map[rowKey]bool       // stations that were heard and are no VIFs any more
	freed       bool                  // a row of this box, or a pushed one, goes
	forgotten   map[rowKey]uint64     // learned rows that go, or are pushed rows from now on, with their sums

	dispute
	deletes []table.Binding
	newRows int // upserts of rows that are not in the table
	pushed  int // change of the number of pushed rows
}

// newPlan returns a plan that changes nothing.
func (c *Compiler) newPlan() *plan {
	s := *c.snap.Load()
	return &plan{
		c: c, version: c.version,
		request: request{next: c.state, cfg: c.cfg, ports: c.ports},
		names: names{
			self: c.self, paths: c.paths, groups: c.groups,
			tenants:   edit[string, tenantRef]{base: c.tenants},
			segments:  edit[segName, uint32]{base: c.segments},
			segs:      map[uint32]*segInfo{},
			vifs:      edit[string, vifRef]{base: c.vifs},
			attach:    edit[attachKey, attachRef]{base: c.attach},
			switches:  edit[uint64, uint32]{base: c.switches},
			swRows:    map[uint32]int{},
			stats:     edit[statKey, uint32]{base: c.stats},
			stations:  edit[string, []rowKey]{base: c.stations},
			routerIDs: idEdit{of: &c.routerIDs},
			segIDs:    idEdit{of: &c.segIDs},
			vifIDs:    idEdit{of: &c.vifIDs},
			attachIDs: idEdit{of: &c.attachIDs},
			switchIDs: idEdit{of: &c.switchIDs},
			statIDs:   idEdit{of: &c.statIDs},
			groupIDs:  idEdit{of: &c.groupIDs},
			memberIDs: idEdit{of: &c.memberIDs},
		},
		tables: tables{
			snap:            &s,
			snapPorts:       cow[fib.Port]{s: s.Ports},
			snapAttachments: cow[fib.Attachment]{s: s.Attachments},
			snapVIFs:        cow[fib.VIF]{s: s.VIFs},
			snapSegments:    cow[fib.Segment]{s: s.Segments},
			snapRouters:     cow[fib.Router]{s: s.Routers},
			snapSwitches:    cow[fib.Switch]{s: s.Switches},
			snapGroups:      cow[fib.Group]{s: s.Groups},
		},
		tenantStep: tenantStep{renumbered: map[uint32]uint32{}, regate: map[string]bool{}},
		attachStep: attachStep{relocal: map[uint32]bool{}, reports: map[uint16]bool{}},
		switchStep: switchStep{idle: map[uint32]bool{}},
		rowStep: rowStep{
			stationRows: edit[rowKey, station]{base: c.stationRows},
			vifRows:     edit[rowKey, vifRow]{base: c.vifRows},
			held:        edit[rowKey, pushed]{base: c.held},
			pushes:      map[rowKey]*pushed{},
			seen:        map[rowKey]bool{},
			outdated:    map[uint32]bool{},
			unheard:     map[rowKey]bool{},
			forgotten:   map[rowKey]uint64{},
			dispute:     newDispute(c, c.agesOf),
		},
		balanceStep: c.newBalanceStep(&s),
		vtepStep:    newVTEPStep(c),
	}
}

// compile runs the steps in the order in which they build on one another.
func (p *plan) compile() error {
	p.dispute.virtual = func(k rowKey) bool { _, ok := p.vipRows.get(k); return ok }
	p.dispute.told = func(k rowKey) (told, fixed bool) {
		if _, gone := p.forgotten[k]; gone {
			return false, false
		}
		return p.c.toldRow(k)
	}
	p.dispute.heard = func(k rowKey, a addrKey) bool { return !p.unheard[k] && p.c.heardAddress(k, a) }
	p.diffTenants()
	steps := []func() error{
		p.diffSegments, p.diffSubnets, p.diffVIFs, p.strangers, p.gateways, p.diffVTEPs, p.resolveBindings,
		p.selfLocations, p.vips, p.decideRows, p.balance, p.checkGone, p.checkGoneVTEPs,
		p.findPaths, p.checkCapacity,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	p.releaseAttachments()
	p.releaseSwitches()
	p.fillPorts()
	p.fillPaths()
	p.fillSegments()
	p.fillVTEPs()
	p.fillEdge()
	p.finish()
	return nil
}

// finish puts the pieces into the snapshot.
func (p *plan) finish() {
	s := p.snap
	s.Ports, s.Attachments, s.VIFs = p.snapPorts.s, p.snapAttachments.s, p.snapVIFs.s
	s.Segments, s.Routers, s.Switches = p.snapSegments.s, p.snapRouters.s, p.snapSwitches.s
	s.Groups = p.snapGroups.s
	s.FloodRate, s.FloodBurst = p.cfg.FloodRate, p.cfg.FloodBurst
	s.ControlVID = p.cfg.MessageVLAN
	s.ICMPRate, s.ICMPBurst = p.cfg.ICMPRate, p.cfg.ICMPBurst
	s.Limits = s.Limits.Room(len(s.VIFs), len(s.Attachments), len(s.Routers))
	if p.tenantKeys {
		s.Tenants = static(s.Routers, func(r *fib.Router) (uint64, bool) { return uint64(r.Tenant), r.Tenant != 0 })
	}
	if p.segmentKeys {
		s.SegmentByID = static(s.Segments, func(g *fib.Segment) (uint64, bool) {
			return fib.SegmentKey(g.Tenant, g.ID), g.Tenant != 0
		})
	}
	if p.vifKeys {
		s.VRRP = static(s.VIFs, func(v *fib.VIF) (uint64, bool) {
			return uint64(v.Attach), v.Attach != fib.None && v.Allow&fib.AllowVRRP != 0
		})
		s.VIFByMAC = static(s.VIFs, func(v *fib.VIF) (uint64, bool) {
			return fib.VIFKey(v.Attach, v.MAC),
				v.Attach != fib.None && v.MAC != 0
		})
	}
	if p.delta != nil {
		s.Delta = p.delta
	}
}

// prepare makes counters and limits ready for the plan's snapshot: whose index was another's begins at zero, with full
// buckets. No worker uses a snapshot any more in which the index has its former owner.
func (p *plan) prepare() {
	p.snap.Limits.Reset(p.vifIDs.reused(), p.attachIDs.reused(), p.routerIDs.reused())
	if p.cfg.Prepare != nil {
		p.cfg.Prepare(stats.Indices{VIFs: p.vifIDs.used(), Paths: p.statIDs.used(), Members: p.memberIDs.used(),
			Services: p.serviceIDs.used(), Servers: p.serverIDs.used()})
	}
}

// static indexes the used entries of a table by key.
func static[T any](entries []T, key func(*T) (uint64, bool)) *table.Static {
	keys, values := make([]uint64, 0, len(entries)), make([]uint32, 0, len(entries))
	for i := range entries {
		if k, used := key(&entries[i]); used {
			keys, values = append(keys, k), append(values, uint32(i))
		}
	}
	return table.NewStatic(keys, values)
}

// changed reports whether the dataplane has anything to learn.
func (p *plan) changed() bool {
	return p.reconfigured || p.tunnels || p.yieldMoved || p.linksChanged || p.pathsChanged ||
		p.boxMACs != nil || p.snap.Delta != nil ||
		p.snapPorts.owned || p.snapAttachments.owned || p.snapVIFs.owned || p.snapSegments.owned ||
		p.snapRouters.owned || p.snapSwitches.owned || p.snapGroups.owned || p.balanceChanged()
}

// commit makes the plan's edits the compiler's state; the dataplane already uses them.
func (p *plan) commit() {
	c := p.c
	c.state, c.cfg, c.ports, c.self, c.paths, c.groups = p.next, p.cfg, p.ports, p.self, p.paths, p.groups
	if p.boxMACs != nil {
		c.boxMACs = *p.boxMACs
	}
	p.tenants.commit()
	p.segments.commit()
	p.vifs.commit()
	p.attach.commit()
	p.switches.commit()
	p.stats.commit()
	p.stations.commit()
	p.stationRows.commit()
	p.vifRows.commit()
	p.held.commit()
	p.dispute.commit()
	p.commitBalance()
	p.commitVTEPs()
	c.pushed += p.pushed
	if p.freed {
		c.learned.freed++
	}
	for k, sum := range p.forgotten {
		c.displace(k, sum)
	}
	for k := range p.unheard {
		c.heard.remove(k)
	}
	for _, i := range slices.Sorted(maps.Keys(p.segs)) {
		for int(i) >= len(c.segs) {
			c.segs = append(c.segs, segInfo{})
		}
		c.segs[i] = *p.segs[i]
	}
	for len(c.swRows) < len(p.snapSwitches.s) {
		c.swRows = append(c.swRows, 0)
	}
	for i, d := range p.swRows {
		c.swRows[i] += uint32(d)
	}
	for _, e := range []*idEdit{&p.routerIDs, &p.segIDs, &p.vifIDs, &p.attachIDs, &p.switchIDs, &p.statIDs,
		&p.groupIDs, &p.memberIDs} {
		e.commit()
	}
}

// seg returns the segment's record for writing.
func (p *plan) seg(i uint32) *segInfo {
	s := p.segs[i]
	if s == nil {
		s = &segInfo{}
		if int(i) < len(p.c.segs) {
			*s = p.c.segs[i]
			s.refs = slices.Clone(s.refs)
		}
		p.segs[i] = s
	}
	return s
}
