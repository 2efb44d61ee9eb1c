// Package box is a running Penstock: the dataplane and the control plane that feeds it, wired together.
//
// Files in the order of a box's life: box.go (what is built, started and undone), run.go (the main loop, until a signal
// ends it), config.go (configuration → dataplane and tables), store.go, alarms.go, log.go and logqueue.go; links.go and
// carrier.go (interfaces that come and go), slowpath.go (who gets the frames for control), health.go (checks of
// servers), gateways.go, guests.go, flows.go; load.go and reload.go; info.go and metrics.go (status and metrics).
package box

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"penstock/conf"
	"penstock/ctrl/alarm"
	"penstock/ctrl/announce"
	"penstock/ctrl/api"
	"penstock/ctrl/compile"
	"penstock/ctrl/core"
	"penstock/ctrl/director"
	"penstock/ctrl/event"
	"penstock/ctrl/gateway"
	"penstock/ctrl/guest"
	"penstock/ctrl/health"
	"penstock/ctrl/health/station"
	"penstock/ctrl/link"
	"penstock/ctrl/metrics"
	"penstock/ctrl/neighbor"
	"penstock/ctrl/nexthop"
	"penstock/ctrl/paths"
	"penstock/ctrl/place"
	"penstock/ctrl/resolve"
	"penstock/ctrl/slow"
	"penstock/ctrl/store"
	"penstock/ctrl/vtep"
	"penstock/dataplane"
	"penstock/dataplane/fib"
	"penstock/dataplane/table"
)

// Box is a running Penstock: the dataplane, and the control plane that feeds it.
type Box struct {
	build    Build
	path     string // of the configuration file
	started  time.Time
	log      *slog.Logger
	level    *slog.LevelVar
	logs     *logQueue
	notified string // last error of the service manager that was logged

	bindings  *table.Bindings
	engine    *dataplane.Engine
	compiler  *compile.Compiler
	announce  *announce.Announcer
	store     *store.Store
	events    *event.Log
	alarms    *alarm.Board
	gateways  *gateway.Service
	guests    *guest.Service
	saved     gateway.State // of the gateways, from before the start
	carriers  *carriers
	core      *core.Core
	api       *api.Server
	metrics   *metrics.Server
	undo      []func() error // by port: puts the interface back as it was
	slow      *slow.Path
	stations  *station.Stack     // this box in its tenants' segments
	directors *director.Service  // of virtual addresses that other boxes direct, too
	health    *health.Checker    // of the servers that this box directs
	resolver  *neighbor.Resolver // of the boxes behind an edge switch's downlinks
	learner   *vtep.Learner      // of stations behind VTEPs
	hops      *nexthop.Resolver  // of fabric ports with VXLAN
	places    *place.Service     // of the fabric ports
	paths     *paths.Service     // which of them live
	resolve   *resolve.Service   // where VIFs of other boxes are; nil = bindings are pushed
	here      atomic.Int32       // the fabric port by which resolve speaks, -1 = none
	faults    map[int]string     // by port, the fault of its alarm; written by Start, then by followLinks

	mu     sync.Mutex // one reload at a time
	loader loader
	cfg    atomic.Pointer[conf.Config]
	ready  atomic.Bool
	failed chan error
	// published says that there are new tables.
	published chan struct{}
	// owned says so to the protocol of bindings, and that a port has another place.
	owned chan struct{}
	// tunneled says so to the resolver of next hops.
	tunneled chan struct{}
	// remained says that what is kept of removed and draining servers may have changed.
	remained chan struct{}
	outlives remains // how far that is saved
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
}

// Build is the program's version.
type Build struct{ Version, Commit string }

