package main

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/dataplane/steer"
	"penstock/dataplane/xsk"
	"penstock/perf/gen"
	"penstock/perf/gen/search"
	"penstock/perf/traffic"
)

var (
	genXDP  = map[string]steer.Mode{"auto": steer.Auto, "native": steer.Native, "generic": steer.Generic}
	genMode = map[string]xsk.Mode{"auto": xsk.ModeAuto, "zero-copy": xsk.ModeZeroCopy, "copy": xsk.ModeCopy}
)

func (f *genFlags) searches() bool { return f.ndr || f.drops }

// check refuses command lines that are invalid on every machine.
func (f *genFlags) check(c *cobra.Command) error {
	changed := c.Flags().Changed
	switch {
	case f.tx == "":
		return usage("--tx is missing: the interface that sends")
	case f.profile == "":
		return usage("--profile is missing: a file, or one of %s", strings.Join(traffic.Names(), ", "))
	case f.rx == f.tx:
		return usage("--tx and --rx are both %s, but frames do not arrive on the port that sent them; if the device "+
			"returns them there, use --reflect instead of --rx", f.tx)
	case f.reflect && f.rx != "":
		return usage("--reflect and --rx %s: want only one of them", f.rx)
	case f.side != "" && f.rx != "":
		return usage("--side is for one port; with two, --tx sends side a and --rx side b")
	case f.side != "" && f.side != "a" && f.side != "b" && f.side != "both":
		return usage("--side %s: want a, b or both", f.side)
	case f.timed && f.duration <= 0:
		return usage("--duration %v: want more than 0; --count ends a run by frames", f.duration)
	case changed("count") && f.count == 0:
		return usage("--count 0: want 1 or more")
	case f.searches() && f.blocked != "":
		return usage("--blocked-time needs a steady rate, which --ndr and --pdr search for: run the search first")
	case f.searches() && changed("count"):
		return usage("--count is for runs; trials of a search have a --duration")
	case f.blocked != "" && changed("count"):
		return usage("--count is for runs; --blocked-time sends for the --duration")
	case !f.searches() && f.rate == "":
		return usage("--rate is missing: want 250kpps, 1Mpps, 50%%, 1Gbps or max, for example")
	case f.blocked != "" && f.rate == "max":
		return usage("--blocked-time needs a steady --rate that the device forwards, not max")
	case f.drops && !(f.pdr > 0 && f.pdr < 100):
		return usage("--pdr %g: want more than 0 and less than 100 per cent; --ndr is without loss", f.pdr)
	case !(f.width > 0 && f.width < 100):
		return usage("--width %g: want more than 0 and less than 100 per cent", f.width)
	case f.repeat < 1 || f.repeat > 1000:
		return usage("--repeat %d: want 1 to 1000", f.repeat)
	case f.runs < 1:
		return usage("--runs %d: want 1 or more", f.runs)
	case f.lead <= 0 || f.limit < 0:
		return usage("--lead %v, --limit %v: want times above 0", f.lead, f.limit)
	case f.queues < 1:
		return usage("--queues %d: want 1 or more", f.queues)
	}
	for _, need := range []struct {
		flag, with string
		ok         bool
	}{
		{"latency", "--ndr or --pdr", f.searches()}, {"repeat", "--ndr or --pdr", f.searches()},
		{"width", "--ndr or --pdr", f.searches()},
		{"min-rate", "--ndr or --pdr", f.searches()}, {"limit", "--ndr or --pdr", f.searches()},
		{"runs", "--blocked-time", f.blocked != ""}, {"restore", "--blocked-time", f.blocked != ""},
		{"lead", "--blocked-time", f.blocked != ""},
	} {
		if changed(need.flag) && !need.ok {
			return usage("--%s is for %s", need.flag, need.with)
		}
	}
	if (f.searches() || f.blocked != "") && f.rx == "" && !f.reflect {
		return usage("the receiving port is missing: want --rx or --reflect")
	}
	return nil
}

