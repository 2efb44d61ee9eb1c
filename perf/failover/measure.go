package failover

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"penstock/ctrl/model"
)

// Options of a measurement.
type Options struct {
	Binary   string // the box
	Devices  []Device
	Faults   []Fault
	Runs     int  // of every fault with every device
	All      bool // every fault with every device, also those that take long
	Rate     int  // datagrams per second
	Bindings int  // of the fault push
	Progress io.Writer
}

// Result is one run.
type Result struct {
	Device, Fault string
	Run           int // from 1
	Rate          int
	Loss
	Stall   time.Duration // of TCP
	Back    bool          // traffic flowed again; if not, the times end with the run and are too low
	TCPBack bool
	Iperf   time.Duration // that iperf3 received nothing, in steps of 0.1 s
	Quiet   bool          // iperf3 still received nothing at the end
	Moved   bool          // the second gateway has carried traffic
	Wrong   string        // what contradicts the fault, or makes the figures doubtful; "" is nothing
}

const (
	lead        = 200 * time.Millisecond // of steady traffic before a fault
	afterwards  = 100 * time.Millisecond // of steady traffic, when all is over
	settleLimit = time.Minute
	underWay    = 30 * time.Millisecond // the last datagrams may be
	longestRun  = 2 * time.Minute
	tolerated   = 5                    // runs that could not be carried out, before all is given up
	senderLate  = 5 * time.Millisecond // more, and a run is marked
	tcpFreshFor = 5 * time.Millisecond // TCP flows if something arrived so lately
)

// run is one run under way.
type run struct {
	*Options
	device   device
	bed      *bed
	bindings []byte
	flows    int64 // since when datagrams arrive
	at       int64 // of the mark; 0: none yet
}

// mark is now what the fault begins with.
func (r *run) mark() { r.at = time.Now().UnixNano() }

// cut makes a gateway drop frames from now on, which is the mark.
func (r *run) cut(gateway int, mode uint64) error {
	r.mark()
	return r.bed.gateways[gateway].cut.Set(mode)
}

// Measure causes every fault at every device, in turns, and needs root. With an error it also returns the results until
// then.
func Measure(ctx context.Context, o Options) (all []Result, err error) {
	if o.Runs < 1 || o.Rate < 100 || o.Rate > 100_000 || o.Bindings < 1 || o.Bindings > 1_000_000 {
		return nil, fmt.Errorf("failover: %d runs, %d datagrams per second, %d bindings: "+
			"want 1 or more, 100 to 100,000, 1 to 1,000,000", o.Runs, o.Rate, o.Bindings)
	}
	beds := make([]device, len(o.Devices))
	defer func() {
		for _, d := range beds {
			if d != nil {
				err = errors.Join(err, d.shut())
			}
		}
	}()
	for i, d := range o.Devices {
		if beds[i], err = d.open(fmt.Sprintf("failover%d", i), o.Binary); err != nil {
			return nil, fmt.Errorf("failover: %s: %w", d.Name, err)
		}
	}
	bindings, err := bindingLines(o.Bindings)
	if err != nil {
		return nil, err
	}
	var failed []error
	for i := range o.Faults {
		f := &o.Faults[i]
		for n := 1; n <= o.Runs; n++ {
			for k, d := range o.Devices {
				if !d.suffers(f, o.Devices, o.All) {
					continue
				}
				r := run{Options: &o, device: beds[k], bed: beds[k].network(), bindings: bindings}
				res, err := r.measure(ctx, f)
				if err != nil {
					err = fmt.Errorf("failover: %s, %s, run %d: %w", d.Name, f.Name, n, err)
					fmt.Fprintln(o.Progress, err)
					if failed = append(failed, err); len(failed) > tolerated || ctx.Err() != nil {
						return all, errors.Join(failed...)
					}
					continue
				}
				res.Device, res.Fault, res.Run, res.Rate = d.Name, f.Name, n, o.Rate
				all = append(all, res)
				fmt.Fprintln(o.Progress, res)
			}
		}
	}
	return all, errors.Join(failed...)
}