// New builds everything that needs no change to an interface; path is the configuration's file. The caller closes the
// box.
func New(cfg *conf.Config, path string, build Build) (_ *Box, err error) {
	b := &Box{build: build, path: path, started: time.Now(), level: &slog.LevelVar{}, failed: make(chan error, 4),
		published: make(chan struct{}, 1), owned: make(chan struct{}, 1),
		tunneled: make(chan struct{}, 1), remained: make(chan struct{}, 1)}
	b.cfg.Store(cfg)
	b.log, b.logs = newLogger(cfg.Log, b.level)
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.bindings, err = table.NewBindings(table.Config{Capacity: cfg.Dataplane.Bindings}); err != nil {
		return nil, fmt.Errorf("bindings table for %d bindings: %w", cfg.Dataplane.Bindings, err)
	}
	if b.engine, err = dataplane.New(b.engineConfig()); err != nil {
		return nil, err
	}
	if err = b.openStore(); err != nil {
		return nil, err
	}
	if b.saved, err = gateway.Load(b.gatewayState()); err != nil {
		b.log.Warn("gateways", "err", err)
	}
	b.slow = slow.New(b.engine)
	b.announce = announce.New(announce.Config{Read: func(fn func(*fib.Snapshot)) {
		b.compiler.Read(fn)
	}, Inject: b.slow.Inject})
	b.compiler = compile.New(b.compileConfig())
	b.compiler.SetFlows(b.engine.ServerFlows)
	mark, err := b.store.EventMark()
	if err != nil {
		return nil, err
	}
	b.events = event.New(event.Config{Start: mark, Reserve: b.store.SetEventMark})
	if err = b.openAlarms(); err != nil {
		return nil, err
	}
	return b, nil
}

// Start makes the stored tables live, opens the ports and answers on the sockets.
func (b *Box) Start(ctx context.Context) (err error) {
	cfg := b.cfg.Load()
	b.newGuests()
	b.newHealth()
	if b.core, err = core.New(core.Config{
		Store: b.store, Live: live{b.compiler, b.guests, b.health, b},
		Events: b.events, Options: ModelOptions(cfg), Log: b.log,
		Limits: core.Limits{Bindings: cfg.Dataplane.Bindings}, VIFsPut: b.claimAgain,
	}); err != nil {
		return err
	}
	var up []bool
	for i, p := range cfg.Ports {
		undo, err := b.prepare(p)
		if err != nil {
			return err
		}
		b.undo = append(b.undo, undo)
		// The tables have the links' state before the first frame arrives; followLinks receives later changes.
		ev, err := link.Get(p.Interface)
		if err != nil {
			return fmt.Errorf("port %s: %w", p.Name, err)
		}
		b.compiler.SetLink(i, ev.Up, uint16(min(ev.MTU, 65535)), uint64(ev.MAC))
		up = append(up, ev.Up)
		if ev.Up {
			b.portAlarm(i, "")
		} else {
			b.portAlarm(i, faultLink)
		}
	}
	if err := b.newPlaces(); err != nil {
		return err
	}
	if err := b.beginHealth(); err != nil {
		return err
	}
	ctx, b.cancel = context.WithCancel(ctx)
	links, err := link.Watch(ctx, b.interfaces())
	if err != nil {
		return err
	}
	if err := b.newDirectors(); err != nil {
		return err
	}
	b.newResolve()
	b.newLearner()
	b.loadFlows()
	if err := b.engine.Start(); err != nil {
		return err
	}
	if err := b.newResolver(); err != nil {
		return err
	}
	if err := b.newNextHops(); err != nil {
		return err
	}
	b.carriers = newCarriers(b, up)
	if err := b.carriers.follow(ctx); err != nil {
		return err
	}
	b.linkPlaces()
	b.newGateways()
	b.newPaths()
	b.task(func() { b.gateways.Run(ctx) })
	if err := b.watchConflicts(ctx); err != nil {
		return err
	}
	b.startSlowPath(ctx)
	b.startTunnels(ctx)
	b.task(func() { b.places.Run(ctx) })
	b.task(func() { b.paths.Run(ctx) })
	b.task(func() { b.announce.Run(ctx) })
	b.task(func() { b.guests.Run(ctx) })
	b.task(func() { b.followGuests(ctx) })
	b.task(func() { b.followLinks(ctx, links) })
	b.task(func() { b.health.Run(ctx) })
	b.task(func() { b.directors.Run(ctx) })
	b.task(func() { b.followMessages(ctx) })
	b.task(func() { b.followOwn(ctx) })
	if b.resolve != nil {
		b.task(func() { b.resolve.Run(ctx) })
	}
	b.task(func() { b.followTargets(ctx) })
	b.task(func() { b.followRemains(ctx) })
	b.task(func() { b.watchStore(ctx) })
	b.task(func() { b.watchFlows(ctx) })
	if err := b.serve(); err != nil {
		return err
	}
	b.ready.Store(true)
	b.events.Publish(event.Started{Version: b.build.Version, Revision: b.core.Revision()})
	return nil
}

