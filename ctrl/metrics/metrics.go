// Package metrics serves the metrics of a running box to Prometheus: /metrics, /healthz and /readyz on a listener of
// its own, apart from the control socket.
//
// Only the latency of pushes is counted here: every scrape reads the Source, which sums the counters that the workers
// publish. The number of series is bounded by the configuration: per port and worker a fixed number, per drop reason
// one per port once a frame was counted, per path six, per active alarm one, per virtual service and server a fixed
// number, of 10,000 servers at most. README.md documents every metric; a test
// holds it to the code, and the dashboard and the alert rules to the metrics.
package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"penstock/ctrl/rest"
	"penstock/ctrl/status"
)

// Stats holds the values of one scrape.
type Stats struct {
	Box        status.Box
	Ports      []status.Port
	Workers    []status.Worker
	Paths      []status.Path
	Gateways   Gateways
	Balance    Balance
	Bindings   Bindings
	VTEPs      VTEPs
	LLDP       []LLDP
	Alarms     Alarms
	Control    rest.Counters
	Objects    map[string]int // pushed objects by kind, as in URLs: "tenants", "vifs" …
	Generation uint64         // of the snapshot that the workers use
	Events     uint64         // sequence number of the last event
}

// Source is the box. Its methods are called concurrently.
type Source interface {
	Stats() Stats
	// Healthy is nil as long as the workers turn and nothing has failed that needs a restart.
	Healthy() error
	// Ready is nil when rings are filled and tables are live.
	Ready() error
}

// Operations whose latency is observed; any other counts as OpOther, so that the label stays bounded.
const (
	OpTransaction = "transaction"
	OpBulk        = "bulk"
	OpOther       = "other"
)

// Server answers scrapes.
type Server struct {
	ln   net.Listener
	http *http.Server
	push *prometheus.HistogramVec
}

// Listen opens the listener, so that an address in use is an error before the box reports ready. Serve answers on it.
func Listen(addr string, src Source) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for scrapes on %s: %w", addr, err)
	}
	s := newServer(src)
	l := rest.Limit(ln, rest.Bounds{Conns: maxConns, Share: share}, identify)
	s.ln, s.http.ConnState = l, l.State
	return s, nil
}

// maxConns is the most connections at a time; one remote address has half of them, the machine itself all.
const maxConns = 32

func share(p *rest.Peer) int {
	if a, err := netip.ParseAddr(p.Name); err == nil && a.Unmap().IsLoopback() {
		return maxConns
	}
	return maxConns / 2
}

// identify identifies a caller by its address.
func identify(c net.Conn) *rest.Peer {
	p := &rest.Peer{Name: c.RemoteAddr().String()}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		p.Name = a.IP.String()
	}
	return p
}

// gathered runs h to its end before it writes to the caller: a caller that does not read occupies none of the
// concurrent scrapes.
func gathered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(a, r)
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.status)
		_, _ = w.Write(a.text.Bytes()) // a caller that has disconnected needs no answer
	})
}

// answer is an answer in memory.
type answer struct {
	header http.Header
	status int
	text   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(p []byte) (int, error) { return a.text.Write(p) }
func (a *answer) WriteHeader(status int)      { a.status = status }

func newServer(src Source) *Server {
	s := &Server{push: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "penstock_push_duration_seconds",
		Help:    "Time from a write on the control socket to its acknowledgement: durable and live.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"operation"})}
	for _, op := range []string{OpTransaction, OpBulk, OpOther} {
		s.push.WithLabelValues(op)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(src), s.push, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", gathered(promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	})))
	mux.HandleFunc("GET /healthz", check(src.Healthy))
	mux.HandleFunc("GET /readyz", check(src.Ready))
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return s
}

// check answers 200 and "ok", or 503 and the fault.
func check(f func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := f(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve answers until Shutdown; it then returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer scrapes on %s: %w", s.ln.Addr(), err)
	}
	return nil
}

// Shutdown closes the listener and waits for scrapes under way until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	// http.Server knows its listener only after Serve.
	if cerr := s.ln.Close(); err == nil && cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = cerr
	}
	return err
}

// ObservePush counts one write on the control socket that took d. A nil Server counts nothing: a box without a
// metrics listener.
func (s *Server) ObservePush(operation string, d time.Duration) {
	if s == nil {
		return
	}
	if operation != OpTransaction && operation != OpBulk {
		operation = OpOther
	}
	s.push.WithLabelValues(operation).Observe(d.Seconds())
}
