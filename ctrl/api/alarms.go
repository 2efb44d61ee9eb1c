package api

import (
	"errors"
	"fmt"
	"net/http"
	"os/user"
	"strconv"

	"penstock/ctrl/alarm"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// AlarmList is the answer of GET /v1/alarms: the active ones, most urgent first, then the cleared ones, newest first.
type AlarmList struct {
	Items []alarm.Alarm `json:"items"`
}

// maxAlarms is the most cleared alarms in one answer. The board bounds the number of active alarms.
const maxAlarms = 10_000

func (s *Server) alarms(w http.ResponseWriter, r *http.Request) error {
	q, err := rest.Query(r, "state", "limit")
	if err != nil {
		return err
	}
	limit := 100
	if text, given := q["limit"]; given {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxAlarms {
			return rest.Problem(http.StatusBadRequest, model.CodeInvalid, "limit", "",
				fmt.Sprintf("limit is %s, allowed are 1 to %d", rest.Clip(text), maxAlarms))
		}
	}
	l := AlarmList{Items: []alarm.Alarm{}}
	switch state := q["state"]; state {
	case "", "active":
		l.Items = s.cfg.Alarms.Active()
	case "cleared":
		l.Items = append(l.Items, s.cfg.Alarms.Cleared(limit)...)
	case "all":
		l.Items = append(s.cfg.Alarms.Active(), s.cfg.Alarms.Cleared(limit)...)
	default:
		return rest.Problem(http.StatusBadRequest, model.CodeInvalid, "state", "allowed: active, cleared, all",
			"there is no state "+strconv.Quote(rest.Clip(state)))
	}
	rest.Reply(w, http.StatusOK, l)
	return nil
}

func (s *Server) alarm(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	id, err := alarmID(r)
	if err != nil {
		return err
	}
	a, err := s.cfg.Alarms.Get(id)
	if err != nil {
		return alarmProblem(id, a, err)
	}
	rest.Reply(w, http.StatusOK, a)
	return nil
}

// acknowledgeBody is the body of POST /v1/alarms/{id}/acknowledge, which may be empty.
type acknowledgeBody struct {
	Comment string `json:"comment,omitempty"`
}

func (s *Server) acknowledge(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	id, err := alarmID(r)
	if err != nil {
		return err
	}
	var body acknowledgeBody
	if err := rest.OptionalBody(r, &body); err != nil {
		return err
	}
	a, err := s.cfg.Alarms.Acknowledge(id, userName(rest.PeerOf(r).UID), body.Comment)
	if err != nil {
		return alarmProblem(id, a, err)
	}
	rest.Reply(w, http.StatusOK, a)
	return nil
}

func alarmID(r *http.Request) (uint64, error) {
	text := r.PathValue("id")
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, rest.Problem(http.StatusNotFound, model.CodeNotFound, "",
			"GET /v1/alarms lists them; an alarm's id is a number", "there is no alarm "+strconv.Quote(rest.Clip(text)))
	}
	return id, nil
}

func alarmProblem(id uint64, a alarm.Alarm, err error) error {
	switch {
	case errors.Is(err, alarm.ErrNotFound):
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "", "GET /v1/alarms?state=all lists them",
			fmt.Sprintf("there is no alarm %d, or it was cleared long ago", id))
	case errors.Is(err, alarm.ErrCleared):
		at := a.Cleared.Format("2006-01-02 15:04:05 MST")
		return rest.Problem(http.StatusConflict, codeCleared, "", "nothing is left to be done",
			fmt.Sprintf("alarm %d (%s, %s) was cleared at %s", id, a.Kind, a.Object, at))
	}
	if errors.Is(err, alarm.ErrNotDurable) {
		return notDurable(fmt.Sprintf("alarm %d is acknowledged", id), err)
	}
	return err
}

// userName is the name of a user of this machine, or "user UID" if the machine knows no name.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}