// measure is one run: healthy ground, steady traffic, the fault, and the time until all is well again.
func (r *run) measure(ctx context.Context, f *Fault) (res Result, err error) {
	settling, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := r.device.settle(settling); err != nil {
		return res, fmt.Errorf("before the fault: %w", err)
	}
	dst := outsideAddress.Addr()
	tcp, err := startStream(settling, r.bed.Lab, hostNS, outsideNS, dst)
	if err != nil {
		return res, fmt.Errorf("before the fault: %w", err)
	}
	iperf, err := startIperf(ctx, r.bed.Lab, hostNS, outsideNS, dst)
	if err != nil {
		return res, errors.Join(fmt.Errorf("before the fault: %w", err), tcp.stop())
	}
	stopIperf := func() (err error) { res.Iperf, res.Quiet, err = iperf.stop(); return err }
	udp, err := startDatagrams(ctx, r.bed.Lab, hostNS, outsideNS, dst, r.Rate, longestRun)
	if err != nil {
		return res, errors.Join(err, tcp.stop(), stopIperf())
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		return errors.Join(tcp.stop(), udp.stop(underWay), stopIperf())
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := r.steady(settling, udp); err != nil {
		return res, err
	}
	if err := f.do(ctx, r); err != nil {
		return res, fmt.Errorf("the fault: %w", err)
	}
	res.Back, res.TCPBack, err = r.recovered(ctx, udp, tcp)
	if err == nil {
		err = stop()
	}
	if err != nil {
		return res, err
	}
	res.Loss = account(r.Rate, udp.sent, udp.arrived, r.flows, r.at, f.outage)
	res.Duplicates = udp.doubles
	res.Stall = stall(tcp.arrivals, r.at, tcp.end, tcpStep)
	counts, err := r.bed.gateways[1].cut.Counts()
	if err != nil {
		return res, err
	}
	res.Moved = counts.IPv4In > 0
	res.Wrong = f.wrong(&res)
	if f.undo != nil {
		return res, f.undo(ctx, r)
	}
	return res, nil
}

// steady waits until datagrams arrive, all of them by the first gateway.
func (r *run) steady(ctx context.Context, udp *datagrams) error {
	if err := until(ctx, func() error {
		if udp.latest.Load() == 0 {
			return errors.New("no datagram arrives")
		}
		return nil
	}); err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	r.flows = time.Now().UnixNano()
	for i := range r.bed.gateways {
		if err := r.bed.gateways[i].cut.Set(0); err != nil { // counts from here
			return err
		}
	}
	if err := sleep(ctx, lead); err != nil {
		return err
	}
	first, err := r.bed.gateways[0].cut.Counts()
	if err != nil {
		return err
	}
	second, err := r.bed.gateways[1].cut.Counts()
	if err != nil {
		return err
	}
	if first.IPv4In == 0 || second.IPv4In > 0 {
		return fmt.Errorf("before the fault the first gateway carries %d packets, the second %d",
			first.IPv4In, second.IPv4In)
	}
	return r.bed.gateways[1].cut.Set(0)
}

// recovered waits until datagrams sent after the fault arrive and TCP flows, and then for the time that the device may
// take to detect the fault.
func (r *run) recovered(ctx context.Context, udp *datagrams, tcp *stream) (back, tcpBack bool, err error) {
	after := time.Now()
	patience := r.device.patience()
	limit := after.Add(3*patience + 2*time.Second)
	quiet := after.Add(patience + afterwards)
	for {
		now := time.Now()
		back = udp.latest.Load() > after.UnixNano() && now.UnixNano()-udp.latest.Load() < int64(tcpFreshFor)
		tcpBack = now.UnixNano()-tcp.latest.Load() < int64(tcpFreshFor)
		if now.After(quiet) && back && tcpBack || now.After(limit) {
			return back, tcpBack, nil
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return false, false, err
		}
	}
}

// wrong says what contradicts the fault.
func (f *Fault) wrong(r *Result) string {
	switch {
	case !r.Back:
		return "traffic did not come back"
	case !r.TCPBack:
		return "TCP did not come back"
	case f.moves == must && !r.Moved:
		return "the second gateway carried nothing"
	case f.moves == never && r.Moved:
		return "switched without a fault"
	case r.Early > 0:
		return "some were lost before the fault"
	case r.Duplicates > 0:
		return "some arrived twice"
	case r.Late > senderLate:
		return "the sender was late"
	}
	return ""
}

// bindingLines are bindings of other hosts, as NDJSON.
func bindingLines(n int) ([]byte, error) {
	const far, ports = model.MAC(0x0200000000bb), 48
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	e := json.NewEncoder(w)
	for k := range n {
		err := e.Encode(model.Binding{
			Tenant: "red", Segment: "web", MAC: 0x020100000000 + model.MAC(k),
			SwitchMAC: far, SwitchPort: uint16(1 + k%ports),
		})
		if err != nil {
			return nil, err
		}
	}
	err := w.Flush()
	return b.Bytes(), err
}
