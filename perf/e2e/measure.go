package e2e

import (
	"fmt"
	"time"
)

// Measure is what a trial finds out.
type Measure string

// The measures.
const (
	Throughput Measure = "throughput" // frames per second under overload
	PDR        Measure = "pdr"        // the highest rate at which no more than PDRLoss are lost
	Latency    Measure = "latency"    // one way, at a low rate
)

// PDRLoss is the share of frames that may be lost at the partial drop rate.
const PDRLoss = 0.005

// ParseMeasure reads the name of a measure.
func ParseMeasure(name string) (Measure, error) {
	switch m := Measure(name); m {
	case Throughput, PDR, Latency:
		return m, nil
	}
	return "", fmt.Errorf("measure %q: must be %s, %s or %s", name, Throughput, PDR, Latency)
}

// under lists the placements of a run that the measure makes sense under. A PDR without a quota would be that of the
// source, with everything on one core that of the scheduler; and a quota stops the device for a millisecond at a time,
// which would be its latency.
func (m Measure) under(places []Placement) (some []Placement) {
	switch m {
	case Latency:
		return []Placement{Unlimited}
	case PDR:
		for _, p := range places {
			if p.Share > 0 {
				some = append(some, p)
			}
		}
		return some
	}
	return places
}

// Delay is a distribution of one-way latencies.
type Delay struct {
	P50, P99, P999, Max time.Duration
	Frames              uint64 // that it was made of
}

// setup is what a trial measures.
type setup struct {
	dev     *Device
	measure Measure
	size    int
	place   Placement
	sink    SinkNAPI
}

// fits reports why the device cannot be measured so; nil if it can.
func (s *setup) fits() error {
	switch {
	case s.dev.Command == nil && !s.place.Whole && s.measure != Latency:
		return errPlacement
	case s.dev.Workers > 1 && (s.place != Unlimited || s.measure == Latency):
		return errWorkers
	}
	return nil
}
