package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one error or warning about a configuration.
type Error struct {
	File    string
	Line    int    // 1 …; 0 = the whole file
	Key     string // "port[1].queues", array elements counted from 0; empty = no single key
	Message string // what was found, what is allowed, what to do
}

// Error returns "FILE:LINE: KEY: MESSAGE".
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors are all errors of a configuration, in the order of its lines. As an error value the list is never empty.
type Errors []Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single Error.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i := range e {
		out[i] = e[i]
	}
	return out
}

// sort orders by line; errors of the whole file come last.
func (e Errors) sort() {
	line := func(x Error) int {
		if x.Line == 0 {
			return int(^uint(0) >> 1)
		}
		return x.Line
	}
	slices.SortStableFunc(e, func(a, b Error) int { return cmp.Compare(line(a), line(b)) })
}
