package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// withHash adds the oauth_body_hash of a body to a target. It stands in the
// query here, where a signature covers it as in the header.
func withHash(target, body string) string {
	sum := sha1.Sum([]byte(body))
	return target + "?oauth_body_hash=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sum[:]))
}

// slowRequest is a request whose client sends its body when it likes.
type slowRequest struct {
	net.Conn
	t *testing.T
}

func (g slowGateway) begin(headers []string, target, part string) *slowRequest {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.HTTP)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	r := &slowRequest{conn, g.t}
	r.send(g.Raw("POST "+target, headers, "") + part)
	return r
}

type slowGateway struct {
	*harness.Gateway
	t *testing.T
}

// send writes more of the request. A server that has answered may have closed
// the connection.
func (r *slowRequest) send(part string) { _, _ = io.WriteString(r, part) }

func (r *slowRequest) answer() *harness.Answer {
	r.t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := harness.ReadAnswer(response)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// TestSlowBodyIsNotReplayed parks copies of a request that has passed until its
// nonce is forgotten, and sends the rest of their bodies then.
func TestSlowBodyIsNotReplayed(t *testing.T) {
	g := slowGateway{harness.New(t, harness.Options{Settings: []string{"timestamp_window 2s"}}), t}
	const json, form = `{"action":"edit","x":1}`, "action=edit&text=x"
	at := strconv.FormatInt(time.Now().Unix(), 10)
	var parked []*slowRequest
	for _, tt := range []struct{ target, body, signed, contentType string }{
		{withHash("/json", json), json, "", "application/json"},
		{"/form", form, form, formType},
	} {
		headers := []string{
			"Authorization: " + signWith(t, g.Wiki.HMAC, "POST", g.URL(tt.target), tt.signed, sign.Options{Timestamp: at}),
			"Content-Type: " + tt.contentType, fmt.Sprintf("Content-Length: %d", len(tt.body)),
		}
		g.Send(t, "POST", g.Raw("POST "+tt.target, headers, tt.body)).Want(t, "ok")
		g.Send(t, "POST", g.Raw("POST "+tt.target, headers, tt.body)).Want(t, "nonce_used")
		for range 5 {
			r := g.begin(headers, tt.target, tt.body[:5])
			defer func() {
				r.send(tt.body[5:])
				r.answer().Want(t, "timestamp_expired")
			}()
			parked = append(parked, r)
		}
	}
	time.Sleep(6 * time.Second)
	if len(parked) != 10 {
		t.Errorf("%d copies", len(parked))
	}
}

// TestHashedBodies sends bodies that the client has bound by their hash.
func TestHashedBodies(t *testing.T) {
	g := harness.New(t, harness.Options{})
	large := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + strings.Repeat("Q", 9<<20) + "\r\n--x--\r\n"
	post := func(body, target, authorization string, chunk bool) *harness.Answer {
		t.Helper()
		r := g.Request(t, "POST", g.URL(target), body, "Content-Type", "multipart/form-data; boundary=x", "Authorization", authorization)
		if chunk {
			r.ContentLength = -1
		}
		return g.Do(t, r)
	}
	for _, body := range []string{"", "{}", large} {
		for _, chunk := range []bool{false, true} {
			target := withHash("/w", body)
			a := post(body, target, harness.Sign(t, g.Wiki.HMAC, "POST", g.URL(target), ""), chunk)
			a.Want(t, "ok")
			if a.Seen != nil && !bytes.Equal(a.Seen.Body, []byte(body)) {
				t.Errorf("%d bytes arrive as %d", len(body), len(a.Seen.Body))
			}
			// A body that is not the signed one does not reach the backend, nor
			// does it use up the nonce.
			authorization := harness.Sign(t, g.Wiki.HMAC, "POST", g.URL(target), "")
			post(body+"x", target, authorization, chunk).Want(t, "bad_body_hash")
			post(body, target, authorization, chunk).Want(t, "ok")
		}
	}
	if err := g.Load(t, "max_body_size 1KiB"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1025)
	for _, chunk := range []bool{false, true} {
		target := withHash("/w", long)
		a := post(long, target, harness.Sign(t, g.Wiki.HMAC, "POST", g.URL(target), ""), chunk)
		a.Want(t, "body_too_large")
		if a.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", a.Status)
		}
		target = withHash("/w", long[:1024])
		post(long[:1024], target, harness.Sign(t, g.Wiki.HMAC, "POST", g.URL(target), ""), chunk).Want(t, "ok")
	}
}

