// Package alarm holds what people must look at: raised, cleared and acknowledged here, told to the log, the event
// stream, Prometheus and any number of webhooks.
//
// An alarm is one per kind and object: what is raised again while it is active counts up. Raise and Clear never block:
// they change the list in memory and leave the rest to one writer, which makes changes durable in groups, then publishes
// them as events and lets the senders have them. So what the event stream has told, every receiver is told at least
// once, in order, whatever happens to the box. What is killed before it was durable was told to nobody; the sources
// raise and clear from what they observe, so they find it again after a restart. Only while the disk refuses or hangs,
// alarms are told from memory (flush.go), and a restart may forget what was told.
//
// Each receiver has a goroutine and a connection of its own, and reads its next notice from the spool when it is due: one
// that hangs costs a file descriptor and delays nobody (webhook.go).
package alarm

import (
	"time"

	"penstock/ctrl/event"
)

// Alarm is one thing that is, or was, wrong.
type Alarm struct {
	ID           uint64           `json:"id"`
	Kind         Kind             `json:"kind"`
	Severity     Severity         `json:"severity"`
	Object       string           `json:"object"`
	Text         string           `json:"text"` // what happened, what it means, what to replace or check
	Count        uint64           `json:"count"`
	Raised       time.Time        `json:"raised"`
	Last         time.Time        `json:"last"` // when it was raised the last time
	Cleared      *time.Time       `json:"cleared,omitempty"`
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`

	worst Severity // the highest that it has had
}

// Acknowledgement says who has taken an alarm on.
type Acknowledgement struct {
	By      string    `json:"by"`
	Time    time.Time `json:"time"`
	Comment string    `json:"comment,omitempty"`
}

// Report is what a source says when it raises an alarm.
type Report struct {
	Kind     Kind
	Severity Severity // "" = that of the kind
	Object   string
	Text     string
}

// Action is what happened to an alarm.
type Action string

// The actions. Repeats are told in the event stream alone, at the counts 2, 4, 8 …, so that a fault that comes back a
// thousand times does not push everything else out.
const (
	ActionRaise       Action = "raise"
	ActionRepeat      Action = "repeat"
	ActionSeverity    Action = "severity" // raised again with another severity
	ActionUpdate      Action = "update"   // its text did not hold any more, and says now what does
	ActionAcknowledge Action = "acknowledge"
	ActionClear       Action = "clear"
)

// Event is the data of an event of type event.TypeAlarm.
type Event struct {
	Action Action `json:"action"`
	Alarm  Alarm  `json:"alarm"`
}

// EventType implements event.Data.
func (Event) EventType() string { return event.TypeAlarm }

// Notice is what a webhook receives as JSON.
type Notice struct {
	Box      string    `json:"box"`
	ID       string    `json:"id"`       // the same whenever the notice is sent again
	Sequence uint64    `json:"sequence"` // grows, as long as the disk takes writes; a receiver gets its notices in this order
	Time     time.Time `json:"time"`
	Action   Action    `json:"action"`
	Alarm    Alarm     `json:"alarm"`
}

// Limits of texts and lists.
const (
	maxText   = 1000
	maxObject = 200
	maxActive = 4096
)

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xC0 == 0x80 { // not within a character
		most--
	}
	return s[:most] + "…"
}
