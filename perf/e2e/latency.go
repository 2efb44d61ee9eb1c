package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"penstock/ctrl/model"
	"penstock/perf/gen"
	"penstock/perf/traffic"
)

// profile is what the generator sends for a latency: the same flows as a template has, signed frames. Its sizes are
// those of the wire, with FCS.
const profile = `title = "frames for %[1]s"
[[stream]]
name = "udp"
size = %[2]d
[stream.ethernet]
src = %[3]q
dst = %[4]s
[stream.ipv4]
src = "10.0.0.1"
dst = "10.0.0.2"
[stream.udp]
src_port = { from = %[5]d, to = %[6]d }
dst_port = %[7]d
`

func (t *trial) profile() (*traffic.Program, error) {
	dst := fmt.Sprintf("{ from = %q, to = %q, op = \"random\" }", firstRemote, firstRemote+model.MAC(t.dev.Flows-1))
	if t.dev.Frames != nil { // to the router
		dst = fmt.Sprintf("%q", macA)
	}
	text := fmt.Sprintf(profile, t.dev.Name, t.size+4, sender, dst, srcPort, srcPort+PlainFlows-1, dstPort)
	p, err := traffic.Parse(t.dev.Name+".toml", []byte(text))
	if err != nil {
		return nil, err
	}
	return p.Program(traffic.Options{})
}

// latency sends at a low rate with the generator, which stamps frames when they leave and, in the driver, when they
// arrive.
func (t *trial) latency(ctx context.Context, res *Trial) (err error) {
	program, err := t.profile()
	if err != nil {
		return err
	}
	if err := t.leave(); err != nil {
		return err
	}
	var e *gen.Engine
	if err := t.lab.Do(genNS, func() error {
		e, err = gen.Open(ctx, gen.Config{
			Ports: []gen.Port{{Interface: SourceIf, Program: program}, {Interface: SinkIf}},
		})
		return err
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	run := func(d time.Duration) (*gen.Report, error) {
		return e.Run(ctx, gen.Load{Rates: []float64{t.o.LatencyRate}, Duration: d})
	}
	if _, err := run(max(t.o.Warmup, 100*time.Millisecond)); err != nil {
		return err
	}
	began := time.Now()
	before, err := t.used()
	if err != nil {
		return err
	}
	rep, err := run(t.o.Measure)
	if err != nil {
		return err
	}
	after, err := t.used()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !t.running() {
		return errEnded
	}
	d := &rep.Directions[0]
	res.Seconds, res.SentRate, res.Rate = time.Duration(rep.Took).Seconds(), d.TxRate, d.RxRate
	res.CPU = (after - before).Seconds() / time.Since(began).Seconds()
	res.Sent, res.Received, res.SourceLimited = d.Sent, d.Received, !d.Sender.Reached
	l := &d.Latency
	res.Delay = Delay{
		P50: time.Duration(l.P50), P99: time.Duration(l.P99), P999: time.Duration(l.P999), Max: time.Duration(l.Max),
		Frames: uint64(l.Frames),
	}
	if l.Frames == 0 {
		return fmt.Errorf("of %d frames sent none came back with its signature", d.Sent)
	}
	if l.Clock != "xdp" {
		return errors.New("the driver has no room for time stamps: the times would be the receiver's")
	}
	return nil
}
