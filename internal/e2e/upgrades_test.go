package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// streams is a backend with a WebSocket, as far as bytes go: after the
// handshake it sends back what it gets; and with a stream of events, of which
// it sends the second when it is told to.
func streams(next <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/events") {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: %s\n\n", r.Header.Get("X-OAuth-User-Name"))
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
			fmt.Fprint(w, "data: last\n\n")
			return
		}
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // a test that waits for an answer fails
		}
		defer conn.Close() //nolint:errcheck // nothing is lost
		fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Saw-User: %s\r\n\r\n", r.Header.Get("X-OAuth-User-Name"))
		_ = buffered.Flush()
		_, _ = io.Copy(conn, buffered) // until the client hangs up
	})
}

func echoed(t *testing.T, w io.Writer, r io.Reader) {
	t.Helper()
	for _, text := range []string{"first", "second"} {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != text {
			t.Fatalf("%q comes back as %q, %v", text, got, err)
		}
	}
}

// served waits, at the end of a test, until Caddy has done with n requests for
// the chat. One that is stopped while upgraded connections end closes them
// itself, and its own goroutines then race for them.
func served(t *testing.T, g *harness.Gateway, n int) {
	t.Helper()
	t.Cleanup(func() {
		done := 0
		for range 500 {
			done = 0
			for line := range strings.Lines(g.Log(t)) {
				if strings.Contains(line, `"handled request"`) && strings.Contains(line, `"uri":"/chat?room=1`) {
					done++
				}
			}
			if done == n {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("Caddy has served %d of %d requests for the chat", done, n)
	})
}

func TestWebSocket(t *testing.T) {
	g := harness.New(t, harness.Options{Backend: streams(nil)})
	served(t, g, 3)
	w := g.Wiki
	for name, authorization := range map[string]string{
		"OAuth 1": harness.Sign(t, w.HMAC, "GET", g.URL("/chat?room=1"), ""), "OAuth 2": w.Bearer(t, w.OAuth2), "none": "",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", g.HTTP)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // nothing is lost
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			headers := []string{
				"Connection: Upgrade, X-OAuth-User-Name", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X-OAuth-User-Name: " + foreignValue,
			}
			if authorization != "" {
				headers = append(headers, "Authorization: "+authorization)
			}
			if _, err := io.WriteString(conn, g.Raw("GET /chat?room=1", headers, "")); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if authorization == "" {
				if response.StatusCode != http.StatusUnauthorized {
					t.Errorf("without a credential: %s", response.Status)
				}
				return
			}
			if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("X-Saw-User") != "Alice" {
				t.Fatalf("%s, the backend saw %q", response.Status, response.Header.Get("X-Saw-User"))
			}
			echoed(t, conn, r)
		})
	}
}

// A backend that speaks HTTP/2 in clear would take requests from the client
// itself, with any headers it likes.
func TestUpgradeToAnotherProtocol(t *testing.T) {
	g := harness.New(t, harness.Options{
		Site: "oauth /api/* {\n\timport settings\n\tcors_preflight pass\n}\n@open not path /api/*\noauth @open {\n\tmode strip\n}\nimport backend\n",
		Backend: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if protocol := r.Header.Get("Upgrade"); protocol != "" {
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", protocol)
				w.WriteHeader(http.StatusSwitchingProtocols)
			}
		}),
	})
	preflight := []string{"Origin: https://other.example", "Access-Control-Request-Method: GET"}
	for name, request := range map[string]struct {
		line    string
		headers []string
	}{
		"credential": {"GET /api/x", []string{"Authorization: " + g.Wiki.Bearer(t, g.Wiki.OAuth2)}},
		"preflight":  {"OPTIONS /api/x", preflight},
		"strip":      {"GET /open", nil},
	} {
		for _, upgrade := range []string{"h2c", "websocket, h2c"} {
			headers := append([]string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: " + upgrade, "HTTP2-Settings: AAMAAABkAAQAAP__"}, request.headers...)
			method, _, _ := strings.Cut(request.line, " ")
			if a := g.Send(t, method, g.Raw(request.line, headers, "")); a.Status != http.StatusOK {
				t.Errorf("%s, %s: answer %d", name, upgrade, a.Status)
			}
		}
	}
}

func TestServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	g := harness.New(t, harness.Options{Backend: streams(next)})
	for _, target := range []string{"/events", "query"} {
		authorization := harness.Sign(t, g.Wiki.HMAC, "GET", g.URL("/events"), "")
		r := g.Request(t, "GET", g.URL("/events"), "", "Authorization", authorization)
		if target == "query" { // the answer goes through one writer more
			r = g.Request(t, "GET", g.URL(inQuery("/events", authorization)), "")
		}
		response, err := g.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(response.Body)
		if line, err := lines.ReadString('\n'); err != nil || line != "data: Alice\n" {
			t.Fatalf("%s: first event %q, %v", target, line, err)
		}
		next <- struct{}{} // not before the first event was read: it was flushed
		rest, err := io.ReadAll(lines)
		if err != nil || !strings.Contains(string(rest), "data: last") {
			t.Errorf("%s: then %q, %v", target, rest, err)
		}
		_ = response.Body.Close() // it was read
	}
}

// extended is a client of HTTP/2 that can send an extended CONNECT.
type extended struct {
	http.RoundTripper
}

func (e extended) CloseIdleConnections() { e.RoundTripper.(*http2.Transport).CloseIdleConnections() } //nolint:staticcheck // as above

