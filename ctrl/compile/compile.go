// Package compile turns the desired state (names) into the tables of the dataplane (dense indices).
//
// # How a change becomes live
//
// Plan compares the next state with the present one, kind by kind (an unchanged kind is recognised by its map being the
// same map), and collects everything that will be different in a plan: edits of the compiler's own maps, the next
// fib.Snapshot, of which only the slices that change are copied, and the changes of the bindings as a table.Delta.
// Nothing of that touches the compiler or the dataplane; a plan that is not applied is garbage. Apply publishes the
// snapshot with its delta, waits until every worker uses it, folds the delta into the big table, publishes a snapshot
// without delta, and only then commits the edits. If something else was applied in between (a link went down), Apply
// compiles the plan again on what is there now.
//
// # Indices
//
// An index stays the same while its object exists. A freed index is handed out again only by a later change than the
// one that freed it: by then every worker has left the snapshots that knew its former owner, and the rows that pointed
// to it have been folded away. Freed indices are reused in the order in which they were freed.
//
// # Bindings
//
// Who owns a row and an address is decided by rank and age, see claims.go. A pushed binding whose row a gateway group
// or a VIF of this box has, and one that names one of this box's own locations, with no VIF here, are held back: they
// are remembered here (there are few) and take effect when what stands in their way goes. All other pushed rows live
// only in the dataplane's table. It has room for as many rows as are needed: the capacity counts what is pushed,
// whether it is in the table or not, and what was accepted once is loaded even if the capacity has become smaller. Who
// gets a segment's broadcasts is counted per (segment, location), in 8 octets each.
//
// A location stands for a box: two locations of one box in one segment are two boxes to the flood list.
package compile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"penstock/ctrl/announce"
	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/dataplane/fib"
	"penstock/dataplane/stats"
	"penstock/dataplane/table"
)

// Port is the configuration of one port. Roles and names are fixed while the box runs.
type Port struct {
	Name              string
	Role              fib.Role
	SwitchMAC         model.MAC // fabric: of the edge switch; 0 = by SetPlace
	SwitchPort        uint8     // fabric: number on the edge switch, 0 = by SetPlace; downlink: its own number
	VLANs             []uint16  // trunk: the VLAN IDs it carries
	CompleteChecksums bool      // access
	ClampMSS          bool      // access
	Encap             fib.Form  // fabric
	// Fabric with VXLAN:
	VTEPAddress   netip.Prefix // of the port, with its network; a network of one address = not known
	Gateway       netip.Addr   // to VTEPs in other networks; zero = none
	ZeroChecksum6 bool         // accept UDP checksums of 0 over IPv6
}

// Config is what the compiler needs besides the state.
type Config struct {
	Scheme      model.Scheme // "" = model.DefaultScheme
	Ports       []Port       // in dense port index order
	EdgeMAC     model.MAC    // of the box as edge switch
	Groups      []Group      // gateway groups
	ControlVLAN uint16       // edge: the VLAN that also holds every downlink; 0 = none
	Bindings    *table.Bindings
	Capacity    int // bindings that may be pushed; 0 = as many as Bindings holds. This box's own rows come on top.

	UDPPort     uint16 // destination port of encapsulated frames of fib.FormUDP, in the whole fabric
	MessageVLAN uint16 // the VLAN of the boxes' broadcasts of binding messages; 0 = none

	FloodRate, FloodBurst uint32 // see fib.Snapshot
	ICMPRate, ICMPBurst   uint32

	Box        string   // the box's name: it serves the virtual addresses that name it as director
	BalanceKey [16]byte // of the hash that chooses servers

	// Prepare makes the dataplane's counters ready for the indices that the next snapshot uses, see dataplane.Engine.
	// nil = there are none.
	Prepare func(stats.Indices)
	// Moved is called with the addresses of segments with VIFs of this box whose MAC has changed, once the change is
	// live; nil = no calls. It must not block.
	Moved func([]announce.Move)

	// Now and After are the clock: After calls f once, d from now, unless what it returns is called before. nil = the
	// real one.
	Now   func() time.Time
	After func(d time.Duration, f func()) (stop func())

	// LearnPause is the least time between two publications of what learned rows change beside the table, such as the
	// segments' flood lists; it is four times as long as the last publication has taken, if that is more. The rows
	// themselves are visible at once. SettleLearned publishes what is left. 0 = each call publishes.
	LearnPause time.Duration

	// Publish stores the snapshot and returns when every worker uses it or a later one.
	Publish func(*fib.Snapshot)
}

