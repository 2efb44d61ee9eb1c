package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"penstock/ctrl/status"
	"penstock/integration/lab"
)

// call makes a request of a node's control socket, and expects a status below 300.
func (f *fabric) call(node, method, path string, body io.Reader, answer any) error {
	req, err := http.NewRequest(method, "http://box"+path, body)
	if err != nil {
		return err
	}
	resp, err := f.clients[node].Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", node, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %s %s: %w", node, method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s: %s %s: %s: %s", node, method, path, resp.Status, bytes.TrimSpace(text))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s: %s %s: %w in %s", node, method, path, err, text)
	}
	return nil
}

func (f *fabric) get(node, path string, answer any) {
	f.t.Helper()
	if err := f.call(node, http.MethodGet, path, nil, answer); err != nil {
		f.t.Fatal(err)
	}
}

// push applies a transaction.
func (f *fabric) push(node string, ops []lab.Operation) {
	f.t.Helper()
	body, err := json.Marshal(map[string]any{"operations": ops})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.call(node, http.MethodPost, "/v1/transactions", bytes.NewReader(body), nil); err != nil {
		f.t.Fatal(err)
	}
}

// drops returns a node's drop counters.
func (f *fabric) drops(node string) map[string]uint64 {
	f.t.Helper()
	var d status.Drops
	f.get(node, "/v1/stats/drops", &d)
	return d.Total
}

// expectDrops waits until the node's drop counters have grown since before by exactly the expected numbers, and reports
// those that have not.
func (f *fabric) expectDrops(t *testing.T, node string, before, want map[string]uint64) {
	t.Helper()
	var wrong string
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if wrong = compareDrops(before, f.drops(node), want); wrong == "" {
			return
		}
	}
	t.Errorf("drops of %s: %s", node, wrong)
}

func compareDrops(before, after, want map[string]uint64) string {
	var wrong []string
	for reason, n := range want {
		if got := after[reason] - before[reason]; got != n {
			wrong = append(wrong, fmt.Sprintf("%d for %s, want %d", got, reason, n))
		}
	}
	for reason, n := range after {
		if _, ok := want[reason]; !ok && n != before[reason] {
			wrong = append(wrong, fmt.Sprintf("%d for %s, want none", n-before[reason], reason))
		}
	}
	return strings.Join(wrong, "; ")
}

// balanced waits until every frame of a node is accounted for: rx + injected + copies = tx + punted + drops, none on
// its way inside the box, none with two owners or none.
func (f *fabric) balanced(node string) {
	f.t.Helper()
	var box status.Box
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		box = status.Box{} // a map would keep what the next answer does not mention
		if err := f.call(node, http.MethodGet, "/v1/box", nil, &box); err != nil {
			f.t.Error(err)
			return
		}
		if box.Totals.Balanced && atRest(&box) {
			break
		}
	}
	if !box.Totals.Balanced {
		f.t.Errorf("%s: got totals %+v, want them balanced", node, box.Totals)
	}
	if !atRest(&box) {
		f.t.Errorf("%s at rest: got frames without an owner, want none; of %d: %v", node, box.Frames.All,
			box.Frames.ByOwner)
	}
	if box.Frames.Violations != 0 {
		f.t.Errorf("%s: %d frames with two owners or none: %v", node, box.Frames.Violations, box.Frames.Breaches)
	}
}

// atRest reports whether all frames are in the pool, in fill rings, or sent and not yet reaped.
func atRest(box *status.Box) bool {
	owners := box.Frames.ByOwner
	return box.Frames.All > 0 && owners["pool"]+owners["fill"]+owners["tx"] == box.Frames.All
}

// putPaths pushes the path table in which the given VLANs connect the edge switches to all boxes.
func (f *fabric) putPaths(vlans ...uint16) {
	f.t.Helper()
	for _, n := range f.Boxes {
		if f.procs[n.Name] == nil {
			continue
		}
		d := lab.Documents{Paths: f.Paths(vlans)}
		f.push(n.Name, d.Operations())
	}
}

func (f *fabric) dropsIfUp(node string) string {
	var d status.Drops
	if err := f.call(node, http.MethodGet, "/v1/stats/drops", nil, &d); err != nil {
		return err.Error()
	}
	return fmt.Sprint(d.Total)
}
