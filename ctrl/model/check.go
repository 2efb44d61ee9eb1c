package model

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check is the health check of a service's servers.
type Check struct {
	Type     string   `json:"type,omitempty"`    // default: see Service.EffectiveCheck
	Interval Duration `json:"interval,omitzero"` // default 2 s
	Timeout  Duration `json:"timeout,omitzero"`  // default 1 s, at most Interval
	Fall     *uint16  `json:"fall,omitempty"`    // default 3
	Rise     *uint16  `json:"rise,omitempty"`    // default 2
	Path     string   `json:"path,omitempty"`    // http, https: default "/"
	Host     string   `json:"host,omitempty"`    // http, https: default the VIP
	Status   string   `json:"status,omitempty"`  // http, https: default "200-399"; see ParseStatus
	Body     string   `json:"body,omitempty"`    // http, https: a text that the body contains
	Send     string   `json:"send,omitempty"`    // tcp, udp: see Octets
	Expect   string   `json:"expect,omitempty"`  // tcp, udp: see Octets
	Verify   bool     `json:"verify,omitempty"`  // https: the certificate must be valid
}

// The values of Check.Type.
const (
	CheckTCP   = "tcp"
	CheckHTTP  = "http"
	CheckHTTPS = "https"
	CheckUDP   = "udp"
	CheckICMP  = "icmp"
	CheckARP   = "arp"
	CheckNone  = "none"
)

var checkWords = []string{CheckTCP, CheckHTTP, CheckHTTPS, CheckUDP, CheckICMP, CheckARP, CheckNone}

// The limits of checks.
const (
	MaxCheckCount  = 100  // of Fall and Rise
	MaxCheckOctets = 1024 // of each text

	minCheckInterval = 100 * time.Millisecond
	minCheckTimeout  = 10 * time.Millisecond
	maxCheckInterval = time.Hour
	minute           = Duration(time.Minute)
	maxTime          = 7 * 24 * time.Hour // of slow starts and of draining
)

// EffectiveCheck returns the health check with all defaults filled in. Fall and Rise are not nil.
func (s *Service) EffectiveCheck() Check {
	var c Check
	if s.Check != nil {
		c = *s.Check
	}
	if c.Type == "" {
		switch {
		case s.Port == 0:
			c.Type = CheckICMP
		case s.UDP():
			c.Type = CheckUDP
		default:
			c.Type = CheckTCP
		}
	}
	if c.Interval == 0 {
		c.Interval = Duration(2 * time.Second)
	}
	if c.Timeout == 0 {
		c.Timeout = min(Duration(time.Second), c.Interval)
	}
	fall, rise := uint16(3), uint16(2)
	if c.Fall == nil {
		c.Fall = &fall
	}
	if c.Rise == nil {
		c.Rise = &rise
	}
	if c.Type == CheckHTTP || c.Type == CheckHTTPS {
		if c.Path == "" {
			c.Path = "/"
		}
		if c.Status == "" {
			c.Status = "200-399"
		}
	}
	return c
}

// Octets returns what a text of Send or Expect stands for: the text itself, or, after "hex:", octets in hexadecimal.
func Octets(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "hex:"); ok {
		return hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	}
	return []byte(text), nil
}

// StatusRange are the HTTP status codes from First to Last.
type StatusRange struct{ First, Last int }

var errStatus = errors.New("status codes are numbers from 100 to 599 and ranges, as 200,204,300-399")

// ParseStatus reads a list of HTTP status codes and ranges, separated by commas.
func ParseStatus(text string) (list []StatusRange, err error) {
	for part := range strings.SplitSeq(text, ",") {
		a, b, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(a)
		last, err2 := first, error(nil)
		if isRange {
			last, err2 = strconv.Atoi(b)
		}
		if err != nil || err2 != nil || first < 100 || last > 599 || first > last {
			return nil, errStatus
		}
		list = append(list, StatusRange{first, last})
	}
	return list, nil
}

