package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"penstock/ctrl/core"
	"penstock/ctrl/event"
	"penstock/ctrl/model"
	"penstock/ctrl/rest"
)

// ndjson is the media type of streams of JSON lines.
const ndjson = "application/x-ndjson"

func (s *Server) bulkBindings(w http.ResponseWriter, r *http.Request) error {
	return s.bulk(w, r, s.cfg.Core.BulkBindings)
}

func (s *Server) bulkPaths(w http.ResponseWriter, r *http.Request) error {
	return s.bulk(w, r, s.cfg.Core.BulkPaths)
}

func (s *Server) bulk(w http.ResponseWriter, r *http.Request,
	push func(context.Context, io.Reader, core.BulkOptions) (core.BulkResult, error)) error {
	t, err := s.writeOptions(r, "mode")
	if err != nil {
		return err
	}
	leave, err := s.bulks.Take(r)
	if err != nil {
		return err
	}
	defer leave()
	res, err := push(r.Context(), r.Body,
		core.BulkOptions{Mode: core.BulkMode(r.URL.Query().Get("mode")), DryRun: t.DryRun, IfMatch: t.IfMatch})
	if err != nil {
		return err
	}
	rest.ETag(w, res.Revision)
	rest.Reply(w, http.StatusOK, res)
	return nil
}

func (s *Server) exportBindings(w http.ResponseWriter, r *http.Request) error {
	return s.export(w, r, s.cfg.Core.ExportBindings)
}

func (s *Server) exportPaths(w http.ResponseWriter, r *http.Request) error {
	return s.export(w, r, s.cfg.Core.ExportPaths)
}

// revisionEnd is the trailer with the revision of the last rows of an export; ETag is the revision of the first rows.
const revisionEnd = "Revision-End"

// export streams a table. If it fails half-way, the connection is reset, so that no reader takes a part for the whole
// table.
func (s *Server) export(w http.ResponseWriter, r *http.Request,
	write func(io.Writer, func(revision uint64)) (last uint64, err error)) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", ndjson)
	if r.Method == http.MethodHead {
		rest.ETag(w, s.cfg.Core.Revision())
		w.WriteHeader(http.StatusOK)
		return nil
	}
	leave, err := s.exports.Take(r)
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Trailer", revisionEnd)
	began := &countingWriter{w: w}
	last, err := write(began, func(revision uint64) { rest.ETag(w, revision) })
	if err != nil {
		if began.n == 0 {
			w.Header().Del("Trailer")
			return err
		}
		s.cfg.Log.Warn("export broke off", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(revisionEnd, strconv.FormatUint(last, 10))
	return nil
}

type countingWriter struct {
	w io.Writer
	n int
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

// events streams the events of the box: one JSON object per line, or server-sent events if the caller accepts them.
// since=SEQ resumes behind SEQ; without since the stream starts with the next event. follow=false ends the stream with
// the newest event; type= restricts it to some types (gaps are always reported).
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, err := rest.Query(r, "since", "follow", "type")
	if err != nil {
		return err
	}
	follow, err := rest.Flag(q, "follow", true)
	if err != nil {
		return err
	}
	since := s.cfg.Events.Last()
	text, given := q["since"]
	if id := r.Header.Get("Last-Event-ID"); !given && id != "" { // a server-sent events client that reconnects
		text, given = id, true
	}
	if given {
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return rest.Problem(http.StatusBadRequest, model.CodeInvalid, "since",
				"use the \"seq\" of the last event received, or 0 for all events",
				strconv.Quote(rest.Clip(text))+" is not a sequence number")
		}
	}
	var types []string
	if t := q["type"]; t != "" {
		types = append(strings.Split(t, ","), event.TypeGap)
		for _, name := range types {
			if !slices.Contains(event.Types(), name) {
				return rest.Problem(http.StatusBadRequest, model.CodeInvalid, "type",
					"there are: "+strings.Join(event.Types(), ", "),
					strconv.Quote(rest.Clip(name))+" is no type of events")
			}
		}
	}
	sse := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	media := ndjson
	if sse {
		media = "text/event-stream"
	}
	return s.rest.Stream(w, r, media, func(st *rest.Stream) error {
		end := s.cfg.Events.Last()
		rd := s.cfg.Events.After(since)
		for {
			if !follow && !rd.Ready() {
				return nil
			}
			evs, err := rd.Next(st.Ctx, 256)
			if err != nil {
				return nil // the box or the caller ends the stream
			}
			var buf bytes.Buffer
			for _, ev := range evs {
				if !follow && ev.Seq > end {
					break
				}
				if types == nil || slices.Contains(types, ev.Type) {
					s.writeEvent(&buf, ev, sse)
				}
			}
			if err := st.Send(buf.Bytes()); err != nil {
				return nil
			}
		}
	})
}

