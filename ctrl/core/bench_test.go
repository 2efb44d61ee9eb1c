package core

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

func million(segments int) ([]Op, []byte) {
	var ops []Op
	ops = append(ops, Op{Verb: Put, Kind: model.KindTenant, Key: "RED", Value: []byte(`{"id":7}`)})
	for i := range segments {
		ops = append(ops, Op{Verb: Put, Kind: model.KindSegment, Key: fmt.Sprint("RED/s", i),
			Value: fmt.Appendf(nil, `{"id":%d}`, i+1)})
	}
	var text bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&text,
			`{"tenant":"RED","segment":"s%d","mac":"%s","addresses":["10.%d.%d.%d"],"switch_mac":"%s",`+
				`"switch_port":%d}`+"\n",
			i%segments, model.MAC(0x020000000000+i*7919%1_000_003), i>>16, i>>8&255, i&255,
			model.MAC(0x02aa00000000+i%500), 1+i%48)
	}
	return ops, text.Bytes()
}

func benchCore(b *testing.B, ops []Op) (*Core, *recorder) {
	s, err := store.Open(filepath.Join(b.TempDir(), "db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	live := newRecorder(b)
	live.light = true
	c, err := New(Config{Store: s, Live: live, Events: event.New(event.Config{})})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Do(context.Background(), Transaction{Ops: ops}); err != nil {
		b.Fatal(err)
	}
	return c, live
}

// One push of a million bindings in random order: decoded, checked, sorted, durable and handed to a Live that only
// counts them.
func BenchmarkBulkMillion(b *testing.B) {
	ops, text := million(1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		b.StopTimer()
		c, live := benchCore(b, ops)
		b.StartTimer()
		res, err := c.BulkBindings(context.Background(), bytes.NewReader(text), BulkOptions{Mode: Replace})
		if err != nil || res.Created != 1_000_000 || live.rows != 1_000_000 {
			b.Fatalf("%+v, %d rows live, %v", res, live.rows, err)
		}
	}
}

func BenchmarkStageMillion(b *testing.B) {
	ops, text := million(1000)
	c, _ := benchCore(b, ops)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := c.stage(context.Background(), bytes.NewReader(text), c.State()); err != nil {
			b.Fatal(err)
		}
	}
}

// One VIF more in a box that is full of tenants.
func BenchmarkSmallTransaction(b *testing.B) {
	var ops []Op
	for i := range 60_000 {
		t := fmt.Sprint("t", i)
		ops = append(ops, Op{Verb: Put, Kind: model.KindTenant, Key: t, Value: fmt.Appendf(nil, `{"id":%d}`, i+2)},
			Op{Verb: Put, Kind: model.KindSegment, Key: t + "/s", Value: []byte(`{"id":1}`)},
			Op{Verb: Put, Kind: model.KindSubnet, Key: t + "/n",
				Value: []byte(`{"segment":"s","prefix":"10.0.0.0/24","router":"10.0.0.1"}`)})
	}
	s, err := store.Open(filepath.Join(b.TempDir(), "db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	opts := model.Options{Ports: []model.PortRef{{Name: "acc0", Role: "access"}}}
	c, err := New(Config{Store: s, Live: newRecorder(b), Events: event.New(event.Config{}), Options: opts,
		Limits: Limits{Operations: 1 << 20}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Do(context.Background(), Transaction{Ops: ops}); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		op := Op{Verb: Put, Kind: model.KindVIF, Key: "t1/v",
			Value: fmt.Appendf(nil, `{"segment":"s","mac":"%s","port":"acc0"}`, model.MAC(0x020000000000+i))}
		if _, err := c.Do(context.Background(), Transaction{Ops: []Op{op}}); err != nil {
			b.Fatal(err)
		}
	}
}
