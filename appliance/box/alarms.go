package box

import (
	"fmt"
	"slices"
	"strings"

	"penstock/conf"
	"penstock/ctrl/alarm"
)

// openAlarms opens the list of alarms in a file of its own: a push of a million bindings keeps the tables' file busy
// for longer than an alarm should wait.
func (b *Box) openAlarms() (err error) {
	cfg := b.cfg.Load()
	b.alarms, err = alarm.Open(alarm.Config{
		Path: b.alarmFile(), Box: cfg.Box.Name, Agent: "penstock/" + b.build.Version,
		Spool: cfg.Alarm.Spool, History: cfg.Alarm.History, Events: b.events, Log: b.log,
	})
	if err != nil {
		return err
	}
	b.alarms.SetReceivers(receivers(cfg))
	b.alarms.Retain(func(object string) bool {
		return slices.ContainsFunc(cfg.Ports, func(p conf.Port) bool { return portObject(p.Name) == object })
	}, alarm.PortDown)
	return nil
}

// receivers are the webhooks of a configuration.
func receivers(cfg *conf.Config) []alarm.Receiver {
	var list []alarm.Receiver
	for _, w := range cfg.Alarm.Webhooks {
		list = append(list, alarm.Receiver{
			Name: w.Name, URL: w.URL, Severity: alarm.Severity(w.Severity), Timeout: w.Timeout, RetryMax: w.RetryMax,
			FailingAfter: w.FailingAfter,
			TokenFile:    w.TokenFile, SecretFile: w.SecretFile, CAFile: w.CAFile,
		})
	}
	return list
}

func portObject(name string) string { return "port " + name }

// portAlarm raises or clears the alarm of a port. fault is the reason why the port is down, "" if it is up. An
// unchanged fault is not raised again: netlink reports a link that is down many times.
func (b *Box) portAlarm(port int, fault string) {
	if b.faults == nil {
		b.faults = map[int]string{}
	}
	if last, known := b.faults[port]; known && last == fault {
		return
	}
	b.faults[port] = fault
	p := &b.cfg.Load().Ports[port]
	if fault == "" {
		b.alarms.Clear(alarm.PortDown, portObject(p.Name))
		return
	}
	b.alarms.Raise(alarm.Report{Kind: alarm.PortDown, Object: portObject(p.Name),
		Text: fmt.Sprintf("Port %s (%s, %s) is down: %s.", p.Name, p.Role, p.Interface, fault)})
}

// Faults of a port.
const (
	faultLink = "no carrier, or set down. Check its cable and transceiver, what is at the other end, and ip link"
	faultGone = "the interface is gone. Check the network card and its driver; the port comes back with it"
)

func faultSockets(err error) string {
	return fmt.Sprintf("its sockets cannot be opened (%v); the box tries again every second",
		strings.TrimSuffix(err.Error(), "."))
}
