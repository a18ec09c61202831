package caddymodule

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// privateWriter keeps an answer out of shared caches, whatever the handlers after it say.
type privateWriter struct {
	*caddyhttp.ResponseWriterWrapper
	marked bool
}

func (w *privateWriter) mark() {
	if !w.marked {
		w.marked = true
		makePrivate(w.Header())
	}
}

func (w *privateWriter) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.mark()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *privateWriter) Write(p []byte) (int, error) {
	w.mark()
	return w.ResponseWriter.Write(p)
}

func (w *privateWriter) ReadFrom(r io.Reader) (int64, error) {
	w.mark()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController looks for.
func (w *privateWriter) FlushError() error {
	w.mark()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// makePrivate adds private to Cache-Control, and takes out what would contradict it.
func makePrivate(h http.Header) {
	kept := []string{"private"}
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			switch name {
			case "", "private", "public", "s-maxage":
			default:
				kept = append(kept, strings.TrimSpace(directive))
			}
		}
	}
	h["Cache-Control"] = []string{strings.Join(kept, ", ")}
}
