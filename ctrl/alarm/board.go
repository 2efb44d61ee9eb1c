package alarm

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"os"
	"slices"
	"sync"
	"time"

	"penstock/ctrl/alarm/spool"
	"penstock/ctrl/event"
	"penstock/ctrl/store/file"
)

// Config of a Board.
type Config struct {
	Path    string     // of the spool's file
	Box     string     // in notices
	Agent   string     // User-Agent of requests
	Spool   int        // notices kept for unreachable receivers; default 10,000
	History int        // cleared alarms kept; default 1,000
	Events  *event.Log // nil = no events
	Log     *slog.Logger
	Now     func() time.Time // nil = time.Now
	NoSync  bool             // tests only: do not fsync

	FlushRetry time.Duration // between attempts to write to a failing disk; default 1 s
	StallAfter time.Duration // after a longer write, changes are published before they are durable; default 2 s
	BeforeSync func()        // tests only: called in every write, to make it hang
}

// Errors of Acknowledge and Get.
var (
	ErrNotFound = errors.New("there is no such alarm")
	ErrCleared  = errors.New("the alarm is cleared already")

	// ErrNotDurable is wrapped when an alarm is acknowledged and the acknowledgement is not on disk yet.
	ErrNotDurable = errors.New("it is not on disk")
)

type key struct {
	kind   Kind
	object string
}

// Totals counts since the start of the process.
type Totals struct {
	Raised  map[Severity]uint64
	Refused uint64 // not raised because the maximum number of alarms was active
}

// Board is the list of alarms.
type Board struct {
	cfg   Config
	spool *spool.Spool

	mu        sync.Mutex
	active    map[key]*Alarm
	cleared   []Alarm // oldest first
	events    []Event // to be published once they are durable
	published uint64  // number of published events; events holds the following ones
	raised    map[Severity]uint64
	refused   uint64
	senders   map[string]*sender

	flushes    sync.Mutex    // one Flush at a time
	publishing sync.Mutex    // events are published in order
	wake       chan struct{} // wakes the writer
	news       chan struct{} // wakes overtake
	stop       context.CancelFunc
	ctx        context.Context // of senders
	tasks      sync.WaitGroup
}

