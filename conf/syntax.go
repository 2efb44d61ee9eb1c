package conf

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

const (
	maxFileSize     = 1 << 20
	maxSyntaxErrors = 50
)

// parseTree reads TOML text into a tree. The library stops at the first syntax error. To report all errors, parseTree
// blanks out the statement with the error (a header with its whole table) and reads the rest again. The index is that
// of the whole text.
func parseTree(file, src string) (map[string]any, *index, Errors) {
	whole := func(format string, args ...any) Errors {
		return Errors{{File: file, Message: fmt.Sprintf(format, args...)}}
	}
	switch {
	case len(src) > maxFileSize:
		return nil, &index{}, whole("the file is larger than 1 MiB: this is not a configuration of a box")
	case strings.HasPrefix(src, "\xff\xfe"), strings.HasPrefix(src, "\xfe\xff"), strings.IndexByte(src, 0) >= 0:
		return nil, &index{}, whole("the file is not text in UTF-8: save it as UTF-8")
	}
	src = strings.TrimPrefix(src, "\ufeff")
	idx := scan(src)
	var errs Errors
	if !utf8.ValidString(src) {
		for n, l := range strings.Split(src, "\n") {
			if !utf8.ValidString(l) {
				errs = append(errs, Error{File: file, Line: n + 1,
					Message: "the line is not text in UTF-8: save the file as UTF-8"})
			}
		}
		return nil, idx, errs
	}

	text := []byte(src)
	blanked := map[int]bool{}
	for i := range idx.stmts {
		if s := &idx.stmts[i]; s.deep && !blanked[i] {
			errs = append(errs, Error{File: file, Line: s.line, Key: s.path,
				Message: fmt.Sprintf("nested more than %d deep: nothing here needs that", maxDepth)})
			blankOut(text, idx, i, blanked)
		}
	}
	for {
		tree, err := decode(string(text))
		if err == nil {
			return tree, idx, errs
		}
		pe, ok := errors.AsType[toml.ParseError](err)
		if !ok {
			return nil, idx, append(errs, whole("%v", err)...)
		}
		n := idx.at(pe.Position.Start, func(i int) bool { return blanked[i] })
		e := Error{File: file, Line: pe.Position.Line}
		if n >= 0 {
			s := &idx.stmts[n]
			e.Line, e.Key = min(max(pe.Position.Line, s.line), s.last), s.path
			if s.header {
				e.Key = trimIndex(s.path)
			}
		}
		e.Message = syntaxMessage(pe, src, idx, n, e)
		errs = append(errs, e)
		if n < 0 || blanked[n] || len(errs) >= maxSyntaxErrors {
			return nil, idx, errs
		}
		blankOut(text, idx, n, blanked)
	}
}

// trimIndex turns the path of an array's element, "port[1]", into that of the array.
func trimIndex(path string) string {
	if i := strings.LastIndexByte(path, '['); i >= 0 && strings.HasSuffix(path, "]") {
		return path[:i]
	}
	return path
}

// decode calls the library. A panic there must not stop the box, whose old configuration is still valid.
func decode(src string) (tree map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			tree, err = nil, fmt.Errorf("the TOML in this file cannot be read: %v", r)
		}
	}()
	_, err = toml.Decode(src, &tree)
	return tree, err
}

// blankOut overwrites statement n with spaces: for a header, everything up to the next header.
func blankOut(text []byte, idx *index, n int, blanked map[int]bool) {
	last := n
	if idx.stmts[n].header {
		for last+1 < len(idx.stmts) && !idx.stmts[last+1].header {
			last++
		}
	}
	for i := n; i <= last; i++ {
		blanked[i] = true
	}
	for i := idx.stmts[n].start; i < idx.stmts[last].end; i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}

// syntaxMessage returns the fault of statement n and, for frequent faults, the remedy.
func syntaxMessage(pe toml.ParseError, src string, idx *index, n int, e Error) string {
	m := pe.Message
	switch {
	case strings.Contains(m, "has already been defined"):
		if first := idx.lines[e.Key]; first != 0 && first != e.Line {
			return fmt.Sprintf("already set on line %d: remove one of the two", first)
		}
		return "set twice: remove one of the two"
	case strings.Contains(m, "cannot be used as an array"):
		return "already a table, and an array of tables here: write [[port]] for every port and [NAME] for " +
			"everything else"
	case strings.Contains(m, "already created as a hash"), strings.Contains(m, "is not a table"):
		return "already a value, and cannot have keys below it: remove one of the two"
	}
	m = strings.TrimSuffix(strings.TrimSpace(m), ".")
	if n < 0 {
		return "not valid TOML: " + m
	}
	s := &idx.stmts[n]
	text := src[s.start:s.end]
	_, value, assigned := strings.Cut(text, "=")
	value, _, _ = strings.Cut(value, "#")
	value = strings.TrimSpace(value)
	switch {
	case s.header && s.broken:
		return "not valid TOML: write [NAME], or [[port]] for a port"
	case s.header:
	case !assigned || value == "":
		return "no value: write KEY = VALUE"
	case bareWord(value):
		return value + " is not a TOML value: put text in double quotes; yes and no are true and false"
	case strings.Contains(m, "strings cannot contain newlines"):
		return `the string does not end on its line: close it with "`
	case s.broken && (value[0] == '[' || value[0] == '{'):
		return fmt.Sprintf("not valid TOML: an array ends with ], its elements are separated by commas (%s)", m)
	}
	return "not valid TOML: " + m
}

// bareWord reports whether s is a word in the position of a value.
func bareWord(s string) bool {
	if c := s[0] | 0x20; c < 'a' || c > 'z' {
		return false
	}
	return !strings.ContainsAny(s, " \t,[]{}\"'=")
}
