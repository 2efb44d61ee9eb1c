package resolve

import (
	"context"
	"time"
)

// Run does what is due until ctx is done.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(time.Duration(tick))
	defer t.Stop()
	saved := time.Now()
	failed := false
	for {
		select {
		case <-ctx.Done():
			_ = s.Save()
			return
		case now := <-t.C:
			s.Tick()
			if now.Sub(saved) < time.Second {
				continue
			}
			saved = now
			if err := s.Save(); err != nil && !failed {
				failed = true
				s.cfg.Log.Warn("the claims are not kept over a restart", "err", err)
			} else if err == nil {
				failed = false
			}
		}
	}
}
