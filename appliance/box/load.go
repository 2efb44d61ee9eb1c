package box

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"penstock/conf"
)

// Limits of waits that other processes, disks and file systems may block.
const (
	loadLimit  = 5 * time.Second // the configuration at a reload
	tasksLimit = 3 * time.Second // at the end, for what the box does beside
	logLimit   = time.Second     // at the end, for the log
)

// loader reads the configuration of a running box. If the file system hangs, at most one read hangs.
type loader struct{ busy atomic.Bool }

func (l *loader) load(ctx context.Context, path string, within time.Duration) (cfg *conf.Config, err error) {
	if !l.busy.CompareAndSwap(false, true) {
		return nil,
			fmt.Errorf("cannot read the configuration: an earlier read of %s has not ended; its file system hangs",
				path)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	type result struct {
		cfg *conf.Config
		err error
	}
	ended := make(chan result, 1)
	go func() {
		cfg, err := conf.LoadRegular(path)
		l.busy.Store(false)
		ended <- result{cfg, err}
	}()
	select {
	case r := <-ended:
		return r.cfg, r.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil,
				fmt.Errorf("cannot read the configuration: reading %s has not ended within %s; its file system hangs",
					path, within)
		}
		return nil, ctx.Err()
	}
}
