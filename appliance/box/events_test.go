package box

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"penstock/ctrl/client"
	"penstock/ctrl/event"
	"penstock/dataplane/xsk/xsktest"
)

// members are the members of a JSON object.
type members map[string]json.RawMessage

// documentedEvents are the schemas of the events' data in the running box's own document, by type.
func documentedEvents(t *testing.T, c *client.Client) map[string]eventSchema {
	t.Helper()
	resp, err := c.Do(t.Context(), "GET", "/v1/openapi.json", nil, client.WriteOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Discriminator struct{ Mapping map[string]string }
				Properties    struct{ Data eventSchema }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]eventSchema{}
	for kind, ref := range doc.Components.Schemas["Event"].Discriminator.Mapping {
		out[kind] = doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")].Properties.Data
	}
	return out
}

// eventSchema is what of a schema is looked at here; TestEventsAreDocumented in ctrl/api goes into the rest.
type eventSchema struct {
	Required   []string
	Properties members
}

// TestEventsOfARun: what a box publishes, from its start over changes, reloads and an interface that goes and comes
// back, has the types and members of its document.
func TestEventsOfARun(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	xsktest.Veth(t, "p0", "f0", xsktest.VethConfig{})
	b := testBox(t, "p0")
	c := client.New(b.cfg.Load().Control.Socket)
	defer c.Close()
	if err := b.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(t.Context()); err == nil {
		t.Error("nonsense is reloaded, want an error")
	}
	if err := os.WriteFile(b.path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]string{
		{"PUT", "/v1/tenants/red", `{"id":5}`},
		{"PUT", "/v1/segments/red/web", `{"id":1}`},
		{"POST", "/v1/bulk/bindings",
			`{"tenant":"red","segment":"web","mac":"02:00:00:00:00:01",` +
				`"switch_mac":"02:00:00:00:00:0b","switch_port":7}`},
	} {
		resp, err := c.Do(t.Context(), r[0], r[1], nil, client.WriteOptions{}, strings.NewReader(r[2]))
		if err != nil {
			t.Fatalf("%s %s: got %v, want an answer", r[0], r[1], err)
		}
		resp.Body.Close()
	}
	xsktest.Delete(t, "p0")
	eventually(t, "the port stays up without its interface",
		func() bool { return up(b) == "false" && !b.engine.Ports()[0].Open })
	xsktest.Veth(t, "p0", "f0", xsktest.VethConfig{})
	eventually(t, "the port does not come back", func() bool { return up(b) == "true" && b.engine.Ports()[0].Open })
	beyond := b.events.Last() + 100
	seen := map[string]bool{}
	want := []string{event.TypeStarted, event.TypeReload, event.TypeChange, event.TypeBulk, event.TypePort,
		event.TypeAlarm, event.TypeGap}
	schemas := documentedEvents(t, c)
	check := func(since uint64) {
		err := c.Watch(t.Context(), client.WatchOptions{Since: &since, Once: true}, func(e client.Event) error {
			seen[e.Type] = true
			s, ok := schemas[e.Type]
			var data members
			if err := json.Unmarshal(e.Data, &data); err != nil || !ok {
				t.Errorf("event %s %s: %v, documented %v", e.Type, e.Data, err, ok)
			}
			for name := range data {
				if _, ok := s.Properties[name]; !ok {
					t.Errorf("event %s %s: the document does not have %s", e.Type, e.Data, name)
				}
			}
			for _, name := range s.Required {
				if _, ok := data[name]; !ok {
					t.Errorf("event %s %s: the document wants %s", e.Type, e.Data, name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "not all types of events come", func() bool {
		clear(seen)
		check(beyond) // never given out: a gap
		check(0)
		for _, kind := range want {
			if !seen[kind] {
				return false
			}
		}
		return true
	})
}