// Open reads the stored alarms. A damaged file is renamed and logged: the box starts without the stored alarms rather
// than not at all.
func Open(c Config) (*Board, error) {
	if c.History <= 0 {
		c.History = 1000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.FlushRetry <= 0 {
		c.FlushRetry = time.Second
	}
	if c.StallAfter <= 0 {
		c.StallAfter = 2 * time.Second
	}
	b := &Board{cfg: c, active: map[key]*Alarm{}, raised: map[Severity]uint64{}, senders: map[string]*sender{},
		wake: make(chan struct{}, 1), news: make(chan struct{}, 1)}
	o := spool.Options{Limit: c.Spool, NoSync: c.NoSync, BeforeSync: c.BeforeSync}
	s, alarms, err := spool.Open(c.Path, o)
	if _, damaged := errors.AsType[*file.CorruptError](err); damaged {
		c.Log.Error("stored alarms and undelivered notices are lost; the damaged file is renamed", "err", err,
			"as", c.Path+".damaged")
		if err := os.Rename(c.Path, c.Path+".damaged"); err != nil {
			return nil, fmt.Errorf("the spool of alarms is damaged, and cannot be renamed: %w", err)
		}
		s, alarms, err = spool.Open(c.Path, o)
	}
	if err != nil {
		return nil, err
	}
	b.spool = s
	for id, text := range alarms {
		a, err := decode(text)
		if err != nil || a.ID != id || a.Severity.Rank() < 0 {
			c.Log.Warn("an alarm of the spool cannot be decoded and is left out", "id", id, "err", err)
			s.Put(id, nil)
			continue
		}
		if a.Cleared != nil {
			b.cleared = append(b.cleared, a)
		} else {
			b.active[key{a.Kind, a.Object}] = &a
		}
	}
	slices.SortFunc(b.cleared,
		func(x, y Alarm) int { return cmp.Or(x.Cleared.Compare(*y.Cleared), cmp.Compare(x.ID, y.ID)) })
	b.trimHistory()
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.tasks.Go(b.write)
	return b, nil
}

// Close ends the senders, writes the pending changes and releases the file. No alarm may be raised afterwards.
func (b *Board) Close() error {
	b.stop()
	b.tasks.Wait()
	return errors.Join(b.Flush(), b.spool.Close())
}

// Raise raises an alarm. If the alarm is active already its count increases, and it gets the new text.
func (b *Board) Raise(r Report) {
	info := r.Kind.Info()
	if r.Severity.Rank() < 0 {
		r.Severity = info.Severity
	}
	r.Object, r.Text = clip(r.Object, maxObject), clip(r.Text, maxText)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now().UTC().Round(0)
	k := key{r.Kind, r.Object}
	a := b.active[k]
	if a == nil {
		if len(b.active) >= maxActive {
			b.refused++
			if b.refused&(b.refused-1) == 0 {
				b.cfg.Log.Error("an alarm is not raised: too many are active", "kind", r.Kind, "object", r.Object,
					"text", r.Text, "active", len(b.active), "refused", b.refused)
			}
			return
		}
		b.begin(k, r.Severity, r.Text, now)
		return
	}
	a.Count++
	a.Last, a.Text = now, r.Text
	switch {
	case a.Severity != r.Severity:
		if a.Severity = r.Severity; a.Severity.Rank() > a.worst.Rank() {
			a.worst = a.Severity
		}
		b.record(ActionSeverity, a)
	case bits.OnesCount64(a.Count) == 1:
		b.record(ActionRepeat, a)
	default:
		b.keep(a)
	}
}

// Update gives an active alarm another text, for a change of the circumstances and not of the fault. The alarm is not
// raised again.
func (b *Board) Update(kind Kind, object, text string) {
	text = clip(text, maxText)
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.active[key{kind, clip(object, maxObject)}]; a != nil && a.Text != text {
		a.Text = text
		b.record(ActionUpdate, a)
	}
}

// begin makes an inactive alarm active, and records that.
func (b *Board) begin(k key, severity Severity, text string, now time.Time) {
	a := &Alarm{ID: b.spool.NextID(), Kind: k.kind, Severity: severity, Object: k.object, Text: text, Count: 1,
		Raised: now, Last: now, worst: severity}
	b.active[k] = a
	b.raised[severity]++
	b.record(ActionRaise, a)
}

// Clear clears an alarm. Clearing an inactive alarm is no error.
func (b *Board) Clear(kind Kind, object string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear(key{kind, clip(object, maxObject)})
}

func (b *Board) clear(k key) {
	a := b.active[k]
	if a == nil {
		return
	}
	now := b.cfg.Now().UTC().Round(0)
	a.Cleared = &now
	delete(b.active, k)
	b.cleared = append(b.cleared, *a)
	b.record(ActionClear, a)
	b.trimHistory()
}

// Retain clears the active alarms of some kinds for whose object keep returns false: their objects were removed by a
// reload, or while the box was down.
func (b *Board) Retain(keep func(object string) bool, kinds ...Kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.sorted() {
		if slices.Contains(kinds, a.Kind) && !keep(a.Object) {
			b.clear(key{a.Kind, a.Object})
		}
	}
}

// Acknowledge acknowledges an alarm, and returns when the acknowledgement is durable. ErrNotDurable means that the
// acknowledgement is in effect and sent, and will be written when the disk takes writes again. The first
// acknowledgement stays. An alarm of a manual kind is cleared by its acknowledgement.
func (b *Board) Acknowledge(id uint64, by, comment string) (Alarm, error) {
	a, err := b.acknowledge(id, Acknowledgement{By: clip(by, maxObject), Comment: clip(comment, maxText)})
	if err != nil {
		return a, err
	}
	if err := b.Flush(); err != nil {
		return a, fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return a, nil
}

func (b *Board) acknowledge(id uint64, ack Acknowledgement) (Alarm, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.active {
		if a.ID != id {
			continue
		}
		if a.Acknowledged == nil {
			ack.Time = b.cfg.Now().UTC().Round(0)
			a.Acknowledged = &ack
			b.record(ActionAcknowledge, a)
		}
		if a.Kind.Info().Manual {
			b.clear(key{a.Kind, a.Object})
		}
		return *a, nil
	}
	a, err := b.get(id)
	if err == nil {
		err = ErrCleared
	}
	return a, err
}

// Get returns an alarm, active or not.
func (b *Board) Get(id uint64) (Alarm, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.get(id)
}

func (b *Board) get(id uint64) (Alarm, error) {
	for _, a := range b.active {
		if a.ID == id {
			return *a, nil
		}
	}
	for i := range b.cleared {
		if b.cleared[i].ID == id {
			return b.cleared[i], nil
		}
	}
	return Alarm{}, ErrNotFound
}

// Active returns the active alarms, the most urgent first, the newest first within a severity.
func (b *Board) Active() []Alarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sorted()
}

func (b *Board) sorted() []Alarm {
	out := make([]Alarm, 0, len(b.active))
	for _, a := range b.active {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(x, y Alarm) int {
		return cmp.Or(cmp.Compare(y.Severity.Rank(), x.Severity.Rank()), cmp.Compare(y.ID, x.ID))
	})
	return out
}

// Cleared returns the last cleared alarms, the newest first, at most limit.
func (b *Board) Cleared(limit int) []Alarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.Clone(b.cleared[max(0, len(b.cleared)-limit):])
	slices.Reverse(out)
	return out
}

