package box

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/api"
	"penstock/ctrl/compile"
	"penstock/ctrl/status"
	"penstock/dataplane"
	"penstock/dataplane/flow"
)

// pageTime is how long a page of flows is collected: then it is returned as it is, and the next one goes on.
const pageTime = time.Second

// Flows implements api.Info. The workers' tables are read a part at a time, so that no worker stops for long.
func (b *Box) Flows(ctx context.Context, q api.FlowQuery) (page status.FlowPage, err error) {
	worker, from, err := positionOf(q.After)
	if err != nil {
		return page, err
	}
	names := b.compiler.Balanced()
	end := time.Now().Add(pageTime)
	buf := make([]flow.Flow, dataplane.MaxReadFlows)
	for workers := b.cfg.Load().Dataplane.Workers; worker < workers; worker, from = worker+1, 0 {
		for {
			room := q.Limit - len(page.Items)
			if room == 0 || time.Now().After(end) || ctx.Err() != nil {
				page.Next = fmt.Sprintf("%d.%d", worker, from)
				return page, ctx.Err()
			}
			// A read ends between two buckets of two flows: it needs room for two, and the page for all it returns.
			next, n := b.engine.ReadFlows(worker, from, buf[:max(2, min(room, len(buf)))])
			for i := range buf[:n] {
				if f, ok := describeFlow(&buf[i], names, &q, worker); ok {
					page.Items = append(page.Items, f)
				}
			}
			if from = next; next == 0 {
				break
			}
		}
	}
	return page, nil
}

// positionOf reads WORKER.BUCKET; "" is the beginning.
func positionOf(text string) (worker int, from uint32, err error) {
	if text == "" {
		return 0, 0, nil
	}
	w, at, _ := strings.Cut(text, ".")
	worker, err = strconv.Atoi(w)
	n, err2 := strconv.ParseUint(at, 10, 32)
	if err != nil || err2 != nil || worker < 0 {
		return 0, 0, api.ErrPosition
	}
	return worker, uint32(n), nil
}

// describeFlow gives a flow its names; ok says that the query selects it.
func describeFlow(f *flow.Flow, names *compile.Balanced, q *api.FlowQuery, worker int) (s status.Flow, ok bool) {
	if q.State != "" && f.State.String() != q.State {
		return s, false
	}
	client := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(f.Client[1]))))
	if f.V6 {
		var a [16]byte
		binary.BigEndian.PutUint64(a[:8], f.Client[0])
		binary.BigEndian.PutUint64(a[8:], f.Client[1])
		client = netip.AddrFrom16(a)
	}
	if q.Client.IsValid() && !q.Client.Contains(client) {
		return s, false
	}
	s = status.Flow{
		VIP: names.VIPs[f.VIP], Server: names.Servers[f.Server], Protocol: "tcp", Client: client.String(),
		ClientPort: f.ClientPort, Port: f.Port, State: f.State.String(), Idle: int64(f.Age), OffTable: f.OffTable,
		Worker: worker,
	}
	if f.Proto == 17 {
		s.Protocol = "udp"
	}
	if s.Service = serviceOf(s.Server); s.Server == "" {
		s.Service = names.ServiceOf(f.VIP, f.Proto, f.Port)
	}
	return s, (q.Service == "" || s.Service == q.Service) && (q.Server == "" || s.Server == q.Server)
}
