package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"penstock/ctrl/model"
	"penstock/ctrl/store"
)

const (
	stageBlock = 512 << 10 // octets handed to a decoder at a time
	maxLine    = 64 << 10  // octets
	minLine    = 100       // octets of the shortest line that is a binding
)

// piece is a block of whole lines of the stream, and the result of decoding it.
type piece struct {
	first int // number of the first line, from 1
	lines int
	text  []byte // of buf
	buf   []byte
	rows  *store.Rows
	bad   faults
	done  chan struct{}
}

// stage reads a stream of bindings and checks every line against st. Nothing is live before the whole stream is
// checked. Blocks of lines are decoded on all cores while the stream is read.
func (c *Core) stage(ctx context.Context, r io.Reader, st *model.State) (rows *store.Rows, lines int, err error) {
	workers := runtime.GOMAXPROCS(0)
	work := make(chan *piece)
	order := make(chan *piece, 2*workers) // bounds the undecoded lines in memory
	free := make(chan []byte, 4*workers)  // buffers to be used again
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range workers {
		wg.Go(func() {
			d, check := newLineDecoder(), model.NewBindingChecker(st)
			for p := range work {
				p.decode(d, check)
				close(p.done)
			}
		})
	}
	readErr := make(chan error, 1)
	wg.Go(func() {
		defer close(order)
		defer close(work)
		readErr <- eachBlock(ctx, r, free, func(p *piece) bool {
			select {
			case order <- p:
				work <- p
				return true
			case <-ctx.Done():
				return false
			}
		})
	})
	var parts []*store.Rows
	total := 0
	var bad faults
	for p := range order {
		<-p.done
		select {
		case free <- p.buf:
		default:
		}
		lines += p.lines
		bad.join(&p.bad)
		switch {
		case bad.full():
			cancel()
		case len(bad.list) > 0 || p.rows.Len() == 0:
		case total+p.rows.Len() > 2*c.cfg.Limits.Bindings:
			bad.add(Detail{CodeCapacity, fmt.Sprintf("the stream has more than %d lines, twice the number for which "+
				"the box is configured", 2*c.cfg.Limits.Bindings), "",
				"split the stream, or raise the table's size in the configuration"})
			cancel()
		default:
			parts = append(parts, p.rows)
			total += p.rows.Len()
		}
	}
	if err := bad.err(); err != nil {
		return nil, lines, err
	}
	if err := <-readErr; err != nil {
		return nil, lines, err
	}
	if rows, err = store.Concat(parts); err != nil {
		return nil, lines, refuse(model.CodeLimit, "", "split the stream", "%v", err)
	}
	return rows, lines, nil
}

// eachBlock cuts the stream into blocks of whole lines. It returns nil only if f has accepted all blocks: io.EOF is
// the end of a stream, io.ErrUnexpectedEOF (a body shorter than its head says) is not.
func eachBlock(ctx context.Context, r io.Reader, free <-chan []byte, f func(*piece) bool) error {
	var rest []byte
	next := 1
	for {
		var buf []byte
		select {
		case buf = <-free:
		default:
			buf = make([]byte, maxLine+stageBlock)
		}
		buf = buf[:len(rest)+stageBlock]
		copy(buf, rest)
		n, err := len(rest), error(nil)
		for n < len(buf) && err == nil {
			var m int
			m, err = r.Read(buf[n:])
			n += m
		}
		buf = buf[:n]
		end := err == io.EOF
		if err != nil && !end {
			return readError(next, err)
		}
		cut := len(buf)
		if !end {
			if cut = bytes.LastIndexByte(buf, '\n') + 1; len(buf)-cut > maxLine {
				return refuse(model.CodeLimit, fmt.Sprintf("line[%d]", next+bytes.Count(buf[:cut], []byte{'\n'})),
					"one JSON object per line",
					"the line is longer than %d octets", maxLine)
			}
		}
		rest = append(rest[:0], buf[cut:]...)
		if cut > 0 {
			p := &piece{first: next, text: buf[:cut], buf: buf, done: make(chan struct{})}
			lines := bytes.Count(buf[:cut], []byte{'\n'}) // before f: afterwards the buffer belongs to the decoder
			if !f(p) {
				return canceled(ctx)
			}
			next += lines
		}
		if end {
			return nil
		}
		if ctx.Err() != nil {
			return canceled(ctx)
		}
	}
}

func canceled(ctx context.Context) error {
	return &Error{Detail: Detail{Code: CodeCanceled, Message: "the request ended"}, Err: ctx.Err()}
}

// readError makes the error of a broken stream. io.ErrUnexpectedEOF of the body itself comes wrapped, see api.
func readError(line int, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Detail: Detail{Code: CodeCanceled,
		Message: fmt.Sprintf("the stream broke off in or behind line %d: %v", line, err),
		Hint:    "nothing was changed; send the whole stream again"}, Err: err}
}

func (p *piece) decode(d *lineDecoder, check *model.BindingChecker) {
	p.rows = store.NewRows(min(bytes.Count(p.text, []byte{'\n'}), len(p.text)/minLine) + 1)
	var b model.Binding
	number := p.first - 1
	for text := p.text; len(text) > 0 && !p.bad.full(); {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		number++
		if space(line, 0) == len(line) {
			continue // empty lines are allowed
		}
		p.lines++
		ps := d.decode(line, &b)
		for _, f := range ps {
			p.fault(number, f.Field, Detail{Code: f.Code, Message: f.Message, Hint: f.Hint})
		}
		if len(ps) > 0 {
			continue
		}
		if !check.OK(&b) {
			for _, f := range check.Check(&b) {
				p.fault(number, f.Field, Detail{Code: f.Code, Message: f.Message, Hint: f.Hint})
			}
			continue
		}
		p.rows.Put(&b)
	}
	p.text = nil
}

func (p *piece) fault(line int, field string, d Detail) {
	d.Message = fmt.Sprintf("line %d: %s", line, d.Message)
	d.Field = fmt.Sprintf("line[%d]", line)
	if field != "" {
		d.Field += "." + field
	}
	p.bad.add(d)
}
