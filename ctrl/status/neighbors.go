package status

import (
	"time"

	"penstock/ctrl/model"
)

// Place is a port that speaks LLDP: where it is plugged in, and who is heard there.
type Place struct {
	Port       string     `json:"port"`
	SwitchMAC  model.MAC  `json:"switch_mac,omitzero"`   // fabric ports whose place is known
	SwitchPort uint8      `json:"switch_port,omitempty"` //
	Origin     string     `json:"origin,omitempty"`      // of the place: configured, lldp, stored
	Since      *time.Time `json:"since,omitempty"`       // that the box is there
	Reason     string     `json:"reason,omitempty"`      // why no place follows from LLDP
	Neighbors  []Neighbor `json:"neighbors"`
	More       uint64     `json:"more,omitempty"` // frames of neighbours that are not in the list
	Frames     LLDPFrames `json:"frames"`
}

// LLDPFrames counts the LLDP frames of a port since the start.
type LLDPFrames struct {
	Received uint64            `json:"received"`          // refused ones too
	Refused  map[string]uint64 `json:"refused,omitempty"` // by reason: short, address, order, id, truncated
	Crowded  uint64            `json:"crowded,omitempty"` // received, of neighbours that are not in the list
	Sent     uint64            `json:"sent"`
	Unsent   uint64            `json:"unsent,omitempty"` // no room, or the port is down
}

// Neighbor is a device that is heard by LLDP. Texts are as the device sends them.
type Neighbor struct {
	ChassisID         string    `json:"chassis_id"`
	ChassisSubtype    uint8     `json:"chassis_subtype"`
	PortID            string    `json:"port_id"`
	PortSubtype       uint8     `json:"port_subtype"`
	PortDescription   string    `json:"port_description,omitempty"`
	SystemName        string    `json:"system_name,omitempty"`
	SystemDescription string    `json:"system_description,omitempty"`
	Management        string    `json:"management_address,omitempty"`
	VLAN              uint16    `json:"vlan,omitempty"` // of the frame
	TTL               uint16    `json:"ttl"`            // seconds
	First             time.Time `json:"first"`
	Heard             time.Time `json:"heard"`
	SwitchMAC         model.MAC `json:"switch_mac,omitzero"`   // the place that it says
	SwitchPort        uint8     `json:"switch_port,omitempty"` //
	Reason            string    `json:"reason,omitempty"`      // why it says none
}
