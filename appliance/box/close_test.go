package box

import (
	"testing"
	"time"

	"penstock/ctrl/client"
	"penstock/dataplane/xsk/xsktest"
)

// TestCloseUnderRequest: a request that outlasts the stop keeps the memory that it reads and writes.
func TestCloseUnderRequest(t *testing.T) {
	if !xsktest.Alone(t) {
		return
	}
	xsktest.Veth(t, "p0", "f0", xsktest.VethConfig{})
	b := testBox(t, "p0")
	c := client.New(b.cfg.Load().Control.Socket)
	defer c.Close()
	b.mu.Lock() // the reload hangs
	defer b.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		resp, err := c.Do(t.Context(), "POST", "/v1/reload", nil, client.WriteOptions{}, nil)
		if err == nil {
			resp.Body.Close()
		}
	}()
	for end := time.Now().Add(5 * time.Second); b.api.Counters().Connections == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the request did not arrive, want a connection")
		}
	}
	time.Sleep(50 * time.Millisecond)
	b.Close()
	<-ended
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("the table under a request, after the stop: panic %v, want an answer", p)
		}
	}()
	b.bindings.FindMAC(0, 0x020000000001)
}
