package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Nginx is a web server in a namespace of a lab. It answers every request with its name and a newline, and /large with
// a mebibyte of zeros.
type Nginx struct {
	*Process
	AccessLog string // its path: a line for each request, when it is done
}

const nginxStart = 5 * time.Second

// Nginx starts a web server under a name, and waits until it listens.
func (l *Lab) Nginx(namespace, name string, listen ...netip.AddrPort) (*Nginx, error) {
	if _, err := exec.LookPath("nginx"); err != nil {
		return nil, fmt.Errorf("nginx is not installed (Debian: nginx-light): %w", err)
	}
	dir := filepath.Join(l.dir, "nginx-"+name)
	if err := os.MkdirAll(filepath.Join(dir, "html"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "html", "large"), make([]byte, 1<<20), 0o644); err != nil {
		return nil, err
	}
	pid, conf := filepath.Join(dir, "pid"), filepath.Join(dir, "nginx.conf")
	_ = os.Remove(pid) // of one that was killed
	n := &Nginx{AccessLog: filepath.Join(dir, "access.log")}
	var addresses strings.Builder
	for _, a := range listen {
		fmt.Fprintf(&addresses, "listen %v; ", a)
	}
	text := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log %[1]s/access.log;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s;
	scgi_temp_path %[1]s;
	keepalive_requests 1000000;
	client_max_body_size 10m;
	server {
		%[2]s
		location / { return 200 "%[3]s\n"; }
		location /large { root %[1]s/html; }
	}
}
`, dir, addresses.String(), name)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	var err error
	if n.Process, err = l.Start(namespace, "nginx-"+name, "nginx", "-e", "stderr", "-p", dir, "-c", conf); err != nil {
		return nil, err
	}
	for end := time.Now().Add(nginxStart); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(pid); err == nil { // written behind listening
			return n, nil
		}
		if !n.Running() || time.Now().After(end) {
			return nil, fmt.Errorf("nginx %s does not start: %s", name, n.Log())
		}
	}
}
