package traffic

import (
	"fmt"
	"io"
	"strings"
)

// The other generators that a profile can be written for.
const (
	TRex   = "trex"   // a Python file for TRex in stateless mode
	Pktgen = "pktgen" // a shell script for the kernel's pktgen
	DPDK   = "dpdk"   // a Lua script for DPDK Pktgen
)

// ExportKinds returns the kinds of export, and where the files of built-in profiles lie below perf/profiles: directory
// and extension.
func ExportKinds() []struct{ Kind, Dir, Ext string } {
	return []struct{ Kind, Dir, Ext string }{{TRex, "trex", ".py"}, {Pktgen, "pktgen", ".sh"}, {DPDK, "pktgen", ".lua"}}
}

// ExportName returns the name of the file for a profile, without directory.
func ExportName(profile, kind string) string {
	for _, k := range ExportKinds() {
		if k.Kind == kind {
			if kind == TRex { // it is imported as a module
				profile = strings.ReplaceAll(profile, "-", "_")
			}
			return profile + k.Ext
		}
	}
	return ""
}

// InexpressibleError says why a generator cannot send a mix. Nothing is written then: half a mix is another mix.
type InexpressibleError struct {
	Profile, Kind string
	Reasons       []string
}

// Error names all reasons.
func (e *InexpressibleError) Error() string {
	return fmt.Sprintf("profile %s cannot be expressed for %s: %s", e.Profile, e.Kind, strings.Join(e.Reasons, "; "))
}

// Export writes the profile for another generator, with both sides and for any MTU. The error is an *InexpressibleError
// if that generator cannot send it.
func (p *Profile) Export(kind string, o Options, w io.Writer) error {
	var text string
	g, err := p.Program(Options{SrcMAC: o.SrcMAC, DstMAC: o.DstMAC, Seed: o.Seed, Set: o.Set})
	if err != nil {
		return err
	}
	x := &exporter{p: p, g: g, kind: kind}
	switch kind {
	case TRex:
		text = x.trex()
	case Pktgen:
		text = x.pktgen()
	case DPDK:
		text = x.dpdk()
	default:
		return fmt.Errorf("no export %q: there are %s, %s and %s", kind, TRex, Pktgen, DPDK)
	}
	if len(x.reasons) > 0 {
		return &InexpressibleError{p.Name, kind, x.reasons}
	}
	_, err = io.WriteString(w, text)
	return err
}

// exporter writes one file.
type exporter struct {
	p       *Profile
	g       *Program
	kind    string
	b       strings.Builder
	reasons []string
}

func (x *exporter) printf(format string, args ...any) { fmt.Fprintf(&x.b, format, args...) }

// cannot notes a reason, once.
func (x *exporter) cannot(format string, args ...any) {
	r := fmt.Sprintf(format, args...)
	for _, have := range x.reasons {
		if have == r {
			return
		}
	}
	x.reasons = append(x.reasons, r)
}

// comment writes lines of comment.
func (x *exporter) comment(mark, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		x.printf("%s\n", strings.TrimRight(mark+" "+line, " "))
	}
}

// header writes what every file begins with.
func (x *exporter) header(mark string, differs ...string) {
	x.comment(mark,
		fmt.Sprintf("Made from %s.toml by \"make generate\": change that and not this.\n\n%s", x.p.Name, x.p.Title))
	if x.p.Description != "" {
		x.comment(mark, "\n"+x.p.Description)
	}
	x.comment(mark, "\nWhat differs from \"penstock gen\":")
	for _, d := range differs {
		x.comment(mark, "- "+strings.ReplaceAll(d, "\n", "\n  "))
	}
	x.comment(mark, "How to run it: perf/profiles/README.md.")
}

func ip4(v uint64) string {
	return fmt.Sprintf("%d.%d.%d.%d", byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func macText(v uint64) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x",
		byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// simple returns what the generators that know only UDP over IPv4 can send: the one [[stream]] of the profile. All
// else is a reason.
func (x *exporter) simple() *spec {
	first := &x.g.origins[0].spec
	for i := range x.g.origins {
		o := &x.g.origins[i]
		s := &o.spec
		switch {
		case o.raw:
			x.cannot("malformed frames")
		case s.pcap != "":
			x.cannot("captured frames")
		case s.churn != nil:
			x.cannot("TCP connections")
		case s.path != first.path:
			x.cannot("several streams")
		}
	}
	if len(x.reasons) > 0 {
		return nil
	}
	s := first
	if s.outer != nil {
		x.cannot("an outer header")
	}
	if s.udp == nil || s.ip4 == nil {
		x.cannot("anything but UDP over IPv4")
		return nil
	}
	if s.spread != nil {
		x.cannot("a range of sizes, in the order of the profile")
	}
	for _, n := range []struct {
		name string
		n    number
		step bool // may go up by one
	}{
		{"MACs", s.eth.src, false}, {"MACs", s.eth.dst, false}, {"a time to live", s.ip4.ttl, false},
		{"an identification", s.ip4.id, false},
		{"addresses", s.ip4.src, true}, {"addresses", s.ip4.dst, true}, {"ports", s.udp.src, true},
		{"ports", s.udp.dst, true},
	} {
		if n.n.varies && !(n.step && n.n.op == opInc && n.n.step == 1 && n.n.list == nil) {
			x.cannot("%s that vary like this", n.name)
		}
	}
	if f := s.flows; f != nil && uint64(f.count) > f.address.count() {
		x.cannot("flows with more than one port an address: address and port go up together")
	}
	if s.side != A {
		x.cannot("side b")
	}
	return s
}

// extents returns the ranges of addresses and ports of a simple stream.
func (s *spec) extents() (src, dst, srcPort, dstPort number) {
	src, dst, srcPort, dstPort = s.ip4.src, s.ip4.dst, s.udp.src, s.udp.dst
	if f := s.flows; f != nil {
		address, port := number{
			from: f.address.from, to: f.address.from + uint64(f.count) - 1, step: 1, varies: f.count > 1,
		}, constant(f.port.from)
		if f.dst {
			dst, dstPort = address, port
		} else {
			src, srcPort = address, port
		}
	}
	return src, dst, srcPort, dstPort
}
