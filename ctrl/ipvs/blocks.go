package ipvs

import "strings"

// block is a statement of keepalived's configuration, and what stands between its braces.
type block struct {
	line   int
	words  []string
	inside []*block
	braces bool
}

// arg is a word of the statement, "" if it has fewer.
func (b *block) arg(i int) string {
	if i < len(b.words) {
		return b.words[i]
	}
	return ""
}

// maxDepth is deeper than anything in keepalived's configuration.
const maxDepth = 8

// blocks splits a text into statements. A statement ends with its line or with a brace; an opening brace may stand on
// the next line.
func (p *parser) blocks(text string) []*block {
	top := &block{braces: true}
	open := []*block{top}
	n := 0
	for line := range strings.Lines(text) {
		n++
		var b *block
		for _, word := range splitWords(line) {
			in := open[len(open)-1]
			switch word {
			case "{":
				if b == nil && len(in.inside) > 0 { // the statement is on an earlier line
					b = in.inside[len(in.inside)-1]
				}
				if b == nil || b.braces {
					p.fault(n, "", "{ without a statement before it")
					return nil
				}
				if len(open) == maxDepth {
					p.fault(n, "", "blocks are nested more than %d deep", maxDepth-1)
					return nil
				}
				b.braces = true
				open = append(open, b)
				b = nil
			case "}":
				if len(open) == 1 {
					p.fault(n, "", "} without {")
					return nil
				}
				open = open[:len(open)-1]
				b = nil
			default:
				if b == nil {
					b = &block{line: n}
					in.inside = append(in.inside, b)
				}
				b.words = append(b.words, word)
			}
		}
	}
	if len(open) > 1 {
		p.fault(open[len(open)-1].line, "", "%s: the closing } is missing", open[len(open)-1].words[0])
		return nil
	}
	return top.inside
}

// splitWords splits a line into words, without its comment. Quotes hold a word together; a brace at the end of a word
// is a word.
func splitWords(line string) (words []string) {
	var word strings.Builder
	quoted, has := false, false
	end := func() {
		if w := word.String(); has && len(w) > 1 && w[len(w)-1] == '{' && !strings.Contains(w, "${") {
			words = append(words, w[:len(w)-1], "{")
		} else if has {
			words = append(words, w)
		}
		word.Reset()
		has = false
	}
	for _, c := range line {
		switch {
		case c == '"':
			quoted, has = !quoted, true
		case quoted && c != '\n':
			word.WriteRune(c)
		case c == '#' || c == '!':
			end()
			return words
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			end()
		default:
			word.WriteRune(c)
			has = true
		}
	}
	end()
	return words
}
