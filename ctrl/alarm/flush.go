package alarm

import (
	"fmt"
	"time"
)

// Flush makes all earlier changes of alarms durable, and publishes them. While the disk refuses, the changes are still
// published; while it hangs, overtake publishes them, and Flush waits.
func (b *Board) Flush() error {
	b.flushes.Lock()
	defer b.flushes.Unlock()
	b.mu.Lock()
	last := b.published + uint64(len(b.events))
	b.mu.Unlock()
	before := b.spool.Failing()

	done, over := make(chan struct{}), make(chan struct{})
	watch := time.AfterFunc(b.cfg.StallAfter, func() { defer close(over); b.overtake(done) })
	err := b.spool.Flush()
	close(done)
	stalled := !watch.Stop()
	if stalled {
		<-over
	}

	b.publish(last)
	switch {
	case err != nil && before == nil:
		b.Raise(Report{Kind: SpoolFailing, Object: "spool",
			Text: fmt.Sprintf(
				"Alarms cannot be written to %s: %v. Check that the disk is there, writable and not full. Until "+
					"then a restart forgets what is raised now.", b.cfg.Path, err)})
	case err == nil && stalled: // the next write shows whether the disk still hangs
		b.keepActive(key{SpoolFailing, "spool"})
	case err == nil:
		b.Clear(SpoolFailing, "spool")
	}
	b.wakeSenders()
	return err
}

// overtake publishes changes while a write hangs: to the event stream here, to the receivers from the spool's memory.
func (b *Board) overtake(done <-chan struct{}) {
	if !b.spool.Stall(fmt.Errorf("a write has not ended for %s", b.cfg.StallAfter)) {
		return // the write has ended
	}
	if !b.IsActive(SpoolFailing, "spool") {
		b.Raise(Report{Kind: SpoolFailing, Object: "spool",
			Text: fmt.Sprintf(
				"A write to %s has not ended for %s: the disk hangs. Check it, its controller and the kernel's log. "+
					"Until it answers, a restart forgets what is raised now.", b.cfg.Path, b.cfg.StallAfter)})
	}
	for {
		b.mu.Lock()
		last := b.published + uint64(len(b.events))
		b.mu.Unlock()
		b.wakeSenders()
		b.publish(last)
		select {
		case <-done:
			return
		case <-b.news:
		}
	}
}

// publish publishes the pending events, up to the event with number last.
func (b *Board) publish(last uint64) {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	b.mu.Lock()
	n := max(last, b.published) - b.published
	events := b.events[:n:n]
	if b.events = b.events[n:]; len(b.events) == 0 {
		b.events = nil
	}
	b.published += n
	b.mu.Unlock()
	if b.cfg.Events == nil {
		return
	}
	for _, ev := range events {
		b.cfg.Events.Publish(ev)
	}
}

// keepActive queues an alarm for storage again, if it is active.
func (b *Board) keepActive(k key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.active[k]; a != nil {
		b.keep(a)
	}
}

// write is the one writer.
func (b *Board) write() {
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.wake:
		case <-retry.C:
		}
		if err := b.Flush(); err != nil {
			retry.Reset(b.cfg.FlushRetry)
		}
	}
}