// genSetup is the result of the flags.
type genSetup struct {
	config  gen.Config
	rate    gen.Rate
	minRate gen.Rate
	weights []float64 // frames of each sending port in the same time
}

func (f *genFlags) setup(res *genResult) (*genSetup, error) {
	s := &genSetup{config: gen.Config{Reflect: f.reflect, Queues: f.queues, CPUs: f.cpus, Burst: f.burst, Ring: f.ring,
		Force: f.force}}
	var ok bool
	if s.config.XDP, ok = genXDP[f.xdp]; !ok {
		return nil, usage("--xdp %s: want auto, native or generic", f.xdp)
	}
	if s.config.Socket, ok = genMode[f.mode]; !ok {
		return nil, usage("--mode %s: want auto, zero-copy or copy", f.mode)
	}
	for flag, v := range map[string]struct {
		text string
		to   *gen.Rate
	}{"rate": {f.rate, &s.rate}, "min-rate": {f.minRate, &s.minRate}} {
		if v.text == "" {
			continue
		}
		r, err := gen.ParseRate(v.text)
		if err != nil {
			return nil, usage("--%s: %v", flag, err)
		}
		if *v.to = r; flag == "min-rate" && r == gen.MaxRate {
			return nil, usage("--min-rate max: want a lowest rate")
		}
	}
	return s, f.frames(s, res)
}

// frames prepares the frames that the ports send.
func (f *genFlags) frames(s *genSetup, res *genResult) error {
	p, err := f.load()
	if err != nil {
		return err
	}
	set := map[string]string{}
	for _, kv := range f.set {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return usage("--set %s: want key=value, such as size=1518", kv)
		}
		set[k] = v
	}
	src, err := macs("src-mac", f.srcMAC)
	if err != nil {
		return err
	}
	dst, err := macs("dst-mac", f.dstMAC)
	if err != nil {
		return err
	}
	sides := f.sides(p)
	if sides[0] == traffic.Both {
		for flag, texts := range map[string][]string{"src-mac": f.srcMAC, "dst-mac": f.dstMAC} {
			if len(texts) > 1 {
				return usage("--%s: two addresses, and --side both sends the frames of both sides with the same: "+
					"want one, or one side", flag)
			}
		}
	}
	var remarks []string
	for i, side := range sides {
		port := gen.Port{Interface: []string{f.tx, f.rx}[i]}
		if side != none {
			k := 0
			if side == traffic.B {
				k = 1
			}
			o := traffic.Options{Side: side, Seed: f.seed, Set: set, SrcMAC: src[k], DstMAC: dst[k]}
			if port.Program, err = p.Program(o); err != nil {
				return &exitError{exitRefused, err}
			}
			s.weights = append(s.weights, frameWeight(p, o))
			remarks = append(remarks, port.Program.Remarks()...)
		}
		s.config.Ports = append(s.config.Ports, port)
	}
	res.Profile = genProfile{Name: p.Name, Title: p.Title, Set: set, Seed: f.seed,
		Remarks: slices.Compact(slices.Sorted(slices.Values(remarks)))}
	if g := s.config.Ports[0].Program; g != nil {
		res.Profile.MeanLen = g.MeanLen() + 4
	}
	return nil
}

// load finds the profile.
func (f *genFlags) load() (*traffic.Profile, error) {
	if !strings.Contains(f.profile, "/") && !strings.HasSuffix(f.profile, ".toml") {
		p, err := traffic.Builtin(f.profile)
		if err != nil {
			return nil, usage("--profile: %v (a file has a / in it or ends in .toml)", err)
		}
		return p, nil
	}
	p, err := traffic.Load(f.profile)
	if pe := new(os.PathError); err != nil && !errors.As(err, &pe) {
		return nil, &exitError{exitRefused, err}
	}
	return p, err
}

// none is the side of a port that sends nothing.
const none = traffic.Side(255)

