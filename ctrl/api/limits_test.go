package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"penstock/ctrl/api"
	"penstock/ctrl/core"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
	"penstock/dataplane/stats"
)

// TestPairedLimits: the limits that the document names are those of the code.
func TestPairedLimits(t *testing.T) {
	text, err := api.OpenAPIDocument()
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	schemas := dig(doc, "components", "schemas")
	for path, want := range map[string]any{
		"Binding properties addresses maxItems":                                       model.MaxAddresses,
		"VIF properties addresses maxItems":                                           model.MaxAddresses,
		"Tenant properties labels maxProperties":                                      model.MaxLabels,
		"Path properties vlans maxItems":                                              model.MaxPathVLANs,
		"Path properties vlans items properties vid maximum":                          model.MaxVLAN,
		"Path properties vlans items properties weight maximum":                       model.MaxWeight,
		"VIF properties vlan maximum":                                                 model.MaxVLAN,
		"Binding properties switch_port maximum":                                      model.MaxSwitchPort,
		"Error properties error properties problems maxItems":                         core.MaxProblems,
		"ChangeEvent properties data properties kinds items properties keys maxItems": event.MaxKeys,
	} {
		if got := dig(schemas, strings.Fields(path)...); got != float64(want.(int)) {
			t.Errorf("%s is %v in the document, %v in the code", path, got, want)
		}
	}
	if core.MaxProblems != rest.MaxProblems {
		t.Errorf("an error of the core has %d faults at most, an answer %d", core.MaxProblems, rest.MaxProblems)
	}
	if model.MaxVIFs > stats.MaxIndices || model.MaxPaths > stats.MaxIndices {
		t.Errorf("%d VIFs and %d paths, and counters for %d of each", model.MaxVIFs, model.MaxPaths, stats.MaxIndices)
	}
}
