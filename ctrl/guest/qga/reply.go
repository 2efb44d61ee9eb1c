package qga

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// reply is what the agent sends.
type reply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// parse returns what a line of the agent returns, or the agent's error.
func parse(command string, line []byte) (json.RawMessage, error) {
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, &Error{command, Nonsense, fmt.Sprintf("the answer is not the JSON of an agent: %s", quote(line))}
	}
	switch {
	case r.Error != nil:
		e := &Error{command, Refused, printable(r.Error.Desc)}
		switch {
		case r.Error.Class == "CommandNotFound" && strings.Contains(r.Error.Desc, "disabled"),
			strings.Contains(r.Error.Desc, "has been disabled"):
			e.Fault = Blocked
		case r.Error.Class == "CommandNotFound":
			e.Fault = Unknown
		}
		return nil, e
	case r.Return == nil:
		return nil, &Error{command, Nonsense, fmt.Sprintf("the answer has neither return nor error: %s", quote(line))}
	}
	return r.Return, nil
}

// line reads the answer to a command, up to its end of line. Empty lines and leading sentinels are skipped.
func (q *Conn) line(ctx context.Context, command string) ([]byte, error) {
	held := false
	defer func() {
		if held {
			<-bigLines
		}
	}()
	used := 0 // of buf, without an end of line
	for {
		if i := bytes.IndexByte(q.buf[used:], '\n'); i >= 0 {
			line := q.buf[:used+i]
			for len(line) > 0 && line[0] == sentinel {
				line = line[1:]
			}
			line = bytes.TrimSpace(line)
			q.buf = q.buf[used+i+1:]
			if used = 0; len(line) == 0 {
				continue
			}
			q.owed = false
			return line, nil
		}
		used = len(q.buf)
		if used > MaxAnswer {
			q.owed = false // it is no agent, and nobody waits for the rest
			return nil, &Error{command, Nonsense, fmt.Sprintf("the answer is longer than %d octets", MaxAnswer)}
		}
		if used >= freeLine && !held {
			select {
			case bigLines <- struct{}{}:
				held = true
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if err := q.fill(ctx, command); err != nil {
			return nil, err
		}
	}
}

// fill reads once, after what was read before.
func (q *Conn) fill(ctx context.Context, command string) error {
	if cap(q.buf)-len(q.buf) < 4096 {
		grown := make([]byte, len(q.buf), 2*len(q.buf)+8192)
		copy(grown, q.buf)
		q.buf = grown
	}
	n, err := q.c.Read(q.buf[len(q.buf):cap(q.buf)])
	q.buf = q.buf[:len(q.buf)+n]
	if n == 0 && err != nil {
		return q.ioError(ctx, command, len(q.buf), err)
	}
	return nil
}

// quote shows the beginning of what an agent sent.
func quote(text []byte) string {
	const most = 40
	if len(text) > most {
		return fmt.Sprintf("%q …", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

// printable makes the words of a guest fit for alarms and logs.
func printable(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if s = strings.TrimSpace(s); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " …"
	}
	return s
}
