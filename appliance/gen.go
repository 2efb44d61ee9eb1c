package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"penstock/perf/gen"
	"penstock/perf/machine"
)

// genFlags are the flags of `penstock gen`.
type genFlags struct {
	tx, rx       string
	reflect      bool
	profile      string
	set          []string
	seed         uint64
	side         string
	srcMAC       []string
	dstMAC       []string
	rate         string
	duration     time.Duration
	count        uint64
	burst        int
	queues, ring int
	cpus         []int
	xdp, mode    string
	force        bool

	ndr, latency   bool
	pdr            float64
	repeat         int
	width          float64
	minRate        string
	limit          time.Duration
	blocked        string
	restore        string
	runs           int
	lead           time.Duration
	json           string
	timed, drops   bool // --duration and --pdr were given
	commandLine    []string
	restoring      context.Context // ends --restore
	stdout, stderr io.Writer
}

func genCommand() *cobra.Command {
	var f genFlags
	c := &cobra.Command{
		Use:   "gen",
		Short: "Send traffic through a device under test, and measure loss, order and latency",
		Long: `Sends the frames of a traffic profile from one port over AF_XDP, receives them on another, and
reports loss, duplicates, reordering, latency and the longest gap, exact to the frame. With --ndr
and --pdr it searches for the highest rates that a device forwards (RFC 2544, RFC 9971). With
--blocked-time it measures how long an event interrupts traffic. Ctrl-C ends the measurement and
prints its results.

While the generator runs, it owns the ports: no frame that arrives there reaches the kernel. It
refuses a port that carries an address or a default route unless --force is given, and sends from no
other port. A rate is that of each sending port. Gbps counts preamble, gap and FCS: 100% is the
link's capacity. See perf/gen/README.md.`,
		Example: `  penstock gen --tx eth1 --rx eth2 --profile size-64 --rate 1Mpps --duration 10s
  penstock gen --tx eth1 --rx eth2 --profile size-imix --rate 50% --set flows=10000 --json -
  penstock gen --tx eth1 --rx eth2 --profile size-64 --dst-mac 02:00:00:00:00:0a --ndr --pdr 0.5 --latency
  penstock gen --tx eth1 --rx eth2 --profile size-64 --rate 100kpps --blocked-time failover.sh --runs 20`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			f.timed, f.drops = c.Flags().Changed("duration"), c.Flags().Changed("pdr")
			f.stdout, f.stderr = c.OutOrStdout(), c.ErrOrStderr()
			f.commandLine = os.Args
			if err := f.check(c); err != nil {
				return err
			}
			ctx, restoring, stop := genSignals(c.Context())
			defer stop()
			f.restoring = restoring
			return f.run(ctx)
		},
	}
	f.define(c)
	return c
}

func (f *genFlags) define(c *cobra.Command) {
	fl := c.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.tx, "tx", "", "`interface` that sends: side a of the profile")
	fl.StringVar(&f.rx, "rx", "",
		"`interface` that receives; it sends side b, if the profile has one. Without: send only")
	fl.BoolVar(&f.reflect, "reflect", false, "frames return on the port that sent them (instead of --rx)")
	fl.StringVar(&f.profile, "profile", "", "built-in `profile`, or a file (with a / or ending in .toml)")
	fl.StringArrayVar(&f.set, "set", nil,
		"replace a `key=value` of the profile, such as size=1518 or flows=10000; may be repeated")
	fl.Uint64Var(&f.seed, "seed", 0, "other random values in the profile's fields")
	fl.StringVar(&f.side, "side", "", "with one port: the side to send, a, b or both; without: a, if there is one")
	fl.StringSliceVar(&f.srcMAC, "src-mac", nil,
		"source `MAC` of frames; two, with a comma, for the sides a and b")
	fl.StringSliceVar(&f.dstMAC, "dst-mac", nil,
		"destination `MAC` of frames, such as the device's; two for the sides a and b")
	fl.StringVar(&f.rate, "rate", "",
		"`rate` of each sending port: 250kpps, 1Mpps, 50%, 1Gbps, max; for a search the highest")
	fl.DurationVar(&f.duration, "duration", 10*time.Second,
		"`length` of the run, of a full trial of a search (then 2s), of the load after --blocked-time")
	fl.Uint64Var(&f.count, "count", 0, "`frames` of each sending port; without --duration only the count ends the run")
	fl.IntVar(&f.burst, "burst", 0, "`frames` sent at once; 0: those due in 20 µs, 1 to 32")
	fl.IntVar(&f.queues, "queues", 1, "sending threads of each port, and queues they send on")
	fl.IntSliceVar(&f.cpus, "cpus", nil, "`CPUs` of the threads: of --tx, then of --rx, one for each queue")
	fl.IntVar(&f.ring, "ring", 0, "`slots` of the receiver's rings, a power of two; 0: 8192")
	fl.StringVar(&f.xdp, "xdp", "auto", "where the XDP program runs: auto, native or generic")
	fl.StringVar(&f.mode, "mode", "auto", "how frames reach the driver: auto, zero-copy or copy")
	fl.BoolVar(&f.force, "force", false,
		"use ports that carry addresses or a default route: your own connection may break")

	fl.BoolVar(&f.ndr, "ndr", false, "search for the highest rate without loss")
	fl.Float64Var(&f.pdr, "pdr", 0, "search for the highest rate with at most this `percent` of loss")
	fl.BoolVar(&f.latency, "latency", false, "after the search: latency at 10, 50 and 90 % of the rate found")
	fl.IntVar(&f.repeat, "repeat", 3, "full trials that decide a rate by majority; 1: a single trial, as in RFC 2544")
	fl.Float64Var(&f.width, "width", 0.5, "largest width of a search's result, in `percent`")
	fl.StringVar(&f.minRate, "min-rate", "", "lowest `rate` that a search tries; without: a thousandth of the highest")
	fl.DurationVar(&f.limit, "limit", 0,
		"longest total `time` of a search's trials; 0: no limit")

	fl.StringVar(&f.blocked, "blocked-time", "",
		"under steady load run this `command` (sh -c) and report how long no frame arrived")
	fl.StringVar(&f.restore, "restore", "", "`command` to run after each run of --blocked-time")
	fl.IntVar(&f.runs, "runs", 1, "number of runs of --blocked-time")
	fl.DurationVar(&f.lead, "lead", time.Second, "duration of the steady load before the command of --blocked-time")

	fl.StringVar(&f.json, "json", "",
		"write the result as JSON to this `file`, or to standard output (-) instead of the text")
	f.complete(c)
}

