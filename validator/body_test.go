package validator

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// knownUser is the limit of a body of a client that the store knows.
func knownUser(size int64) BodyLimit { return BodyLimit{Size: size, Known: true, UserID: 9} }

func TestBodyReader(t *testing.T) {
	body := strings.Repeat("a=1&", 5000)
	for _, tt := range []struct {
		name   string
		length int64 // that the client claims; -1: chunked
		limit  int64
		want   error
	}{
		{"fits", 20000, 20000, nil},
		{"chunked", -1, 20000, nil},
		{"too long, and says so", 20000, 19999, ErrBodyTooLarge},
		{"too long, chunked", -1, 19999, ErrBodyTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(body))
			r.ContentLength = tt.length
			b := newBudget(1 << 20)
			form, err := readBody(httptest.NewRecorder(), r, knownUser(tt.limit), b)
			if !errors.Is(err, tt.want) || err == nil && string(form) != body {
				t.Errorf("%d bytes, %v; want %v", len(form), err, tt.want)
			}
			if err == nil && (b.held < tt.limit || b.held > 2*tt.limit) {
				t.Errorf("%d bytes are counted for a body of %d", b.held, len(body))
			}
			// Whatever became of it, the next reader reads every byte.
			again, err := io.ReadAll(r.Body)
			if err != nil || string(again) != body {
				t.Errorf("then %d bytes, %v", len(again), err)
			}
			if b.held != 0 || len(b.users) != 0 {
				t.Errorf("%d bytes are counted after the body was read again", b.held)
			}
		})
	}
	if BodyReader(nil, httptest.NewRequest("GET", "/", nil)) != nil {
		t.Error("a request without a body has one")
	}
}

// TestBodyErrors names each way in which a body ends early.
func TestBodyErrors(t *testing.T) {
	limited := func(r *http.Request) {
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 3)
	}
	fails := func(err error) func(r *http.Request) {
		return func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("a=1"), failingReader{err}))
		}
	}
	for _, tt := range []struct {
		name   string
		change func(r *http.Request)
		want   error
	}{
		{"limit of another handler", limited, ErrBodyTooLarge},
		{"broken off", fails(io.ErrUnexpectedEOF), ErrBodyAborted},
		{"reset", fails(&net.OpError{Op: "read", Err: errors.New("connection reset")}), ErrBodyAborted},
		{"HTTP/2 stream reset", func(r *http.Request) { fails(errors.New("stream error"))(r); r.ProtoMajor = 2 }, ErrBodyAborted},
		{"deadline", fails(&net.OpError{Op: "read", Err: timeoutError{}}), ErrBodyTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader("a=1&b=2"))
			tt.change(r)
			r.ContentLength = -1
			b := newBudget(1 << 20)
			if _, err := readBody(nil, r, knownUser(100), b); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			_ = r.Body.Close()
			if b.held != 0 {
				t.Errorf("%d bytes are counted after the end", b.held)
			}
		})
	}
	r := httptest.NewRequest("POST", "/", nil)
	fails(errors.New("invalid byte in chunk length"))(r)
	if _, err := readBody(nil, r, knownUser(100), newBudget(1<<20)); err == nil || errors.Is(err, ErrBodyAborted) {
		t.Errorf("a body that is not HTTP: %v", err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// slowBody sends pieces of n bytes, one in each pause.
type slowBody struct {
	pieces, size int
	pause        time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.pieces == 0 {
		return 0, io.EOF
	}
	b.pieces--
	time.Sleep(b.pause)
	return copy(p, strings.Repeat("x", b.size)), nil
}

// TestBodyDeadline sends bodies at different speeds. A slow one has as long as
// its bytes take at 64 KiB a second.
func TestBodyDeadline(t *testing.T) {
	for _, tt := range []struct {
		name string
		body slowBody
		want error
	}{
		{"at once", slowBody{1, 100, 0}, nil},
		{"within ten seconds", slowBody{9, 100, time.Second}, nil},
		{"longer", slowBody{11, 100, time.Second}, ErrBodyTimeout},
		{"large, and fast enough", slowBody{60, 32 << 10, 600 * time.Millisecond}, nil},
		{"large, and too slow", slowBody{60, 4 << 10, 600 * time.Millisecond}, ErrBodyTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := httptest.NewRequest("POST", "/", nil)
				r.Body, r.ContentLength = io.NopCloser(&tt.body), -1
				if _, err := readBody(nil, r, knownUser(8<<20), newBudget(32<<20)); !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			})
		})
	}
}

// TestBodyDeadlineOfTheServer has clients send a part of a body and then
// nothing: the deadline is the server's own, and that of bodies where the
// server has none. One that sends everything is not held to any deadline
// afterwards.
func TestBodyDeadlineOfTheServer(t *testing.T) {
	send := func(readTimeout time.Duration, body string) ([]time.Time, error) {
		results := make(chan error, 1)
		var recorded recordingController
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorded = recordingController{ResponseWriter: w}
			_, err := readBody(&recorded, r, knownUser(100), newBudget(1<<20))
			results <- err
		}))
		server.Config.ReadTimeout = readTimeout
		server.Start()
		defer server.Close()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // nothing is lost
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%s", body)
		_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
		err = <-results
		return recorded.deadlines, err
	}
	deadlines, err := send(200*time.Millisecond, "a=")
	if !errors.Is(err, ErrBodyTimeout) {
		t.Errorf("a body that stops: %v", err)
	}
	if len(deadlines) != 1 || time.Until(deadlines[0]) > time.Second {
		t.Errorf("deadlines %v", deadlines)
	}
	deadlines, err = send(0, "a=1")
	if err != nil {
		t.Error(err)
	}
	if len(deadlines) != 2 || !deadlines[1].IsZero() {
		t.Errorf("deadlines %v, want one and then none", deadlines)
	}
}

