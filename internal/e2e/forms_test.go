package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

const formType = "application/x-www-form-urlencoded"

func chunked(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x;ext=1\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

func TestFormBodies(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"max_form_size 1MiB"}})
	w := g.Wiki
	// A form that any parser would write otherwise.
	const odd = "b=2&a=1&a=%20+%2B&&c&=x&%C3%A9=%c3%A9&x=%0d%0a&title=a;b&z=(~*')&="
	large := "text=" + strings.Repeat("0123456789abcdef", 40000)
	for _, body := range []string{odd, large, "a", "&"} {
		for name, wire := range map[string]func(authorization string) string{
			"Content-Length": func(authorization string) string {
				return g.Raw("POST /w?q=1", []string{authorization, "Content-Type: " + formType, fmt.Sprintf("Content-Length: %d", len(body))}, body)
			},
			"chunked": func(authorization string) string {
				return g.Raw("POST /w?q=1", []string{authorization, "Content-Type: " + formType + "; charset=UTF-8", "Transfer-Encoding: chunked"}, chunked(body, max(1, len(body)/7)))
			},
			"PUT": func(string) string {
				return g.Raw("PUT /w?q=1", []string{
					"Authorization: " + harness.Sign(t, w.HMAC, "PUT", g.URL("/w?q=1"), body), "Content-Type: " + formType, fmt.Sprintf("Content-Length: %d", len(body)),
				}, body)
			},
		} {
			a := g.Send(t, "POST", wire("Authorization: "+harness.Sign(t, w.HMAC, "POST", g.URL("/w?q=1"), body)))
			a.Want(t, "ok")
			if a.Seen != nil && string(a.Seen.Body) != body {
				t.Errorf("%s: %d bytes arrive as %d: %.100q", name, len(body), len(a.Seen.Body), a.Seen.Body)
			}
			// The form is signed: another one does not pass.
			a = g.Send(t, "POST", wire("Authorization: "+harness.Sign(t, w.HMAC, "POST", g.URL("/w?q=1"), body+"&more=1")))
			if name != "PUT" {
				a.Want(t, "bad_signature")
			}
		}
	}
	post := func(app harness.App, signed, body string, headers ...string) *harness.Answer {
		r := g.Request(t, "POST", g.URL("/"), body, append(headers, "Content-Type", formType)...)
		r.Header.Set("Authorization", harness.Sign(t, app, "POST", g.URL("/"), signed))
		return g.Do(t, r)
	}
	// Bodies that are not forms are not read, and they arrive.
	random := make([]byte, 3<<20)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	r := g.Request(t, "POST", g.URL("/"), string(random), "Content-Type", "multipart/form-data; boundary=x")
	r.Header.Set("Authorization", harness.Sign(t, w.HMAC, "POST", g.URL("/"), ""))
	if a := g.Do(t, r); a.Seen == nil || !bytes.Equal(a.Seen.Body, random) {
		t.Error("a multipart body does not arrive as it was sent")
	}

	tooLarge := "a=" + strings.Repeat("x", 1<<20)
	post(w.HMAC, tooLarge, tooLarge).Want(t, "form_too_large")
	g.Send(t, "POST", g.Raw("POST /", []string{
		"Authorization: " + harness.Sign(t, w.HMAC, "POST", g.URL("/"), tooLarge), "Content-Type: " + formType, "Transfer-Encoding: chunked",
	}, chunked(tooLarge, 1<<20))).Want(t, "form_too_large")
	many := strings.Repeat("a=&", 176000)
	post(w.HMAC, many, many).Want(t, "malformed_form")

	// What is signed is what was sent: nothing is decompressed.
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := io.WriteString(z, "a=1"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if a := post(w.HMAC, "a=1", compressed.String(), "Content-Encoding", "gzip"); a.Seen != nil || a.Status < 400 {
		t.Errorf("a signature over the content of a compressed form passes: %d", a.Status)
	}
}

// TestFormsOfStrangersAreNotRead has the client wait before it sends its form:
// a gateway that reads the form asks for it, with 100 (Continue).
func TestFormsOfStrangersAreNotRead(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	const form = "action=edit&text=x"
	length := fmt.Sprintf("Content-Length: %d", len(form))
	unknownToken, unknownConsumer := w.HMAC, w.HMAC
	unknownToken.Credentials.Token = strings.Repeat("0", 32)
	unknownConsumer.Credentials.ConsumerKey = strings.Repeat("0", 32)
	for _, tt := range []struct{ name, framing, authorization, want string }{
		{"known", length, harness.Sign(t, w.HMAC, "POST", g.URL("/"), form), "ok"},
		{"known", "Transfer-Encoding: chunked", harness.Sign(t, w.HMAC, "POST", g.URL("/"), form), "ok"},
		{"unknown token", length, harness.Sign(t, unknownToken, "POST", g.URL("/"), form), "unknown_token"},
		{"unknown token", "Transfer-Encoding: chunked", harness.Sign(t, unknownToken, "POST", g.URL("/"), form), "unknown_token"},
		{"unknown consumer", length, harness.Sign(t, unknownConsumer, "POST", g.URL("/"), form), "unknown_consumer"},
		{"unreadable", length, "OAuth oauth_token", "malformed_header"},
		{"expired", length, signAt(t, w.HMAC, "POST", g.URL("/"), form, "1000000000"), "timestamp_expired"},
		{"bearer", length, "Bearer a.b.c", "malformed_token"},
		{"none", length, "", "no_credentials"},
	} {
		t.Run(tt.name+", "+tt.framing, func(t *testing.T) {
			t.Parallel()
			headers := []string{tt.framing, "Content-Type: " + formType, "Expect: 100-continue"}
			if tt.authorization != "" {
				headers = append(headers, "Authorization: "+tt.authorization)
			}
			body := form
			if tt.framing != length {
				body = chunked(form, 5)
			}
			asked, a := expectContinue(t, g.HTTP, g.Raw("POST /", headers, ""), body)
			a.Want(t, tt.want)
			if asked != (tt.want == "ok") {
				t.Errorf("the gateway asks for the form: %v", asked)
			}
			if a.Seen != nil && string(a.Seen.Body) != form {
				t.Errorf("body %q, want %q", a.Seen.Body, form)
			}
		})
	}
}

// expectContinue sends the head of a request, and its body when it is asked for
// it, or when nothing has come for a while: Caddy answers late, whatever the
// handler, as long as the body is owed.
func expectContinue(t *testing.T, addr, head, body string) (asked bool, a *harness.Answer) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is lost
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	status, err := r.Peek(len("HTTP/1.1 100"))
	asked = err == nil && strings.HasSuffix(string(status), " 100")
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	for {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == http.StatusContinue {
			continue // the backend's own comes after the gateway's
		}
		if a, err = harness.ReadAnswer(response); err != nil {
			t.Fatal(err)
		}
		return asked, a
	}
}
