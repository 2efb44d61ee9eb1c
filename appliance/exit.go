package main

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"penstock/ctrl/client"
	"penstock/ctrl/rest"
)

// Exit codes, for scripts.
const (
	exitOK      = 0
	exitFailure = 1  // it did not work
	exitRefused = 3  // what was asked for was refused: the message says what to change
	exitUsage   = 64 // it was asked for in a way that makes no sense (sysexits.h, EX_USAGE); 2 is a crash of Go
	exitConfig  = 78 // the configuration is wrong (EX_CONFIG)
)

// exitError carries an exit code through cobra.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// refused gives what the box refused its own exit code, with all faults and not only the first. Other errors, such as a
// socket on which nobody answers, stay as they are.
func refused(err error) error { return refusedIn("", err) }

// operationPlace is where the box says a fault of a transaction is. The message names the object, which says more to
// somebody who wrote a file and no transaction.
var operationPlace = regexp.MustCompile(`^operations\[\d+\](\.value|\.key)?\.?`)

// refusedIn is refused for what came from a file.
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
		if place := operationPlace.ReplaceAllString(f.Field, ""); place != "" {
			s = place + ": " + s
		}
		if file != "" {
			s = file + ": " + s
		}
		if f.Hint != "" {
			s += " (" + f.Hint + ")"
		}
		lines = append(lines, s)
	}
	code := exitRefused
	if e.Status == http.StatusInternalServerError { // it may have been done, by halves or not durably
		code = exitFailure
	}
	return &exitError{code, errors.New(strings.Join(lines, "\n"))}
}

// count is "1 change", "2 changes".
func count[N int | uint64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
