package box

import (
	"penstock/conf"
	"penstock/ctrl/event"
	"penstock/ctrl/paths"
	"penstock/dataplane/pathprobe"
)

// newPaths makes the control plane of path liveness, and lets the dataplane probe.
func (b *Box) newPaths() {
	b.paths = paths.New(paths.Config{
		Engine: b.engine, Tables: b.compiler, Publish: func(e event.Path) { b.events.Publish(e) }, Alarms: b.alarms,
		Log: b.log,
	})
	b.setProbing(b.cfg.Load())
}

// setProbing tells the dataplane how a configuration wants paths to be probed.
func (b *Box) setProbing(cfg *conf.Config) {
	b.engine.SetProbeKeys(fabricKeys(cfg))
	p := &cfg.Probe
	b.engine.SetProbing(pathprobe.Setting{Interval: int64(p.Interval), Misses: uint32(p.Misses),
		Goods: uint32(p.Goods)})
}
