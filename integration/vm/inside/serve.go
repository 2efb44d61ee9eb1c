package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Serve answers the host's requests until a listener fails.
func Serve() error {
	forward, err := net.Listen("tcp", net.JoinHostPort(Address, strconv.Itoa(SocketPort)))
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- forwardTo(forward, ControlSocket) }()
	a := &agent{processes: map[string]*process{}}
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(*http.Request) (any, error){
		"POST /run": a.run, "POST /start": a.start, "GET /process": a.process, "POST /signal": a.signal,
		"PUT /file": putFile, "POST /channels": channels,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			_ = json.NewEncoder(w).Encode(answer) // on an error the host has closed the connection
		})
	}
	go func() { ended <- http.ListenAndServe(net.JoinHostPort(Address, strconv.Itoa(AgentPort)), mux) }()
	return <-ended
}

// forwardTo joins each connection with one to a Unix socket.
func forwardTo(l net.Listener, socket string) error {
	for {
		outer, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer outer.Close()
			inner, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer inner.Close()
			done := make(chan struct{}, 2)
			for _, way := range [][2]net.Conn{{outer, inner}, {inner, outer}} {
				go func() {
					_, _ = io.Copy(way[0], way[1]) // ends with either end
					done <- struct{}{}
				}()
			}
			<-done
		}()
	}
}

func putFile(r *http.Request) (any, error) {
	path := r.FormValue("path")
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return struct{}{}, errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
}

func channels(r *http.Request) (any, error) {
	n, err := strconv.Atoi(r.FormValue("combined"))
	if err != nil {
		return nil, err
	}
	return struct{}{}, setChannels(r.FormValue("interface"), n)
}

func (a *agent) run(r *http.Request) (any, error) {
	p, err := a.launch(r)
	if err != nil {
		return nil, err
	}
	<-p.done
	return p.result(), nil
}

func (a *agent) start(r *http.Request) (any, error) {
	p, err := a.launch(r)
	if err != nil {
		return nil, err
	}
	return Result{PID: p.cmd.Process.Pid, Running: true}, nil
}

func (a *agent) process(r *http.Request) (any, error) {
	p, err := a.named(r)
	if err != nil {
		return nil, err
	}
	return p.result(), nil
}

func (a *agent) signal(r *http.Request) (any, error) {
	p, err := a.named(r)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(r.FormValue("signal"))
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Process.Signal(syscall.Signal(n)); err != nil {
		return nil, fmt.Errorf("signal %d to %s: %w", n, r.FormValue("name"), err)
	}
	return struct{}{}, nil
}
