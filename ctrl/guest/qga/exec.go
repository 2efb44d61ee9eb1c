package qga

import (
	"context"
	"fmt"
	"time"
)

// Exec runs a program in the guest and returns its standard output. A program that exits with another status than 0, or
// does not end, is an error. What does not end goes on in the guest: the agent cannot end it.
func (q *Conn) Exec(ctx context.Context, path string, args ...string) ([]byte, error) {
	var started struct {
		PID int64 `json:"pid"`
	}
	if err := q.call(ctx, "guest-exec", map[string]any{"path": path, "arg": args, "capture-output": true},
		&started); err != nil {
		return nil, err
	}
	end := time.Now().Add(q.limits.Run)
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		var s struct {
			Exited    bool   `json:"exited"`
			Code      *int   `json:"exitcode"`
			Signal    *int   `json:"signal"`
			Out       []byte `json:"out-data"`
			Err       []byte `json:"err-data"`
			Truncated bool   `json:"out-truncated"`
		}
		if err := q.call(ctx, "guest-exec-status", map[string]int64{"pid": started.PID}, &s); err != nil {
			return nil, err
		}
		fault := func(format string, v ...any) error {
			text := fmt.Sprintf(format, v...)
			if said := printable(string(s.Err)); said != "" {
				text += ": " + said
			}
			return &Error{"guest-exec", Failed, text}
		}
		switch {
		case !s.Exited && time.Now().After(end):
			return nil, fault("%s has not ended after %v", path, q.limits.Run)
		case !s.Exited:
		case s.Signal != nil:
			return nil, fault("%s was ended by signal %d", path, *s.Signal)
		case s.Code == nil:
			return nil, fault("%s ended without an exit status", path)
		case *s.Code != 0:
			return nil, fault("%s failed with status %d", path, *s.Code)
		case s.Truncated || len(s.Out) > MaxOutput:
			return nil, fault("%s said more than %d octets", path, MaxOutput)
		default:
			return s.Out, nil
		}
	}
}
