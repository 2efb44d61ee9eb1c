// Package rest is HTTP/1.1 and JSON without a resource: listeners and the identity of callers, limits on connections,
// bodies, streams and writes, one form of errors, and the dispatch of a table of routes. The control socket (ctrl/api)
// is a table of routes on it.
//
// A listener may be of any kind. Its function Identify identifies callers: on a Unix socket by the credentials that the
// kernel keeps (ListenUnix, UnixPeers), on others by the credentials of the connection.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config of a Server. Zero limits take the default.
type Config struct {
	Name   string  // of the server in errors: "the control socket"
	Routes []Route // one per method and pattern
	// ToError makes the answer of an error of a route that this package does not know; nil or a nil answer = 500.
	ToError func(error) *EnvelopeError
	// Observe is called with the time from each write to its acknowledgement, by the pattern of its path; nil = no
	// calls.
	Observe func(pattern string, took time.Duration)
	Log     *slog.Logger // nil = discard

	MaxBody       int64         // octets of a request whose route has no limit of its own; default 16 MiB
	MaxConns      int           // connections at a time and listener; default 256. An eighth is for privileged callers
	MaxStreams    int           // endless answers (Stream) at a time and listener; default and most: MaxConns/4
	WriteRate     float64       // writes a second, of privileged callers and of all others; default 5,000 each
	WriteBurst    int           // default 10,000
	IdleTimeout   time.Duration // without progress of a body or an answer; default 30 s
	AnswerTimeout time.Duration // for an answer as a whole, streams apart; default 10 min
	HeaderTimeout time.Duration // for the head of a request; default 5 s
}

// maxHeader is the most octets of the head of a request.
const maxHeader = 16 << 10

func (c *Config) defaults() {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.MaxConns, 256)
	def(&c.MaxStreams, max(1, c.MaxConns/4))
	c.MaxStreams = min(c.MaxStreams, max(1, c.MaxConns/4))
	def(&c.WriteBurst, 10_000)
	if c.MaxBody <= 0 {
		c.MaxBody = 16 << 20
	}
	if c.WriteRate <= 0 {
		c.WriteRate = 5000
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 30 * time.Second
	}
	if c.AnswerTimeout <= 0 {
		c.AnswerTimeout = 10 * time.Minute
	}
	if c.HeaderTimeout <= 0 {
		c.HeaderTimeout = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Server answers the routes on its listeners.
type Server struct {
	cfg       Config
	listeners []*listener
	writes    bucket // of callers who are not privileged
	reserve   bucket // of writes of the privileged
	large     *Seats // for bodies that lie in memory as a whole
	cut       counters
	ending    context.Context // done when Shutdown begins: ends streams
	end       context.CancelFunc
}

// maxLarge is how many bodies of more than smallBody octets may be in memory at a time.
const (
	maxLarge  = 4
	smallBody = 1 << 20
)

// listener is one listener with its HTTP server.
type listener struct {
	ln   *Limiter
	http *http.Server
}

// Identify returns the caller of a connection that was just accepted. It must not block on the caller.
type Identify func(net.Conn) *Peer

// New makes a Server without listeners.
func New(c Config) *Server {
	c.defaults()
	s := &Server{cfg: c, writes: bucket{rate: c.WriteRate, burst: float64(c.WriteBurst)},
		reserve: bucket{rate: c.WriteRate, burst: float64(c.WriteBurst)}, large: NewSeats("large requests", maxLarge)}
	s.ending, s.end = context.WithCancel(context.Background())
	return s
}

// Add makes ln one of the server's listeners, with its own share of connections and streams. It is called before Serve;
// Shutdown closes ln.
func (s *Server) Add(ln net.Listener, identify Identify) {
	b := Bounds{Conns: s.cfg.MaxConns, Streams: s.cfg.MaxStreams}
	if b.Conns > 1 {
		b.Reserve = max(1, b.Conns/8)
	}
	b.Share = func(p *Peer) int {
		if p.Write {
			return max(1, (b.Conns-b.Reserve)/2)
		}
		return max(1, (b.Conns-b.Reserve)/4)
	}
	l := &listener{ln: Limit(ln, b, identify)}
	l.http = &http.Server{
		Handler:                      s.handler(),
		ReadHeaderTimeout:            s.cfg.HeaderTimeout,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		ConnState:                    l.ln.State,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			lc := c.(*limitConn)
			return context.WithValue(ctx, connKey{}, &conn{l.ln, lc.peer, lc.reserved})
		},
	}
	s.listeners = append(s.listeners, l)
}

// Counters are the effects of the limits since the start, over all listeners.
type Counters struct {
	Connections int    // open now
	Streams     int    // endless answers now
	Refused     uint64 // connections for which there was no room
	Evicted     uint64 // waiting connections that gave way to new ones
	SlowBodies  uint64 // requests cut off because their body came too slowly
	SlowReaders uint64 // requests cut off because their answer was not read
}

// Counters returns the effects of the limits.
func (s *Server) Counters() Counters {
	c := Counters{SlowBodies: s.cut.slowBodies.Load(), SlowReaders: s.cut.slowReaders.Load()}
	for _, l := range s.listeners {
		l.ln.mu.Lock()
		c.Connections += len(l.ln.conns)
		c.Streams += l.ln.streams
		l.ln.mu.Unlock()
		c.Refused += l.ln.refused.Load()
		c.Evicted += l.ln.evicted.Load()
	}
	return c
}

// Serve answers requests until Shutdown; it then returns nil.
func (s *Server) Serve() error {
	var wg sync.WaitGroup
	errs := make([]error, len(s.listeners))
	for i, l := range s.listeners {
		wg.Go(func() {
			if errs[i] = l.http.Serve(l.ln); errors.Is(errs[i], http.ErrServerClosed) {
				errs[i] = nil
			} else {
				for _, o := range s.listeners {
					o.http.Close()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Shutdown ends streams, waits for requests under way until ctx is done, then breaks them off, and closes the
// listeners.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	var errs []error
	for _, l := range s.listeners {
		if err := l.http.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", s.cfg.Name, err), l.http.Close())
		}
		l.ln.Close() // in case Serve never ran
	}
	return errors.Join(errs...)
}

// Peer is the caller at the other end of a connection, and the caller's permissions.
type Peer struct {
	Name       string // in errors, "user 1000"; callers of one name have one share of the connections
	UID, GID   uint32 // of the calling process, on a Unix socket
	PID        int32
	Read       bool
	Write      bool
	Privileged bool   // may use the reserve of connections, streams and seats
	ReadHint   string // how to get permission to read
	WriteHint  string // how to get permission to write
	Err        error  // why the caller could not be identified; then nothing is allowed
}

// conn is the state of a connection.
type conn struct {
	limiter  *Limiter
	peer     *Peer
	reserved bool
}

type connKey struct{}

func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil {
		c = &conn{peer: &Peer{Err: errors.New("no credentials")}}
	}
	return c
}

// PeerOf returns the caller of a request.
func PeerOf(r *http.Request) *Peer { return connOf(r).peer }
