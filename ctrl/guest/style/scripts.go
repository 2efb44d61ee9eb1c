package style

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// What runs in the guest. The programs are constants, and get everything that varies as arguments.

// Shell runs them: Shell -c PROGRAM penstock ARGUMENTS.
const Shell = "/bin/sh"

const prelude = `LC_ALL=C; export LC_ALL; PATH=${PATH:+$PATH:}/usr/sbin:/usr/bin:/sbin:/bin; umask 077
fail() { echo "$*" >&2; exit 1; }
run() { out=$("$@" 2>&1) || fail "$*: $out"; }
while [ $# -gt 0 ]; do case $1 in
`

const postlude = `
*) fail "no step $1" ;;
esac; done
`

// running changes the running kernel.
const running = prelude + `
set) echo "$3" 2>/dev/null >"/proc/sys/net/ipv4/conf/$2" || fail "sysctl -w net.ipv4.conf.$2=$3: not possible"
	shift 3 ;;
add) run ip address replace "$2" dev lo; shift 2 ;;
del) ip address del "$2" dev lo 2>/dev/null; shift 2 ;;` + postlude

// prepare makes directories and empty files to be written.
const prepare = prelude + `
mkdir) [ -d "$2" ] || run mkdir -m 755 "$2"; shift 2 ;;
new) run rm -f "$2"; run touch "$2"; shift 2 ;;
copy) run rm -f "$3"; run cp -p "$2" "$3"; shift 3 ;;` + postlude

// commit puts them in place. rmdir leaves directories that somebody else uses.
const commit = prelude + `
own) run chown "$2" "$3"; shift 3 ;;
move) if [ -d "$3" ]; then fail "$3 is a directory"; fi; run mv -f "$2" "$3"
	command -v restorecon >/dev/null 2>&1 && restorecon "$3" 2>/dev/null; shift 3 ;;
remove) run rm -f "$2"; shift 2 ;;
rmdir) rmdir "$2" 2>/dev/null; shift 2 ;;` + postlude

// connections prints the connections of addresses that are not over. An address is given as it stands in /proc/net/tcp.
const connections = `LC_ALL=C; export LC_ALL; PATH=${PATH:+$PATH:}/usr/sbin:/usr/bin:/sbin:/bin
for a do cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
	grep -E "^ *[0-9]+: $a:[0-9A-F]{4} [0-9A-F]+:[0-9A-F]{4} (01|03|04|05|08|09) " | head -n 1; done; exit 0
`

// Step is a program to be run in the guest by Shell.
type Step struct {
	Name string // for messages
	Args []string
}

func step(name, program string, args []string) *Step {
	return &Step{name, append([]string{"-c", program, "penstock"}, args...)}
}

// InspectStep tells what the guest is like.
func InspectStep() *Step { return step("look at the network configuration", Inspect, nil) }

// RunningStep changes the running kernel. Sysctls go before addresses that come, and after those that go.
func (p *Plan) RunningStep() *Step {
	var set, args []string
	for _, k := range sysctlKeys {
		if v, ok := p.Sysctls[k]; ok {
			group, name, _ := strings.Cut(k, ".")
			set = append(set, "set", group+"/"+name, strconv.Itoa(v))
		}
	}
	for _, a := range p.Del {
		args = append(args, "del", Prefix(a).String())
	}
	args = append(args, set...)
	for _, a := range p.Add {
		args = append(args, "add", Prefix(a).String())
	}
	return step("set addresses", running, args)
}

const (
	tempPrefix = ".penstock-"
	tempSuffix = ".new"
)

// Temp is where a file is written before it is renamed: beside it, under a name that no program reads.
func (w *File) Temp() string {
	return path.Join(path.Dir(w.Path), tempPrefix+path.Base(w.Path)+tempSuffix)
}

// PrepareStep makes what is written to; then each file's content goes to its Temp.
func (p *Plan) PrepareStep() *Step {
	var args []string
	for _, d := range p.Mkdir {
		args = append(args, "mkdir", d)
	}
	for i := range p.Write {
		if w := &p.Write[i]; w.Edit {
			args = append(args, "copy", w.Path, w.Temp())
		} else {
			args = append(args, "new", w.Temp())
		}
	}
	return step("make files", prepare, args)
}

// CommitStep puts the files in place.
func (p *Plan) CommitStep() *Step {
	var args []string
	for i := range p.Write {
		w := &p.Write[i]
		if w.Owner != "" {
			args = append(args, "own", w.Owner, w.Temp())
		}
		args = append(args, "move", w.Temp(), w.Path)
	}
	for _, f := range p.Remove {
		args = append(args, "remove", f)
	}
	for _, d := range p.Rmdir {
		args = append(args, "rmdir", d)
	}
	return step("put files in place", commit, args)
}

// AbandonStep removes what PrepareStep has made.
func (p *Plan) AbandonStep() *Step {
	var args []string
	for i := range p.Write {
		args = append(args, "remove", p.Write[i].Temp())
	}
	for _, d := range slices.Backward(p.Mkdir) {
		args = append(args, "rmdir", d)
	}
	return step("remove files", commit, args)
}
