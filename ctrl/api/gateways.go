package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"penstock/ctrl/gateway"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
	"penstock/ctrl/status"
	dpgateway "penstock/dataplane/gateway"
)

// Gateways are the gateway groups of the box; gateway.Service implements them.
type Gateways interface {
	Status() []status.GatewayGroup
	Switch(group, member, expect string) (status.GatewayGroup, error)
	Disable(group, member, expect string, force bool) (status.GatewayGroup, error)
	Enable(group, member, expect string) (status.GatewayGroup, error)
}

// The codes of refused commands to gateway groups.
const (
	codeNotUp   = "not_up"
	codeLast    = "last"
	codeChanged = "active_mismatch"
)

func (s *Server) gateways(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	rest.Reply(w, http.StatusOK, status.Items[status.GatewayGroup]{Items: s.cfg.Gateways.Status()})
	return nil
}

func (s *Server) gatewayGroup(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	name := r.PathValue("group")
	for _, g := range s.cfg.Gateways.Status() {
		if g.Name == name {
			rest.Reply(w, http.StatusOK, g)
			return nil
		}
	}
	return s.gatewayProblem(name, "", gateway.ErrNoGroup)
}

// gatewayBody is the body of a command to a gateway group.
type gatewayBody struct {
	Member       string `json:"member,omitempty"`        // switch: absent = the first other member that is up
	ExpectActive string `json:"expect_active,omitempty"` // refuse the command if another member is active
	Force        bool   `json:"force,omitempty"`         // disable: also the last usable member
}

func (s *Server) switchGateway(w http.ResponseWriter, r *http.Request) error {
	return s.gatewayCommand(w, r, false, func(group string, b *gatewayBody) (status.GatewayGroup, error) {
		return s.cfg.Gateways.Switch(group, b.Member, b.ExpectActive)
	})
}

func (s *Server) disableGateway(w http.ResponseWriter, r *http.Request) error {
	return s.gatewayCommand(w, r, true, func(group string, b *gatewayBody) (status.GatewayGroup, error) {
		return s.cfg.Gateways.Disable(group, b.Member, b.ExpectActive, b.Force)
	})
}

func (s *Server) enableGateway(w http.ResponseWriter, r *http.Request) error {
	return s.gatewayCommand(w, r, true, func(group string, b *gatewayBody) (status.GatewayGroup, error) {
		return s.cfg.Gateways.Enable(group, b.Member, b.ExpectActive)
	})
}

func (s *Server) gatewayCommand(w http.ResponseWriter, r *http.Request, needMember bool,
	do func(group string, b *gatewayBody) (status.GatewayGroup, error)) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	var body gatewayBody
	if err := rest.OptionalBody(r, &body); err != nil {
		return err
	}
	group := r.PathValue("group")
	if needMember && body.Member == "" {
		return rest.Problem(http.StatusUnprocessableEntity, model.CodeRequired, "member", `send {"member":"NAME"}`,
			"the member is missing")
	}
	g, err := do(group, &body)
	if err != nil {
		return s.gatewayProblem(group, body.Member, err)
	}
	rest.Reply(w, http.StatusOK, g)
	return nil
}

func (s *Server) gatewayProblem(group, member string, err error) error {
	var groups, members, up []string
	for _, g := range s.cfg.Gateways.Status() {
		groups = append(groups, g.Name)
		for _, m := range g.Members {
			if g.Name == group {
				members = append(members, m.Name)
				if m.State == "up" {
					up = append(up, m.Name)
				}
			}
		}
	}
	list := func(what string, names []string) string {
		if len(names) == 0 {
			return "there is no " + what
		}
		return what + "s: " + strings.Join(names, ", ")
	}
	switch {
	case errors.Is(err, gateway.ErrNoGroup):
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "", list("gateway group", groups),
			"there is no gateway group "+rest.Clip(group))
	case errors.Is(err, dpgateway.ErrNoMember):
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "member", list("member", members),
			fmt.Sprintf("gateway group %s has no member %s", group, rest.Clip(member)))
	case errors.Is(err, dpgateway.ErrNotUp):
		return rest.Problem(http.StatusConflict, codeNotUp, "member", list("healthy member", up),
			fmt.Sprintf("member %s is not up, and nothing was switched", rest.Clip(member)))
	case errors.Is(err, dpgateway.ErrNoOther):
		return rest.Problem(http.StatusConflict, codeNotUp, "",
			"GET /v1/gateways/"+group+" has the state of each member",
			"no other member of "+group+" is up, and nothing was switched")
	case errors.Is(err, dpgateway.ErrLast):
		return rest.Problem(http.StatusConflict, codeLast, "member",
			"enable or repair another member first, or set force",
			fmt.Sprintf("member %s is the last one that is fit: without it %s has no gateway",
				rest.Clip(member), group))
	case errors.Is(err, gateway.ErrNotDurable):
		return notDurable("the command is executed", err)
	case errors.Is(err, gateway.ErrChanged):
		return rest.Problem(http.StatusPreconditionFailed, codeChanged, "expect_active",
			"read the group again before you repeat the command", err.Error())
	}
	return err
}
