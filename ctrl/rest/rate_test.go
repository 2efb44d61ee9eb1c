package rest_test

import (
	"fmt"
	"net/http"
	"testing"

	"penstock/ctrl/rest"
)

// write makes a write on a connection of its own.
func (b *box) write(name string) (status int) {
	b.t.Helper()
	c := b.dial(name)
	defer c.Close()
	fmt.Fprint(c, "POST /body HTTP/1.1\r\nHost: box\r\nContent-Length: 2\r\n\r\n{}")
	status, _ = b.answer(c)
	return status
}

// A caller who uses up the rate of writes, and goes on, leaves the privileged theirs; theirs is limited, too.
func TestWriteRateReserve(t *testing.T) {
	b := newBox(t, rest.Config{WriteRate: 0.001, WriteBurst: 3})
	for _, name := range []string{"alice", "root"} {
		for i := range 3 {
			if status := b.write(name); status != http.StatusOK {
				t.Errorf("write %d of %s within the rate: status %d, want 200", i, name, status)
			}
		}
		if status := b.write(name); status != http.StatusTooManyRequests {
			t.Errorf("a write of %s above the rate: status %d, want 429", name, status)
		}
	}
}
