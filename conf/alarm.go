package conf

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Alarm is the storage of alarms, and their receivers.
type Alarm struct {
	Spool    int       `toml:"spool"`   // notices
	History  int       `toml:"history"` // alarms
	Webhooks []Webhook `toml:"webhook"` // names are unique
}

// Webhook is a receiver of alarms.
type Webhook struct {
	Name         string        `toml:"name"`
	URL          string        `toml:"url"` // http or https, with a host, without credentials
	Severity     string        `toml:"severity"`
	Timeout      time.Duration `toml:"timeout"`
	RetryMax     time.Duration `toml:"retry_max"`
	FailingAfter time.Duration `toml:"failing_after"`
	TokenFile    string        `toml:"token_file"`  // empty = none
	SecretFile   string        `toml:"secret_file"` // empty = none
	CAFile       string        `toml:"ca_file"`     // empty = the system's
}

func (r *reader) alarm(s *section) Alarm {
	a := Alarm{Spool: s.integer("spool"), History: s.integer("history")}
	sections := r.tables(s.m, "alarm.webhook", "alarm.webhook")
	a.Webhooks = make([]Webhook, len(sections))
	for i, w := range sections {
		if w == nil {
			continue
		}
		a.Webhooks[i] = Webhook{
			Name: w.text("name", checkName), URL: w.text("url", checkURL), Severity: w.enum("severity"),
			Timeout:  w.duration("timeout"),
			RetryMax: w.duration("retry_max"), FailingAfter: w.duration("failing_after"),
			TokenFile: w.text("token_file", checkFile), SecretFile: w.text("secret_file", checkFile),
			CAFile: w.text("ca_file", checkFile),
		}
	}
	return a
}

// checkURL accepts URLs that a notice can be POSTed to.
func checkURL(s string) string {
	const allowed = `want a URL such as "https://alarms.example/penstock"`
	u, err := url.Parse(s)
	switch {
	case err != nil || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }):
		return allowed
	case u.Scheme != "http" && u.Scheme != "https":
		return "want http:// or https://"
	case u.User != nil:
		return "credentials do not belong in a URL: want token_file"
	case u.Hostname() == "" || u.Opaque != "":
		return allowed
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return "a fragment (#…) is never sent: remove it"
	}
	return ""
}

// checkFile accepts the path of a file, or "" for none.
func checkFile(s string) string {
	if s == "" {
		return ""
	}
	if problem := checkPath(s); problem != "" {
		return problem
	}
	if strings.HasSuffix(s, "/") {
		return "want the path of a file, not of a directory"
	}
	return ""
}

func (r *reader) validateAlarm(c *Config) {
	names := map[string]int{}
	for i := range c.Alarm.Webhooks {
		w := &c.Alarm.Webhooks[i]
		at := func(name string) string { return fmt.Sprintf("alarm.webhook[%d].%s", i, name) }
		if r.ok(at("name")) && w.Name != "" {
			if first, dup := names[w.Name]; dup {
				r.failf(at("name"), "%q is the name of the webhook on line %d already: every webhook has its own",
					w.Name, r.idx.line(fmt.Sprintf("alarm.webhook[%d].name", first)))
			} else {
				names[w.Name] = i
			}
		}
		if r.ok(at("url"), at("ca_file")) && w.CAFile != "" && strings.HasPrefix(w.URL, "http:") {
			r.failf(at("ca_file"), "the url is http, which checks no certificate: want https, or no ca_file")
		}
	}
}

// files warns of files that cannot be read: the box runs, but the webhook's receiver gets no notices.
func (k *checker) files() {
	for i, w := range k.c.Alarm.Webhooks {
		for _, f := range []struct{ name, path string }{{"token_file", w.TokenFile}, {"secret_file", w.SecretFile},
			{"ca_file", w.CAFile}} {
			if f.path == "" {
				continue
			}
			if err := k.probe.Readable(f.path); err != nil {
				k.warnf(fmt.Sprintf("alarm.webhook[%d].%s", i, f.name),
					"the file cannot be read; webhook %s gets no notices until it can: %v", w.Name, err)
			}
		}
		if w.TokenFile != "" && strings.HasPrefix(w.URL, "http:") {
			k.warnf(fmt.Sprintf("alarm.webhook[%d].url", i), "the token travels in clear text: want https")
		}
	}
}
