package conf

import (
	"strconv"
	"strings"
)

// The TOML library gives the line of a syntax error, but not the line of a key that it accepted. This scanner does: it
// splits the text into statements (headers and assignments) and records the line of every key, array element and inline
// table under its path. The scanner accepts any text. For valid TOML it is exact. Statements of invalid text end at the
// line's end, so that syntax.go can continue behind an error.

// statement is a header or an assignment with the text it covers.
type statement struct {
	start, end int    // octets of the text; end is behind the last one
	line, last int    // first and last line
	header     bool   //
	broken     bool   // it certainly is not valid TOML
	deep       bool   // it nests deeper than maxDepth
	path       string // of the key or table; array elements counted
}

// index holds the lines of all keys.
type index struct {
	lines map[string]int // path → line of its first appearance
	stmts []statement
}

// line returns the line of path, or of the nearest table around it, or 0.
func (x *index) line(path string) int { return lineOf(x.lines, path) }

func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if n, ok := lines[path]; ok {
			return n
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return 0
}

// at returns the index in x.stmts of the statement that caused a syntax error at octet off: the first broken statement
// before off that good does not exclude, else the statement that covers off, else the last one before off; −1 if there
// is none.
func (x *index) at(off int, good func(int) bool) int {
	last := -1
	for i := range x.stmts {
		if x.stmts[i].start > off+1 { // the library points at the octet before a control character
			break
		}
		last = i
		if x.stmts[i].broken && !good(i) {
			return i
		}
	}
	return last
}

type scanner struct {
	src    string
	off    int
	line   int
	idx    *index
	arrays map[string]int // path of an array of tables → its length so far
	depth  int            // of arrays and inline tables
	broken bool           // the statement at hand is not valid TOML
	deep   bool           // … nests too deep
}

// maxDepth limits the nesting of arrays and inline tables, and the parts of a dotted key; no key needs more than two.
// The library's time grows with the square of both.
const maxDepth = 16

// scan indexes src.
func scan(src string) *index {
	s := &scanner{src: src, line: 1, idx: &index{lines: map[string]int{}}, arrays: map[string]int{}}
	table := ""
	for {
		s.blank(true)
		if s.off >= len(s.src) {
			return s.idx
		}
		s.broken, s.deep = false, false
		st := statement{start: s.off, line: s.line}
		if s.peek() == '[' {
			st.header = true
			table = s.header()
			st.path = table
		} else {
			st.path = s.assignment(table)
		}
		s.restOfLine()
		st.end, st.last, st.broken, st.deep = s.off, s.line, s.broken, s.deep
		s.idx.stmts = append(s.idx.stmts, st)
	}
}

func (s *scanner) peek() byte {
	if s.off < len(s.src) {
		return s.src[s.off]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.src[s.off:], prefix) }

// blank skips white space and, with newlines set, newlines and comments.
func (s *scanner) blank(newlines bool) {
	for s.off < len(s.src) {
		switch c := s.src[s.off]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.off++
		case newlines && c == '\n':
			s.off++
			s.line++
		case newlines && c == '#':
			s.restOfLine()
		default:
			return
		}
	}
}

// restOfLine skips to the newline, which it leaves.
func (s *scanner) restOfLine() {
	if n := strings.IndexByte(s.src[s.off:], '\n'); n >= 0 {
		s.off += n
		return
	}
	s.off = len(s.src)
}

func (s *scanner) note(path string, line int) {
	if _, ok := s.idx.lines[path]; !ok {
		s.idx.lines[path] = line
	}
}

// header reads [a.b] or [[a.b]] and returns the table's path.
func (s *scanner) header() string {
	line := s.line
	array := s.has("[[")
	s.off++
	if array {
		s.off++
	}
	parts := s.key()
	path := ""
	for i, p := range parts {
		path = join(path, p)
		if array && i == len(parts)-1 {
			s.note(path, line)
			s.arrays[path]++
		}
		if n := s.arrays[path]; n > 0 {
			path += "[" + strconv.Itoa(n-1) + "]"
		}
		s.note(path, line)
	}
	if !s.has("]") || array && !s.has("]]") {
		s.broken = true
	}
	return path
}

