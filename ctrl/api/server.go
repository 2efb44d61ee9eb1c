// Package api is the control socket: HTTP/1.1 and JSON over a Unix stream socket, with access by peer credentials.
//
// Connecting to a Unix socket takes write permission on its file, so a socket that is not world-writable is not open to
// readers either. If every local user may read, a second socket (Config.ReadOnlyPath) is opened beside the control
// socket: every user may connect to it, it serves reads only, also to root, and it has its own limit of connections.
// Rejected: the control socket itself with mode 0666 and the check of credentials as the only protection.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/core"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
	"penstock/ctrl/status"
)

// Info gives the API access to the rest of the box; the appliance implements it.
type Info interface {
	// Box is the summary of the box: a value that marshals to a JSON object.
	Box() any
	// Stats returns the counters of one of StatsKinds.
	Stats(kind string) (any, error)
	// Flows returns a page of the flows that this box directs. An error that is ErrPosition concerns the query.
	Flows(ctx context.Context, q FlowQuery) (status.FlowPage, error)
	// Ports lists the ports of the configuration.
	Ports() []PortStatus
	// Boxes lists the other boxes of the fabric.
	Boxes() []status.FabricBox
	// Sync pulls the bindings of the box at a place; false if there is none.
	Sync(place string) bool
	// Neighbors lists the ports that speak LLDP, with their neighbours.
	Neighbors() []status.Place
	// LearnedBindings returns up to n bindings that were not pushed, which match a filter and come behind a key, in the
	// order of their keys.
	LearnedBindings(f core.BindingFilter, after model.BindingKey, n int) []model.Binding
	// LearnedBinding returns one of them.
	LearnedBinding(key model.BindingKey) (model.Binding, bool)
	// ReleaseBinding ends the hold of a binding whose VIF moved too often; false if it is not held.
	ReleaseBinding(key model.BindingKey) bool
	// Reload reads the configuration file again and applies it; an error names the refused part.
	Reload(ctx context.Context) error
	// Ready returns nil when rings are filled and tables are live.
	Ready() error
}

// StatsKinds are the kinds of counters, as in /v1/stats/KIND.
var StatsKinds = [...]string{"box", "ports", "workers", "drops", "paths", "vifs", "webhooks", "services", "servers",
	"flows"}

// PortStatus is one port of the configuration and its state in the dataplane.
type PortStatus struct {
	Name   string `json:"name"`
	Role   string `json:"role"`
	Status any    `json:"status,omitempty"`
}

// Config of a Server. Zero limits take the default.
type Config struct {
	Path         string      // of the socket
	Owner        int         // uid that may write besides root, and that owns the socket's file
	Group        int         // gid whose members may write; -1 = none
	Mode         os.FileMode // of the socket's file; default 0660; others never may write
	ReadOnly     bool        // let every other local user read, on ReadOnlyPath
	ReadOnlyPath string      // default: Path with "-ro" before its extension

	Core     *core.Core
	Events   *event.Log
	Alarms   *alarm.Board
	Gateways Gateways
	Info     Info
	// ServiceTable returns the table of a service by its key; ok is false if the service is not live, and why says why
	// it has no table here. nil = there are no tables.
	ServiceTable func(key string) (t status.ServiceTable, why string, ok bool)
	// Backup writes an archive of what the box has stored; nil = it keeps nothing.
	Backup func(ctx context.Context, w io.Writer) error
	Log    *slog.Logger
	// Observe, unless nil, is called after each write with the pattern of its path and the time until acknowledgement.
	Observe func(pattern string, took time.Duration)

	MaxBody       int64         // octets of a request; default 16 MiB
	MaxBulk       int64         // octets of a bulk request; default 1 GiB
	MaxConns      int           // connections at a time and socket; default 256
	MaxStreams    int           // event streams at a time and socket; default and most: a quarter of MaxConns
	WriteRate     float64       // writes a second; default 5,000
	WriteBurst    int           // default 10,000
	IdleTimeout   time.Duration // without progress of a body or an answer; default 30 s
	AnswerTimeout time.Duration // for an answer as a whole, event streams apart; default 10 min
	HeaderTimeout time.Duration // for the head of a request; default 5 s
}

