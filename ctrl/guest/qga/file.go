package qga

import (
	"context"
	"errors"
	"fmt"
)

// chunk is how many octets one guest-file-write carries.
const chunk = 32 << 10

// WriteFile replaces the content of a file that is there; owner and mode stay. (The agent makes new files readable and
// writable for everybody, so the file is to be made by other means.)
func (q *Conn) WriteFile(ctx context.Context, path string, content []byte) (err error) {
	var handle int64
	if err := q.call(ctx, "guest-file-open", map[string]string{"path": path, "mode": "w"}, &handle); err != nil {
		return err
	}
	arg := map[string]int64{"handle": handle}
	defer func() {
		err = errors.Join(err, q.call(ctx, "guest-file-close", arg, nil))
	}()
	for rest := content; len(rest) > 0; {
		part := rest[:min(len(rest), chunk)]
		rest = rest[len(part):]
		var r struct {
			Count int `json:"count"`
		}
		if err := q.call(ctx, "guest-file-write", map[string]any{"handle": handle, "buf-b64": part}, &r); err != nil {
			return err
		}
		if r.Count != len(part) {
			return &Error{"guest-file-write", Refused,
				fmt.Sprintf("%d octets of %d were written to %s", r.Count, len(part), path)}
		}
	}
	return q.call(ctx, "guest-file-flush", arg, nil)
}
