package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Holder is a process that keeps an XDP program attached.
type Holder struct {
	PID     int
	Name    string // of its program, as ps shows it
	Service string // the process's systemd service, or empty
}

func heldBy(holder Holder) string {
	if holder.PID == 0 {
		return ""
	}
	return fmt.Sprintf(", held by %s, process %d", holder.Name, holder.PID)
}

// releaseXDP returns the remedy that detaches an interface's XDP program. A program that a process holds by a bpf_link
// is detached with the process only.
func releaseXDP(name string, holder Holder) string {
	switch {
	case holder.Service != "":
		return "stop it: systemctl stop " + holder.Service
	case holder.PID != 0:
		return fmt.Sprintf("stop that process (kill %d)", holder.PID)
	}
	return fmt.Sprintf("stop what put it there (bpftool net show dev %s); if no process holds it, ip link set dev %s "+
		"xdp off", name, name)
}

var systemService = regexp.MustCompile(`(?m)/system\.slice/(?:[^\n]*/)?([^/\n]+\.service)(?:/|$)`)

// xdpHolder finds the process that holds the bpf_link of an attached XDP program. The kernel lists the link under the
// process's open files (/proc/PID/fdinfo); only root can read those of other users' processes.
func xdpHolder(program uint32) Holder {
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is sound
	for _, file := range files {
		if target, err := os.Readlink(file); err != nil || !strings.HasPrefix(target, "anon_inode:bpf") {
			continue
		}
		dir := filepath.Dir(filepath.Dir(file))
		text, err := os.ReadFile(filepath.Join(dir, "fdinfo", filepath.Base(file)))
		if err != nil || !attaches(string(text), program) {
			continue
		}
		h := Holder{}
		if h.PID, err = strconv.Atoi(filepath.Base(dir)); err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm")) // it may have ended meanwhile
		h.Name = strings.TrimSpace(string(name))
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		if m := systemService.FindSubmatch(groups); m != nil {
			h.Service = string(m[1])
		}
		return h
	}
	return Holder{}
}

// attaches reports whether a descriptor's information is that of a link of type xdp for the program.
func attaches(info string, program uint32) bool {
	link, same := false, false
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); name {
		case "link_type":
			link = value == "xdp"
		case "prog_id":
			same = value == strconv.FormatUint(uint64(program), 10)
		}
	}
	return link && same
}
