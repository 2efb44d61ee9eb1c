package compile

import (
	"testing"

	"penstock/ctrl/model"
	"penstock/dataplane/table"
)

// TestStatusOfEveryKind: every kind has a status function, which answers nil for an object that is not there.
func TestStatusOfEveryKind(t *testing.T) {
	tb, err := table.NewBindings(table.Config{Capacity: 1000})
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{Bindings: tb})
	for _, kind := range model.Kinds {
		if statusOf[kind] == nil {
			t.Errorf("%s have no status function", kind)
		} else if s := c.Status(kind, kind.Info().Example.Key()); s != nil {
			t.Errorf("%s: the status of an object that is not there is %v, want nil", kind, s)
		}
	}
}
