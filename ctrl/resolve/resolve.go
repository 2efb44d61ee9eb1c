// Package resolve is the protocol by which boxes tell each other where VIFs are (PROTOCOL.md#binding-messages): it
// announces the VIFs of this box, learns those of others, asks for what is missing, and compares what it knows with the
// owners.
//
//	resolve.go   the service, its configuration and its counters
//	wire.go      messages in and out: bodies, tags, packing
//	own.go       the VIFs of this box and their claims
//	station.go   those of them that are learned behind attachments
//	hear.go      HERE, NOT-HERE and WHERE of others
//	miss.go      what the packet path misses
//	boxes.go     HELLO: the other boxes, and what they own
//	pull.go      PULL and PAGE, at both ends
//	flap.go      VIFs that move too often
//	gateway.go   other boxes between boxes and VTEPs
//	faults.go    alarms
//	claims.go    the claims of the last run
//
// One goroutine (Run) has the timers; messages and events come from another. All state is under one mutex. Nothing here
// waits: what is sent is queued or dropped, and the file of claims is written outside of the mutex.
package resolve

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/compile"
	"penstock/ctrl/model"
	"penstock/dataplane/resolve"
)

// Table is the bindings of this box; compile.Compiler implements it.
type Table interface {
	OwnVIFs() []compile.FabricRow
	OwnVIF(key compile.FabricKey) (compile.FabricRow, bool)
	LearnVIFs(list []compile.Heard, now int64) ([]compile.HeardVerdict, []compile.FabricKey)
	AgeVIFs(since int64) []compile.FabricKey
	GiveWay(r *compile.FabricRow) compile.Verdict
	SettleLearned()
	AttachmentName(port, vid uint16) string
	LearnRows(rows []compile.FabricRow) []compile.Verdict
	ForgetRow(key compile.FabricKey, at compile.Place, sequence uint64) bool
	Learned(key compile.FabricKey) (compile.FabricRow, bool)
	SweepBegin() uint32
	SweepEnd(at compile.Place, begin uint32) int
	Digests() (map[compile.Place]compile.Digest, uint64)
	LearnedVersion() uint64
	// Between, TellsVTEP and Yield: see compile.Compiler.
	Between(segment compile.FabricKey) bool
	TellsVTEP(segment compile.FabricKey, at compile.Place) bool
	Yield(segments []compile.FabricKey)
}

// Wire sends messages; false if nothing could be sent.
type Wire interface {
	Broadcast(payload []byte) bool
	Unicast(to compile.Place, payload []byte) bool
	// Paths are the VLANs in which this box's edge switch reaches others; Chirp broadcasts in one of them.
	Paths() []uint16
	Chirp(vlan uint16, payload []byte) bool
}

// Alarms is where alarms are raised.
type Alarms interface {
	Raise(r alarm.Report)
	Clear(kind alarm.Kind, object string)
}

// Config of a Service. All fields are necessary.
type Config struct {
	Table  Table
	Wire   Wire
	Keys   func() []resolve.Key
	Alarms Alarms
	Log    *slog.Logger
	Now    func() int64 // nanoseconds since 1970
	File   string       // of the claims
	// Directors takes a message with claims of virtual addresses.
	Directors func(payload []byte)
	// Heard takes boxes that are heard for the first time or again, and those that have become silent. It must not
	// block, nor call the service.
	Heard func(Box)
	// SyncRate is how many bindings a second this box pulls; 0 = 200,000.
	SyncRate int
}

// Self is where this box is.
type Self struct {
	At    compile.Place // zero = not known, or not confirmed: nothing is said
	MAC   model.MAC     // of the box
	Since time.Time     // that it is there
}

// The intervals, in nanoseconds.
const (
	millisecond = int64(time.Millisecond)
	second      = int64(time.Second)

	tick         = 20 * millisecond
	helloEvery   = 10 * second
	chirpEvery   = 60 * second
	silentLate   = 3*helloEvery + helloEvery*3/4 // three HELLOs and their scatter
	compareEvery = 500 * millisecond

	syncDefault = 200_000
)

// Service is the protocol of one box. Its methods may be called from any goroutine.
type Service struct {
	cfg Config

	mu       sync.Mutex
	self     Self
	counters Counters

	own   map[compile.FabricKey]*ownVIF
	order []compile.FabricKey // of own, sorted
	// byAddress has own by address; the MAC of a target is 0.
	byAddress map[target][]compile.FabricKey
	claims    map[compile.FabricKey]claim
	changed   bool                // the claims are not in the file yet
	queue     []compile.FabricKey // HEREs to be broadcast
	gone      []body              // NOT-HEREs to be broadcast
	lost      bool                // another box has this place, and had it before

	hereRate, answerRate, whereRate bucket
	syncRate                        bucket
	heard                           int // HEREs in this second
	heardAt                         int64

	targets map[target]*asked
	owners  map[compile.FabricKey]*ownership // those that were asked whether they still are
	nots    map[not]int64
	flaps   map[target]*flap

	stations []compile.Heard               // of the events that are read
	aged     int64                         // when the stations were looked through
	rivals   map[compile.FabricKey]gateway // of segments: boxes that stand between boxes and VTEPs, too
	yields   int                           // of rivals, those that this box gives way to

	boxes      map[compile.Place]*box
	nextHello  int64
	nextChirp  int64
	chirps     []uint16 // path VLANs that are left of this time
	solicits   int      // HELLOs of the start that are left
	answerAt   int64    // when a solicited HELLO is due, 0 = none
	digests    map[compile.Place]compile.Digest
	digestOf   uint64 // the version of the table that digests are of
	nextLook   int64
	nextSilent int64 // when to look for boxes that are silent
	pulls      map[compile.Place]*pull
	serving    map[compile.Place]int64 // pullers, until when
	pullID     uint64
	faults     map[fault]int64 // raised, and when last seen
	rows       []compile.FabricRow
	randomness *rand.Rand
}