// genResult is the result as JSON. Values that were not measured are absent.
type genResult struct {
	Schema      int             `json:"schema"` // of this document
	Date        time.Time       `json:"date"`
	Version     string          `json:"version"`
	Commit      string          `json:"commit"`
	Command     []string        `json:"command"`
	Machine     machine.Machine `json:"machine"`
	Profile     genProfile      `json:"profile"`
	Ports       []gen.PortInfo  `json:"ports"`
	Interrupted bool            `json:"interrupted"`

	Run        *gen.Report           `json:"run,omitempty"`
	Throughput *gen.ThroughputReport `json:"throughput,omitempty"`
	Blocked    *gen.Blocked          `json:"blocked_time,omitempty"`
}

// genProfile describes the frames that were sent.
type genProfile struct {
	Name    string            `json:"name"`
	Title   string            `json:"title"`
	Set     map[string]string `json:"set,omitempty"`
	Seed    uint64            `json:"seed"`
	MeanLen float64           `json:"mean_frame_octets"` // with FCS, of side a
	Remarks []string          `json:"remarks,omitempty"` // deviations of the sent frames from the capture files
}

// run measures and prints, also the results of an interrupted measurement.
func (f *genFlags) run(ctx context.Context) (err error) {
	m, err := machine.This()
	if err != nil {
		return err
	}
	res := &genResult{Schema: 1, Date: time.Now().UTC().Truncate(time.Second), Version: version, Commit: commit,
		Command: f.commandLine, Machine: m}
	s, err := f.setup(res)
	if err != nil {
		return err
	}
	out, err := f.output()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.discard()) }()
	if f.json == "-" {
		remarksText(f.stderr, res.Profile.Remarks)
	}
	runtime.LockOSThread() // interfaces are looked up in the thread's network namespace
	e, err := gen.Open(ctx, s.config)
	runtime.UnlockOSThread()
	if err != nil {
		return refusedByGen(err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	res.Ports = e.Ports()
	p := f.watch(e)
	switch {
	case f.searches():
		res.Throughput, err = f.search(ctx, e, s, p)
	case f.blocked != "":
		res.Blocked, err = f.disturb(ctx, e, s, p)
	default:
		res.Run, err = f.once(ctx, e, s)
	}
	p.end()
	if res.Interrupted = ctx.Err() != nil; res.Interrupted {
		if err = beside(err); res.Run == nil {
			err = errors.Join(errors.New("interrupted: the measurement is not whole"), err)
		}
	}
	if !res.measured() {
		return refusedByGen(err)
	}
	return errors.Join(refusedByGen(err), out.write(res))
}

func (r *genResult) measured() bool {
	return r.Run != nil ||
		r.Throughput != nil && r.Throughput.Report != nil ||
		r.Blocked != nil && len(r.Blocked.Runs) > 0
}

// refusedByGen gives a refusal by the generator its exit code.
func refusedByGen(err error) error {
	if errors.Is(err, gen.ErrRefused) {
		return &exitError{exitRefused, err}
	}
	return err
}