// writeEvent appends one event to a stream.
func (s *Server) writeEvent(buf *bytes.Buffer, ev event.Event, sse bool) {
	line, err := json.Marshal(ev)
	switch {
	case err != nil:
		s.cfg.Log.Error("event cannot be encoded as JSON", "type", ev.Type, "error", err)
	case sse:
		fmt.Fprintf(buf, "id: %d\nevent: %s\ndata: %s\n\n", ev.Seq, ev.Type, line)
	default:
		buf.Write(append(line, '\n'))
	}
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	rest.Reply(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	if err := s.cfg.Info.Ready(); err != nil {
		return rest.Problem(http.StatusServiceUnavailable, codeNotReady, "", "", err.Error())
	}
	rest.Reply(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

// Revision is the answer of GET /v1/revision. Events is the number of the newest event.
type Revision struct {
	Revision uint64 `json:"revision"`
	Events   uint64 `json:"events"`
}

func (s *Server) revision(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	rev := Revision{s.cfg.Core.Revision(), s.cfg.Events.Last()}
	rest.ETag(w, rev.Revision)
	rest.Reply(w, http.StatusOK, rev)
	return nil
}

func (s *Server) box(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	rest.ETag(w, s.cfg.Core.Revision())
	rest.Reply(w, http.StatusOK, s.cfg.Info.Box())
	return nil
}

func (s *Server) ports(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	l := List{Items: []json.RawMessage{}, Revision: s.cfg.Core.Revision()}
	for _, p := range s.cfg.Info.Ports() {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		l.Items = append(l.Items, text)
	}
	return s.page(w, l)
}

func (s *Server) port(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	name := r.PathValue("name")
	for _, p := range s.cfg.Info.Ports() {
		if p.Name == name {
			rest.ETag(w, s.cfg.Core.Revision())
			rest.Reply(w, http.StatusOK, p)
			return nil
		}
	}
	return rest.Problem(http.StatusNotFound, model.CodeNotFound, "",
		"GET /v1/ports lists the ports of the configuration", "there is no port "+rest.Clip(name))
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	kind := r.PathValue("kind")
	if !slices.Contains(StatsKinds[:], kind) {
		return rest.Problem(http.StatusNotFound, model.CodeNotFound, "",
			"there are: "+strings.Join(StatsKinds[:], ", "), "there are no statistics "+rest.Clip(kind))
	}
	v, err := s.cfg.Info.Stats(kind)
	if err != nil {
		return err
	}
	rest.Reply(w, http.StatusOK, v)
	return nil
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if _, err := rest.Query(r); err != nil {
		return err
	}
	if err := s.cfg.Info.Reload(r.Context()); err != nil {
		var ee *rest.EnvelopeError
		if errors.As(err, &ee) {
			return err
		}
		return rest.Problem(http.StatusUnprocessableEntity, codeRefused, "",
			"the old configuration stays; penstock check FILE names every fault", err.Error())
	}
	rest.Reply(w, http.StatusOK, map[string]string{"status": "reloaded"})
	return nil
}
