package link

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Offloads that change frames between reception and XDP, as ETHTOOL_GFLAGS numbers them (linux/ethtool.h). The box gets
// the changed frames only: without its tag a frame of one VLAN looks like a frame of another.
var rewriting = []offload{
	{"rxvlan", 1 << 8}, // strips 802.1Q tags
	{"lro", 1 << 15},   // joins TCP segments; native XDP is refused with it
}

// offload is one offload, under its name in `ethtool -K`.
type offload struct {
	name string
	flag uint32
}

// keepFrames turns off the offloads that rewrite frames and returns those that it has changed. An offload that the
// driver keeps on is reported to warn.
func keepFrames(fd int, name string, warn func(msg string, args ...any)) (changed uint32, err error) {
	flags, err := offloads(fd, name)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("interface %s: read its offloads: %w", name, err)
	}
	for _, o := range rewriting {
		if flags&o.flag == 0 {
			continue
		}
		switch err := setOffloads(fd, name, flags&^o.flag); {
		case err == nil:
			flags &^= o.flag
			changed |= o.flag
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
			warn("the driver keeps an offload on that changes received frames", "interface", name, "offload", o.name)
		default:
			return changed, fmt.Errorf("interface %s: turn off the offload %s (`ethtool -K %s %s off`): %w", name,
				o.name, name, o.name, err)
		}
	}
	return changed, nil
}

// rewriteAgain turns on again the offloads that keepFrames has turned off, unless they are on already.
func rewriteAgain(fd int, name string, changed uint32) error {
	flags, err := offloads(fd, name)
	if err == nil && flags&changed != changed {
		err = setOffloads(fd, name, flags|changed)
	}
	if err != nil {
		return fmt.Errorf("interface %s: restore its offloads: %w", name, err)
	}
	return nil
}
