// Package vtep learns which stations are behind VTEPs from what the packet path tells of their frames, and forgets
// those that are silent (PROTOCOL.md#learning-from-vteps).
//
// A station is a learned row of the bindings table, below everything that is pushed or of this box. One that another
// box has told is asked for there before the VTEP gets it.
package vtep

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// Table is the bindings of this box; compile.Compiler implements it.
type Table interface {
	LearnRows(rows []compile.FabricRow) []compile.Verdict
	ForgetRow(key compile.FabricKey, at compile.Place, sequence uint64) bool
	Learned(key compile.FabricKey) (compile.FabricRow, bool)
	// VTEPs are how long stations behind them are remembered; 0 = none is learned.
	VTEPs() map[compile.Place]VTEP
}

// VTEP is what the learner needs of a VTEP.
type VTEP = compile.VTEPInfo

// Owners asks other boxes for what they have told; resolve.Service implements it.
type Owners interface {
	// AskOwner asks the box that owns a VIF, once a second at most.
	AskOwner(key compile.FabricKey)
	// Answered is when the owner of a VIF that was asked for has answered last: nanoseconds, 0 = it has not.
	Answered(key compile.FabricKey) int64
}

// Alarms is where alarms are raised.
type Alarms interface {
	Raise(r alarm.Report)
	Clear(kind alarm.Kind, object string)
	Retain(keep func(object string) bool, kinds ...alarm.Kind)
}

// Config of a Learner. All fields are necessary, but Owners.
type Config struct {
	Table  Table
	Owners Owners // nil = no box tells anything
	Alarms Alarms
	Now    func() int64 // nanoseconds since 1970
	// Changed is called when stations were learned, have moved or are forgotten. It must not block.
	Changed func()
}

const (
	second = int64(time.Second)

	// maxStations is how many stations of one tenant are learned: one that makes up MACs takes nothing from others.
	maxStations = 65_536
	// maxAsked is how many stations may wait for the answer of another box.
	maxAsked = 4096
	// askedFor is how long the box that owns a station has to answer, in nanoseconds.
	askedFor = second
	// maxAddresses is the most addresses of a station.
	maxAddresses = 16
	// maxLoops is how many loops are alarms at a time; a loop is over after loopQuiet nanoseconds without a frame.
	maxLoops  = 64
	loopQuiet = 60 * second
)

// Counters counts what became of the events.
type Counters struct {
	Learned, Moved, Aged uint64
	Static               uint64 // of stations whose binding was pushed, or that are VIFs here
	Full                 uint64 // not learned, for want of room
	Asked, Taken         uint64 // stations that another box has told: asked for there, and taken since it was silent
	Loops                uint64 // frames with the MAC of a VIF of this box, at most one a second for each
}

// Learner learns stations. Its methods may be called from any goroutine.
type Learner struct {
	cfg Config

	mu       sync.Mutex
	stations map[compile.FabricKey]*station
	tenants  map[uint32]int // stations of each
	asked    map[compile.FabricKey]int64
	loops    map[string]int64 // objects of alarms, and when the last frame came
	counters Counters
}

// station is a station that was learned.
type station struct {
	at   compile.Place
	seen int64
}

// New returns a Learner that knows nothing. It clears the alarms of the last run.
func New(c Config) *Learner {
	c.Alarms.Retain(func(string) bool { return false }, alarm.VXLANLoop)
	return &Learner{cfg: c, stations: map[compile.FabricKey]*station{}, tenants: map[uint32]int{},
		asked: map[compile.FabricKey]int64{}, loops: map[string]int64{}}
}

// Counters returns the counts.
func (l *Learner) Counters() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counters
}

// Event takes what the packet path tells of a VTEP's frames; it ignores other events.
func (l *Learner) Event(e *resolve.Event) {
	key := compile.FabricKey{Tenant: e.Tenant, Segment: e.Segment, MAC: model.MAC(e.MAC)}
	at := compile.Place{Switch: model.MAC(e.Switch)}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case resolve.LoopVTEP:
		l.loop(key, at)
	case resolve.LearnVTEP:
		l.learn(key, at, netip.Addr{})
	case resolve.LearnVTEP4:
		l.learn(key, at, netip.AddrFrom4([4]byte(e.IP[:4])))
	case resolve.LearnVTEP6:
		l.learn(key, at, netip.AddrFrom16(e.IP))
	}
}

