package box

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strconv"

	"penstock/conf"
	"penstock/ctrl/printable"
)

// newLogger logs to standard error, by way of a queue.
func newLogger(c conf.Log, level *slog.LevelVar) (*slog.Logger, *logQueue) {
	setLevel(level, c.Level)
	to := func(w io.Writer) *slog.Logger {
		opts := &slog.HandlerOptions{Level: level}
		if c.Format == "json" {
			return slog.New(slog.NewJSONHandler(printable.JSONWriter(w), opts))
		}
		return slog.New(slog.NewTextHandler(printable.TextWriter(w), opts))
	}
	q := newLogQueue(os.Stderr, to(os.Stderr))
	return to(q), q
}

func setLevel(level *slog.LevelVar, name string) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"error": slog.LevelError}
	level.Set(levels[name])
}

// socketOwner resolves names or numbers of the control socket's owner and group; empty = root, no group.
func socketOwner(owner, group string) (uid, gid int, err error) {
	gid = -1
	if owner != "" {
		if uid, err = strconv.Atoi(owner); err != nil {
			u, err := user.Lookup(owner)
			if err != nil {
				return 0, 0, fmt.Errorf("control.owner: %w", err)
			}
			uid, _ = strconv.Atoi(u.Uid)
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return 0, 0, fmt.Errorf("control.group: %w", err)
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}
