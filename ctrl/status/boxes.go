package status

import (
	"time"

	"penstock/ctrl/model"
)

// FabricBox is another box of the fabric, by its HELLOs.
type FabricBox struct {
	Place      string    `json:"place"` // SWITCH-MAC-NUMBER
	SwitchMAC  model.MAC `json:"switch_mac"`
	SwitchPort uint8     `json:"switch_port"`
	MAC        model.MAC `json:"mac"`
	State      string    `json:"state"` // equal, differs, pulling, silent
	First      time.Time `json:"first"`
	Heard      time.Time `json:"heard"`
	Bindings   int       `json:"bindings"` // that it owns, as it says
	Known      int       `json:"known"`    // of them this box has so many
}
