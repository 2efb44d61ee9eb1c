package api

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"penstock/ctrl/model"
	"penstock/ctrl/rest"
	"penstock/ctrl/status"
)

// FlowQuery selects flows. Zero values select all.
type FlowQuery struct {
	Service, Server string // keys
	Client          netip.Prefix
	State           string // of FlowStates
	Limit           int
	After           string // "next" of the page before
}

// FlowStates are the states of flows.
var FlowStates = []string{"half-open", "established", "closing", "closed", "udp"}

// ErrPosition is the answer to a FlowQuery whose After is no position.
var ErrPosition = errors.New("it is not the \"next\" of a page")

func (s *Server) flows(w http.ResponseWriter, r *http.Request) error {
	v, err := rest.Query(r, "service", "server", "client", "state", "limit", "after")
	if err != nil {
		return err
	}
	q := FlowQuery{Service: v["service"], Server: v["server"], State: v["state"], After: v["after"],
		Limit: defaultLimit}
	bad := func(field, hint, message string) error {
		return rest.Problem(http.StatusBadRequest, model.CodeInvalid, field, hint, message)
	}
	if text, ok := v["limit"]; ok {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxLimit {
			return bad("limit", "limits go from 1 to "+strconv.Itoa(maxLimit),
				strconv.Quote(rest.Clip(text))+" is not a limit")
		}
	}
	if q.State != "" && !slices.Contains(FlowStates, q.State) {
		return bad("state", "there are: "+strings.Join(FlowStates, ", "),
			"there is no state "+strconv.Quote(rest.Clip(q.State)))
	}
	if text := v["client"]; text != "" {
		if q.Client, err = clientOf(text); err != nil {
			return bad("client", "10.0.0.5, or 10.0.0.0/24", strconv.Quote(rest.Clip(text))+" is no address")
		}
	}
	for _, x := range [...]struct {
		field, key string
		kind       model.Kind
	}{{"service", q.Service, model.KindService}, {"server", q.Server, model.KindServer}} {
		if x.key == "" {
			continue
		}
		if _, ok := s.cfg.Core.State().Get(x.kind, x.key); !ok {
			return rest.Problem(http.StatusNotFound, model.CodeNotFound, x.field,
				"GET /v1/"+string(x.kind)+" lists them", "there is no "+x.field+" "+rest.Clip(x.key))
		}
	}
	page, err := s.cfg.Info.Flows(r.Context(), q)
	if errors.Is(err, ErrPosition) {
		return bad("after", "use the \"next\" of the previous page", err.Error())
	}
	if err != nil {
		return err
	}
	if page.Items == nil {
		page.Items = []status.Flow{}
	}
	rest.Reply(w, http.StatusOK, page)
	return nil
}

// clientOf reads an address or a prefix.
func clientOf(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}
