package alarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"penstock/ctrl/alarm/spool"
)

// Receiver is a webhook to which notices are sent. Delivery state is kept per name, so the URL may change.
type Receiver struct {
	Name         string
	URL          string
	Severity     Severity      // lowest severity sent; "" = all
	Timeout      time.Duration // of one request, from resolving the name to the end of the answer; default 5 s
	RetryMax     time.Duration // longest wait between two attempts; default 1 min
	FailingAfter time.Duration // time without success until an alarm is raised; default 30 s
	TokenFile    string        // holds a bearer token; "" = none
	SecretFile   string        // holds the key of the signature; "" = none
	CAFile       string        // certificates in PEM that are trusted instead of the system's; "" = the system's
}

func (r *Receiver) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&r.Timeout, 5*time.Second)
	def(&r.RetryMax, time.Minute)
	def(&r.FailingAfter, 30*time.Second)
	if r.Severity.Rank() < 0 {
		r.Severity = Severities[0]
	}
}

// location returns scheme and host of the URL: paths and queries may hold tokens.
func (r *Receiver) location() string {
	if u, err := url.Parse(r.URL); err == nil {
		return u.Scheme + "://" + u.Host
	}
	return r.Name
}

func receiverObject(name string) string { return "webhook " + name }

// ReceiverStatus is the state of delivery to a receiver.
type ReceiverStatus struct {
	Name      string     `json:"name"`
	Place     string     `json:"place"` // scheme and host of its URL
	State     string     `json:"state"` // "idle", "sending", "retrying"
	Severity  Severity   `json:"severity"`
	Waiting   int        `json:"waiting"` // notices
	Oldest    *time.Time `json:"oldest,omitempty"`
	Delivered uint64     `json:"delivered"`
	Dropped   uint64     `json:"dropped"`
	Attempts  uint64     `json:"attempts"` // since the start of the process
	Failures  uint64     `json:"failures"` // of them
	LastError string     `json:"last_error,omitempty"`
	Since     *time.Time `json:"failing_since,omitempty"`
	NextTry   *time.Time `json:"next_attempt,omitempty"`
}

// sender sends notices to one receiver.
type sender struct {
	b    *Board
	r    Receiver
	post poster
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	attempts uint64
	failures uint64
	since    time.Time // of the first failure since the last success
	next     time.Time // of the next attempt, while the sender waits for that time
	last     error
	sending  bool
}

// SetReceivers sets the receivers. A receiver with unchanged settings is not interrupted. A changed receiver keeps its
// waiting notices. The waiting notices of a removed receiver are discarded.
func (b *Board) SetReceivers(list []Receiver) {
	next := map[string]*sender{}
	var order []spool.Receiver
	b.mu.Lock()
	old := b.senders
	b.mu.Unlock()
	for _, r := range list {
		r.defaults()
		order = append(order, spool.Receiver{Name: r.Name, Rank: uint8(r.Severity.Rank())})
		if s := old[r.Name]; s != nil && s.r == r {
			next[r.Name] = s
			continue
		}
		next[r.Name] = &sender{b: b, r: r, post: poster{r: r, agent: b.cfg.Agent}, wake: make(chan struct{}, 1),
			done: make(chan struct{})}
	}
	for name, s := range old {
		if next[name] != s {
			s.stop()
			<-s.done
		}
	}
	b.mu.Lock()
	b.spool.SetReceivers(order)
	b.senders = next
	for name, s := range next {
		if old[name] != s {
			var ctx context.Context
			ctx, s.stop = context.WithCancel(b.ctx)
			b.tasks.Go(func() { s.run(ctx) })
		}
	}
	b.mu.Unlock()
	b.Retain(func(object string) bool { return next[strings.TrimPrefix(object, receiverObject(""))] != nil },
		WebhookFailing, WebhookLost)
	b.nudge()
}

// Receivers returns the state of delivery to each receiver, in the order of the names.
func (b *Board) Receivers() []ReceiverStatus {
	b.mu.Lock()
	senders := make([]*sender, 0, len(b.senders))
	for _, s := range b.senders {
		senders = append(senders, s)
	}
	b.mu.Unlock()
	slices.SortFunc(senders, func(x, y *sender) int { return strings.Compare(x.r.Name, y.r.Name) })
	out := make([]ReceiverStatus, len(senders))
	for i, s := range senders {
		out[i] = s.status()
	}
	return out
}

