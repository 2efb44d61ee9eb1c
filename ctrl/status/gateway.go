package status

import "time"

// GatewayGroup is a gateway group and its state.
type GatewayGroup struct {
	Name      string     `json:"name"`
	MAC       string     `json:"mac"` // virtual
	Addresses []string   `json:"addresses"`
	Public    bool       `json:"public"`
	Active    string     `json:"active,omitempty"` // member; absent = none
	Since     *time.Time `json:"since,omitempty"`  // of the active member, or since there is none
	Why       string     `json:"why"`
	Switches  uint64     `json:"switches"`  // since the start, the first choice included
	Announced uint64     `json:"announced"` // announcements sent since the start
	Members   []Gateway  `json:"members"`   // the preferred one first
}

// Gateway is a member of a group.
type Gateway struct {
	Name    string     `json:"name"`
	State   string     `json:"state"` // init, up, suspect, down, disabled
	Active  bool       `json:"active"`
	Since   *time.Time `json:"since,omitempty"` // of the state
	Why     string     `json:"why"`
	Held    *time.Time `json:"held_until,omitempty"` // flap damping keeps it down until then
	Port    string     `json:"port"`
	VLAN    int        `json:"vlan,omitempty"`
	IP      string     `json:"ip"`
	Address string     `json:"address"`       // of the box on that network
	MAC     string     `json:"mac,omitempty"` // of the gateway; absent = not resolved
	// MACs from which frames are accepted, "gateway" = the gateway's own; absent = any
	Sources  []string `json:"sources,omitempty"`
	Failures uint64   `json:"failures"`
	Probes   Probes   `json:"probes"`

	RxPackets uint64 `json:"rx_packets"` // from the gateway, accepted
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
}

// Probes are a gateway's probes since the start.
type Probes struct {
	Sent     uint64 `json:"sent"`
	Answered uint64 `json:"answered"`
	Missed   uint64 `json:"missed"`
	Excused  uint64 `json:"excused"`          // not answered, but data came
	Late     uint64 `json:"late"`             // probes whose timer ran late: their answers got more time
	RTT      int64  `json:"rtt_ns,omitempty"` // of the last answer whose probe is known
}
