package box

import (
	"time"

	"penstock/conf"
	"penstock/ctrl/director"
	"penstock/dataplane/punt"
	"penstock/dataplane/resolve"
)

// newDirectors makes the protocol by which boxes agree upon who directs a virtual address.
func (b *Box) newDirectors() error {
	b.directors = director.New(director.Config{
		Box: b.cfg.Load().Box.Name, Keys: b.fabricKeys, State: b.core.State, Read: b.compiler.Read,
		SetDirectors: b.compiler.SetDirectors, ServerStates: b.serverStates, Health: b.health, Engine: b.engine,
		Alarms: b.alarms, Log: b.log, Now: func() int64 { return b.started.UnixNano() + int64(time.Since(b.started)) },
	})
	b.directors.Begin()
	return b.slow.Handle(punt.Director, b.directors.Director)
}

func (b *Box) fabricKeys() []resolve.Key { return fabricKeys(b.cfg.Load()) }

// fabricKeys are the keys of messages between boxes.
func fabricKeys(cfg *conf.Config) []resolve.Key {
	list := cfg.Fabric.Keys.Keys
	keys := make([]resolve.Key, len(list))
	for i, k := range list {
		keys[i] = resolve.Key{ID: k.ID, Octets: k.Key}
	}
	return keys
}

func (b *Box) serverStates() map[string]string {
	states := map[string]string{}
	for key, st := range b.health.Status() {
		states[key] = st.State
	}
	return states
}
