package strict

import (
	"errors"
)

// Reader reads a JSON text member by member and item by item, without building the whole: each value that it returns is
// held to MaxDepth, MaxValues and MaxText. Errors are *SyntaxError, or what a function of the caller returned.
type Reader struct{ p parser }

// NewReader reads data, which must not be changed meanwhile.
func NewReader(data []byte) *Reader { return &Reader{parser{s: data}} }

// Next returns the type of the next value; false if there is none, or no value begins there.
func (r *Reader) Next() (Type, bool) {
	r.p.space()
	if r.p.i >= len(r.p.s) {
		return Null, false
	}
	switch c := r.p.s[r.p.i]; {
	case c == '{':
		return Object, true
	case c == '[':
		return Array, true
	case c == '"':
		return String, true
	case c == 't', c == 'f':
		return Bool, true
	case c == 'n':
		return Null, true
	case c == '-' || '0' <= c && c <= '9':
		return Number, true
	}
	return Null, false
}

// Value reads the next value.
func (r *Reader) Value() (n *Node, err error) {
	r.p.space()
	r.p.base, r.p.left = r.p.i, MaxValues
	return n, r.within(func() (err error) { n, err = r.p.value(0); return err })
}

// within runs f, which may read MaxText octets.
func (r *Reader) within(f func() error) error {
	p := &r.p
	all, from := p.s, p.i
	if len(all)-from <= MaxText {
		return f()
	}
	p.s = all[:from+MaxText]
	err := f()
	p.s = all
	if p.i < from+MaxText-maxToken {
		return err
	}
	var se *SyntaxError
	if err == nil && p.i < from+MaxText || errors.As(err, &se) && se.Code == "limit" {
		return err
	}
	p.i = from
	return p.fail("limit", "one value is longer than %d octets", MaxText)
}

// maxToken is how far before the end of a cut text an error may lie that the cut caused: the cut may split a word, a
// number, an escape or a character of several octets.
const maxToken = 16

// Object reads the next value, which must begin with '{', and calls f for each of its members; f reads the value.
func (r *Reader) Object(f func(name string) error) error {
	p := &r.p
	var seen []string
	p.i++
	for p.space(); ; p.space() {
		if len(seen) == 0 && p.i < len(p.s) && p.s[p.i] == '}' {
			break
		}
		if p.i >= len(p.s) || p.s[p.i] != '"' {
			return p.expected("a member name in double quotes")
		}
		at := p.i
		var name string
		if err := r.within(func() (err error) { name, err = p.string(); return err }); err != nil {
			return err
		}
		for _, s := range seen {
			if s == name {
				p.i = at
				return p.fail("duplicate_key", "the member %q occurs twice in one object", clip(name))
			}
		}
		if seen = append(seen, name); len(seen) > maxMembers {
			return p.fail("limit", "one object has more than %d members", maxMembers)
		}
		if p.space(); p.i >= len(p.s) || p.s[p.i] != ':' {
			return p.expected("':'")
		}
		p.i++
		p.space()
		if err := f(name); err != nil {
			return err
		}
		if p.space(); p.i < len(p.s) && p.s[p.i] == ',' {
			p.i++
			continue
		}
		if p.i < len(p.s) && p.s[p.i] == '}' {
			break
		}
		return p.expected("',' or '}'")
	}
	p.i++
	return nil
}

// maxMembers of an object that Object reads: its callers know a few names.
const maxMembers = 128

// Array reads the next value, which must begin with '[', and calls f for each of its items; f reads the value.
func (r *Reader) Array(f func(i int) error) error {
	p := &r.p
	p.i++
	for i := 0; ; i++ {
		p.space()
		if i == 0 && p.i < len(p.s) && p.s[p.i] == ']' {
			break
		}
		if err := f(i); err != nil {
			return err
		}
		if p.space(); p.i < len(p.s) && p.s[p.i] == ',' {
			p.i++
			continue
		}
		if p.i < len(p.s) && p.s[p.i] == ']' {
			break
		}
		return p.expected("',' or ']'")
	}
	p.i++
	return nil
}

// End is nil if nothing follows.
func (r *Reader) End() error { return r.p.end() }

// Text returns the text of the value that Value returned last, or of a part of it.
func (r *Reader) Text(n *Node) []byte {
	from, to := r.p.base+int(n.from), r.p.base+int(n.to)
	return r.p.s[from:to:to]
}