// Counters counts messages and what became of them.
type Counters struct {
	Heres, Wheres, NotHeres, Hellos, Pulls, Pages uint64 // received
	Sent, NotSent                                 uint64 // messages
	Malformed, Forged, Replayed, Stranger, Other  uint64 // refused; Other: bodies of other opcodes
	Verdicts                                      [compile.Verdicts]uint64
	PullsDone, PullsFailed, Swept                 uint64
	Held                                          uint64 // HEREs of VIFs that are held
	Stations                                      [compile.HeardVerdicts]uint64
}

// New returns a service with the claims of the last run.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, own: map[compile.FabricKey]*ownVIF{}, targets: map[target]*asked{},
		rivals: map[compile.FabricKey]gateway{},
		owners: map[compile.FabricKey]*ownership{}, nots: map[not]int64{},
		boxes: map[compile.Place]*box{}, pulls: map[compile.Place]*pull{}, serving: map[compile.Place]int64{},
		faults: map[fault]int64{},
		flaps:  map[target]*flap{}, randomness: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	claims, err := loadClaims(cfg.File)
	if err != nil {
		cfg.Log.Warn("the claims of the last run are not known: all VIFs are claimed anew", "err", err)
	}
	s.claims = claims
	s.solicits = 3
	s.hereRate, s.answerRate, s.whereRate = newBucket(hereMost), newBucket(5000), newBucket(1000)
	s.syncRate = newBucket(int64(cmp.Or(cfg.SyncRate, syncDefault)))
	return s
}

// bucket is a token bucket.
type bucket struct {
	rate  int64 // per second
	have  int64 // in tokens × second
	since int64
}

func newBucket(rate int64) bucket { return bucket{rate: rate, have: rate * second / 10} }

// fill adds what has come since the last time. A tenth of a second's worth may be saved.
func (b *bucket) fill(now int64) {
	if b.since != 0 && now > b.since {
		b.have = min(b.have+min(now-b.since, second)*b.rate, b.rate*second/10)
	}
	b.since = now
}

// spend takes n tokens, even if there are not enough: take(0) fails until the rest has come.
func (b *bucket) spend(n int64, now int64) {
	b.fill(now)
	b.have -= n * second
}

// take takes n tokens; false if there are not enough.
func (b *bucket) take(n int64, now int64) bool {
	b.fill(now)
	if b.have < n*second {
		return false
	}
	b.have -= n * second
	return true
}

// SetSelf says where this box is.
func (s *Service) SetSelf(self Self) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if self == s.self {
		return
	}
	moved := self.At != s.self.At
	s.self = self
	if moved {
		s.lost = false
		s.clearPlace()
		s.yield()
		s.refresh()
		s.nextHello = s.cfg.Now()
		s.nextChirp, s.chirps = s.nextHello, nil
		if self.At.Known() {
			s.solicits = max(s.solicits, 1)
		}
	}
}

// speaks reports whether this box says where its VIFs are.
func (s *Service) speaks() bool { return s.self.At.Known() && !s.lost }

// Refresh compares the VIFs of this box with what was announced: call it when tables have changed.
func (s *Service) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
}

// Counters returns the counts.
func (s *Service) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

// Tick does what is due.
func (s *Service) Tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.cfg.Table.SettleLearned()
	s.announce(now)
	s.hello(now)
	s.chirp(now)
	s.look(now)
	s.pullOn(now)
	s.expire(now)
}

// expire forgets what is over.
func (s *Service) expire(now int64) {
	for k, a := range s.targets {
		if now-a.last > 60*second {
			delete(s.targets, k)
		}
	}
	for k, o := range s.owners {
		if now-o.asked > 60*second {
			delete(s.owners, k)
		}
	}
	for k, at := range s.nots {
		if now-at > second {
			delete(s.nots, k)
		}
	}
	for at, until := range s.serving {
		if now > until {
			delete(s.serving, at)
		}
	}
	s.expireFlaps(now)
	s.age(now)
	s.silence(now)
	s.expireGateways(now)
	s.clearFaults(now)
}

type body = resolve.Body
