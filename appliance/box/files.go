package box

import "path/filepath"

// The files of box.state_dir. The tables' store, penstock.db, holds the lock of the directory.

func (b *Box) stateFile(name string) string { return filepath.Join(b.cfg.Load().Box.StateDir, name) }

// alarmFile keeps alarms and notices that wait.
func (b *Box) alarmFile() string { return b.stateFile("alarms.db") }

// gatewayState keeps the active gateways, and those that are disabled.
func (b *Box) gatewayState() string { return b.stateFile("gateways.json") }

// healthFile keeps what the checks of servers found.
func (b *Box) healthFile() string { return b.stateFile("servers.json") }

// flowState keeps the flows between two runs.
func (b *Box) flowState() string { return b.stateFile("flows") }

// claimsFile keeps the sequences of this box's claims of VIFs.
func (b *Box) claimsFile() string { return b.stateFile("claims.json") }

// placesFile keeps where the fabric ports were plugged in.
func (b *Box) placesFile() string { return b.stateFile("places.json") }

// remainsFile keeps since when servers drain, and rules that outlive their server.
func (b *Box) remainsFile() string { return b.stateFile("draining.json") }

// guestsFile keeps what was set up in guests, so that it can be undone.
func (b *Box) guestsFile() string { return b.stateFile("guests.json") }
