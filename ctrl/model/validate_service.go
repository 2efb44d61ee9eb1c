package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"penstock/dataplane/maglev"
)

// sorted returns the keys of the objects in scope. Those that were there come first: what a push adds is compared with
// them, and bears the fault.
func sorted[T any](v *validator, kind Kind, m map[string]T, tenant func(*T) string) []string {
	var keys, wrote []string
	for key, x := range m {
		switch {
		case !v.in(tenant(&x)):
		case v.wrote(kind, key):
			wrote = append(wrote, key)
		default:
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	slices.Sort(wrote)
	return append(keys, wrote...)
}

func (v *validator) services() {
	keys := sorted(v, KindService, v.s.Services, func(s *Service) string { return s.Tenant })
	if len(keys) == 0 {
		return
	}
	type id struct {
		tenant string
		id     uint32
	}
	ids := map[id]string{}
	for _, key := range keys {
		s := v.s.Services[key]
		r := v.at(KindService, key)
		v.name(r, "name", s.Name)
		if v.refTenant(r, s.Tenant) {
			v.refVIP(r, &s)
		}
		switch o, taken := ids[id{s.Tenant, s.ID}]; {
		case s.ID == 0:
			r("id", CodeRequired, "choose an ID from 1 to 16777215", "the service has no ID, or the ID 0")
		case s.ID > MaxServiceID:
			r("id", CodeInvalid, "choose an ID from 1 to 16777215", "%d has more than 24 bits", s.ID)
		case taken:
			r("id", CodeDuplicate, "give every service of a tenant its own ID",
				"service ID %d belongs to service %s already",
				s.ID, o).about(KindService, o)
		default:
			ids[id{s.Tenant, s.ID}] = key
		}
		v.servicePorts(r, &s)
		v.scheduling(r, &s)
		v.check(r, &s)
		s.SlowStart.between(r, "slow_start", 0, maxTime)
		s.EffectiveDrainTimeout().between(r, "drain_timeout", 0, maxTime)
		if s.EffectivePanic() > 100 {
			r("panic", CodeInvalid, "choose a percentage from 0 (never) to 100", "%d is no percentage",
				s.EffectivePanic())
		}
		v.oneOf(r, "no_server", s.NoServer, noServerWords)
	}
	v.overlaps(keys)
}

func (v *validator) refVIP(r reporter, s *Service) {
	if s.VIP == "" {
		r("vip", CodeRequired, "name a VIP of the tenant", "the VIP is missing")
	} else if _, ok := v.s.VIPs[s.VIPKey()]; !ok {
		r("vip", CodeNotFound, "create the VIP first, or in the same transaction", "tenant %s has no VIP %q",
			clip(s.Tenant), clip(s.VIP)).about(KindVIP, s.VIPKey())
	}
}

func (v *validator) servicePorts(r reporter, s *Service) {
	v.oneOf(r, "protocol", s.Protocol, protocolWords)
	switch {
	case s.PortEnd != 0 && s.Port == 0:
		r("port_end", CodeConflict, "leave port_end out, or give the first port of the range", "port 0 is all ports")
	case s.PortEnd != 0 && s.PortEnd < s.Port:
		r("port_end", CodeInvalid, fmt.Sprintf("choose a port from %d on", s.Port),
			"the range ends at %d, before its first port %d", s.PortEnd, s.Port)
	}
}

// scheduling checks how the service chooses servers.
func (v *validator) scheduling(r reporter, s *Service) {
	v.oneOf(r, "scheduler", s.Scheduler, schedulerWords)
	v.oneOf(r, "hash", s.Hash, hashWords)
	if s.Hash == "quic" && !s.UDP() {
		r("hash", CodeConflict, "choose tuple or client, or the protocol udp", "QUIC is UDP, and the service is TCP")
	}
	if s.OnePacket && !s.UDP() {
		r("one_packet", CodeConflict, "leave it out, or choose the protocol udp",
			"a TCP connection is more than one packet")
	}
	size := s.EffectiveTableSize()
	switch {
	case size > MaxTableSize:
		r("table_size", CodeInvalid, fmt.Sprintf("choose a prime up to %d", MaxTableSize), "%d is too large", size)
	case !maglev.IsPrime(size):
		r("table_size", CodeInvalid, fmt.Sprintf("the next prime is %d", min(maglev.NextPrime(size), MaxTableSize)),
			"%d is no prime", size)
	}
}

// portSpan are the ports of a service, or of a server.
type portSpan struct {
	first, last uint16
	class       int // 0 one port, 1 a range, 2 all
	key         string
	to          int // the service's port for the port 0 of the server
}

func spanOf(s *Service, key string) portSpan {
	p := portSpan{first: s.Port, last: s.LastPort(), key: key}
	switch {
	case s.Port == 0:
		p.class = 2
	case p.first != p.last:
		p.class = 1
	}
	return p
}

// overlaps reports services of one VIP and protocol with the same port, or with ranges that overlap.
func (v *validator) overlaps(keys []string) {
	type of struct {
		vip string
		udp bool
	}
	spans := map[of][]portSpan{}
	for _, key := range keys {
		s := v.s.Services[key]
		if s.PortEnd != 0 && s.PortEnd < s.Port {
			continue
		}
		k := of{s.VIPKey(), s.UDP()}
		spans[k] = append(spans[k], spanOf(&s, key))
	}
	for _, list := range spans {
		slices.SortFunc(list, func(a, b portSpan) int {
			return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.first, b.first), strings.Compare(a.key, b.key))
		})
		for i := 1; i < len(list); i++ {
			a, b := &list[i-1], &list[i]
			if a.class != b.class || a.last < b.first {
				continue
			}
			if v.wrote(KindService, a.key) && !v.wrote(KindService, b.key) {
				a, b = b, a
			}
			o := v.s.Services[a.key]
			field, what := "port", fmt.Sprintf("port %d", b.first)
			switch b.class {
			case 1:
				field, what = "port_end", fmt.Sprintf("ports %d to %d", b.first, b.last)
			case 2:
				what = "port 0, all ports,"
			}
			v.at(KindService, b.key)(field, CodeOverlap, "choose other ports, another VIP or another protocol",
				"%s of VIP %s: service %s has %s already", what, o.VIP, a.key, portText(&o)).about(KindService, a.key)
			if list[i].last < list[i-1].last {
				list[i].last = list[i-1].last // so that the next is compared with the one that reaches furthest
			}
		}
	}
}

// portText names the ports of a service.
func portText(s *Service) string {
	switch {
	case s.Port == 0:
		return "all ports"
	case s.LastPort() == s.Port:
		return fmt.Sprintf("port %d", s.Port)
	}
	return fmt.Sprintf("ports %d to %d", s.Port, s.LastPort())
}
