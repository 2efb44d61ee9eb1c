package vm

import (
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// monitor speaks QMP, the control protocol of QEMU (docs/interop/qmp-spec.txt there): one JSON object a line each way,
// with events between the answers.
type monitor struct {
	mu   sync.Mutex
	conn net.Conn
	dec  *json.Decoder
}

// dialMonitor connects and leaves the negotiation behind.
func dialMonitor(path string) (*monitor, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn, dec: json.NewDecoder(conn)}
	var greeting struct{ QMP json.RawMessage }
	if err := m.dec.Decode(&greeting); err != nil || greeting.QMP == nil {
		conn.Close()
		return nil, fmt.Errorf("%s does not greet as QMP does: %w", path, err)
	}
	if err := m.do("qmp_capabilities", nil); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

// do carries out a command.
func (m *monitor) do(command string, arguments map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := m.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return fmt.Errorf("QEMU monitor: %s: %w", command, err)
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Class, Desc string }
		}
		switch err := m.dec.Decode(&answer); {
		case err != nil:
			return fmt.Errorf("QEMU monitor: %s: %w", command, err)
		case answer.Error != nil:
			return fmt.Errorf("QEMU monitor: %s: %s: %s", command, answer.Error.Class, answer.Error.Desc)
		case answer.Return != nil:
			return nil
		} // else an event
	}
}

func (m *monitor) close() error { return m.conn.Close() }
