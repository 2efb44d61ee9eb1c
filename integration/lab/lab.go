// Package lab builds networks out of network namespaces and veth pairs, and runs processes in them.
//
// The end-to-end tests and `penstock demo` use it. Everything goes over netlink and system calls: no shell, no `ip`.
//
// What a lab makes, a lab removes: Close ends the processes it started, deletes its namespaces (the interfaces go with
// them) and its directory. Namespaces are called pst-PID-LAB.NAME after the process that made them, so that New can
// remove what a killed run has left behind; processes die with the one that started them (PR_SET_PDEATHSIG).
//
// Traps: a namespace belongs to a thread. Do locks its goroutine to a thread for the time of the call, and goroutines
// started inside it are outside the namespace; a socket stays in the namespace it was opened in, whoever uses it.
package lab

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Prefix is what the name of every namespace and directory of a lab starts with.
const Prefix = "pst-"

const netnsDir = "/run/netns"

var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Lab is a set of namespaces with what is in them. Its methods may be called from several goroutines.
type Lab struct {
	name    string
	dir     string
	spawner *spawner
	ifindex atomic.Int32 // of the interface made last

	mu         sync.Mutex
	namespaces map[string]netns.NsHandle
	order      []string
	processes  []*Process
	closed     bool
}

// New makes an empty lab, after removing what labs of dead processes have left behind. Name may contain lower-case
// letters, digits and hyphens, and must be the only one of its name in the process. It needs root.
func New(name string) (*Lab, error) {
	if !nameRule.MatchString(name) {
		return nil, fmt.Errorf("lab name %q: want lower-case letters, digits and hyphens", name)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("lab %s: network namespaces need root: %w", name, os.ErrPermission)
	}
	if err := RemoveStale(); err != nil {
		return nil, err
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("%s%d-%s", Prefix, os.Getpid(), name))
	if err := makeOwnedDir(dir); err != nil {
		return nil, fmt.Errorf("lab %s: %w", name, err)
	}
	l := &Lab{name: name, dir: dir, spawner: newSpawner(), namespaces: make(map[string]netns.NsHandle)}
	l.ifindex.Store(firstIndex)
	return l, nil
}

// Dir is the lab's own directory; it is removed by Close.
func (l *Lab) Dir() string { return l.dir }

// FullName is the name of a namespace of the lab in /run/netns, for `ip netns exec`.
func (l *Lab) FullName(namespace string) string {
	return fmt.Sprintf("%s%d-%s.%s", Prefix, os.Getpid(), l.name, namespace)
}

// Namespaces returns the names of the lab's namespaces in the order in which they were made.
func (l *Lab) Namespaces() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

// Namespace makes an empty network namespace with its loopback interface up.
func (l *Lab) Namespace(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("namespace name %q: want lower-case letters, digits and hyphens", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("lab %s is closed", l.name)
	}
	if _, ok := l.namespaces[name]; ok {
		return fmt.Errorf("lab %s has a namespace %s already", l.name, name)
	}
	if err := prepareRunDir(); err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	var handle netns.NsHandle
	err := onThread(func() (err error) {
		handle, err = netns.NewNamed(l.FullName(name))
		if err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if handle > 0 {
		l.namespaces[name] = handle
		l.order = append(l.order, name)
	}
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	return nil
}

// Do runs f in a namespace, on the calling goroutine, which is locked to its thread meanwhile.
// The namespace "" is the one the process was started in.
func (l *Lab) Do(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	handle, err := l.handle(namespace)
	if err != nil {
		return err
	}
	return onThread(func() error {
		if err := netns.Set(handle); err != nil {
			return fmt.Errorf("enter namespace %s: %w", namespace, err)
		}
		return f()
	})
}

// Sysctl sets a kernel parameter of a namespace; key as in `sysctl -w`, with slashes: "net/ipv6/conf/all/disable_ipv6".
func (l *Lab) Sysctl(namespace, key, value string) error {
	err := l.Do(namespace, func() error {
		return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644)
	})
	if err != nil {
		return fmt.Errorf("set %s in namespace %s: %w", key, namespace, err)
	}
	return nil
}

// Close ends the lab's processes and removes its namespaces and its directory. It continues after an error and returns
// all of them. A second call does nothing.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	processes := slices.Clone(l.processes)
	l.mu.Unlock()

	for _, p := range processes {
		p.Kill()
	}
	l.spawner.stop()
	var errs []error
	for _, name := range l.order {
		handle := l.namespaces[name]
		handle.Close()
		if err := removeNamespace(l.FullName(name)); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, os.RemoveAll(l.dir))
	return errors.Join(errs...)
}

// CloseOnSignal closes the lab and ends the process with status 130 when SIGINT or SIGTERM arrives.
// The returned function ends that.
func (l *Lab) CloseOnSignal() (stop func()) {
	signals := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	go func() {
		select {
		case <-signals:
			l.Close()
			os.Exit(130)
		case <-done:
		}
	}()
	var stopped atomic.Bool
	return func() {
		if stopped.CompareAndSwap(false, true) {
			signal.Stop(signals)
			close(done)
		}
	}
}

func (l *Lab) handle(namespace string) (netns.NsHandle, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	handle, ok := l.namespaces[namespace]
	if !ok || l.closed {
		return -1, fmt.Errorf("lab %s has no namespace %q", l.name, namespace)
	}
	return handle, nil
}

// onThread runs f locked to a thread and puts the thread back into its namespace afterwards. Should that fail, the
// thread stays locked and ends with the goroutine, so that nothing else ever runs on it.
func onThread(f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("the thread's network namespace: %w", err)
	}
	defer func() {
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	}()
	return f()
}
