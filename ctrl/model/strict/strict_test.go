package strict

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// plain turns a node into what encoding/json decodes into an any.
func plain(n *Node) any {
	switch n.Type {
	case Object:
		m := map[string]any{}
		for _, mem := range n.Members {
			m[mem.Name] = plain(mem.Value)
		}
		return m
	case Array:
		l := []any{}
		for _, it := range n.Items {
			l = append(l, plain(it))
		}
		return l
	case String:
		return n.Text
	case Number:
		return json.Number(n.Text)
	case Bool:
		return n.Text == "true"
	}
	return nil
}

// A text that Parse accepts, encoding/json accepts with the same result. A text that only encoding/json accepts is
// refused for one of Parse's own reasons.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `{"a":[1,2.5e-3,-0],"b":{"c":null,"d":true,"e":"x\u00e9\n\ud83d\ude00"}}`,
		`{"a":1,"a":2}`, "\"\xff\"", `[[[`, `"\ud800"`,
		strings.Repeat("[", 40) + strings.Repeat("]", 40),
		`tru`, `-`, `01`, `1 2`, "\"a\tb\"", `{"a":}`, `[1,]`, `{,}`, ` `, `nulll`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := Parse(text)
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		var want any
		valid := json.Valid(text)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) || se.Line < 1 || se.Column < 1 || se.Code == "" || se.Message == "" {
				t.Fatalf("%q: error %v, want a SyntaxError with line, column, code and message", text, err)
			}
			if valid && se.Code != "duplicate_key" && se.Code != "depth" && se.Code != "limit" &&
				!strings.Contains(se.Message, "UTF-8") {
				t.Fatalf("%q is JSON, Parse returns the error %v, want none", text, err)
			}
			return
		}
		if !valid {
			t.Fatalf("%q is no JSON, and Parse accepts it, want an error", text)
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := plain(n); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
	})
}

func TestManyMembers(t *testing.T) {
	var s []string
	for i := range 100 {
		s = append(s, `"m`+strings.Repeat("x", i)+`":1`)
	}
	if _, err := Parse([]byte("{" + strings.Join(s, ",") + "}")); err != nil {
		t.Error(err)
	}
	for _, again := range []int{0, 31, 32, 33, 99} {
		_, err := Parse([]byte("{" + strings.Join(s, ",") + "," + s[again] + "}"))
		var se *SyntaxError
		if !errors.As(err, &se) || se.Code != "duplicate_key" {
			t.Errorf("member %d twice: error %v, want duplicate_key", again, err)
		}
	}
}
