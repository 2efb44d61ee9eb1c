package qga

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// sentinel resets the agent's parser when it is sent, and precedes the answer to guest-sync-delimited.
const sentinel = 0xff

const syncCommand = "guest-sync-delimited"

// sync throws away what was meant for an earlier client: everything up to the sentinel and the answer with our ID
// (qapi-schema.json, guest-sync-delimited).
func (q *Conn) sync(ctx context.Context) error {
	id := int64(rand.Uint32N(1<<20))<<11 | int64(lastID.Add(1)&0x7ff)
	text, err := json.Marshal(request{syncCommand, map[string]int64{"id": id}})
	if err != nil {
		return err
	}
	// The end of line ends what an earlier client left half sent.
	if err := q.write(ctx, syncCommand, append(append([]byte{sentinel}, text...), '\n')); err != nil {
		return err
	}
	thrown, stale := 0, false
	for {
		i := bytes.IndexByte(q.buf, sentinel)
		if i < 0 {
			thrown += len(q.buf)
			q.buf = q.buf[:0]
		}
		if thrown > MaxAnswer {
			q.owed = false
			return &Error{syncCommand, Nonsense, fmt.Sprintf("no answer to it within %d octets", thrown)}
		}
		if i < 0 {
			if err := q.fill(ctx, syncCommand); err != nil {
				return syncError(err, thrown, stale)
			}
			continue
		}
		thrown += i + 1
		q.buf = q.buf[i+1:]
		if j := bytes.LastIndexByte(q.buf, sentinel); j >= 0 { // an even later answer
			continue
		}
		line, err := q.line(ctx, syncCommand)
		if err != nil {
			return syncError(err, thrown, stale)
		}
		thrown += len(line)
		var got int64
		if ret, err := parse(syncCommand, line); err == nil && json.Unmarshal(ret, &got) == nil && got == id {
			return nil
		}
		q.owed, stale = true, true
	}
}

// syncError says more of an agent that never gave the answer.
func syncError(err error, thrown int, stale bool) error {
	e, ok := err.(*Error)
	switch {
	case !ok || e.Fault == Absent:
	case stale:
		return &Error{syncCommand, Nonsense, "the agent answers with the ID of another request"}
	case thrown > 0 && e.Fault == Silent:
		return &Error{syncCommand, Nonsense, "what the agent sends is not an answer"}
	}
	return err
}