// portState is a port's configuration with the state of its interface.
type portState struct {
	Port
	at  Place // fabric: by configuration, or by SetPlace; a port without a place has no paths
	up  bool
	mtu uint16
	mac uint64
}

// Compiler holds the names and indices of everything that is live. It is safe for concurrent use by the control
// plane: one mutex, held while a change is published.
type Compiler struct {
	snap atomic.Pointer[fib.Snapshot] // the one last published

	mu      sync.Mutex
	cfg     Config
	version uint64 // counts every change; a plan made on another version is compiled again
	failed  error  // see Err

	state    *model.State
	ports    []portState
	boxMACs  [256]uint64 // edge: resolved next hop by downlink number
	tenants  map[string]tenantRef
	segments map[segName]uint32
	segs     []segInfo // by segment index
	vifs     map[string]vifRef
	attach   map[attachKey]attachRef
	switches map[uint64]uint32 // MAC → index
	swRows   []uint32          // by switch index: pushed rows (in the table or held back) that name it
	paths    topology
	stats    map[statKey]uint32
	groups   map[string]groupRef
	stations map[string][]rowKey // by tenant
	self     []fib.Loc           // this box's own locations
	departed departed

	// Who claims what, see claims.go.
	stationRows map[rowKey]station
	vifRows     map[rowKey]vifRow // of VIFs of this box
	held        map[rowKey]pushed
	contested   map[addrKey][]claim
	lost        map[rowKey][]addrKey
	pushed      int // pushed rows, in the table or held back
	learned     learned
	heard       heardVIFs
	ages        func([]model.BindingKey) ([]uint64, error)
	retired     []func() error // memory of the table that workers may still read; see makeRoom
	readers     sync.RWMutex   // held by Read; release waits for it

	vteps     map[string]vtepRef
	vtepStats map[vtepPath]uint32
	nextHops  map[NextHop]uint64 // MACs
	yielded   map[uint32]bool    // segments that other boxes connect with VTEPs
	vtepIDs   ids
	vtepRows  map[rowKey]struct{} // rows of the table that lead to VTEPs

	routerIDs, segIDs, vifIDs, attachIDs, switchIDs, statIDs, groupIDs, memberIDs ids

	balancer balancer
	names    nameCache // of the balancer's objects, for readers
	bulk     bulkState
}

type tenantRef struct {
	router uint32
	id     uint32
}

// segName is the name of a segment, as bindings give it.
type segName struct{ tenant, segment string }

// segInfo is what the compiler keeps of a segment, by index.
type segInfo struct {
	name   segName
	vifs   int      // of this box
	pushed uint32   // pushed rows, in the table or held back
	refs   []uint64 // location<<32 | rows of the table with it; sorted
	dirty  bool     // the locations in refs differ from the published flood list
}