func (s *sender) status() ReceiverStatus {
	p := s.b.spool.Progress(s.r.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	st := ReceiverStatus{
		Name: s.r.Name, Place: s.r.location(), Severity: s.r.Severity, State: "idle", Waiting: p.Waiting,
		Delivered: p.Delivered, Dropped: p.Dropped,
		Attempts: s.attempts, Failures: s.failures, Oldest: moment(p.Oldest),
		Since: moment(s.since), NextTry: moment(s.next),
	}
	if s.last != nil {
		st.LastError = s.last.Error()
	}
	switch {
	case !s.since.IsZero():
		st.State = "retrying"
	case s.sending:
		st.State = "sending"
	}
	return st
}

// moment is a time for JSON, nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (b *Board) wakeSenders() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.senders {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// nudge wakes the writer.
func (b *Board) nudge() {
	for _, c := range []chan struct{}{b.wake, b.news} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// The wait after a first failure. It doubles with every further one, up to RetryMax; half of it is random, so that
// boxes that lost the same receiver do not retry at the same time.
const retryMin = 500 * time.Millisecond

func (s *sender) run(ctx context.Context) {
	defer close(s.done)
	defer s.post.close()
	wait := retryMin
	for ctx.Err() == nil {
		// The first notice is read again before every attempt: it may have been discarded for newer ones meanwhile.
		n, ok, err := s.b.spool.Next(s.r.Name)
		if err != nil {
			s.b.cfg.Log.Error("a notice cannot be read and is skipped", "webhook", s.r.Name, "err", err)
			s.b.spool.Skip(s.r.Name, n.Seq)
			s.b.unreadable(s.r.Name, err)
			continue
		}
		if !ok {
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
			continue
		}
		s.begin()
		err = s.post.send(ctx, n.Data)
		if ctx.Err() != nil && err != nil {
			return
		}
		if err == nil {
			wait = retryMin
			s.succeeded(n.Seq)
			continue
		}
		pause := wait/2 + rand.N(wait/2)
		var se *statusError
		if errors.As(err, &se) && se.retryAfter > pause {
			pause = se.retryAfter
		}
		pause = min(pause, s.r.RetryMax)
		wait = min(2*wait, s.r.RetryMax)
		s.failed(err, pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// unreadable says that a notice is lost because the spool was damaged while the box ran.
func (b *Board) unreadable(receiver string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost(receiver,
		fmt.Sprintf(
			"Notices that waited for webhook %s cannot be read and will never be delivered: %v. Check the disk; "+
				"penstock show webhooks counts what is lost.", receiver, err))
}

func (s *sender) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	s.sending = true
	s.next = time.Time{}
}

func (s *sender) succeeded(seq uint64) {
	s.b.spool.Done(s.r.Name, seq)
	s.b.nudge()
	s.mu.Lock()
	failed := s.since
	s.sending, s.last, s.since = false, nil, time.Time{}
	s.mu.Unlock()
	if !failed.IsZero() {
		s.b.cfg.Log.Info("the webhook accepts notices again", "webhook", s.r.Name, "failed_since", failed)
	}
	s.b.Clear(WebhookFailing, receiverObject(s.r.Name))
}

func (s *sender) failed(err error, pause time.Duration) {
	now := s.b.cfg.Now()
	s.mu.Lock()
	s.failures++
	first := s.since.IsZero()
	if first {
		s.since = now
	}
	s.sending, s.last, s.next = false, err, now.Add(pause)
	since, attempts := s.since, s.failures
	s.mu.Unlock()
	if first {
		s.b.cfg.Log.Warn("the webhook did not accept a notice; the box tries again", "webhook", s.r.Name, "err", err)
	}
	if now.Sub(since) < s.r.FailingAfter || s.b.IsActive(WebhookFailing, receiverObject(s.r.Name)) {
		return
	}
	s.b.Raise(Report{Kind: WebhookFailing, Object: receiverObject(s.r.Name), Text: fmt.Sprintf(
		"Webhook %s (%s) has taken no notice since %s; attempt %d failed: %v. Notices wait on disk. Check that the "+
			"receiver runs, and its url, token_file and ca_file.",
		s.r.Name, s.r.location(), since.UTC().Format(time.RFC3339), attempts, err)})
}

// IsActive reports whether the alarm of this kind and object is active.
func (b *Board) IsActive(kind Kind, object string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.active[key{kind, object}] != nil
}
