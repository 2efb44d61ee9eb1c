package status

import "time"

// Service is a virtual service's state on this box and its counters since the start. The director counts connections
// and what comes in, the agents of the servers count what goes out: add up the boxes.
type Service struct {
	Key       string `json:"key"` // TENANT/NAME
	Directing bool   `json:"directing"`
	Servers   int    `json:"servers"`
	Usable    int    `json:"usable"` // servers that new connections may use; 0 on a box that is no director
	Panic     bool   `json:"panic"`  // backups, or servers that are not healthy, are used

	Flows       uint64 `json:"flows"`       // now
	Connections uint64 `json:"connections"` // given to a server
	Moved       uint64 `json:"moved"`       // connections that lost their server and got another
	Guard       uint64 `json:"guard"`       // connections that the flow table did not take: too many in a second
	NoServer    uint64 `json:"no_server"`   // packets for which there was no usable server
	InPackets   uint64 `json:"in_packets"`
	InBytes     uint64 `json:"in_bytes"`
	OutPackets  uint64 `json:"out_packets"`
	OutBytes    uint64 `json:"out_bytes"`
}

// Server is a real server's state on this box and its counters since the start.
type Server struct {
	Key    string `json:"key"`   // TENANT/SERVICE/NAME
	State  string `json:"state"` // init, up, down, draining, drained, disabled; enabled on a box that does not check it
	Weight uint16 `json:"weight"`
	Reason string `json:"reason,omitempty"` // of the state

	Flows       uint64     `json:"flows"` // now
	Connections uint64     `json:"connections"`
	Moved       uint64     `json:"moved"` // connections that it lost to another
	InPackets   uint64     `json:"in_packets"`
	InBytes     uint64     `json:"in_bytes"`
	OutPackets  uint64     `json:"out_packets"`
	OutBytes    uint64     `json:"out_bytes"`
	Failures    uint64     `json:"failures"` // how often it went down
	Since       *time.Time `json:"since,omitempty"`
	LastCheck   *time.Time `json:"last_check,omitempty"` // absent: this box does not check it
	LastTook    float64    `json:"last_check_seconds,omitempty"`
	LastError   string     `json:"last_error,omitempty"` // of the last check, if it failed
}

// FlowTable is a worker's flow table. Absent states of the maps are 0.
type FlowTable struct {
	Worker   int               `json:"worker"`
	Limit    int               `json:"limit"`
	Bytes    int               `json:"bytes"` // of memory
	Flows    map[string]uint64 `json:"flows"` // now, by state
	OffTable uint64            `json:"off_table"`
	Inserted uint64            `json:"inserted"`
	Evicted  map[string]uint64 `json:"evicted"` // before their time, to make room
	Expired  map[string]uint64 `json:"expired"`
	Guard    uint64            `json:"guard"`
	NoRoom   uint64            `json:"no_room"` // of the evicted: their buckets were full, not the table
	Moved    uint64            `json:"moved"`
}

// Flow is a connection of a virtual service, as the director has it.
type Flow struct {
	Service    string `json:"service,omitempty"` // absent: it was removed
	Server     string `json:"server,omitempty"`  // absent: it was removed
	VIP        string `json:"vip,omitempty"`
	Protocol   string `json:"protocol"`
	Client     string `json:"client"`
	ClientPort uint16 `json:"client_port"`
	Port       uint16 `json:"port"` // of the service
	State      string `json:"state"`
	Idle       int64  `json:"idle_ms"`   // since the last packet
	OffTable   bool   `json:"off_table"` // the service's table would give it another server
	Worker     int    `json:"worker"`
}

// FlowPage is a part of the flows.
type FlowPage struct {
	Items []Flow `json:"items"`
	Next  string `json:"next,omitempty"` // "after" of the next page; absent = the end
}
