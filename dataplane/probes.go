package dataplane

import (
	"penstock/dataplane/keeper"
	"penstock/dataplane/pathprobe"
	"penstock/dataplane/resolve"
)

// newPaths makes the prober of paths, and every worker's receiving side.
func (e *Engine) newPaths(k *keeper.Keeper, shared *keeper.Shared) {
	e.paths = pathprobe.NewProber(k, shared)
	e.paths.Clock = e.Clock
	e.paths.Traffic = func(stat uint32) uint64 { return e.Path(stat).Packets }
	limits := &pathprobe.Shared{}
	for _, w := range e.workers {
		echo := pathprobe.NewEcho(&w.Env, limits, e.Clock)
		w.Overlay.Probe = echo.Take
		e.echoes = append(e.echoes, echo)
	}
	e.paths.Echo = e.echoes[0]
}

// PathEvents returns the ring of what happens to paths. It has one reader.
func (e *Engine) PathEvents() *pathprobe.Events { return e.paths.Events }

// SetProbing changes how paths are probed. Before the first call they are not.
func (e *Engine) SetProbing(s pathprobe.Setting) { e.paths.Set(s) }

// SetProbeBoxes changes which boxes behind the edge switches paths are probed with. b is not changed any more.
func (e *Engine) SetProbeBoxes(b pathprobe.Boxes) { e.paths.SetBoxes(b) }

// SetProbeKeys changes the keys of probes and echoes: the first signs, all are accepted. Without keys tags are ignored.
func (e *Engine) SetProbeKeys(keys []resolve.Key) {
	for _, x := range e.echoes {
		x.SetKeys(keys)
	}
}