// recordingController notes the deadlines that are set.
type recordingController struct {
	http.ResponseWriter
	deadlines []time.Time
}

func (c *recordingController) SetReadDeadline(at time.Time) error {
	c.deadlines = append(c.deadlines, at)
	return http.NewResponseController(c.ResponseWriter).SetReadDeadline(at)
}

func TestBudget(t *testing.T) {
	const kib = 1 << 10
	b := newBudget(1024 * kib)
	of := func(user uint64) *share { return &share{budget: b, owner: owner{user: user, known: true}} }
	stranger := func() *share { return &share{budget: b} }
	want := func(name string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	alone := of(1)
	want("a single body over the budget", alone.grow(2048*kib), true)
	want("another body then", of(2).grow(1), false)
	alone.end()
	alone.end()
	want("a share that has ended", alone.grow(1), false)

	// Strangers hold an eighth.
	var open []*share
	for range 2 {
		s := stranger()
		want("a stranger", s.grow(64*kib), true)
		open = append(open, s)
	}
	want("one stranger more", stranger().grow(1), false)
	// One user holds a quarter, and others pass.
	first, second := of(1), of(1)
	want("a user's body", first.grow(200*kib), true)
	want("a second one over the share", second.grow(57*kib), false)
	want("a second one within the share", second.grow(56*kib), true)
	want("another user", of(2).grow(57*kib), true)
	// What an admitted request needs is counted, and never refused.
	second.charge(600 * kib)
	want("a newcomer when the budget is used up", of(3).grow(kib), false)
	for _, s := range append(open, first, second) {
		s.end()
	}
	if b.held != 57*kib || b.strangers != 0 || len(b.users) != 1 {
		t.Errorf("%d bytes, of strangers %d, of %d users; want those of one body", b.held, b.strangers, len(b.users))
	}
}

// TestBudgetOfStrangers has one network hold all that it can: others still pass,
// as many as come.
func TestBudgetOfStrangers(t *testing.T) {
	const kib = 1 << 10
	b := newBudget(8 << 20) // strangers share 1 MiB
	fill := func(client string) (held int64) {
		limit := BodyLimit{Client: netip.MustParseAddr(client)}
		for range 10_000 {
			s := &share{budget: b, owner: limit.owner()}
			if !s.grow(4 * kib) {
				return held
			}
			held += 4 * kib
		}
		return held
	}
	if held := fill("192.0.2.1"); held != 512*kib {
		t.Errorf("one address holds %d bytes, want half of an eighth", held)
	}
	if held := fill("::ffff:192.0.2.1"); held != 0 {
		t.Errorf("the same address as IPv6 holds %d bytes more", held)
	}
	if held := fill("2001:db8::1"); held != 256*kib {
		t.Errorf("a second one holds %d bytes, want half of the rest", held)
	}
	if held := fill("2001:db8::2"); held != 0 {
		t.Errorf("another address of its network holds %d bytes more", held)
	}
	for n := range 4 {
		if held := fill(fmt.Sprint("198.51.100.", n)); held == 0 {
			t.Errorf("newcomer %d is refused", n)
		}
	}
	if s := (&share{budget: b, owner: owner{user: 1, known: true}}); !s.grow(1 << 20) {
		t.Error("a known user is refused")
	}
}

// TestBudgetOfGreedyUsers has one user after another hold all that they can with
// many bodies: others still pass, as many as come.
func TestBudgetOfGreedyUsers(t *testing.T) {
	const kib = 1 << 10
	b := newBudget(8 << 20)
	fill := func(user uint64) (held int64) {
		for range 10_000 {
			s := &share{budget: b, owner: owner{user: user, known: true}}
			if !s.grow(4 * kib) {
				return held
			}
			held += 4 * kib
		}
		return held
	}
	for user, want := range []int64{2048 * kib, 2048 * kib, 2048 * kib, 1024 * kib, 512 * kib, 256 * kib} {
		if held := fill(uint64(user)); held != want {
			t.Errorf("user %d holds %d bytes, want a quarter of all, or half of what the others leave: %d", user, held, want)
		}
	}
	if held := fill(0); held != 0 {
		t.Errorf("the first user holds %d bytes more", held)
	}
}

// TestBodiesBusy has the bodies of other requests hold the budget: a newcomer
// is refused, and what is held is read on.
func TestBodiesBusy(t *testing.T) {
	b := newBudget(64 << 10)
	read := func(user uint64, size int) (*http.Request, error) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", size)))
		_, err := readBody(nil, r, BodyLimit{Size: 1 << 20, Known: true, UserID: user}, b)
		return r, err
	}
	var held []*http.Request
	var err error
	for user := uint64(1); err == nil && user < 100; user++ {
		var r *http.Request
		r, err = read(user, 10<<10)
		held = append(held, r)
	}
	if !errors.Is(err, ErrBodiesBusy) || len(held) != 6 {
		t.Fatalf("%v at body %d", err, len(held))
	}
	if err := held[0].Body.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := read(101, 10<<10); err != nil {
		t.Errorf("when one body has gone: %v", err)
	}
}