// sides returns the side that each port sends.
func (f *genFlags) sides(p *traffic.Profile) []traffic.Side {
	a, b := p.Sides()
	switch {
	case f.rx != "":
		s := []traffic.Side{none, none}
		if a {
			s[0] = traffic.A
		}
		if b {
			s[1] = traffic.B
		}
		return s
	case f.side == "both":
		return []traffic.Side{traffic.Both}
	case f.side == "b" || f.side == "" && !a:
		return []traffic.Side{traffic.B}
	}
	return []traffic.Side{traffic.A}
}

// frameWeight is the number of frames of the program's side in a turn of the whole profile.
func frameWeight(p *traffic.Profile, o traffic.Options) float64 {
	side := o.Side
	o.Side = traffic.Both
	whole, err := p.Program(o)
	if err != nil || side == traffic.Both {
		return 1
	}
	n := 0
	for _, s := range whole.Streams() {
		if s.Side == side {
			n += s.Weight
		}
	}
	return float64(max(n, 1))
}

// macs reads one address for both sides, or two.
func macs(flag string, texts []string) (m [2]*traffic.MAC, err error) {
	if len(texts) > 2 {
		return m, usage("--%s: %d addresses: want one, or one for each side", flag, len(texts))
	}
	for i, s := range texts {
		a, err := net.ParseMAC(s)
		if err != nil || len(a) != len(traffic.MAC{}) {
			return m, usage("--%s: %q is no MAC address: want the form 02:00:00:00:00:01", flag, s)
		}
		octets := traffic.MAC(a)
		for k := i; k < 2; k++ {
			m[k] = &octets
		}
	}
	return m, nil
}

// goals are the goals of the search.
func (f *genFlags) goals() (goals []search.Goal) {
	g := search.Goal{Width: f.width / 100, Trial: 2 * time.Second, Exceed: 0.5}
	if f.timed {
		g.Trial = f.duration
	}
	switch {
	case f.repeat == 1:
		g.Exceed = 0
	case f.repeat%2 == 0: // half of them is no majority, and all but one less than half are
		g.Exceed -= 0.5 / float64(f.repeat)
	}
	g.Sum = time.Duration(f.repeat) * g.Trial
	if f.ndr {
		g.Name = "NDR"
		goals = append(goals, g)
	}
	if f.drops {
		g.Name, g.LossRatio = "PDR", f.pdr/100
		goals = append(goals, g)
	}
	return goals
}

// complete registers completions for the shell.
func (f *genFlags) complete(c *cobra.Command) {
	complete(c, "side", "a", "b", "both")
	complete(c, "xdp", "auto", "native", "generic")
	complete(c, "mode", "auto", "zero-copy", "copy")
	for _, flag := range []string{"rate", "min-rate", "set", "duration", "count", "pdr", "cpus", "src-mac", "dst-mac"} {
		complete(c, flag)
	}
	offer := func(flag string, d cobra.ShellCompDirective, values func() []string) {
		// The call fails only for a flag that does not exist.
		_ = c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string,
			cobra.ShellCompDirective) {
			return values(), d
		})
	}
	offer("profile", cobra.ShellCompDirectiveDefault, traffic.Names)
	for _, flag := range []string{"tx", "rx"} {
		offer(flag, cobra.ShellCompDirectiveNoFileComp, interfaceNames)
	}
}

// interfaceNames are the interfaces that could be ports.
func interfaceNames() (names []string) {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names
}

// shares are the ports' parts of the rate, the largest 1.
func (s *genSetup) shares() []float64 {
	most := slices.Max(s.weights)
	shares := make([]float64, len(s.weights))
	for i, w := range s.weights {
		shares[i] = w / most
	}
	return shares
}

// highest is a rate in frames per second of the port that sends most.
func (s *genSetup) highest(e *gen.Engine, r gen.Rate) (float64, error) {
	rates, err := e.Frames(r, s.weights)
	if err != nil || r == gen.MaxRate {
		return 0, err
	}
	most := 0.0
	for i, share := range s.shares() {
		if v := rates[i] / share; most == 0 || v < most {
			most = v
		}
	}
	return most, nil
}
