// Package printable makes strings from outside harmless for people's eyes: texts of neighbours, answers of servers,
// names of guests. Whoever writes them must not move the cursor of an operator's terminal, add a row to a table, or
// turn the order of what stands there. Characters that do such things are shown as escapes: \x1b, \u202e.
package printable

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// harmless reports whether a character only shows itself: no control, no bidirectional format, nothing that is
// invisible, no end of a line. The ASCII backslash stays: an escape may be imitated, which hides nothing.
func harmless(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7f
	}
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector)
}

// Line returns s with everything escaped that is not harmless, line ends and octets that are no UTF-8 too.
func Line(s string) string { return escape(s, "") }

// Text returns s escaped like Line, but keeps its line ends and tabs.
func Text(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	var b strings.Builder
	clean := 0 // the octets before it are in b
	for i, n := 0, 0; i < len(s); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(s[i:])
		invalid := r == utf8.RuneError && n == 1
		if !invalid && (harmless(r) || r < utf8.RuneSelf && strings.IndexByte(keep, byte(r)) >= 0) {
			continue
		}
		b.WriteString(s[clean:i])
		clean = i + n
		switch {
		case invalid:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	if clean == 0 {
		return s
	}
	b.WriteString(s[clean:])
	return b.String()
}

// Short is Line of at most so many characters; what is longer ends in "…".
func Short(s string, most int) string {
	s = Line(s)
	n := 0
	for i := range s {
		if n++; n == most {
			if utf8.RuneCountInString(s[i:]) > 1 {
				return s[:i] + "…"
			}
			break
		}
	}
	return s
}

// JSON returns a JSON text that means the same, with all characters escaped that are not harmless (RFC 8259,
// section 7). Such characters occur in strings only; white space between the values stays.
func JSON(text []byte) []byte {
	bad := func(r rune) bool { return r >= ' ' && !harmless(r) }
	if bytes.IndexFunc(text, bad) < 0 {
		return text
	}
	b := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		switch {
		case !bad(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}

// TextWriter passes on what is written to it, through Text. A write has whole characters.
func TextWriter(w io.Writer) io.Writer {
	return writer{w, func(text []byte) []byte { return []byte(Text(string(text))) }}
}

// JSONWriter passes on what is written to it, through JSON. A write has whole characters.
func JSONWriter(w io.Writer) io.Writer { return writer{w, JSON} }

type writer struct {
	w      io.Writer
	escape func([]byte) []byte
}

func (w writer) Write(text []byte) (int, error) {
	if _, err := w.w.Write(w.escape(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}
