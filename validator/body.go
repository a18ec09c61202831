package validator

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// A body that the signature covers must arrive within bodyPatience, and the time
// that it takes at bodyRate bytes a second: a client may be slow, but one that
// waits does not hold memory for longer.
const (
	bodyPatience = 10 * time.Second
	bodyRate     = 64 << 10
)

// BodyLimit is what a Verifier allows one body.
type BodyLimit struct {
	// Size is the largest body, in bytes.
	Size int64
	// Known reports whether the store knows the consumer and the token of the
	// request. UserID is the central id of the user then.
	Known  bool
	UserID uint64
	// Client is the address of a client that is not known, by which such clients
	// share the memory. Zero: it shares with nobody.
	Client netip.Addr
}

// Errors of Request.Body. Any other error means that the body cannot be read,
// because the client sent what is not HTTP.
var (
	// ErrBodyTooLarge means that the body is larger than the limit.
	ErrBodyTooLarge = errors.New("body too large")
	// ErrBodyTimeout means that the client sends the body too slowly.
	ErrBodyTimeout = errors.New("body was not sent in time")
	// ErrBodyAborted means that the client closed the connection or the stream.
	ErrBodyAborted = errors.New("client closed the request")
	// ErrBodiesBusy means that the bodies of other requests hold the memory.
	ErrBodiesBusy = errors.New("memory for bodies is used up")
)

// BodyReader returns a Request.Body that reads the body of r as it was sent:
// what is compressed stays compressed. It leaves a body in r that reads the
// same. All bodies that are read in this way share one bound of memory until
// they are read again or closed, or the context of r ends.
//
// The client has ten seconds, and one more for each 64 KiB that arrive, but not
// more than the server's own ReadTimeout. Where w cannot set a deadline for
// reading, only a body that arrives in pieces is held to that.
func BodyReader(w http.ResponseWriter, r *http.Request) func(limit BodyLimit) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return func(limit BodyLimit) ([]byte, error) { return readBody(w, r, limit, bodies) }
}

func readBody(w http.ResponseWriter, r *http.Request, limit BodyLimit, b *budget) ([]byte, error) {
	if r.ContentLength > limit.Size {
		return nil, ErrBodyTooLarge
	}
	s := &share{budget: b, owner: limit.owner()}
	timer := startBodyTimer(w, r)
	body, err := readAll(r, limit.Size, s, &timer)
	if err != nil {
		err = bodyError(r, err)
	} else {
		// A deadline that stayed would end the request when it passes. After an
		// error it stays, because the server discards the rest of the body.
		timer.stop()
	}
	r.Body = &replay{rest: r.Body, body: body, share: s, stop: context.AfterFunc(r.Context(), s.end)}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// firstRead is how much room a body gets before any of it has arrived, in bytes.
const firstRead = 4 << 10

// readAll reads the body into memory of the share. A Content-Length is what the
// client claims, so room is made as bytes arrive: eight times as much at each
// step towards a known length, otherwise twice.
func readAll(r *http.Request, limit int64, s *share, timer *bodyTimer) (body []byte, err error) {
	most, factor := limit+1, int64(2)
	if r.ContentLength >= 0 {
		most, factor = r.ContentLength+1, 8
	}
	for {
		if size := int64(cap(body)); int64(len(body)) == size {
			next := min(max(size*factor, firstRead), most)
			if !s.grow(next) {
				return body, ErrBodiesBusy
			}
			larger := make([]byte, len(body), next)
			copy(larger, body)
			body = larger
			s.charge(-size)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return body, ErrBodyTooLarge
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, err
		case !timer.arrived(len(body)):
			return body, ErrBodyTimeout
		}
	}
}

// bodyError returns the exported error for an error of reading.
func bodyError(r *http.Request, err error) error {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	network, isNetwork := errors.AsType[net.Error](err)
	_, isSystem := errors.AsType[syscall.Errno](err)
	switch {
	case tooLarge: // a limit of another handler
		return ErrBodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded), isNetwork && network.Timeout():
		return ErrBodyTimeout
	case errors.Is(err, ErrBodyTooLarge), errors.Is(err, ErrBodyTimeout), errors.Is(err, ErrBodiesBusy):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), isNetwork, isSystem, r.Context().Err() != nil, r.ProtoMajor > 1:
		// In HTTP/2 and HTTP/3 nothing but the end of the stream is an error.
		return ErrBodyAborted
	}
	return err
}

// bodyTimer is the deadline of one body.
type bodyTimer struct {
	control  *http.ResponseController // nil: none
	start    time.Time
	deadline time.Time
	last     time.Time // the server's own deadline; zero: none
}

func startBodyTimer(w http.ResponseWriter, r *http.Request) bodyTimer {
	t := bodyTimer{start: time.Now()}
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.ReadTimeout > 0 {
		t.last = t.start.Add(server.ReadTimeout)
	}
	if w != nil {
		t.control = http.NewResponseController(w)
	}
	t.set(t.after(0))
	return t
}

// after returns the deadline of a body of which so many bytes have arrived.
func (t *bodyTimer) after(bytes int) time.Time {
	deadline := t.start.Add(bodyPatience + time.Duration(bytes)*time.Second/bodyRate)
	if !t.last.IsZero() && deadline.After(t.last) {
		return t.last
	}
	return deadline
}

func (t *bodyTimer) set(deadline time.Time) {
	t.deadline = deadline
	if t.control != nil && t.control.SetReadDeadline(deadline) != nil {
		t.control = nil
	}
}

// arrived moves the deadline as bytes arrive, and reports whether it is yet to
// come.
func (t *bodyTimer) arrived(bytes int) bool {
	if deadline := t.after(bytes); deadline.Sub(t.deadline) > time.Second {
		t.set(deadline)
	}
	return time.Now().Before(t.deadline)
}

func (t *bodyTimer) stop() {
	if t.control != nil {
		_ = t.control.SetReadDeadline(time.Time{}) // it was set before, so it can be set
	}
}

// replay is a body that was read. It returns the bytes that were read, and then
// the rest.
type replay struct {
	rest  io.ReadCloser
	share *share
	stop  func() bool // returning the share when the request ends

	mu   sync.Mutex // a transport may close the body while it reads
	body []byte
}

func (b *replay) Read(p []byte) (int, error) {
	b.mu.Lock()
	n := copy(p, b.body)
	b.body = b.body[n:]
	b.mu.Unlock()
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	b.forget()
	return b.rest.Read(p)
}

func (b *replay) Close() error {
	b.forget()
	return b.rest.Close()
}

// forget releases the memory.
func (b *replay) forget() {
	b.mu.Lock()
	b.body = nil
	b.mu.Unlock()
	if b.stop() {
		b.share.end()
	}
}