func (c *Config) defaults() {
	if c.Mode == 0 {
		c.Mode = 0o660
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 16 << 20
	}
	if c.MaxBulk <= 0 {
		c.MaxBulk = 1 << 30
	}
	if c.ReadOnlyPath == "" {
		ext := filepath.Ext(c.Path)
		c.ReadOnlyPath = strings.TrimSuffix(c.Path, ext) + "-ro" + ext
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

const (
	maxBulks   = 8                // concurrent bulk pushes: each may stage some 70 MB
	maxExports = 8                // concurrent exports
	maxBackups = 1                // concurrent backups: each has a copy on the box's disk
	bulkTime   = 10 * time.Minute // for the stream of one bulk push
)

// Server is the control socket.
type Server struct {
	cfg     Config
	rest    *rest.Server
	bulks   *rest.Seats
	exports *rest.Seats
	backups *rest.Seats
	keys    atomic.Pointer[keyCache]
}

// New checks the configuration and opens the sockets; Serve answers on them.
func New(c Config) (*Server, error) {
	c.defaults()
	if c.Core == nil || c.Events == nil || c.Alarms == nil || c.Gateways == nil || c.Info == nil {
		return nil, errors.New("api: Core, Events, Alarms, Gateways and Info are needed")
	}
	if c.Mode&0o002 != 0 {
		return nil, fmt.Errorf("the control socket must not be writable for everybody (mode %04o)", c.Mode)
	}
	s := &Server{cfg: c, bulks: rest.NewSeats("bulk pushes", maxBulks), exports: rest.NewSeats("exports", maxExports),
		backups: rest.NewSeats("backups", maxBackups)}
	s.rest = rest.New(rest.Config{
		Name: "the control socket", Routes: s.table(), ToError: toError, Observe: c.Observe, Log: c.Log,
		MaxBody: c.MaxBody, MaxConns: c.MaxConns, MaxStreams: c.MaxStreams,
		WriteRate: c.WriteRate, WriteBurst: c.WriteBurst,
		IdleTimeout: c.IdleTimeout, AnswerTimeout: c.AnswerTimeout, HeaderTimeout: c.HeaderTimeout,
	})
	peers := rest.UnixPeers{Owner: c.Owner, Group: c.Group, ReadersAny: c.ReadOnly}
	ln, err := rest.ListenUnix(c.Path, c.Mode, c.Owner, c.Group)
	if err != nil {
		return nil, err
	}
	s.rest.Add(ln, peers.Identify)
	if c.ReadOnly {
		ro, err := rest.ListenUnix(c.ReadOnlyPath, 0o666, c.Owner, c.Group)
		if err != nil {
			ln.Close()
			return nil, err
		}
		peers.ReadOnly = true
		s.rest.Add(ro, peers.Identify)
	}
	return s, nil
}

// Counters returns how often each limit applied since the start.
func (s *Server) Counters() rest.Counters { return s.rest.Counters() }

// Serve answers requests until Shutdown; it then returns nil.
func (s *Server) Serve() error { return s.rest.Serve() }

// Shutdown ends event streams, waits for requests under way until ctx is done, then breaks them off, and removes the
// sockets.
func (s *Server) Shutdown(ctx context.Context) error { return s.rest.Shutdown(ctx) }

// keyCache keeps the sorted keys of a state, for paging.
type keyCache struct {
	state *model.State
	mu    sync.Mutex
	keys  map[model.Kind][]string
}

// sorted returns the keys of a kind in order.
func (s *Server) sorted(st *model.State, kind model.Kind) []string {
	k := s.keys.Load()
	if k == nil || k.state != st {
		k = &keyCache{state: st, keys: map[model.Kind][]string{}}
		s.keys.Store(k)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if keys, ok := k.keys[kind]; ok {
		return keys
	}
	keys := st.Keys(kind)
	k.keys[kind] = keys
	return keys
}