// New returns a compiler of an empty state and publishes its snapshot. All ports are down until SetLink
// sets another state.
func New(c Config) *Compiler {
	if c.Scheme == "" {
		c.Scheme = model.DefaultScheme
	}
	if c.Capacity == 0 {
		c.Capacity = c.Bindings.Capacity()
	}
	c.Ports, c.Groups = slices.Clone(c.Ports), cloneGroups(c.Groups)
	k := &Compiler{
		cfg:      c,
		state:    &model.State{},
		tenants:  map[string]tenantRef{},
		segments: map[segName]uint32{},
		vifs:     map[string]vifRef{},
		attach:   map[attachKey]attachRef{},
		switches: map[uint64]uint32{},
		stats:    map[statKey]uint32{},
		vteps:    map[string]vtepRef{}, vtepStats: map[vtepPath]uint32{}, vtepRows: map[rowKey]struct{}{},
		stations: map[string][]rowKey{},

		stationRows: map[rowKey]station{},
		vifRows:     map[rowKey]vifRow{},
		held:        map[rowKey]pushed{},
		contested:   map[addrKey][]claim{},
		lost:        map[rowKey][]addrKey{},
		balancer:    newBalancer(),
	}
	k.groupIDs.next = 1 // 0 means "none" in the dataplane
	k.snap.Store(&fib.Snapshot{Bindings: c.Bindings})
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.newPlan()
	p.ports = make([]portState, len(c.Ports))
	for i, port := range c.Ports {
		p.ports[i] = portState{Port: port, at: port.place()}
	}
	p.reconfigured, p.portsChanged, p.linksChanged = true, true, true
	k.force(p)
	return k
}

// Snapshot returns the snapshot that was published last.
func (c *Compiler) Snapshot() *fib.Snapshot { return c.snap.Load() }

// Read calls fn with the snapshot that was published last. Lookups in its bindings are safe until fn returns: the
// compiler does not release memory that they read. fn must be short and must not change the tables. Goroutines that
// are no workers look up bindings in Read only.
func (c *Compiler) Read(fn func(s *fib.Snapshot)) {
	c.readers.RLock()
	defer c.readers.RUnlock()
	fn(c.snap.Load())
}

// Err returns the last failure to bring the big table into line with a published transaction (joined over time), nil
// in a healthy box. It cannot happen while only this compiler writes the table and there is no BulkPut between
// Plan and Apply.
func (c *Compiler) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// Plan compiles next and ch. Nothing is live yet, and the plan may be dropped. The maps of next must not be changed
// afterwards; the maps of unchanged kinds should be the same as in the state before, which saves the comparison. The
// error wraps one of this package's errors and names the object.
func (c *Compiler) Plan(next *model.State, ch model.BindingChanges) (core.Plan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newPlan()
	state := *next // the maps are kept, the caller's State is not
	p.next, p.ch, p.quick = &state, ch, true
	if err := p.compile(); err != nil {
		return nil, err
	}
	return p, nil
}

// Apply makes a plan live and returns when every worker uses it. If something else was applied since the plan was made,
// the change is compiled again; an error means that it does not go with what is live now, and that nothing was done.
func (c *Compiler) Apply(made core.Plan) error {
	p := made.(*plan)
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.version != c.version {
		again := c.newPlan()
		again.next, again.ch, again.quick = p.next, p.ch, true
		if err := c.force(again); err != nil {
			return err
		}
	} else {
		c.apply(p)
	}
	c.publishPending()
	return nil
}

// force compiles and applies a plan that must not fail. If the plan fails, nothing is changed, and Err returns the
// error from then on.
func (c *Compiler) force(p *plan) error {
	p.forced = true
	if err := p.compile(); err != nil {
		err = fmt.Errorf("compile a change again on a newer state: %w", err)
		c.failed = errors.Join(c.failed, err)
		return err
	}
	c.apply(p)
	return nil
}

func (c *Compiler) apply(p *plan) {
	moves := c.watch(p)
	if p.changed() {
		s := p.snap
		p.prepare()
		c.publish(s)
		if s.Delta != nil {
			if err := s.Delta.Fold(c.cfg.Bindings); err != nil {
				c.failed = errors.Join(c.failed, fmt.Errorf("fold a transaction into the bindings: %w", err))
			}
			after := *s
			after.Delta = nil
			c.publish(&after)
		}
	}
	p.commit()
	c.version++
	c.report(moves)
}

// publish gives s the next generation and hands it to the workers.
func (c *Compiler) publish(s *fib.Snapshot) {
	s.Generation = c.snap.Load().Generation + 1
	if c.cfg.Publish != nil {
		c.cfg.Publish(s)
	}
	c.snap.Store(s)
	c.release()
}
