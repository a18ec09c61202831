package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// Answer is what a client got.
type Answer struct {
	Status int
	Proto  string
	Header http.Header
	Body   []byte
	Seen   *Seen  // what the backend was sent; nil when the gateway answered
	Reason string // of a refusal
}

// Identity is the value of an identity header that the backend was sent; ""
// also when there was none, or when the request never reached the backend.
func (a *Answer) Identity(suffix string) string {
	if a.Seen == nil {
		return ""
	}
	return a.Seen.Header.Get("X-OAuth-" + suffix)
}

// Want says what is wrong with an answer that is not the one that a test wants:
// "ok" is a pass to the backend, any other a reason.
func (a *Answer) Want(tb testing.TB, reason string) {
	tb.Helper()
	switch {
	case reason == "ok" && (a.Status != http.StatusOK || a.Seen == nil):
		tb.Errorf("answer %d %s, want a pass\n%s", a.Status, a.Reason, a.Body)
	case reason != "ok" && (a.Reason != reason || a.Seen != nil):
		tb.Errorf("answer %d %q, want %s; the backend was reached: %v", a.Status, a.Reason, reason, a.Seen != nil)
	}
}

// dial tries again for a while if no listener is there, because between two
// configurations a connection can be refused.
func dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	for range 50 {
		if conn, err = new(net.Dialer).DialContext(ctx, network, addr); !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return conn, err
}

func newClient() *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: TLS(), ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 128,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// URL is a URL of the site.
func (g *Gateway) URL(target string) string { return "http://" + g.HTTP + target }

// Request makes a request. Headers are name and value in turn; a body of type
// form says so in a Content-Type.
func (g *Gateway) Request(tb testing.TB, method, url, body string, headers ...string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if body == "" {
		r.Body = http.NoBody
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	return r
}

// Do sends a request and reads the answer.
func (g *Gateway) Do(tb testing.TB, r *http.Request) *Answer {
	tb.Helper()
	a, err := g.Try(r)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// Try sends a request and reads the answer; it may be called by any goroutine.
func (g *Gateway) Try(r *http.Request) (*Answer, error) {
	response, err := g.Client.Do(r)
	if err != nil {
		return nil, err
	}
	return ReadAnswer(response)
}

// Get sends a GET of a target of the site, with an Authorization unless it is
// empty, and further headers.
func (g *Gateway) Get(tb testing.TB, target, authorization string, headers ...string) *Answer {
	tb.Helper()
	r := g.Request(tb, http.MethodGet, g.URL(target), "", headers...)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return g.Do(tb, r)
}

// Signed sends a signed GET of a target of the site.
func (g *Gateway) Signed(tb testing.TB, app App, target string) *Answer {
	tb.Helper()
	return g.Get(tb, target, Sign(tb, app, http.MethodGet, g.URL(target), ""))
}

// Sign is a fresh Authorization value of OAuth 1. The form is empty for a body
// that is none.
func Sign(tb testing.TB, app App, method, url, form string) string {
	tb.Helper()
	value, err := sign.Header(app.Credentials, method, url, []byte(form), sign.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return value
}

// ReadAnswer reads an answer to its end.
func ReadAnswer(response *http.Response) (*Answer, error) {
	defer response.Body.Close() //nolint:errcheck // reading has told
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	a := &Answer{Status: response.StatusCode, Proto: response.Proto, Header: response.Header, Body: body}
	switch {
	case response.Header.Get(seenHeader) != "":
		a.Seen = new(Seen)
		err = json.Unmarshal(body, a.Seen)
	case response.Header.Get("Content-Type") == "application/problem+json" && len(body) > 0:
		var problem struct{ Reason string }
		err = json.Unmarshal(body, &problem)
		a.Reason = problem.Reason
	}
	return a, err
}

// Send writes bytes to the site as they are and reads one answer. The method is
// that of the request, because the answer to a HEAD has no body.
func (g *Gateway) Send(tb testing.TB, method, raw string) *Answer {
	tb.Helper()
	return g.SendTo(tb, g.HTTP, method, raw)
}

// SendTo is Send to another address than the site's.
func (g *Gateway) SendTo(tb testing.TB, addr, method, raw string) *Answer {
	tb.Helper()
	a, err := send(tb.Context(), addr, method, raw)
	if err != nil {
		tb.Fatalf("%v\n%.2000s", err, raw)
	}
	return a
}

func send(ctx context.Context, addr, method, raw string) (*Answer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // the answer was read
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	go func() { _, _ = io.WriteString(conn, raw) }() // Caddy may answer, and hang up, before it has read everything
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	return ReadAnswer(response)
}

// Raw puts a request together: the request line, header lines, an empty line
// and the body. A Host line is added unless there is one.
func (g *Gateway) Raw(line string, headers []string, body string) string {
	var b bytes.Buffer
	b.WriteString(line + " HTTP/1.1\r\n")
	hasHost := false
	for _, h := range headers {
		hasHost = hasHost || strings.HasPrefix(strings.ToLower(h), "host:")
	}
	if !hasHost {
		b.WriteString("Host: " + g.HTTP + "\r\n")
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// Throw writes bytes to the site as they are, and does not wait long for an
// answer, because the bytes may be a part of a request. It returns only errors
// of the connection.
func (g *Gateway) Throw(raw string) error {
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.HTTP)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost
	if err := conn.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = ReadAnswer(response)
	return err
}
