package main

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"penstock/ctrl/client"
	"penstock/ctrl/printable"
	"penstock/ctrl/rest"
)

// Exit codes, for scripts.
const (
	exitOK      = 0
	exitFailure = 1  // the operation failed
	exitRefused = 3  // the request was refused: the message names the remedy
	exitNo      = 4  // with --exit-code: done, and the answer is no
	exitUsage   = 64 // the command line is invalid (sysexits.h, EX_USAGE); 2 is a crash of Go
	exitConfig  = 78 // the configuration is wrong (EX_CONFIG)
)

// exitError carries an exit code through cobra. Without err the code is an answer, and nothing is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// refused gives a refusal by the box its own exit code, and lists all faults, not only the first. Other errors, such as
// a socket without a box, stay as they are.
func refused(err error) error { return refusedIn("", err) }

// operationField is the start of a field's name in a transaction's fault. It is cut off: the message names the object,
// and the user wrote a file, not a transaction.
var operationField = regexp.MustCompile(`^operations\[\d+\](\.value|\.key)?\.?`)

// refusedIn is refused for a request that was read from a file; every line names the file.
func refusedIn(file string, err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	faults := e.Problems
	if len(faults) == 0 {
		faults = []rest.Detail{e.Detail}
	}
	var lines []string
	for _, f := range faults {
		s := f.Message
		if field := operationField.ReplaceAllString(f.Field, ""); field != "" {
			s = field + ": " + s
		}
		if file != "" {
			s = file + ": " + s
		}
		if f.Hint != "" {
			s += " (" + f.Hint + ")"
		}
		lines = append(lines, printable.Line(s))
	}
	code := exitRefused
	if e.Status == http.StatusInternalServerError { // it may have been done, by halves or not durably
		code = exitFailure
	}
	return &exitError{code, errors.New(strings.Join(lines, "\n"))}
}

// refusal is what the command itself refuses, with the remedy.
func refusal(message, hint string) error {
	return &exitError{exitRefused, errors.New(message + " (" + hint + ")")}
}

// count is "1 change", "2 changes".
func count[N int | uint64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