// Totals returns the counters.
func (b *Board) Totals() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := Totals{Raised: map[Severity]uint64{}, Refused: b.refused}
	for _, s := range Severities {
		t.Raised[s] = b.raised[s]
	}
	return t
}

// record logs a change of an alarm, and queues the change for the disk, the event stream and the receivers.
func (b *Board) record(action Action, a *Alarm) {
	level := slog.LevelInfo
	if action == ActionRaise || action == ActionSeverity {
		level = slog.LevelWarn
		if a.Severity.Rank() >= Major.Rank() {
			level = slog.LevelError
		}
	}
	b.cfg.Log.Log(context.Background(), level, "alarm", "action", action, "id", a.ID, "kind", a.Kind, "severity",
		a.Severity, "object", a.Object, "text", a.Text, "count", a.Count)
	ev := Event{action, *a}
	b.events = append(b.events, ev)
	if action != ActionRepeat {
		b.notice(ev)
	}
	b.keep(a)
}

// notice puts an event into the spool for the receivers, by the highest severity that the alarm has had: a receiver of
// the first notice gets the following ones too. An alarm is raised for a receiver that loses an older notice for it.
func (b *Board) notice(ev Event) {
	at := b.cfg.Now()
	lost := b.spool.Append(at, uint8(ev.Alarm.worst.Rank()), func(seq uint64) []byte {
		return encode(Notice{Box: b.cfg.Box, ID: rand.Text(), Sequence: seq, Time: at.UTC().Round(0),
			Action: ev.Action, Alarm: ev.Alarm})
	})
	for _, name := range lost {
		b.lost(name,
			fmt.Sprintf(
				"The spool is full (alarm.spool): the oldest notices for webhook %s give way to newer ones and will "+
					"never be delivered. Bring the receiver back; penstock show webhooks counts what is lost.", name))
	}
}

// lost raises the alarm of a receiver that will never get some notices: one alarm for any number of them, since each
// alarm takes room in the spool.
func (b *Board) lost(receiver, text string) {
	k := key{WebhookLost, receiverObject(receiver)}
	if b.active[k] != nil || len(b.active) >= maxActive {
		return
	}
	b.begin(k, WebhookLost.Info().Severity, clip(text, maxText), b.cfg.Now().UTC().Round(0))
}

// keep queues an alarm for storage.
func (b *Board) keep(a *Alarm) {
	b.spool.Put(a.ID, encode(stored{*a, a.worst}))
	b.nudge()
}

// stored is the form of an alarm in the spool.
type stored struct {
	Alarm
	Worst Severity `json:"worst"`
}

func decode(text []byte) (Alarm, error) {
	var s stored
	err := json.Unmarshal(text, &s)
	if s.worst = s.Worst; s.worst.Rank() < s.Severity.Rank() {
		s.worst = s.Severity
	}
	return s.Alarm, err
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // strings, numbers and times of this century only
		panic(err)
	}
	return text
}

func (b *Board) trimHistory() {
	n := max(0, len(b.cleared)-b.cfg.History)
	for i := range n {
		b.spool.Put(b.cleared[i].ID, nil)
	}
	b.cleared = slices.Delete(b.cleared, 0, n)
}
