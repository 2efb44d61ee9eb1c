package link

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Offloads with which an interface hands over other frames than it received, as ETHTOOL_GFLAGS numbers them
// (linux/ethtool.h). An XDP program, and with it the box, sees only what is left of them: without a tag a frame of one
// VLAN looks like one of another.
var rewriting = []offload{
	{"rxvlan", 1 << 8}, // takes 802.1Q tags out
	{"lro", 1 << 15},   // joins TCP segments; native XDP is refused with it
}

// offload is one of them, under its name in `ethtool -K`.
type offload struct {
	name string
	flag uint32
}

// keepFrames turns off what rewrites frames and returns what it has changed. An offload that the driver does not let go
// of is reported to warn.
func keepFrames(fd int, name string, warn func(msg string, args ...any)) (changed uint32, err error) {
	flags, err := offloads(fd, name)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("interface %s: ask for its offloads: %w", name, err)
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
			warn("the driver does not let go of an offload with which frames arrive other than they were sent", "interface", name, "offload", o.name)
		default:
			return changed, fmt.Errorf("interface %s: turn off the offload %s (`ethtool -K %s %s off`): %w", name, o.name, name, o.name, err)
		}
	}
	return changed, nil
}

// rewriteAgain turns on again what keepFrames has turned off, unless somebody else has.
func rewriteAgain(fd int, name string, changed uint32) error {
	flags, err := offloads(fd, name)
	if err == nil && flags&changed != changed {
		err = setOffloads(fd, name, flags|changed)
	}
	if err != nil {
		return fmt.Errorf("interface %s: put its offloads back: %w", name, err)
	}
	return nil
}