// check checks the health check of a service.
func (v *validator) check(r reporter, s *Service) {
	if s.Check == nil {
		return
	}
	c := s.Check
	v.oneOf(r, "check.type", c.Type, checkWords)
	kind := s.EffectiveCheck().Type
	is := func(kinds ...string) bool { return slices.Contains(kinds, kind) }
	switch {
	case s.Port == 0 && is(CheckTCP, CheckHTTP, CheckHTTPS, CheckUDP):
		r("check.type", CodeConflict, "choose icmp, arp or none", "a service of all ports has no port for %s", kind)
	case s.UDP() && is(CheckTCP, CheckHTTP, CheckHTTPS):
		r("check.type", CodeConflict, "choose udp, icmp, arp or none",
			"checks go the way of the service's packets, and the service is UDP: %s does not", kind)
	case !s.UDP() && is(CheckUDP):
		r("check.type", CodeConflict, "choose tcp, http, https, icmp, arp or none",
			"checks go the way of the service's packets, and the service is TCP: udp does not")
	}
	if c.Interval != 0 {
		c.Interval.between(r, "check.interval", minCheckInterval, maxCheckInterval)
	}
	if c.Timeout != 0 {
		c.Timeout.between(r, "check.timeout", minCheckTimeout, maxCheckInterval)
		if most := s.EffectiveCheck().Interval; c.Timeout > most {
			r("check.timeout", CodeInvalid, fmt.Sprintf("choose at most the interval, %s", most),
				"%s is longer than the interval", c.Timeout)
		}
	}
	count := func(field string, n *uint16) {
		if n != nil && (*n < 1 || *n > MaxCheckCount) {
			r(field, CodeInvalid, "choose a number from 1 to 100", "%d is no number of checks in a row", *n)
		}
	}
	count("check.fall", c.Fall)
	count("check.rise", c.Rise)
	v.checkTexts(r, c, kind)
}

// checkTexts checks the members that only some types of checks have.
func (v *validator) checkTexts(r reporter, c *Check, kind string) {
	web, plain := []string{CheckHTTP, CheckHTTPS}, []string{CheckTCP, CheckUDP}
	text := func(field, value string, types []string) bool {
		if value == "" {
			return false
		}
		if !slices.Contains(types, kind) {
			r(field, CodeConflict, "leave it out, or choose the type "+strings.Join(types, " or "),
				"a check of the type %s has no %s", kind, strings.TrimPrefix(field, "check."))
			return false
		}
		if len(value) > MaxCheckOctets {
			r(field, CodeLimit, "", "%d octets are more than the %d allowed", len(value), MaxCheckOctets)
			return false
		}
		return true
	}
	if text("check.path", c.Path, web) && (c.Path[0] != '/' || strings.ContainsFunc(c.Path, space)) {
		r("check.path", CodeInvalid, "a path begins with / and has no spaces", "%q is no path", clip(c.Path))
	}
	if text("check.host", c.Host, web) && strings.ContainsFunc(c.Host, func(c rune) bool {
		return space(c) ||
			c == '/'
	}) {
		r("check.host", CodeInvalid, "give a name such as www.example.net", "%q is no host name", clip(c.Host))
	}
	if text("check.status", c.Status, web) {
		if _, err := ParseStatus(c.Status); err != nil {
			r("check.status", CodeInvalid, errStatus.Error(), "%q is no list of status codes", clip(c.Status))
		}
	}
	text("check.body", c.Body, web)
	for _, x := range []struct{ field, value string }{{"check.send", c.Send}, {"check.expect", c.Expect}} {
		if !text(x.field, x.value, plain) {
			continue
		}
		if _, err := Octets(x.value); err != nil {
			r(x.field, CodeInvalid, "write two hexadecimal digits for each octet behind hex:", "%q: %v",
				clip(x.value), err)
		}
	}
	if c.Verify && kind != CheckHTTPS {
		r("check.verify", CodeConflict, "leave it out, or choose the type https",
			"a check of the type %s has no certificate",
			kind)
	}
}

func space(c rune) bool { return control(c) || c == ' ' }
