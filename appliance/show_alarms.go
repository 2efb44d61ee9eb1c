package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock/ctrl/alarm"
	"penstock/ctrl/api"
	"penstock/ctrl/status"
)

// alarmStates are the arguments of `penstock show alarms`.
var alarmStates = []string{"active", "cleared", "all"}

func jsonAlarms(q *query) (any, error) {
	l, err := alarms(q)
	return l, err
}

func alarms(q *query) (l api.AlarmList, err error) {
	if q.arg != "" && !slices.Contains(alarmStates, q.arg) {
		return l, usage("there are no alarms called %q; there are %s", q.arg, strings.Join(alarmStates, ", "))
	}
	p := url.Values{"limit": {"1000"}}
	if q.arg != "" {
		p.Set("state", q.arg)
	}
	return l, q.c.Get(q, "/v1/alarms?"+p.Encode(), &l)
}

func showAlarms(q *query, t *sheet) error {
	l, err := alarms(q)
	if err != nil {
		return err
	}
	t.head("ID", "SEVERITY", "RAISED", "CLEARED", "COUNT", "ACKNOWLEDGED", "OBJECT", "WHAT TO DO")
	for _, a := range l.Items {
		t.row(a.ID, string(a.Severity), clock(&a.Raised), clock(a.Cleared), a.Count, acknowledged(&a), a.Object, a.Text)
	}
	return nil
}

func acknowledged(a *alarm.Alarm) string {
	if a.Acknowledged == nil {
		return ""
	}
	if c := a.Acknowledged.Comment; c != "" {
		return fmt.Sprintf("%s: %s", a.Acknowledged.By, c)
	}
	return a.Acknowledged.By
}

// alarmIDs returns the active alarms for the shell's completion; none if the box does not answer within a second.
func alarmIDs(s *socketFlags, args []string, typed string) (ids []string) {
	if len(args) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	q := &query{Context: ctx, c: s.client()}
	defer q.c.Close()
	l, _ := alarms(q)
	for _, a := range l.Items {
		if id := strconv.FormatUint(a.ID, 10); strings.HasPrefix(id, typed) {
			ids = append(ids, id+"\t"+a.Object)
		}
	}
	return ids
}

// clock formats a time for a cell.
func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func receiverName(r *alarm.ReceiverStatus) string { return r.Name }

func webhooks(q *query) (l status.Items[alarm.ReceiverStatus], err error) {
	if l, err = stats[status.Items[alarm.ReceiverStatus]](q, "webhooks")(); err == nil {
		l.Items, err = pick(q, "webhook", l.Items, receiverName)
	}
	return l, err
}

func jsonWebhooks(q *query) (any, error) {
	l, err := webhooks(q)
	return l, err
}

func showWebhooks(q *query, t *sheet) error {
	l, err := webhooks(q)
	if err != nil {
		return err
	}
	t.head("WEBHOOK", "URL", "SEVERITY", "STATE", "WAITING", "DELIVERED", "DROPPED", "FAILURES", "FAILING SINCE",
		"LAST ERROR")
	for _, r := range l.Items {
		t.row(r.Name, r.Place, string(r.Severity), r.State, r.Waiting, r.Delivered, r.Dropped, r.Failures,
			clock(r.Since), r.LastError)
	}
	return nil
}
