package e2e

import (
	"context"
	"fmt"
	"time"

	"penstock/perf/gen/search"
)

// What the search for the PDR tries, in frames per second, and how exactly.
const (
	pdrLowest  = 10_000
	pdrHighest = 4_000_000
	pdrWidth   = 0.02
	pdrTrial   = 400 * time.Millisecond
	pdrFirst   = 100 * time.Millisecond
	pdrLimit   = 30 * time.Second // of all trials together
	// reached is the share of a rate that the source must keep for a trial to count.
	reached = 0.98
)

// pdr searches for the highest rate at which no more than PDRLoss are lost.
func (t *trial) pdr(ctx context.Context, res *Trial) error {
	goal := search.Goal{Name: "PDR", LossRatio: PDRLoss, Width: pdrWidth, Trial: pdrTrial, Sum: pdrTrial}
	o := search.Options{
		Min: pdrLowest, Max: pdrHighest, Goals: []search.Goal{goal}, Initial: pdrFirst, Limit: pdrLimit,
	}
	rep, err := search.Run(ctx, o, t.paced)
	if err != nil {
		return err
	}
	r := &rep.Results[0]
	if r.Status == search.Unfinished {
		return fmt.Errorf("the search for the PDR found none within %v: "+
			"the machine is too busy, or the device's loss has no pattern", pdrLimit)
	}
	// A device that loses more already at the lowest rate has a PDR of 0.
	res.Rate, res.Seconds, res.PDRUpper = r.Rate, rep.Took.Seconds(), r.Upper
	res.SourceLimited = r.GeneratorLimited || r.Status == search.AtMax
	for _, x := range rep.Trials {
		if x.Rate == r.Rate && x.Duration >= pdrTrial && x.Fault == "" {
			res.Sent += x.Sent
			res.Received += x.Sent - x.Lost
		}
	}
	res.SentRate = r.Rate
	return nil
}

// paced loads the device at a rate for some time, and counts what is lost.
func (t *trial) paced(ctx context.Context, rate float64, d time.Duration) (m search.Measurement, err error) {
	before, err := t.counts.Counts()
	if err != nil {
		return m, err
	}
	sent := t.src.Sent()
	if err := t.src.Start(rate); err != nil {
		return m, err
	}
	began := time.Now()
	err = sleep(ctx, d)
	took := time.Since(began)
	if serr := t.src.Stop(); err == nil {
		err = serr
	}
	if err != nil {
		return m, err
	}
	if !t.running() {
		return m, errEnded
	}
	m.Sent = t.src.Sent() - sent
	after, err := t.settled(ctx, before.Expected+m.Sent)
	if err != nil {
		return m, err
	}
	arrived := after.Expected - before.Expected
	m.Lost = m.Sent - min(m.Sent, arrived)
	m.Reached = float64(m.Sent) / took.Seconds()
	switch {
	case arrived > m.Sent:
		m.Fault = fmt.Sprintf("%d frames came out of %d sent: some are of an earlier trial", arrived, m.Sent)
	case m.Reached < reached*rate:
		m.Fault = fmt.Sprintf("the source kept only %.0f of %.0f frames per second", m.Reached, rate)
	}
	return m, nil
}