// TestClientsThatFail has clients hang up in the middle of a body, and wait in it.
func TestClientsThatFail(t *testing.T) {
	g := slowGateway{harness.New(t, harness.Options{
		Servers: "timeouts {\nread_body 1s\n}",
		Site:    "request_body {\nmax_size 100B\n}\n" + harness.DefaultSite,
	}), t}
	app := g.Wiki.HMAC
	for _, tt := range []struct{ name, target, signed, contentType string }{
		{"form", "/", "a=1&b=2", formType},
		{"hashed body", withHash("/", "a=1&b=2"), "", "text/plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := func(framing string) []string {
				return []string{"Authorization: " + harness.Sign(t, app, "POST", g.URL(tt.target), tt.signed), "Content-Type: " + tt.contentType, framing}
			}
			for _, framing := range []string{"Content-Length: 7", "Transfer-Encoding: chunked"} {
				part := "a=1"
				if framing != "Content-Length: 7" {
					part = "7\r\na=1"
				}
				a := g.begin(headers(framing), tt.target, part).answer()
				a.Want(t, "body_timeout")
				if a.Status != http.StatusRequestTimeout {
					t.Errorf("status %d", a.Status)
				}
				before := strings.Count(g.Log(t), `"reason":"client_closed_request"`)
				_ = g.begin(headers(framing), tt.target, part).Close()
				for range 100 {
					if strings.Count(g.Log(t), `"reason":"client_closed_request"`) > before {
						break
					}
					time.Sleep(20 * time.Millisecond)
				}
				if strings.Count(g.Log(t), `"reason":"client_closed_request"`) == before {
					t.Errorf("%s: a client that hangs up is not in the log", framing)
				}
			}
			// A limit that Caddy itself was given keeps its status.
			long := strings.Repeat("x", 101)
			target, signed := tt.target, long
			if tt.signed == "" {
				target, signed = withHash("/", long), ""
			}
			a := g.Send(t, "POST", g.Raw("POST "+target, []string{
				"Authorization: " + harness.Sign(t, app, "POST", g.URL(target), signed), "Content-Type: " + tt.contentType, "Transfer-Encoding: chunked",
			}, chunked(long, 50)))
			if a.Status != http.StatusRequestEntityTooLarge || a.Seen != nil {
				t.Errorf("over the limit of request_body: %d %s", a.Status, a.Reason)
			}
		})
	}
	for line := range strings.Lines(g.Log(t)) {
		told := strings.Contains(line, `"reason":"client_closed_request"`) || strings.Contains(line, `"reason":"body_timeout"`)
		if told && strings.Contains(line, app.Consumer.Key) {
			t.Errorf("the app is told for a network that failed: %s", line)
		}
	}
	for _, reason := range []string{"client_closed_request", "body_timeout"} {
		if metrics := g.Metrics(t); !strings.Contains(metrics, `reason="`+reason+`"`) {
			t.Errorf("no metric has the reason %s", reason)
		}
	}
}

// TestBodiesAreBounded has one user hold large forms: some are refused, others'
// requests pass, and what is held is read.
func TestBodiesAreBounded(t *testing.T) {
	g := slowGateway{harness.New(t, harness.Options{}), t}
	const requests = 12
	form := "a=" + strings.Repeat("%41", (8<<20)/3-1)
	var held []*slowRequest
	for range requests {
		headers := []string{
			"Authorization: " + harness.Sign(t, g.Wiki.HMAC, "POST", g.URL("/"), form), "Content-Type: " + formType,
			fmt.Sprintf("Content-Length: %d", len(form)),
		}
		held = append(held, g.begin(headers, "/", ""))
	}
	var sending, reading sync.WaitGroup
	var busy, passed atomic.Int32
	for _, r := range held {
		sending.Go(func() { r.send(form[:len(form)-1]) })
	}
	sending.Wait()
	for _, r := range held {
		reading.Go(func() {
			response, err := http.ReadResponse(bufio.NewReader(r), nil)
			if err != nil {
				busy.Add(1) // the server has answered, and closed the connection while the form was sent
				return
			}
			defer response.Body.Close() //nolint:errcheck // nothing is lost
			switch response.StatusCode {
			case http.StatusServiceUnavailable:
				busy.Add(1)
				if response.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			case http.StatusOK:
				passed.Add(1)
			default:
				t.Errorf("status %d", response.StatusCode)
			}
		})
	}
	for deadline := time.Now().Add(20 * time.Second); busy.Load() < requests-8 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	r := g.Request(t, "POST", g.URL("/"), "a=1", "Content-Type", formType, "Authorization", harness.Sign(t, g.Wiki.BobsHMAC, "POST", g.URL("/"), "a=1"))
	g.Do(t, r).Want(t, "ok")
	for _, r := range held {
		r.send(form[len(form)-1:])
	}
	reading.Wait()
	if busy.Load() < requests-8 || passed.Load() < 4 || busy.Load()+passed.Load() != requests {
		t.Errorf("of %d forms of 8 MiB by one user %d pass and %d are refused", requests, passed.Load(), busy.Load())
	}
	if !strings.Contains(g.Log(t), `"reason":"bodies_busy"`) {
		t.Error("bodies_busy is not in the log")
	}
}
