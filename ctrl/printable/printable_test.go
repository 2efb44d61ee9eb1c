package printable

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var hostile = []struct{ name, in, line string }{
	{"plain", `Ethernet1/17 "up" é 網路 \n`, `Ethernet1/17 "up" é 網路 \n`},
	{"empty", "", ""},
	{"clear screen", "leaf1\x1b[2J\x1b[H", `leaf1\x1b[2J\x1b[H`},
	{"title", "\x1b]0;owned\x07", `\x1b]0;owned\x07`},
	{"row", "leaf1\nfab9  up\r\n", `leaf1\x0afab9  up\x0d\x0a`},
	{"tab, backspace, delete, zero", "a\tb\bc\x7fd\x00", `a\x09b\x08c\x7fd\x00`},
	{"C1 in UTF-8", "a\u009b2Jb\u0085c", `a\x9b2Jb\x85c`},
	{"C1 as an octet", "a\x9b2Jb", `a\x9b2Jb`},
	{"bidi", "a\u202eb\u2066c\u200fd\u061ce", `a\u202eb\u2066c\u200fd\u061ce`},
	{"invisible", "a\u200bb\ufeffc\u00add\u2060e\u3164f\ufe0fg", `a\u200bb\ufeffc\xadd\u2060e\u3164f\ufe0fg`},
	{"tags", "a\U000e0041b", `a\U000e0041b`},
	{"line separators", "a\u2028b\u2029c", `a\u2028b\u2029c`},
	{"cut UTF-8", "é\xc3", `é\xc3`},
	{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
	{"overlong", "\xc0\x9b", `\xc0\x9b`},
	{"private and not assigned", "a\ue000b\U000e1000c", `a\ue000b\U000e1000c`},
	{"replacement character", "a\ufffdb", "a\ufffdb"},
}

func TestLine(t *testing.T) {
	for _, c := range hostile {
		if got := Line(c.in); got != c.line {
			t.Errorf("%s: got %q, want %q", c.name, got, c.line)
		}
	}
	long := strings.Repeat("x", 1<<20)
	if got := Line(long); got != long {
		t.Error("a long plain string changed")
	}
}

func TestText(t *testing.T) {
	if got, want := Text("one\x1b\n\ttwo\r\u202e\n"), "one\\x1b\n\ttwo\\x0d\\u202e\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestShort(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"éé", "éé"}, {"éé8", "éé8"}, {"éé89", "éé…"}, {"\x1b", `\x…`}, {strings.Repeat("é", 1<<16), "éé…"},
	} {
		if got := Short(c.in, 3); got != c.want {
			t.Errorf("%.20q: got %q, want %q", c.in, got, c.want)
		}
	}
}

// TestJSON: the text means the same, and holds nothing that Line would change but white space.
func TestJSON(t *testing.T) {
	for _, c := range hostile {
		text, err := json.MarshalIndent(map[string]string{c.in: c.in}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]string
		out := JSON(text)
		if json.Unmarshal(text, &want) != nil || json.Unmarshal(out, &got) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q is %q, want %q", c.name, out, got, want)
		}
		if s := string(out); Text(s) != s {
			t.Errorf("%s: %q holds what must be escaped", c.name, s)
		}
	}
}

// TestLog: no record of either form holds what must be escaped, whatever was logged.
func TestLog(t *testing.T) {
	var b bytes.Buffer
	handlers := []slog.Handler{slog.NewTextHandler(TextWriter(&b), nil), slog.NewJSONHandler(JSONWriter(&b), nil)}
	for _, h := range handlers {
		l := slog.New(h)
		for _, c := range hostile {
			b.Reset()
			l.Warn("told: "+c.in, "text", c.in, "any", struct{ S string }{c.in}, slog.Group("g", "err", c.in))
			if s := b.String(); Text(s) != s || strings.Count(s, "\n") != 1 {
				t.Errorf("%s: the log has %q", c.name, s)
			}
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, c := range hostile {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if !utf8.ValidString(got) || Line(got) != got || strings.ContainsAny(got, "\n\r\t\x1b") {
			t.Errorf("%q became %q", s, got)
		}
		if n := utf8.RuneCountInString(Short(s, 10)); n > 10 {
			t.Errorf("%q has %d characters, want 10 at most", Short(s, 10), n)
		}
	})
}
