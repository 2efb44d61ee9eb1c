// Package strict reads JSON that comes from outside: it rejects input that encoding/json accepts (unknown and repeated
// members, trailing garbage, wrong UTF-8, endless nesting), reports all faults at once, and names the location of each
// fault as a field path ("operations[3].value.prefix").
package strict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// The limits of Parse: a larger value is refused before it is built, so that a text costs no more memory than its size
// and a fixed amount.
const (
	MaxDepth  = 32      // levels of nesting
	MaxValues = 1 << 16 // values within one value, names of members not counted
	MaxText   = 1 << 20 // octets
)

// Type is the JSON type of a Node.
type Type uint8

// The JSON types.
const (
	Null Type = iota
	Bool
	Number
	String
	Array
	Object
)

func (t Type) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[t]
}

// Node is a JSON value.
type Node struct {
	Type    Type
	from    int32  // of the value, counted from the start of the outermost one
	to      int32  // behind it
	Text    string // of a string: unquoted; of a number or boolean: as written
	Items   []*Node
	Members []Member // in the order of the text, names unique
}

// Member is one member of an object.
type Member struct {
	Name  string
	Value *Node
}

// Get returns the member of that name, or nil.
func (n *Node) Get(name string) *Node {
	for i := range n.Members {
		if n.Members[i].Name == name {
			return n.Members[i].Value
		}
	}
	return nil
}

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Line, Column int // from 1; the column counts octets
	Code         string
	Message      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Parse reads one JSON value within the limits MaxDepth, MaxValues and MaxText. The error is a *SyntaxError.
func Parse(data []byte) (*Node, error) {
	r := NewReader(data)
	n, err := r.Value()
	if err != nil {
		return nil, err
	}
	return n, r.End()
}

// ParseFile is Parse without the limits MaxValues and MaxText, for a file that the caller chose to read.
func ParseFile(data []byte) (n *Node, err error) {
	p := parser{s: data, left: math.MaxInt}
	p.space()
	if n, err = p.value(0); err != nil {
		return nil, err
	}
	return n, p.end()
}

type parser struct {
	s    []byte
	i    int
	base int // where the outermost value starts
	left int // values that may still come
}

func (p *parser) end() error {
	if p.space(); p.i < len(p.s) {
		return p.fail("trailing", "%s follows the end of the JSON value", p.found())
	}
	return nil
}

func (p *parser) fail(code, format string, args ...any) error {
	before := p.s[:min(p.i, len(p.s))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	return &SyntaxError{line, len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1, code,
		fmt.Sprintf(format, args...)}
}

func (p *parser) found() string {
	if p.i >= len(p.s) {
		return "the end of the text"
	}
	r, _ := utf8.DecodeRune(p.s[p.i:])
	return strconv.QuoteRune(r)
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (*Node, error) {
	if depth > MaxDepth {
		return nil, p.fail("depth", "values nest deeper than %d levels", MaxDepth)
	}
	if p.i >= len(p.s) {
		if len(bytes.TrimSpace(p.s)) == 0 {
			return nil, p.fail("syntax", "the text is empty where a JSON value is expected")
		}
		return nil, p.fail("truncated", "the text ends inside a JSON value")
	}
	if p.left--; p.left < 0 {
		return nil, p.fail("limit", "one value holds more than %d values", MaxValues)
	}
	from := p.i
	n, err := p.kind(depth)
	if err != nil {
		return nil, err
	}
	n.from, n.to = int32(from-p.base), int32(p.i-p.base)
	return n, nil
}

// kind reads a value by its first character.
func (p *parser) kind(depth int) (*Node, error) {
	switch c := p.s[p.i]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		return &Node{Type: String, Text: s}, err
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == 't':
		return p.word("true", Bool)
	case c == 'f':
		return p.word("false", Bool)
	case c == 'n':
		return p.word("null", Null)
	}
	return nil, p.fail("syntax", "found %s where a JSON value is expected", p.found())
}

func (p *parser) word(w string, t Type) (*Node, error) {
	if !bytes.HasPrefix(p.s[p.i:], []byte(w)) {
		return nil, p.fail("syntax", "found %s where a JSON value is expected", p.found())
	}
	p.i += len(w)
	return &Node{Type: t, Text: w}, nil
}

func (p *parser) number() (*Node, error) {
	start := p.i
	for p.i < len(p.s) && bytes.IndexByte([]byte("+-.0123456789eE"), p.s[p.i]) >= 0 {
		p.i++
	}
	if !json.Valid(p.s[start:p.i]) {
		p.i = start
		return nil, p.fail("syntax", "this is not a JSON number")
	}
	return &Node{Type: Number, Text: string(p.s[start:p.i])}, nil
}

func (p *parser) string() (string, error) {
	start := p.i
	plain := true
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			raw := p.s[start:p.i]
			if !utf8.Valid(raw) {
				p.i = start
				return "", p.fail("syntax", "this string is not valid UTF-8")
			}
			if plain {
				return string(raw[1 : len(raw)-1]), nil
			}
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				p.i = start
				return "", p.fail("syntax", "this string has a wrong escape")
			}
			return s, nil
		case c == '\\':
			plain = false
			p.i++
		case c < 0x20:
			return "", p.fail("syntax", "a control character stands inside a string")
		}
	}
	p.i = len(p.s)
	return "", p.fail("truncated", "the text ends inside a string")
}

func (p *parser) array(depth int) (*Node, error) {
	n := &Node{Type: Array}
	p.i++
	for p.space(); ; p.space() {
		if len(n.Items) == 0 && p.i < len(p.s) && p.s[p.i] == ']' {
			break
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Items = append(n.Items, v)
		p.space()
		if p.i < len(p.s) && p.s[p.i] == ',' {
			p.i++
			continue
		}
		if p.i < len(p.s) && p.s[p.i] == ']' {
			break
		}
		return nil, p.expected("',' or ']'")
	}
	p.i++
	return n, nil
}

func (p *parser) expected(what string) error {
	if p.i >= len(p.s) {
		return p.fail("truncated", "the text ends where %s is expected", what)
	}
	return p.fail("syntax", "found %s where %s is expected", p.found(), what)
}

func (p *parser) object(depth int) (*Node, error) {
	n := &Node{Type: Object}
	var seen map[string]bool // only for objects for which the linear search would be slow
	p.i++
	for p.space(); ; p.space() {
		if len(n.Members) == 0 && p.i < len(p.s) && p.s[p.i] == '}' {
			break
		}
		if p.i >= len(p.s) || p.s[p.i] != '"' {
			return nil, p.expected("a member name in double quotes")
		}
		at := p.i
		name, err := p.string()
		if err != nil {
			return nil, err
		}
		dup := false
		if seen != nil {
			dup = seen[name]
			seen[name] = true
		} else if dup = n.Get(name) != nil; len(n.Members) == 32 {
			seen = map[string]bool{name: true}
			for _, m := range n.Members {
				seen[m.Name] = true
			}
		}
		if dup {
			p.i = at
			return nil, p.fail("duplicate_key", "the member %q occurs twice in one object", clip(name))
		}
		p.space()
		if p.i >= len(p.s) || p.s[p.i] != ':' {
			return nil, p.expected("':'")
		}
		p.i++
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Members = append(n.Members, Member{name, v})
		p.space()
		if p.i < len(p.s) && p.s[p.i] == ',' {
			p.i++
			continue
		}
		if p.i < len(p.s) && p.s[p.i] == '}' {
			break
		}
		return nil, p.expected("',' or '}'")
	}
	p.i++
	return n, nil
}

func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return s
}
