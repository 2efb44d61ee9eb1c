package metrics

import (
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/ctrl/api"
	"penstock/ctrl/status"
)

// Balance is the part of a scrape about virtual services.
type Balance struct {
	Services []status.Service
	Servers  []status.Server
	Tables   []status.FlowTable
	// Directors are the messages between directors, by what became of them.
	Directors map[string]uint64
	// Told are flows that other directors have told, Takeovers the claims that this box made.
	Told, Takeovers uint64
}

// maxServers is the most servers with metrics of their own, which bounds the series. Those of the whole service remain.
const maxServers = 10_000

// balanceDescs describes the metrics of virtual services.
type balanceDescs struct {
	directing, servers, usable, panic, flows                *prometheus.Desc
	serverUp, serverWeight, serverFlows, omitted, checkTook *prometheus.Desc
	limit, bytes, entries, offTable, evicted, expired       *prometheus.Desc
	serviceCounters                                         []counter[status.Service]
	serverCounters                                          []counter[status.Server]
	tableCounters                                           []counter[status.FlowTable]
	messages, told, takeovers                               *prometheus.Desc
}

func newBalanceDescs() balanceDescs {
	service, server, worker := []string{"service"}, []string{"server", "service"}, []string{"worker"}
	state := []string{"state", "worker"}
	return balanceDescs{
		directing: desc("service_directing", "1 when this box directs the service's VIP.", service...),
		servers:   desc("service_servers", "Servers of the service.", service...),
		usable: desc("service_servers_usable",
			"Servers that new connections may use; 0 on a box that is no director.", service...),
		panic: desc("service_panic", "1 when so few servers are healthy that backups, or all, are used.", service...),
		flows: desc("service_flows", "Connections of the service that this box directs now.", service...),
		serviceCounters: []counter[status.Service]{
			{desc("service_connections_total", "Connections that were given to a server.", service...),
				func(s *status.Service) float64 { return float64(s.Connections) }},
			{desc("service_moved_connections_total", "Connections that lost their server and got another.", service...),
				func(s *status.Service) float64 { return float64(s.Moved) }},
			{desc("service_guard_total",
				"Connections that the flow table did not take: too many new ones in a second.", service...),
				func(s *status.Service) float64 { return float64(s.Guard) }},
			{desc("service_no_server_packets_total", "Packets for which there was no usable server.", service...),
				func(s *status.Service) float64 { return float64(s.NoServer) }},
			{desc("service_in_packets_total", "Packets sent on to servers (director).", service...),
				func(s *status.Service) float64 { return float64(s.InPackets) }},
			{desc("service_in_bytes_total", "Octets sent on to servers (director).", service...),
				func(s *status.Service) float64 { return float64(s.InBytes) }},
			{desc("service_out_packets_total", "Packets of servers' replies (boxes of the servers).", service...),
				func(s *status.Service) float64 { return float64(s.OutPackets) }},
			{desc("service_out_bytes_total", "Octets of servers' replies (boxes of the servers).", service...),
				func(s *status.Service) float64 { return float64(s.OutBytes) }},
		},
		serverUp:     desc("server_up", "1 when the server is healthy; only on directors, which check it.", server...),
		checkTook:    desc("server_check_seconds", "Duration of the server's last health check.", server...),
		serverWeight: desc("server_weight", "Weight of the server; 0 = draining.", server...),
		serverFlows:  desc("server_flows", "Connections of the server that this box directs now.", server...),
		omitted:      desc("servers_omitted", "Servers beyond the first 10,000, which have no metrics of their own."),
		serverCounters: []counter[status.Server]{
			{desc("server_connections_total", "Connections that were given to the server.", server...),
				func(s *status.Server) float64 { return float64(s.Connections) }},
			{desc("server_failures_total", "Times that the server went down.", server...),
				func(s *status.Server) float64 { return float64(s.Failures) }},
			{desc("server_moved_connections_total", "Connections that the server lost to another.", server...),
				func(s *status.Server) float64 { return float64(s.Moved) }},
			{desc("server_in_packets_total", "Packets sent on to the server (director).", server...),
				func(s *status.Server) float64 { return float64(s.InPackets) }},
			{desc("server_in_bytes_total", "Octets sent on to the server (director).", server...),
				func(s *status.Server) float64 { return float64(s.InBytes) }},
			{desc("server_out_packets_total", "Packets of the server's replies (its box).", server...),
				func(s *status.Server) float64 { return float64(s.OutPackets) }},
			{desc("server_out_bytes_total", "Octets of the server's replies (its box).", server...),
				func(s *status.Server) float64 { return float64(s.OutBytes) }},
		},
		messages: desc("director_messages_total",
			"Messages between directors, by what became of them: hello, flows, claim (taken), sent, malformed, forged "+
				"(no valid tag), replayed, stranger (of no director), unknown.", "outcome"),
		told:      desc("director_flows_total", "Connections that other directors have told this box."),
		takeovers: desc("director_takeovers_total", "Times that this box became the active director of a VIP."),
		limit:     desc("flow_table_limit", "Connections that the worker's flow table takes.", worker...),
		bytes:     desc("flow_table_bytes", "Memory of the worker's flow table.", worker...),
		offTable:  desc("flow_table_off_table", "Connections that other directors are told of.", worker...),
		entries:   desc("flow_table_flows", "Connections in the worker's flow table, by state.", state...),
		evicted: desc("flow_table_evicted_total",
			"Connections forgotten before their time to make room, by state.", state...),
		expired: desc("flow_table_expired_total", "Connections forgotten after their idle time, by state.", state...),
		tableCounters: []counter[status.FlowTable]{
			{desc("flow_table_inserted_total", "Connections put into the flow table.", worker...),
				func(t *status.FlowTable) float64 { return float64(t.Inserted) }},
			{desc("flow_table_guard_total",
				"Connections not put into the flow table: too many new ones in a second.", worker...),
				func(t *status.FlowTable) float64 { return float64(t.Guard) }},
			{desc("flow_table_no_room_total",
				"Connections forgotten although the table was not full: their buckets were.", worker...),
				func(t *status.FlowTable) float64 { return float64(t.NoRoom) }},
			{desc("flow_table_moved_total", "Connections that got another server.", worker...),
				func(t *status.FlowTable) float64 { return float64(t.Moved) }},
		},
	}
}

