package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// grace is how long a program may take from SIGQUIT to its end.
const grace = 10 * time.Second

// agent holds the programs that it has started.
type agent struct {
	mu        sync.Mutex
	processes map[string]*process // those with a name
}

// process is a program that runs or has run. Its output goes to a file, so that no reader is needed.
type process struct {
	cmd    *exec.Cmd
	output string
	done   chan struct{}
	err    error // valid once done is closed
}

// launch starts the program of a request.
func (a *agent) launch(r *http.Request) (*process, error) {
	var c Command
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		return nil, err
	}
	if len(c.Argv) == 0 {
		return nil, errors.New("no program named")
	}
	out, err := os.CreateTemp("/run", "output-*")
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(c.Argv[0], c.Argv[1:]...), output: out.Name(), done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "PATH=/bin", "HOME=/", "TMPDIR=/tmp"), c.Env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if c.Name != "" {
		a.mu.Lock()
		a.processes[c.Name] = p
		a.mu.Unlock()
	}
	go func() {
		if c.Limit > 0 {
			quit := time.AfterFunc(c.Limit, func() { _ = p.cmd.Process.Signal(syscall.SIGQUIT) })
			kill := time.AfterFunc(c.Limit+grace, func() { _ = p.cmd.Process.Kill() })
			defer quit.Stop()
			defer kill.Stop()
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (a *agent) named(r *http.Request) (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.processes[r.FormValue("name")]
	if p == nil {
		return nil, fmt.Errorf("no process %q has been started", r.FormValue("name"))
	}
	return p, nil
}

func (p *process) result() Result {
	text, err := os.ReadFile(p.output)
	r := Result{PID: p.cmd.Process.Pid, Running: true, Output: string(text)}
	select {
	case <-p.done:
		r.Running, r.Exit, err = false, p.cmd.ProcessState.ExitCode(), errors.Join(p.err, err)
	default:
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}