// assignment reads key = value and returns the key's path.
func (s *scanner) assignment(table string) string {
	line := s.line
	path := table
	for _, p := range s.key() {
		path = join(path, p)
		s.note(path, line)
	}
	if s.peek() != '=' {
		s.broken = true
		return path
	}
	s.off++
	s.blank(false)
	s.value(path)
	return path
}

// key reads a dotted key.
func (s *scanner) key() []string {
	var parts []string
	for {
		s.blank(false)
		if c := s.peek(); c == '"' || c == '\'' {
			parts = append(parts, s.quoted())
		} else {
			start := s.off
			for s.off < len(s.src) && bare(s.src[s.off:s.off+1]) {
				s.off++
			}
			if s.off == start {
				s.broken = true
				return parts
			}
			parts = append(parts, s.src[start:s.off])
		}
		s.blank(false)
		if s.peek() != '.' {
			return parts
		}
		if len(parts) == maxDepth {
			s.broken, s.deep = true, true
			return parts
		}
		s.off++
	}
}

// quoted skips a string on one line and returns its content.
func (s *scanner) quoted() string {
	q := s.src[s.off]
	start := s.off
	s.off++
	for s.off < len(s.src) {
		switch c := s.src[s.off]; {
		case c == '\n':
			s.broken = true
			return s.src[start+1 : s.off]
		case c == '\\' && q == '"' && s.off+1 < len(s.src) && s.src[s.off+1] != '\n':
			s.off += 2
		case c == q:
			s.off++
			if q == '"' {
				return unescape(s.src[start+1 : s.off-1])
			}
			return s.src[start+1 : s.off-1]
		default:
			s.off++
		}
	}
	s.broken = true
	return s.src[start+1:]
}

// unescape resolves the escapes of a basic string (TOML 1.1, "String").
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if n := strings.IndexByte(`btnfre"\\`, s[i]); n >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b\"\\"[n])
			continue
		}
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if i+digits < len(s) && digits > 0 {
			if v, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32); err == nil {
				b.WriteRune(rune(v))
				i += digits
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// multiline skips a string in triple quotes.
func (s *scanner) multiline(q string) {
	s.off += 3
	for s.off < len(s.src) {
		switch {
		case s.has(q):
			s.off += 3
			for n := 0; n < 2 && s.peek() == q[0]; n++ { // up to two quotes may stand before the closing three
				s.off++
			}
			return
		case s.peek() == '\\' && q == `"""` && s.off+1 < len(s.src) && s.src[s.off+1] != '\n':
			s.off += 2
		default:
			if s.peek() == '\n' {
				s.line++
			}
			s.off++
		}
	}
	s.broken = true
}

func (s *scanner) value(path string) {
	s.note(path, s.line)
	switch c := s.peek(); {
	case s.has(`"""`) || s.has(`'''`):
		s.multiline(s.src[s.off : s.off+3])
	case c == '"' || c == '\'':
		s.quoted()
	case c == '[':
		s.list(path, ']')
	case c == '{':
		s.list(path, '}')
	default:
		if strings.IndexByte(",]}#\r\n\x00", c) >= 0 {
			s.broken = true
		}
		for s.off < len(s.src) && strings.IndexByte(",]}#\n", s.src[s.off]) < 0 {
			if s.src[s.off] == '=' { // the next assignment: a bracket was not closed
				s.broken = true
			}
			s.off++
		}
	}
}

// list skips an array or an inline table, which may hold newlines and comments.
func (s *scanner) list(path string, end byte) {
	s.off++
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > maxDepth {
		s.broken, s.deep = true, true
		return
	}
	for n, comma := 0, true; ; {
		safe, line := s.off, s.line
		s.blank(true)
		switch c := s.peek(); {
		case s.off >= len(s.src):
			s.broken = true
		case c == end:
			s.off++
			return
		case c == ',':
			s.off++
			n++
			comma = true
			continue
		case !comma:
			s.broken = true
		case end == '}':
			start := s.off
			s.assignment(path)
			s.broken = s.broken || s.off == start
		default:
			start := s.off
			s.value(path + "[" + strconv.Itoa(n) + "]")
			s.broken = s.broken || s.off == start
		}
		if s.broken { // end the statement where the line ended that was still good
			s.off, s.line = safe, line
			return
		}
		comma = false
	}
}

// join appends a key to a path, quoted when it is not a bare key.
func join(path, key string) string {
	if !bare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func bare(key string) bool {
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return key != ""
}
