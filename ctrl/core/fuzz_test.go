package core

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/store"
)

var lineSeeds = []string{
	`{"tenant":"RED","segment":"web","mac":"02:00:00:00:00:01","addresses":["10.0.0.1","fd00::1"],` +
		`"switch_mac":"02-AA-00-00-00-01","switch_port":3}`,
	` { "switch_port" : 255 , "mac" : "02:00:00:00:00:01" } `,
	`{"tenant":"a","tenant":"b"}`, `{"switch_port":03}`, `{"switch_port":65536}`, `{"addresses":[]}`,
	`{"addresses":["10.0.0.01"]}`,
	`{"addresses":["1.2.3.4.5"]}`, `{"addresses":["1.2.3."]}`, `{"tenant":"é"}`,
	`{"tenant":"\u0041"}`, `{}`, `{"a":1}`, `{"status":{}}`, `{"tenant":""}`,
	`{"addresses":["::ffff:1.2.3.4","fe80::1%e"]}`, `{"mac":"02:00:00:00:00:0g"}`, `{"mac":null}`, `{"addresses":null}`,
}

// A line that the quick decoder accepts, the strict decoder and encoding/json accept with the same result.
func FuzzBindingLine(f *testing.F) {
	for _, s := range lineSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var quick model.Binding
		if !newLineDecoder().quick(line, &quick) {
			return
		}
		n, err := strict.Parse(line)
		if err != nil {
			t.Fatalf("%s: the quick decoder accepts, the strict one returns %v, want no fault", line, err)
		}
		slow, ps := model.Decode(model.KindBinding, "", n, "")
		if len(ps) > 0 || !reflect.DeepEqual(slow, quick) {
			t.Fatalf("%s: quick decoder %+v, want %+v as of the strict one, faults %v", line, quick, slow, ps)
		}
		var std model.Binding
		if err := json.Unmarshal(line, &std); err != nil {
			t.Fatalf("%s: the quick decoder accepts, encoding/json returns %v, want no error", line, err)
		}
		if len(std.Addresses) == 0 {
			std.Addresses = nil
		}
		if !reflect.DeepEqual(std, quick) {
			t.Fatalf("%s: quick decoder %+v, want %+v as of encoding/json", line, quick, std)
		}
	})
}

// The quick decoder reads the lines of encoding/json, and appendBinding writes the same lines.
func TestQuickDecoderReadsWhatIsWritten(t *testing.T) {
	quick := 0
	for _, s := range lineSeeds {
		var b model.Binding
		if newLineDecoder().quick([]byte(s), &b) {
			quick++
		}
	}
	if quick < 3 {
		t.Errorf("the quick decoder accepts %d seeds, want more", quick)
	}
	var b model.Binding
	if err := json.Unmarshal([]byte(lineSeeds[0]), &b); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	got := appendBinding(nil, &b)
	if string(got) != string(want)+"\n" {
		t.Errorf("appendBinding writes %s, want %s", got, want)
	}
	var back model.Binding
	if !newLineDecoder().quick(got, &back) || !reflect.DeepEqual(back, b) {
		t.Errorf("decoded binding %+v, want %+v", back, b)
	}
	b.Addresses = nil
	if got := string(appendBinding(nil, &b)); strings.Contains(got, "addresses") {
		t.Error(got)
	}
}

// Any text as the value of any operation is accepted or refused with an Error; the state stays valid, and a refused
// operation changes nothing.
func FuzzTransactionJSON(f *testing.F) {
	for _, s := range []string{`{"id":9}`,
		`{"segment":"web","mac":"02:00:00:00:00:09","port":"acc0","vlan":3,"addresses":["10.0.0.7"]}`,
		`{"segment":"web","prefix":"10.0.0.0/24","router":"10.0.0.1"}`, `{"vlans":[{"vid":1,"weight":2}]}`,
		`{"switch_mac":"02:aa:00:00:00:01","switch_port":1}`, `{"labels":null}`, `null`, `[`, ``} {
		for kind := range byte(6) {
			f.Add([]byte(s), kind, kind%3)
		}
	}
	s, err := store.Open(filepath.Join(f.TempDir(), "db"), store.Options{NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	opts := model.Options{Ports: testPorts}
	c, err := New(Config{Store: s, Live: newRecorder(f), Options: opts})
	if err != nil {
		f.Fatal(err)
	}
	w := &world{Core: c}
	w.base(f)
	keys := [6]string{"RED", "RED/web", "RED/n", "RED/vm", "02:00:00:00:00:01/02:00:00:00:00:02",
		"RED/web/02:00:00:00:01:01"}
	f.Fuzz(func(t *testing.T, value []byte, kind, verb byte) {
		before := c.Revision()
		op := Op{Verb: [3]Verb{Put, Patch, Delete}[verb%3], Kind: model.Kinds[kind%6], Key: keys[kind%6], Value: value}
		res, err := c.Do(t.Context(), Transaction{Ops: []Op{op}})
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Code == "" || e.Message == "" || e.Code == CodeInternal):
			t.Fatalf("%+v: error %v, want an Error with code and message", op, err)
		case err != nil && c.Revision() != before:
			t.Fatalf("%+v was refused and changed the revision, want no change", op)
		case err == nil && res.Revision != before+uint64(min(1, len(res.Changes))):
			t.Fatalf("%+v: revision %d after %d with %d changes", op, res.Revision, before, len(res.Changes))
		}
		if ps := c.State().Validate(opts); len(ps) > 0 {
			t.Fatalf("%+v left an invalid state: %v, want no problems", op, ps)
		}
	})
}