// learn notes that a station has sent a frame from a VTEP, and perhaps that it has an address.
func (l *Learner) learn(key compile.FabricKey, at compile.Place, address netip.Addr) {
	now := l.cfg.Now()
	row, known := l.cfg.Table.Learned(key)
	// What another box has told that stands between boxes and VTEPs is behind a VTEP, too: no box needs to be asked.
	if known && !row.At.IsVTEP() && !row.VTEP && !l.mayTake(&row, now) {
		return
	}
	if known && row.At == at {
		s := l.stations[key]
		if s == nil {
			s = l.add(key)
		}
		s.at, s.seen = at, now
		if !address.IsValid() || slices.Contains(row.Addresses, address) || len(row.Addresses) >= maxAddresses {
			return
		}
	} else if l.stations[key] == nil && l.tenants[key.Tenant] >= maxStations {
		l.counters.Full++
		return
	}
	next := compile.FabricRow{FabricKey: key, At: at, Sequence: uint64(now), VTEP: true}
	if known {
		next.Sequence = max(uint64(now), row.Sequence+1)
		if row.At.IsVTEP() {
			next.Addresses = row.Addresses
		} else {
			l.cfg.Table.ForgetRow(key, row.At, row.Sequence) // it may have been configured there
			l.counters.Taken++
		}
	}
	if address.IsValid() && !slices.Contains(next.Addresses, address) {
		next.Addresses = append(next.Addresses, address)
	}
	switch v := l.cfg.Table.LearnRows([]compile.FabricRow{next})[0]; v {
	case compile.Local:
		l.loop(key, at)
	case compile.Pushed, compile.Contradicts, compile.Virtual:
		l.counters.Static++
	case compile.Full, compile.Unknown:
		l.counters.Full++
	case compile.Taken, compile.Crowded, compile.Moved, compile.Same:
		if known && row.At != at {
			l.counters.Moved++
		} else if !known {
			l.counters.Learned++
		}
		s := l.stations[key]
		if s == nil {
			s = l.add(key)
		}
		s.at, s.seen = at, now
		l.cfg.Changed()
	}
}

func (l *Learner) add(key compile.FabricKey) *station {
	s := &station{}
	l.stations[key] = s
	l.tenants[key.Tenant]++
	return s
}

func (l *Learner) remove(key compile.FabricKey) {
	delete(l.stations, key)
	if l.tenants[key.Tenant]--; l.tenants[key.Tenant] == 0 {
		delete(l.tenants, key.Tenant)
	}
}

// mayTake reports whether a station that another box has told may be learned: the box was asked, and has been silent.
// The frames themselves are dropped until then, and the packet path tells of them once a second.
func (l *Learner) mayTake(row *compile.FabricRow, now int64) bool {
	if l.cfg.Owners == nil {
		return true
	}
	since, was := l.asked[row.FabricKey]
	answered := l.cfg.Owners.Answered(row.FabricKey)
	switch {
	case was && answered < since && now-since >= askedFor:
		delete(l.asked, row.FabricKey)
		return true
	case was && answered < since:
		return false
	case !was && len(l.asked) >= maxAsked:
		return false
	}
	l.asked[row.FabricKey] = now
	l.counters.Asked++
	l.cfg.Owners.AskOwner(row.FabricKey)
	return false
}

// loop raises the alarm of a VTEP that sends the frames of a VIF of this box.
func (l *Learner) loop(key compile.FabricKey, at compile.Place) {
	l.counters.Loops++
	object := fmt.Sprintf("vif %d/%d %s", key.Tenant, key.Segment, key.MAC)
	if _, there := l.loops[object]; !there && len(l.loops) >= maxLoops {
		return
	}
	l.loops[object] = l.cfg.Now()
	l.cfg.Alarms.Raise(alarm.Report{Kind: alarm.VXLANLoop, Object: object, Text: fmt.Sprintf("Frames of VIF %s of "+
		"tenant ID %d, segment ID %d, which is on this box, come back from VTEP %s. They are dropped. Look for a loop "+
		"behind the VTEP, or a second station with this MAC.", key.MAC, key.Tenant, key.Segment,
		l.cfg.Table.VTEPs()[at].Name)})
}

// Tick forgets stations that are silent, and loops that are over. Call it once a second.
func (l *Learner) Tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	vteps := l.cfg.Table.VTEPs()
	for key, s := range l.stations {
		v, there := vteps[s.at]
		if there && now-s.seen < int64(v.Learning) {
			continue
		}
		// Its row may be another box's by now, which ForgetRow leaves.
		if row, known := l.cfg.Table.Learned(key); known && l.cfg.Table.ForgetRow(key, s.at, row.Sequence) {
			l.counters.Aged++
			l.cfg.Changed()
		}
		l.remove(key)
	}
	for key, since := range l.asked {
		if now-since > 10*second {
			delete(l.asked, key)
		}
	}
	for object, last := range l.loops {
		if now-last >= loopQuiet {
			delete(l.loops, object)
			l.cfg.Alarms.Clear(alarm.VXLANLoop, object)
		}
	}
}