func TestExtendedConnect(t *testing.T) {
	g := harness.New(t, harness.Options{Backend: streams(nil)})
	served(t, g, 6)
	w := g.Wiki
	//nolint:staticcheck // net/http's own sends no :protocol
	transport := extended{&http2.Transport{TLSClientConfig: harness.TLS()}}
	t.Cleanup(transport.CloseIdleConnections)
	url := "https://" + g.HTTPS + "/chat?room=1"
	for _, tt := range []struct {
		name, protocol string
		authorization  func() string
		status         int
	}{
		{"signed as GET", "websocket", func() string { return harness.Sign(t, w.HMAC, "GET", url, "") }, 200},
		{"bearer", "websocket", func() string { return w.Bearer(t, w.OAuth2) }, 200},
		{"signed as CONNECT", "websocket", func() string { return harness.Sign(t, w.HMAC, "CONNECT", url, "") }, 401},
		{"signed as GET of another URL", "websocket", func() string { return harness.Sign(t, w.HMAC, "GET", url+"&x", "") }, 401},
		{"none", "websocket", func() string { return "" }, 401},
		{"another protocol", "connect-udp", func() string { return w.Bearer(t, w.OAuth2) }, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			body, send := io.Pipe()
			r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header[":protocol"] = []string{tt.protocol}
			r.Header.Set("Sec-Websocket-Version", "13")
			r.Header.Set("X-Oauth-User-Name", foreignValue)
			if authorization := tt.authorization(); authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			response, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // nothing is lost
			defer send.Close()          //nolint:errcheck // likewise
			if response.StatusCode != tt.status {
				t.Fatalf("%s, want %d", response.Status, tt.status)
			}
			if tt.status == 200 {
				if got := response.Header.Get("X-Saw-User"); got != "Alice" {
					t.Errorf("the backend saw %q", got)
				}
				echoed(t, send, response.Body)
			}
		})
	}
	// Any other CONNECT is not allowed, whoever asks.
	for name, raw := range map[string]string{
		"HTTP 1.1":                g.Raw("CONNECT "+g.HTTP, []string{"Authorization: " + w.Bearer(t, w.OAuth2)}, ""),
		"HTTP 1.1, anonymous":     g.Raw("CONNECT "+g.HTTP, nil, ""),
		"HTTP 1.1 with :protocol": g.Raw("CONNECT "+g.HTTP, []string{"Upgrade: websocket", "Connection: Upgrade", "Authorization: " + w.Bearer(t, w.OAuth2)}, ""),
	} {
		if a := g.Send(t, "GET", raw); a.Status != http.StatusMethodNotAllowed || a.Reason != "method_not_allowed" || a.Header.Get("Allow") == "" {
			t.Errorf("%s: %d %s, Allow %q", name, a.Status, a.Reason, a.Header.Get("Allow"))
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "https://"+g.HTTPS, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", w.Bearer(t, w.OAuth2))
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it has no more to say
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("HTTP 2: %s", response.Status)
	}
}

func TestHTTP2AndHTTP3(t *testing.T) {
	// At DEBUG Caddy 2.11 emits an event per handshake that copies its TLS app,
	// unsynchronized with that app's start. Over TCP the race detector sees an
	// order in the system calls of the two ends; over UDP it does not.
	g := harness.New(t, harness.Options{LogLevel: "INFO"})
	w := g.Wiki
	quic := &http3.Transport{TLSClientConfig: harness.TLS()}
	t.Cleanup(func() { _ = quic.Close() })
	secondVersion := &http.Transport{TLSClientConfig: harness.TLS(), Protocols: new(http.Protocols)}
	secondVersion.Protocols.SetHTTP2(true)
	t.Cleanup(secondVersion.CloseIdleConnections)
	firstVersion := &http.Transport{TLSClientConfig: harness.TLS(), Protocols: new(http.Protocols)}
	firstVersion.Protocols.SetHTTP1(true)
	t.Cleanup(firstVersion.CloseIdleConnections)
	url := "https://" + g.HTTPS + "/w/api.php?b=%C3%A9&a=1&a=0"
	const form = "action=edit&text=a+b%20c"
	for proto, transport := range map[string]http.RoundTripper{"HTTP/1.1": firstVersion, "HTTP/2.0": secondVersion, "HTTP/3.0": quic} {
		t.Run(proto, func(t *testing.T) {
			for _, tt := range []struct{ name, method, body, authorization, want string }{
				{"HMAC", "GET", "", harness.Sign(t, w.HMAC, "GET", url, ""), "ok"},
				{"RSA", "DELETE", "", harness.Sign(t, w.RSA, "DELETE", url, ""), "ok"},
				{"form", "POST", form, harness.Sign(t, w.HMAC, "POST", url, form), "ok"},
				{"bearer", "GET", "", w.Bearer(t, w.OAuth2), "ok"},
				{"another form", "POST", form, harness.Sign(t, w.HMAC, "POST", url, form+"&x"), "bad_signature"},
				{"another scheme", "GET", "", harness.Sign(t, w.HMAC, "GET", strings.Replace(url, "https", "http", 1), ""), "bad_signature"},
				{"broken token", "GET", "", w.Bearer(t, w.OAuth2) + "A", "bad_token_signature"},
				{"none", "GET", "", "", "no_credentials"},
			} {
				r := g.Request(t, tt.method, url, tt.body, "X-Oauth-User-Id", "1")
				if tt.body != "" {
					r.Header.Set("Content-Type", formType)
				}
				if tt.authorization != "" {
					r.Header.Set("Authorization", tt.authorization)
				}
				response, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				a, err := harness.ReadAnswer(response)
				if err != nil {
					t.Fatal(err)
				}
				if a.Proto != proto {
					t.Errorf("%s: over %s", tt.name, a.Proto)
				}
				a.Want(t, tt.want)
				if a.Seen != nil && (a.Identity("User-Id") != "7" || string(a.Seen.Body) != tt.body) {
					t.Errorf("%s: user %q, body %q", tt.name, a.Identity("User-Id"), a.Seen.Body)
				}
			}
		})
	}
}
