package steer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ReceiveQueues counts the queues that the interface receives on, 0 if that is not known. Some drivers (virtio-net)
// take more into use while an XDP program is attached, and say so to nobody but /sys, which shows the interfaces of the
// network namespace that it was mounted in.
func (p *Program) ReceiveQueues() int {
	dir := "/sys/class/net/" + p.name
	index, err := os.ReadFile(dir + "/ifindex")
	if err != nil || strings.TrimSpace(string(index)) != strconv.Itoa(p.opts.Ifindex) {
		return 0
	}
	queues, err := filepath.Glob(dir + "/queues/rx-*")
	if err != nil {
		return 0
	}
	return len(queues)
}
