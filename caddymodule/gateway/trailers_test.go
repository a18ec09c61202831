package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// trailerServer answers with the trailers that the handler after ours sees, one
// per line. Like Caddy's server it may hand on a copy of the request that
// net/http fills.
func trailerServer(t *testing.T, h *Handler, d validator.Decision, copied, readForm bool) *httptest.Server {
	t.Helper()
	s := newShell(t, h, d)
	if readForm {
		s.core.verify = func(r validator.Request) validator.Decision {
			if _, err := r.Body(validator.BodyLimit{Size: 1 << 20}); err != nil {
				t.Errorf("form: %v", err)
			}
			return d
		}
	}
	s.next = func(w http.ResponseWriter, r *http.Request) error {
		if names := ownNames(r.Trailer); names != nil {
			t.Errorf("%q are announced", names)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "body" {
			t.Errorf("read %q, %v", body, err)
		}
		for name, lines := range r.Trailer {
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(lines, "|"))
		}
		return nil
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if copied {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, nil))
		}
		if err := s.ServeHTTP(w, r, s.next); err != nil {
			t.Error(err)
		}
	}))
	server.EnableHTTP2 = true
	return server
}

// sendHTTP1 sends a request with announced and sent trailers over a bare
// connection.
func sendHTTP1(t *testing.T, address, announced string, sent ...string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: wiki.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n%s\r\n4\r\nbody\r\n0\r\n%s\r\n",
		announced, strings.Join(sent, ""))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return lines(t, response.Body)
}

func lines(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func TestTrailersHTTP1(t *testing.T) {
	for _, copied := range []bool{true, false} {
		for _, readForm := range []bool{true, false} {
			for _, mode := range []string{modeRequired, modeStrip} {
				for _, test := range []struct {
					name      string
					announced string
					sent      []string
					want      string
				}{
					{"announced", "Trailer: X-OAuth-User-Id, X-Sum\r\n", []string{"X-OAuth-User-Id: 1\r\n", "X-Sum: 2\r\n"}, "X-Sum: 2"},
					{"announced alias", "Trailer: X_OAuth_User_Id\r\nTrailer: X-Sum\r\n", []string{"X_OAuth_User_Id: 1\r\n", "X-Sum: 2\r\n"}, "X-Sum: 2"},
					{"unannounced beside another", "Trailer: X-Sum\r\n", []string{"X-OAuth-User-Id: 1\r\n", "x.oauth.groups: sysop\r\n", "X-Sum: 2\r\n"}, "X-Sum: 2"},
					{"announced and not sent", "Trailer: X-OAuth-User-Id, X-Sum\r\n", nil, "X-Sum:"},
				} {
					if mode == modeStrip && readForm {
						continue
					}
					t.Run(fmt.Sprintf("%s/copied=%v/form=%v/%s", mode, copied, readForm, test.name), func(t *testing.T) {
						server := trailerServer(t, &Handler{Mode: mode}, allow(), copied, readForm)
						server.Start()
						defer server.Close()
						if got := sendHTTP1(t, server.Listener.Addr().String(), test.announced, test.sent...); got != test.want {
							t.Errorf("the next handler sees %q, want %q", got, test.want)
						}
					})
				}
			}
		}
	}
}

func TestUnannouncedTrailersAlone(t *testing.T) {
	server := trailerServer(t, &Handler{}, allow(), false, false)
	server.Start()
	defer server.Close()
	if got := sendHTTP1(t, server.Listener.Addr().String(), "", "X-OAuth-User-Id: 1\r\n", "X-Sum: 2\r\n"); got != "X-Sum: 2" {
		t.Errorf("the next handler sees %q", got)
	}
}

func TestTrailersHTTP2(t *testing.T) {
	for _, readForm := range []bool{true, false} {
		server := trailerServer(t, &Handler{}, allow(), true, readForm)
		server.StartTLS()
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.MultiReader(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-Oauth-User-Id": {"1"}, "X_oauth_groups": {"sysop"}, "X-Sum": {"2"}}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if got := lines(t, response.Body); response.ProtoMajor != 2 || got != "X-Sum: 2" {
			t.Errorf("over HTTP/%d the next handler sees %q", response.ProtoMajor, got)
		}
	}
}
