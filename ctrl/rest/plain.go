package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// rewritePlain converts an error that net/http writes as plain text, before a handler gets the request, into the form
// of all errors: a head that is malformed or too long, a version or a transfer encoding that is not supported. It
// returns nil for every other answer. Two answers stay plain text: the empty 417 to an unknown Expect, and on a
// listener under TLS all that is already encrypted.
func rewritePlain(p []byte) []byte {
	const marker = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(p, []byte("HTTP/1.1 5")) {
		return nil
	}
	head, text, found := bytes.Cut(p, []byte(marker))
	if !found || len(head) < len("HTTP/1.1 400") || bytes.ContainsRune(head, '\n') {
		return nil
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return nil
	}
	message := strings.TrimSpace(string(text))
	message = strings.TrimPrefix(message, strconv.Itoa(status)+" ")
	if _, detail, ok := strings.Cut(message, ": "); ok {
		message = detail
	}
	code, hint := "malformed", "send HTTP/1.1"
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		code, hint = CodeTooLarge, fmt.Sprintf("the head of a request may have %d octets", maxHeader)
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		code = CodeUnsupported
	}
	return rawAnswer(Problem(status, code, "", hint, Clip(message)), string(head[8:]))
}

// rawAnswer is an error as it goes over the connection when no handler can send it. line is the rest of the status line
// behind the version; "" = of the status.
func rawAnswer(e *EnvelopeError, line string) []byte {
	body, err := json.Marshal(Envelope{*e})
	if err != nil {
		body = nil
	}
	if line == "" {
		line = " " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	}
	return fmt.Appendf(nil,
		"HTTP/1.1%s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n",
		line, len(body)+1, body)
}
