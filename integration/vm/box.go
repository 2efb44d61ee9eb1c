package vm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"penstock/ctrl/status"
	"penstock/integration/lab"
	"penstock/integration/vm/inside"
)

const (
	configPath = "/run/penstock/penstock.toml"
	statePath  = "/run/penstock/state"
	boxName    = "box" // of the process in the guest
	startLimit = 30 * time.Second
	stopLimit  = 20 * time.Second
)

// Box is the box in a guest: one process at a time.
type Box struct {
	*Machine
	client *http.Client
}

// NewBox returns a box that has not been started.
func NewBox(m *Machine) *Box { return &Box{Machine: m, client: m.Control()} }

// Start starts the box with a configuration, to which the tables [box] and [control] are added, and waits until it is
// ready. The tables it had at its last end are there again, unless Forget was called.
func (b *Box) Start(toml string) error {
	if err := b.Launch(toml); err != nil {
		return err
	}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		resp, err := b.client.Get("http://box/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		r, perr := b.Process(boxName)
		switch {
		case perr != nil:
			return perr
		case !r.Running:
			return fmt.Errorf("the box has ended: %s\n%s", r.Error, r.Output)
		case time.Now().After(deadline):
			return fmt.Errorf("the box is not ready after %v: %w\n%s", startLimit, err, r.Output)
		}
	}
}

// Launch starts the box without waiting for anything.
func (b *Box) Launch(toml string) error {
	text := fmt.Sprintf("[box]\nname = \"vm\"\nstate_dir = %q\n%s\n[control]\nsocket = %q\n", statePath, toml,
		inside.ControlSocket)
	if err := b.Put(configPath, []byte(text)); err != nil {
		return err
	}
	if _, err := b.Run(requestLimit, nil, "/bin/busybox", "mkdir", "-p", statePath); err != nil {
		return err
	}
	return b.Machine.Start(boxName, Penstock, "run", "--config", configPath)
}

// Wait waits until the process has ended and returns how.
func (b *Box) Wait(limit time.Duration) (inside.Result, error) {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		r, err := b.Process(boxName)
		if err != nil || !r.Running {
			return r, err
		}
		if time.Now().After(deadline) {
			return r, fmt.Errorf("the box has not ended within %v:\n%s", limit, r.Output)
		}
	}
}

// Stop ends the box with SIGTERM; an exit status other than 0 is an error.
func (b *Box) Stop() error {
	if err := b.Signal(boxName, syscall.SIGTERM); err != nil {
		return err
	}
	r, err := b.Wait(stopLimit)
	if err == nil && r.Error != "" {
		err = fmt.Errorf("the box on SIGTERM: %s\n%s", r.Error, r.Output)
	}
	return err
}

// Kill ends the box with SIGKILL.
func (b *Box) Kill() error {
	if err := b.Signal(boxName, syscall.SIGKILL); err != nil {
		return err
	}
	_, err := b.Wait(stopLimit)
	return err
}

// Forget removes the stored tables of a box that does not run.
func (b *Box) Forget() error {
	_, err := b.Run(requestLimit, nil, "/bin/busybox", "rm", "-rf", statePath)
	return err
}

// Log returns what the process has written.
func (b *Box) Log() string {
	r, err := b.Process(boxName)
	if err != nil {
		return err.Error()
	}
	return r.Output
}

// Call makes a request of the control socket and expects a status below 300.
func (b *Box) Call(method, path string, body, answer any) error {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, "http://box"+path, in)
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("box: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("box: %s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("box: %s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(text))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// Push applies a transaction.
func (b *Box) Push(ops []lab.Operation) error {
	return b.Call(http.MethodPost, "/v1/transactions", map[string]any{"operations": ops}, nil)
}

// Ports returns the ports by name.
func (b *Box) Ports() (map[string]status.Port, error) {
	var list status.Items[status.Port]
	if err := b.Call(http.MethodGet, "/v1/stats/ports", nil, &list); err != nil {
		return nil, err
	}
	ports := map[string]status.Port{}
	for _, p := range list.Items {
		ports[p.Name] = p
	}
	return ports, nil
}

// Balanced waits until every frame is accounted for: rx + injected + copies = tx + punted + drops, every frame buffer
// in the pool, in a fill ring or with the kernel to be sent, and never with two owners or none.
func (b *Box) Balanced() error {
	var box status.Box
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		box = status.Box{} // a map would keep what the next answer does not mention
		if err := b.Call(http.MethodGet, "/v1/box", nil, &box); err != nil {
			return err
		}
		owners := box.Frames.ByOwner
		switch rest := owners["pool"] + owners["fill"] + owners["tx"]; {
		case box.Frames.Violations != 0:
			return fmt.Errorf("%d frames with two owners or none: %v", box.Frames.Violations, box.Frames.Breaches)
		case len(owners) == 0:
			return errors.New("the box does not track the ownership of frames: dataplane.verify is off")
		case box.Totals.Balanced && rest == box.Frames.All:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("frames are unaccounted for: totals %+v, of %d frames %v", box.Totals, box.Frames.All,
				owners)
		}
	}
}
