package core

import (
	"errors"
	"strings"
	"testing"

	"penstock/ctrl/model"
)

// TestBalancerFaults: a push that breaks a rule between objects is refused at the member of the object that it pushes,
// whatever the order of their names, and nothing of it is applied.
func TestBalancerFaults(t *testing.T) {
	w := newWorld(t)
	w.base(t)
	w.do(t, put(model.KindSubnet, "RED/web4", `{"segment":"web","prefix":"10.10.1.0/24","router":"10.10.1.254"}`),
		put(model.KindVIF, "RED/vm", `{"segment":"web","mac":"02:00:00:00:00:01","port":"acc1",
			"addresses":["10.10.1.20"]}`),
		put(model.KindVIP, "RED/www", `{"segment":"web","address":"10.10.1.100"}`),
		put(model.KindService, "RED/http", `{"vip":"www","id":7,"port":80}`),
		put(model.KindServer, "RED/http/web1", `{"vif":"vm","port":8080}`))
	alt := put(model.KindService, "RED/alt", `{"vip":"www","id":8,"port":8888}`)
	server := put(model.KindServer, "RED/alt/web1", `{"address":"10.10.1.20","port":8080}`)
	for _, tc := range []struct {
		what                 string
		ops                  []Op
		code, field, message string
	}{
		{"one reply rule", []Op{alt, server}, model.CodeAmbiguous, "operations[1].value.port",
			"services RED/http and RED/alt"},
		{"the port of an older service", []Op{put(model.KindService, "RED/a", `{"vip":"www","id":9,"port":80}`)},
			model.CodeOverlap, "operations[0].value.port", "RED/http"},
		{"the ID of an older service", []Op{put(model.KindService, "RED/a", `{"vip":"www","id":7,"port":81}`)},
			model.CodeDuplicate, "operations[0].value.id", "RED/http"},
		{"the address of an older VIP", []Op{put(model.KindVIP, "RED/a", `{"segment":"web","address":"10.10.1.100"}`)},
			model.CodeDuplicate, "operations[0].value.address", "RED/www"},
		{"a VIF with the VIP", []Op{put(model.KindVIF, "RED/x",
			`{"segment":"web","mac":"02:00:00:00:00:02","port":"acc1","addresses":["10.10.1.9","10.10.1.100"]}`)},
			model.CodeDuplicate,
			"operations[0].value.addresses[1]", "VIF RED/x"},
		{"a VIP that services use", []Op{{Verb: Delete, Kind: model.KindVIP, Key: "RED/www"}}, model.CodeInUse,
			"operations[0]",
			"RED/http"},
		{"a service that has servers", []Op{{Verb: Delete, Kind: model.KindService, Key: "RED/http"}}, model.CodeInUse,
			"operations[0]", "RED/http/web1"},
	} {
		before := w.Revision()
		_, err := w.Do(t.Context(), Transaction{Ops: tc.ops})
		var e *Error
		if !errors.As(err, &e) || e.Code != tc.code || !strings.HasPrefix(e.Field, tc.field) ||
			!strings.Contains(e.Message+e.Hint, tc.message) || w.Revision() != before {
			t.Errorf("%s: %v (%s), want %s at %s that names %s, and nothing applied", tc.what, err, code(err),
				tc.code, tc.field,
				tc.message)
		}
	}
	shared := `{"vip":"www","id":%ID,"port":%PORT,"shared_ports":true}`
	w.do(t, put(model.KindService, "RED/http", strings.NewReplacer("%ID", "7", "%PORT", "80").Replace(shared)),
		put(model.KindService, "RED/alt", strings.NewReplacer("%ID", "8", "%PORT", "8888").Replace(shared)), server)
	if _, err := w.Do(t.Context(), Transaction{Ops: []Op{alt}}); code(err) != model.CodeAmbiguous {
		t.Errorf("one of two services that share ports takes it back: %v, want %s", err, model.CodeAmbiguous)
	}
	w.check(t)
}
