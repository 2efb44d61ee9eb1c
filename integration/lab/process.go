package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Process is a program running in a namespace of a lab. Its output goes to a file.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // of Wait, valid once done is closed
}

// Run runs a program in a namespace to its end and returns what it wrote to standard output and standard error.
// Its error is the program's end.
func (l *Lab) Run(namespace string, argv ...string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := l.start(namespace, cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return out.Bytes(), fmt.Errorf("run %s in namespace %s: %w: %s", strings.Join(argv, " "), namespace, err,
			bytes.TrimSpace(out.Bytes()))
	}
	return out.Bytes(), nil
}

// Start starts a program in a namespace and leaves it running. It ends with the lab at the latest.
func (l *Lab) Start(namespace, name string, argv ...string) (*Process, error) {
	l.mu.Lock()
	logFile := filepath.Join(l.dir, fmt.Sprintf("%s.%d.log", name, len(l.processes)))
	l.mu.Unlock()
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := l.start(namespace, cmd); err != nil {
		return nil, err
	}
	p := &Process{Name: name, cmd: cmd, log: logFile, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	l.mu.Lock()
	l.processes = append(l.processes, p)
	closed := l.closed
	l.mu.Unlock()
	if closed {
		p.Kill()
		return nil, fmt.Errorf("lab %s is closed", l.name)
	}
	return p, nil
}

func (l *Lab) start(namespace string, cmd *exec.Cmd) error {
	handle, err := l.handle(namespace)
	if err != nil {
		return err
	}
	// An own process group: Ctrl-C at a terminal goes to the owner of the lab, which ends its processes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := l.spawner.start(handle, cmd); err != nil {
		return fmt.Errorf("start %s in namespace %s: %w", cmd.Path, namespace, err)
	}
	return nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits until the process has ended, at most for the given time, and returns how it ended.
func (p *Process) Wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(limit):
		return fmt.Errorf("%s (pid %d) has not ended within %v", p.Name, p.PID(), limit)
	}
}

// Stop asks the process to end with SIGTERM, and kills it if it has not done so within the given time, which is then
// an error, as is an exit status other than zero.
func (p *Process) Stop(limit time.Duration) error {
	if err := p.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := p.Wait(limit)
	p.Kill()
	return err
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// Log returns what the process has written so far.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// spawner is the thread that starts all processes of a lab. PR_SET_PDEATHSIG fires when the thread that started a
// process ends, not when its process does: so it has to be one that lives as long as the lab.
type spawner struct {
	jobs chan spawnJob
	quit chan struct{}
}

type spawnJob struct {
	namespace netns.NsHandle
	cmd       *exec.Cmd
	result    chan error
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan spawnJob), quit: make(chan struct{})}
	go s.serve()
	return s
}

func (s *spawner) serve() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	for {
		select {
		case job := <-s.jobs:
			err := netns.Set(job.namespace)
			if err == nil {
				err = job.cmd.Start()
			}
			job.result <- err
		case <-s.quit:
			return
		}
	}
}

func (s *spawner) start(namespace netns.NsHandle, cmd *exec.Cmd) error {
	job := spawnJob{namespace, cmd, make(chan error, 1)}
	select {
	case s.jobs <- job:
		return <-job.result
	case <-s.quit:
		return errors.New("the lab is closed")
	}
}

// stop ends the thread. It is called once.
func (s *spawner) stop() { close(s.quit) }

// processStart returns the start time of a process, in clock ticks since boot, as text. The error wraps
// os.ErrNotExist when there is no process of that number.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, unix.ESRCH) {
		err = os.ErrNotExist
	}
	if err != nil {
		return "", err
	}
	// proc(5): the second field is the command in parentheses and may contain anything; the 22nd is the start time.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat has %d fields behind the command", pid, len(fields))
	}
	return fields[19], nil
}

// killInside kills the processes whose network namespace is the one mounted at path.
func killInside(path string) {
	var want, have unix.Stat_t
	if unix.Stat(path, &want) != nil {
		return
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &have) != nil {
			continue
		}
		if have.Ino == want.Ino && have.Dev == want.Dev {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended meanwhile
		}
	}
}
