// Package alarm holds the alarms of a box: they are raised, cleared and acknowledged here, and reported to the log, the
// event stream, Prometheus and any number of webhooks.
//
// There is one alarm per kind and object: raising an active alarm again increments its count. Raise and Clear never
// block: they change the list in memory. One writer makes the changes durable in groups, then publishes them as events
// and passes them to the senders. So every receiver gets every published event at least once, in order, also after a
// crash. A change that is not durable when the box is killed was not published; after a restart the sources observe the
// fault and raise the alarm again. Only while the disk refuses or hangs, changes are published from memory (flush.go),
// and a restart may forget published changes.
//
// Each receiver has a goroutine and a connection of its own, and reads its next notice from the spool when the notice
// is due: a receiver that hangs uses one file descriptor and delays no other receiver (webhook.go).
package alarm

import (
	"time"

	"penstock/ctrl/event"
	"penstock/ctrl/printable"
)

// Alarm is one fault that is, or was, present.
type Alarm struct {
	ID           uint64           `json:"id"`
	Kind         Kind             `json:"kind"`
	Severity     Severity         `json:"severity"`
	Object       string           `json:"object"`
	Text         string           `json:"text"` // what happened, what it means, what to replace or check
	Count        uint64           `json:"count"`
	Raised       time.Time        `json:"raised"`
	Last         time.Time        `json:"last"` // time of the last raise
	Cleared      *time.Time       `json:"cleared,omitempty"`
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`

	worst Severity // the highest severity so far
}

// Acknowledgement records who has acknowledged an alarm.
type Acknowledgement struct {
	By      string    `json:"by"`
	Time    time.Time `json:"time"`
	Comment string    `json:"comment,omitempty"`
}

// Report is the source's description of an alarm to be raised.
type Report struct {
	Kind     Kind
	Severity Severity // "" = the severity of the kind
	Object   string
	Text     string
}

// Action is a change of an alarm.
type Action string

// The actions. Repeats go to the event stream only, at the counts 2, 4, 8 …, so that a fault that returns a thousand
// times does not displace all other events.
const (
	ActionRaise       Action = "raise"
	ActionRepeat      Action = "repeat"
	ActionSeverity    Action = "severity" // raised again with another severity
	ActionUpdate      Action = "update"   // its text was outdated and was replaced
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
	ID       string    `json:"id"`       // the same when the notice is sent again
	Sequence uint64    `json:"sequence"` // grows while the disk takes writes; a receiver gets its notices in this order
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

// clip returns a text of at most so many octets and "…", in which nothing from outside misleads its reader.
func clip(s string, most int) string {
	s = printable.Line(s[:min(len(s), 4*most)])
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xC0 == 0x80 { // not within a character
		most--
	}
	return s[:most] + "…"
}
