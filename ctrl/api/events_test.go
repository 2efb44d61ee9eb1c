package api_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/event"
	"penstock/ctrl/gateway"
)

// samples has an event of each type with all of its members.
func samples() []event.Data {
	now := time.Now()
	return []event.Data{
		event.Started{Version: "v1", Revision: 3},
		event.Reload{OK: true, Changes: 2, Error: "x"},
		event.Change{Revision: 4, Kinds: []event.KindChange{
			{Kind: "vifs", Created: 1, Updated: 2, Deleted: 3, Keys: []string{"red/a"}},
		}},
		event.Bulk{Revision: 5, Kind: "bindings", Mode: "merge", Created: 1, Updated: 2, Deleted: 3},
		event.Port{Port: "acc0", State: event.PortGone},
		event.Server{Server: "red/http/web1", From: "up", To: "down", Reason: "connection refused"},
		event.Neighbor{SwitchPort: 1, MAC: "02:00:00:00:00:01", Resolved: true},
		event.Box{Place: "02:00:00:00:00:0a-17", SwitchMAC: "02:00:00:00:00:0a", SwitchPort: 17,
			MAC: "02:00:00:00:fb:01", State: event.BoxSilent},
		event.Place{Port: "fab0", SwitchMAC: "02:00:00:00:00:0a", SwitchPort: 17, Origin: "lldp"},
		event.Path{Kind: event.PathState, Switch: "02:00:00:00:00:0a", SwitchPort: 17, Port: "fab0", VID: 101,
			From: "up", To: "down", Reason: "silent"},
		gateway.Event{Kind: "member", Group: "out", Member: "a", Old: "b", Other: "c", From: "up", To: "down",
			Why: "x", MAC: "m", OldMAC: "n", Count: 1, At: now},
		alarm.Event{Action: alarm.ActionRaise, Alarm: alarm.Alarm{
			ID: 1, Kind: alarm.PortDown, Severity: "major", Object: "port a", Text: "x",
			Count: 1, Raised: now, Last: now, Cleared: &now,
			Acknowledged: &alarm.Acknowledgement{By: "x", Time: now, Comment: "y"},
		}},
		event.Gap{From: 1, To: 2, Reason: event.GapRestart},
	}
}

// TestEventsAreDocumented: the document has a schema for each type of event, with the members that the type's struct
// has and no others.
func TestEventsAreDocumented(t *testing.T) {
	document, err := api.OpenAPIDocument()
	if err != nil {
		t.Fatal(err)
	}
	doc := decode(t, string(document))
	defs := dig(doc, "components", "schemas").(map[string]any)
	s := &schema{t: t, defs: defs}
	mapping := dig(defs["Event"], "discriminator", "mapping").(map[string]any)
	types := event.Types()
	slices.Sort(types)
	if documented := slices.Sorted(maps.Keys(mapping)); !slices.Equal(documented, types) {
		t.Errorf("the document has the events %q, the code %q", documented, types)
	}
	if oneOf := dig(defs["Event"], "oneOf").([]any); len(oneOf) != len(types) {
		t.Errorf("oneOf has %d schemas, want one for each of the %d types", len(oneOf), len(types))
	}
	var sampled []string
	for _, data := range samples() {
		sampled = append(sampled, data.EventType())
		text, err := json.Marshal(event.Event{Seq: 1, Time: time.Now(), Type: data.EventType(), Data: data})
		if err != nil {
			t.Fatal(err)
		}
		v := decode(t, string(text))
		s.check("event "+data.EventType(), map[string]any{"$ref": "#/components/schemas/Event"}, v)
		ref, _ := mapping[data.EventType()].(string)
		def := defs[ref[len("#/components/schemas/"):]]
		for member := range dig(def, "properties", "data", "properties").(map[string]any) {
			if _, ok := dig(v, "data").(map[string]any)[member]; !ok {
				t.Errorf("event %s: the document has data.%s, which %T does not", data.EventType(), member, data)
			}
		}
		// Members that may be absent are not required: an event with only what must be there conforms as well.
		empty := reflect.New(reflect.TypeOf(data)).Elem().Interface()
		text, _ = json.Marshal(empty)
		for _, member := range dig(def, "properties", "data", "required").([]any) {
			if _, ok := decode(t, string(text)).(map[string]any)[member.(string)]; !ok {
				t.Errorf("event %s: the document requires data.%s, which %T leaves out when it is empty",
					data.EventType(), member, data)
			}
		}
	}
	slices.Sort(sampled)
	if !slices.Equal(sampled, types) {
		t.Errorf("samples of %q, want of %q", sampled, types)
	}
}
