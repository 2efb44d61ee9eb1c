package failover

import (
	"strconv"
	"time"

	"penstock/perf/csvfile"
	"penstock/perf/machine"
)

// Row is a run in the results file.
type Row struct {
	Date    time.Time // when the measurement began
	Commit  string
	Machine machine.Machine
	Result
}

var columns = []string{
	"date", "commit", "machine", "cores", "kernel", "device", "fault", "run", "rate_pps", "offered", "lost",
	"blocked_ms", "gap_ms", "tcp_stall_ms", "iperf3_stall_ms",
	"udp_back", "tcp_back", "moved", "early_lost", "duplicates", "sender_late_ms", "note",
}

func (r *Row) fields() []string {
	millis := func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 3, 64) }
	n, yes := strconv.Itoa, strconv.FormatBool
	return []string{
		r.Date.UTC().Format(time.RFC3339), r.Commit, r.Machine.CPU, n(r.Machine.Cores), r.Machine.Kernel, r.Device,
		r.Fault, n(r.Run), n(r.Rate), n(r.Offered), n(r.Lost),
		millis(r.Blocked), millis(r.Gap), millis(r.Stall), millis(r.Iperf), yes(r.Back), yes(r.TCPBack), yes(r.Moved),
		n(r.Early), n(r.Duplicates), millis(r.Late), r.Wrong,
	}
}

// Append adds rows to the results file, see csvfile.Append.
func Append(path string, rows []Row) error {
	return csvfile.Append(path, columns, rows, (*Row).fields)
}
