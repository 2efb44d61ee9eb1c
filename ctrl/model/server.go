package model

import (
	"encoding/hex"
	"net/netip"
	"strings"
)

// Server is a real server of a service: a VIF, wherever it is, or a station behind a port.
type Server struct {
	Tenant  string     `json:"tenant"`
	Service string     `json:"service"`
	Name    string     `json:"name"`
	VIF     string     `json:"vif,omitempty"`     // name of a VIF of the tenant
	Address netip.Addr `json:"address,omitzero"`  // of either family: it only finds the server
	Port    uint16     `json:"port,omitempty"`    // for the service's first port; 0 = the ports stay
	Weight  *uint16    `json:"weight,omitempty"`  // default 1; 0 = draining
	State   string     `json:"state,omitempty"`   // StateEnabled (default), StateDraining, StateDisabled
	Backup  bool       `json:"backup,omitempty"`  // used only in panic
	QUICID  string     `json:"quic_id,omitempty"` // hexadecimal
	Via     string     `json:"via,omitempty"`     // a port: the server is a station there, and no VIF
}

// The values of Server.State.
const (
	StateEnabled  = "enabled"
	StateDraining = "draining"
	StateDisabled = "disabled"
)

var serverStateWords = []string{StateEnabled, StateDraining, StateDisabled}

// MaxQUICID is the length of the longest QUICID in octets.
const MaxQUICID = 16

// EffectiveWeight returns the server's weight; 0 = draining.
func (s *Server) EffectiveWeight() uint16 {
	if s.Weight == nil {
		return 1
	}
	return *s.Weight
}

// EffectiveState returns the server's state: StateDraining also for the weight 0.
func (s *Server) EffectiveState() string {
	switch {
	case s.State == StateDisabled:
		return StateDisabled
	case s.State == StateDraining, s.EffectiveWeight() == 0:
		return StateDraining
	}
	return StateEnabled
}

// Ports returns the ports of the server that stand for those of its service.
func (s *Server) Ports(of *Service) (first, last uint16) {
	first, last = of.Port, of.LastPort()
	if s.Port != 0 && of.Port != 0 {
		return s.Port, s.Port + (last - first)
	}
	return first, last
}

// QUICOctets returns the octets of QUICID; nil if it is no valid one.
func (s *Server) QUICOctets() []byte {
	b, err := hex.DecodeString(s.QUICID)
	if err != nil || len(b) == 0 || len(b) > MaxQUICID {
		return nil
	}
	return b
}

// ServiceKey returns the key of the server's service.
func (s *Server) ServiceKey() string { return s.Tenant + "/" + s.Service }

// Kind implements Object.
func (Server) Kind() Kind { return KindServer }

// Key implements Object.
func (s Server) Key() string { return s.Tenant + "/" + s.Service + "/" + s.Name }

// serviceOf returns the key of the service in the key of a server.
func serviceOf(key string) string { return key[:strings.LastIndexByte(key, '/')] }

var serverKind = Info{
	Kind: KindServer, One: "server", Doc: "A real server of a service: a VIF of this box or another, or a station " +
		"behind a port.",
	Key:     []KeyPart{{Name: "tenant"}, {Name: "service"}, {Name: "name"}},
	Example: Server{Tenant: "RED", Service: "http", Name: "web1", VIF: "vm1"},
	Members: []Member{
		{Name: "vif", Doc: "A VIF of the tenant, by name: on the box that the VIF hangs from it is found by that. " +
			"Other boxes know no names of VIFs: give the address, if the same tables go to all boxes."},
		{Name: "address", Doc: "An address of the server, of either family: it only finds the server, by its VIF or " +
			"binding."},
		{Name: "port", Doc: "The server's port for the (first) port of the service; absent: the port stays."},
		{Name: "weight", Max: 65_535, Doc: "Default 1; 0 = draining."},
		{Name: "state", Words: serverStateWords,
			Doc: "Default enabled. draining: no new flows; those of UDP end after 30 s, those of TCP after the " +
				"service's drain_timeout. disabled: no packets."},
		{Name: "backup", Doc: "Used only when too few others are healthy, see panic of the service."},
		{Name: "quic_id", Doc: "The server's ID in QUIC connection IDs, in hexadecimal; of equal length and unique " +
			"in a service."},
		{Name: "via", Doc: "A port of the director, behind which the server is a station that is no VIF, with the " +
			"address given."},
	},
	Filters: []Filter{
		byTenant(func(s Server) string { return s.Tenant }),
		byMember("service", "Only of this service.", func(s Server) string { return s.Service }),
	},
	Short:    "Real servers, their health and their weight",
	ShowArgs: []string{"red/http", "red/http --rate 1s"},
	Columns: []Column{
		{Head: "SERVER", Member: "key"}, {Head: "VIF", Member: "vif"}, {Head: "ADDRESS", Member: "address"},
		{Head: "PORT", Member: "port", Default: "the service's"}, {Head: "WEIGHT", Member: "weight", Default: "1"},
		{Head: "STATE", Member: "status.state"}, {Head: "MAC", Member: "status.mac"},
	},
	Max:      always(MaxServers),
	Refs:     func(o Object) []Ref { s := o.(Server); return []Ref{{KindService, s.ServiceKey()}} },
	validate: (*validator).servers,
	objects:  mapOf[Server](func(s *State) *map[string]Server { return &s.Servers }),
}
