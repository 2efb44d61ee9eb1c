// Package api is the control socket: HTTP/1.1 and JSON over a Unix stream socket, with access by peer credentials.
package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"penstock/ctrl/core"
	"penstock/ctrl/event"
)

// Info is what the appliance tells the API about the rest of the box.
type Info interface {
	// Box is the summary of the box: a value that marshals to a JSON object.
	Box() any
	// Stats returns the counters of kind "ports", "workers", "drops" or "paths".
	Stats(kind string) (any, error)
	// Ports lists the ports of the configuration.
	Ports() []PortStatus
	// Reload reads the configuration file again and applies it; the error says what was refused.
	Reload(ctx context.Context) error
	// Ready is nil when rings are filled and tables are live.
	Ready() error
}

// PortStatus is one port of the configuration and what the dataplane does with it.
type PortStatus struct {
	Name   string `json:"name"`
	Role   string `json:"role"`
	Status any    `json:"status,omitempty"`
}

// Config of a Server. Zero limits take the default.
type Config struct {
	Path     string // of the socket
	Owner    int    // uid that may write besides root
	Group    int    // gid whose members may write; -1 = none
	ReadOnly bool   // let every other local user read

	Core   *core.Core
	Events *event.Log
	Info   Info
	Log    *slog.Logger

	MaxBody       int64         // octets of a request; default 16 MiB
	MaxBulk       int64         // octets of a bulk request; default 1 GiB
	MaxConns      int           // connections at a time; default 256
	MaxStreams    int           // event streams at a time; default 64
	WriteRate     float64       // writes a second; default 1,000
	WriteBurst    int           // default 2,000
	IdleTimeout   time.Duration // without progress of a body or an answer; default 30 s
	HeaderTimeout time.Duration // default 5 s
}

// Server is the control socket.
type Server struct{ cfg Config }

// New checks the configuration and opens the socket; Serve answers on it.
func New(c Config) (*Server, error) { return nil, errors.New("api: not built yet") }

// Serve answers requests until Shutdown; it then returns nil.
func (s *Server) Serve() error { return nil }

// Shutdown ends event streams, waits for requests under way until ctx is done, and removes the socket.
func (s *Server) Shutdown(ctx context.Context) error { return nil }
