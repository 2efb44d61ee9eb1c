package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"penstock/integration/lab"
)

// iperf3 beside the stream: what an operator would look at, in steps of iperfStep, its shortest.
const (
	iperfPort  = 6003
	iperfRate  = "10M" // bits per second: little enough to be never what blocks
	iperfStep  = 100 * time.Millisecond
	iperfLimit = 5 * time.Second // to start, and to end
)

type iperf struct{ server, client *lab.Process }

func startIperf(ctx context.Context, l *lab.Lab, from, to string, dst netip.Addr) (x *iperf, err error) {
	ctx, cancel := context.WithTimeout(ctx, iperfLimit)
	defer cancel()
	x = &iperf{}
	port, step := fmt.Sprint(iperfPort), fmt.Sprint(iperfStep.Seconds())
	x.server, err = l.Start(to, "iperf3-server", "iperf3", "-s", "-1", "-J", "-B", dst.String(), "-p", port, "-i", step)
	if err != nil {
		return nil, fmt.Errorf("iperf3 in %s: %w", to, err)
	}
	if err := until(ctx, x.listening); err != nil {
		x.server.Kill()
		return nil, fmt.Errorf("iperf3 in %s: %w: %s", to, err, tail(x.server.Log()))
	}
	if x.client, err = l.Start(from, "iperf3-client", "iperf3", "-c", dst.String(), "-p", port, "-b", iperfRate,
		"-l", fmt.Sprint(tcpOctets),
		"-t", fmt.Sprint(longestRun.Seconds())); err != nil {
		x.server.Kill()
		return nil, fmt.Errorf("iperf3 in %s: %w", from, err)
	}
	return x, nil
}

// listening looks for the server's socket, which has state 0A in its namespace's table.
func (x *iperf) listening() error {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", x.server.PID()))
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", iperfPort)) && f[3] == "0A" {
			return nil
		}
	}
	return errors.New("it does not listen")
}

// stop ends both as Ctrl-C would, and returns the longest time in which the server received nothing, by its own steps;
// open is whether that was so to the end.
func (x *iperf) stop() (stall time.Duration, open bool, err error) {
	defer x.server.Kill()
	defer x.client.Kill()
	if err := x.client.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, false, err
	}
	_ = x.client.Wait(iperfLimit) // says that it was interrupted
	if x.server.Wait(iperfLimit) != nil {
		_ = x.server.Signal(syscall.SIGTERM) // the client's goodbye was lost; it reports all the same
		_ = x.server.Wait(iperfLimit)
	}
	return iperfStall(x.server.Log())
}

// iperfStall reads a server's report. Steps before the first octet do not count; a last one that was cut short neither.
func iperfStall(report string) (stall time.Duration, open bool, err error) {
	var r struct {
		Intervals []struct {
			Sum struct {
				Seconds float64
				Bytes   int64
			}
		}
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		return 0, false, fmt.Errorf("report of iperf3: %w: %s", err, tail(report))
	}
	var quiet time.Duration
	begun := false
	for i, v := range r.Intervals {
		if i == len(r.Intervals)-1 && i > 0 && v.Sum.Seconds < iperfStep.Seconds()/2 {
			break
		}
		if v.Sum.Bytes > 0 {
			begun, quiet = true, 0
			continue
		}
		if begun {
			quiet += time.Duration(v.Sum.Seconds * float64(time.Second))
			stall = max(stall, quiet)
		}
	}
	if !begun {
		return 0, false, fmt.Errorf("iperf3 transferred nothing: %s", tail(report))
	}
	return stall, quiet > 0, nil
}
