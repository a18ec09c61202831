package e2e_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// trailersCase is a request with trailers: what it announces, and what comes.
type trailersCase struct {
	name     string
	announce []string
	come     []string // name and value in turn
	arrives  bool     // the harmless X-Checksum
}

var trailersCases = []trailersCase{
	{"announced", []string{"X-OAuth-User-Id", "X-Checksum"}, []string{"X-OAuth-User-Id", foreignValue, "X-Checksum", "ok"}, true},
	{"announced alone", []string{"X-OAuth-User-Id"}, []string{"X-OAuth-User-Id", foreignValue}, false},
	{"announced in another spelling", []string{"x_oauth.user!id", "X-Checksum"}, []string{"x_oauth.user!id", foreignValue, "X-Checksum", "ok"}, true},
	{"unannounced next to an announced other", []string{"X-Checksum"}, []string{
		"X-Checksum", "ok", "X-OAuth-User-Id", foreignValue, "X_OAuth_Groups", foreignValue,
	}, true},
	{"unannounced", nil, []string{"X-OAuth-User-Id", foreignValue}, false},
}

// checkTrailers looks at what the backend got.
func checkTrailers(t *testing.T, g *harness.Gateway, tt trailersCase, a *harness.Answer, body string) {
	t.Helper()
	a.Want(t, "ok")
	if raw := g.Backend.Raw(); strings.Contains(raw, foreignValue) {
		t.Errorf("the backend got\n%s", raw)
	}
	if a.Seen == nil {
		return
	}
	if string(a.Seen.Body) != body {
		t.Errorf("body %q, want %q", a.Seen.Body, body)
	}
	if a.Identity("User-Id") != "7" {
		t.Errorf("user %q", a.Identity("User-Id"))
	}
	if got := a.Seen.Trailer.Get("X-Checksum"); (got == "ok") != tt.arrives {
		t.Errorf("X-Checksum %q arrives, want it to: %v", got, tt.arrives)
	}
}

func TestTrailers(t *testing.T) {
	g := harness.New(t, harness.Options{})
	const form = "a=1&b=2"
	for _, tt := range trailersCases {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded"} {
			t.Run("HTTP 1.1, "+tt.name+", "+kind, func(t *testing.T) {
				signed := ""
				if kind != "text/plain" {
					signed = form // read by the gateway, and put back
				}
				headers := []string{
					"Authorization: " + harness.Sign(t, g.Wiki.HMAC, "POST", g.URL("/"), signed),
					"Transfer-Encoding: chunked", "Content-Type: " + kind,
				}
				if len(tt.announce) > 0 {
					headers = append(headers, "Trailer: "+strings.Join(tt.announce, ", "))
				}
				body := "3\r\na=1\r\n4\r\n&b=2\r\n0\r\n"
				for i := 0; i < len(tt.come); i += 2 {
					body += tt.come[i] + ": " + tt.come[i+1] + "\r\n"
				}
				g.Backend.Raw()
				a := g.Send(t, "POST", g.Raw("POST /", headers, body+"\r\n"))
				checkTrailers(t, g, tt, a, form)
			})
		}
		t.Run("HTTP 2, "+tt.name, func(t *testing.T) {
			authorization := harness.Sign(t, g.Wiki.HMAC, "POST", "https://"+g.HTTPS+"/", "")
			g.Backend.Raw()
			a := postWithTrailers(t, g.HTTPS, authorization, tt, form)
			checkTrailers(t, g, tt, a, form)
		})
	}
}

// postWithTrailers sends a request over HTTP/2, frame by frame: clients
// announce every trailer that they send.
func postWithTrailers(t *testing.T, addr, authorization string, tt trailersCase, body string) *harness.Answer {
	t.Helper()
	config := harness.TLS()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is lost
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	headers := func(end bool, fields ...string) {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			if err := encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(fields[i]), Value: fields[i+1]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	fields := []string{":method", "POST", ":scheme", "https", ":authority", addr, ":path", "/", "authorization", authorization}
	if len(tt.announce) > 0 {
		fields = append(fields, "trailer", strings.Join(tt.announce, ", "))
	}
	headers(false, fields...)
	if err := framer.WriteData(1, false, []byte(body)); err != nil {
		t.Fatal(err)
	}
	headers(true, tt.come...)

	response := &http.Response{Header: make(http.Header), Proto: "HTTP/2.0"}
	var got bytes.Buffer
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.PseudoValue("status") == "200" {
				response.StatusCode = http.StatusOK
			}
			for _, field := range f.RegularFields() {
				response.Header.Add(field.Name, field.Value)
			}
		case *http2.DataFrame:
			got.Write(f.Data())
		case *http2.RSTStreamFrame:
			t.Fatalf("stream reset: %v", f.ErrCode)
		}
		if h := frame.Header(); h.StreamID == 1 && h.Flags.Has(http2.FlagDataEndStream) {
			response.Body = io.NopCloser(&got)
			a, err := harness.ReadAnswer(response)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
	}
}
