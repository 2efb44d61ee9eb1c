package api

import (
	"errors"
	"fmt"
	"net/http"

	"penstock/ctrl/core"
	"penstock/ctrl/model"
	"penstock/ctrl/model/strict"
	"penstock/ctrl/rest"
)

// transactionBody is the body of POST /v1/transactions.
type transactionBody struct {
	Operations []operationBody `json:"operations"`
}

type operationBody struct {
	Op    string       `json:"op"`
	Kind  string       `json:"kind"`
	Key   string       `json:"key"`
	Value *strict.Node `json:"value"`
}

func (s *Server) transaction(w http.ResponseWriter, r *http.Request) error {
	t, err := s.writeOptions(r)
	if err != nil {
		return err
	}
	data, err := rest.ReadBody(r)
	if err != nil {
		return err
	}
	if t.Ops, err = readOperations(data, s.cfg.Core.Limits().Operations); err != nil {
		return err
	}
	res, err := s.cfg.Core.Do(r.Context(), t)
	if err != nil {
		return err
	}
	rest.ETag(w, res.Revision)
	rest.Reply(w, http.StatusOK, res)
	return nil
}

// errFull ends the reading of a body with as many faults as one answer holds.
var errFull = errors.New("too many faults")

// readOperations reads the body of a transaction, one operation at a time: memory is bounded by the text of the body
// and the values of the operations, whatever the number of values. Reading ends at the first operation above the limit
// most, or with rest.MaxProblems faults.
func readOperations(data []byte, most int) ([]core.Op, error) {
	rd := strict.NewReader(data)
	if t, ok := rd.Next(); !ok || t != strict.Object {
		n, err := rd.Value()
		if err == nil {
			err = rest.BindProblems(strict.Bind(n, &transactionBody{}, ""))
		}
		return nil, rest.SyntaxProblem(err)
	}
	var ops []core.Op
	var ps []strict.Problem
	given := false
	add := func(more []strict.Problem) error {
		if ps = append(ps, more...); len(ps) >= strict.MaxProblems {
			return errFull
		}
		return nil
	}
	err := rd.Object(func(name string) error {
		if t, _ := rd.Next(); name == "operations" && t == strict.Array {
			given = true
			return rd.Array(func(i int) error {
				if i >= most {
					return rest.Problem(http.StatusUnprocessableEntity, model.CodeLimit, "operations",
						"split the transaction, or use the bulk streams",
						fmt.Sprintf("there are more than the %d operations allowed", most))
				}
				op, more, err := readOperation(rd, i)
				if err != nil {
					return err
				}
				if len(ps) == 0 && len(more) == 0 {
					ops = append(ops, op)
				}
				return add(more)
			})
		}
		n, err := rd.Value()
		if err != nil {
			return err
		}
		given = given || name == "operations"
		one := &strict.Node{Type: strict.Object, Members: []strict.Member{{Name: name, Value: n}}}
		return add(strict.Bind(one, &transactionBody{}, ""))
	})
	if err == nil {
		err = rd.End()
	}
	if err != nil && err != errFull {
		return nil, rest.SyntaxProblem(err)
	}
	if len(ps) == 0 && !given {
		ps = append(ps, strict.Problem{Field: "operations", Code: model.CodeRequired,
			Message: "the operations are missing",
			Hint:    `send {"operations":[{"op":"put","kind":"tenants","key":"RED","value":{"id":7}}]}`})
	}
	if err := rest.BindProblems(ps); err != nil {
		return nil, err
	}
	return ops, nil
}

func readOperation(rd *strict.Reader, i int) (op core.Op, ps []strict.Problem, err error) {
	n, err := rd.Value()
	if err != nil {
		return op, nil, err
	}
	var o operationBody
	ps = strict.Bind(n, &o, fmt.Sprintf("operations[%d]", i))
	op = core.Op{Verb: core.Verb(o.Op), Kind: model.Kind(o.Kind), Key: o.Key}
	if o.Value != nil {
		op.Value = rd.Text(o.Value)
	}
	return op, ps, nil
}