func (d *balanceDescs) describe(ch chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{d.directing, d.servers, d.usable, d.panic, d.flows, d.serverUp, d.serverWeight,
		d.checkTook, d.messages, d.told, d.takeovers,
		d.serverFlows, d.omitted, d.limit, d.bytes, d.offTable, d.entries, d.evicted, d.expired} {
		ch <- x
	}
	describe(ch, d.serviceCounters)
	describe(ch, d.serverCounters)
	describe(ch, d.tableCounters)
}

func (d *balanceDescs) collect(o out, b *Balance) {
	for i := range b.Services {
		s := &b.Services[i]
		o.gauge(d.directing, truth(s.Directing), s.Key)
		o.gauge(d.servers, float64(s.Servers), s.Key)
		o.gauge(d.usable, float64(s.Usable), s.Key)
		o.gauge(d.panic, truth(s.Panic), s.Key)
		o.gauge(d.flows, float64(s.Flows), s.Key)
		for _, c := range d.serviceCounters {
			o.counter(c.desc, c.value(s), s.Key)
		}
	}
	for outcome, n := range b.Directors {
		o.counter(d.messages, float64(n), outcome)
	}
	o.counter(d.told, float64(b.Told))
	o.counter(d.takeovers, float64(b.Takeovers))
	servers := b.Servers[:min(len(b.Servers), maxServers)]
	o.gauge(d.omitted, float64(len(b.Servers)-len(servers)))
	for i := range servers {
		s := &servers[i]
		cut := max(strings.LastIndexByte(s.Key, '/'), 0)
		service, name := s.Key[:cut], strings.TrimPrefix(s.Key[cut:], "/")
		if s.State != "enabled" { // the directors know
			o.gauge(d.serverUp, truth(slices.Contains(upStates, s.State)), name, service)
		}
		if s.LastCheck != nil {
			o.gauge(d.checkTook, s.LastTook, name, service)
		}
		o.gauge(d.serverWeight, float64(s.Weight), name, service)
		o.gauge(d.serverFlows, float64(s.Flows), name, service)
		for _, c := range d.serverCounters {
			o.counter(c.desc, c.value(s), name, service)
		}
	}
	for i := range b.Tables {
		t := &b.Tables[i]
		id := strconv.Itoa(t.Worker)
		o.gauge(d.limit, float64(t.Limit), id)
		o.gauge(d.bytes, float64(t.Bytes), id)
		o.gauge(d.offTable, float64(t.OffTable), id)
		for _, state := range api.FlowStates {
			o.gauge(d.entries, float64(t.Flows[state]), state, id)
			o.counter(d.evicted, float64(t.Evicted[state]), state, id)
			o.counter(d.expired, float64(t.Expired[state]), state, id)
		}
		for _, c := range d.tableCounters {
			o.counter(c.desc, c.value(t), id)
		}
	}
}

// upStates are the states of a server that is healthy.
var upStates = []string{"up", "draining", "drained"}