func (b *Box) serve() (err error) {
	cfg := b.cfg.Load()
	c := &cfg.Control
	uid, gid, err := socketOwner(c.Owner, c.Group)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.Socket), 0o755); err != nil {
		return fmt.Errorf("control.socket: %w", err)
	}
	if cfg.Metrics.Listen != "" {
		if b.metrics, err = metrics.Listen(cfg.Metrics.Listen, &metricsSource{b: b}); err != nil {
			return fmt.Errorf("metrics.listen: %w", err)
		}
	}
	if b.api, err = api.New(api.Config{
		Path: c.Socket, Mode: c.Mode, Owner: uid, Group: gid, ReadOnly: c.ReadersAny, Core: b.core, Events: b.events,
		Alarms: b.alarms, Gateways: b.gateways, Info: b, Log: b.log, ServiceTable: b.compiler.ServiceTable,
		Backup:  b.Backup,
		MaxBody: c.MaxBody, MaxConns: c.MaxConnections, Observe: b.observe,
	}); err != nil {
		return err
	}
	b.task(func() { b.fail(b.api.Serve()) })
	if b.metrics != nil { // after b.api, which scrapes show
		b.task(func() { b.fail(b.metrics.Serve()) })
	}
	return nil
}

// observe records the durations of writes on the control socket in the metrics.
func (b *Box) observe(pattern string, took time.Duration) {
	op := metrics.OpOther
	switch {
	case strings.HasPrefix(pattern, "/v1/bulk/"):
		op = metrics.OpBulk
	case pattern != "/v1/reload":
		op = metrics.OpTransaction
	}
	b.metrics.ObservePush(op, took)
}

func (b *Box) task(fn func()) { b.tasks.Go(fn) }

func (b *Box) fail(err error) {
	if err != nil {
		select {
		case b.failed <- err:
		default:
		}
	}
}

// Close undoes everything, in reverse order; it skips the parts that were not built. What still runs after a time,
// because a disk or a file system hangs, keeps its resources: they end with the process.
func (b *Box) Close() {
	defer b.logs.flush(logLimit)
	b.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var errs []error
	busy := false // a request has not ended
	if b.api != nil {
		err := b.api.Shutdown(ctx)
		busy = err != nil
		errs = append(errs, err)
	}
	if b.metrics != nil {
		errs = append(errs, b.metrics.Shutdown(ctx))
	}
	if b.compiler != nil {
		b.compiler.Stop()
	}
	if b.cancel != nil {
		b.cancel()
	}
	over := make(chan struct{})
	go func() { b.tasks.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(tasksLimit):
		for _, undo := range b.undo {
			errs = append(errs, undo())
		}
		b.log.Error("stop: something hangs, a disk or a file system; the process ends without it", "err",
			errors.Join(errs...))
		return
	}
	if b.stations != nil {
		b.stations.Close()
	}
	if b.places != nil && b.cancel != nil {
		b.places.Leave()
		time.Sleep(leaveTime)
	}
	if b.engine != nil {
		if b.core != nil && b.cancel != nil {
			b.saveFlows()
		}
		errs = append(errs, b.engine.Stop())
	}
	for _, undo := range b.undo {
		errs = append(errs, undo())
	}
	if b.alarms != nil {
		errs = append(errs, b.alarms.Close())
	}
	if b.store != nil {
		errs = append(errs, b.store.Close())
	}
	if b.bindings != nil && !busy { // the request may use the table: its memory ends with the process
		errs = append(errs, b.bindings.Close())
	}
	if err := errors.Join(errs...); err != nil {
		b.log.Error("stop", "err", err)
	}
}

// prepare sets a port's interface up. Every role but fabric needs promiscuous mode: frames there carry the MACs of
// other stations. The edge switch addresses a fabric port by the port's own MAC; but with VXLAN neighbour discovery
// comes to groups.
func (b *Box) prepare(p conf.Port) (undo func() error, err error) {
	promisc := roles[p.Role] != fib.RoleFabric || p.Encap == conf.EncapVXLAN
	undo, err = link.Prepare(p.Interface, link.Options{Promisc: promisc, MTU: p.MTU, Warn: b.log.Warn})
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", p.Name, err)
	}
	return undo, nil
}

func (b *Box) interfaces() []string {
	cfg := b.cfg.Load()
	names := make([]string, len(cfg.Ports))
	for i, p := range cfg.Ports {
		names[i] = p.Interface
	}
	return names
}
