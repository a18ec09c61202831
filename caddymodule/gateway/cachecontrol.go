package gateway

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// headerWriter has the last word on the headers of a response, whatever the
// handlers after it set.
type headerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	edit   func(http.Header)
	edited bool
}

func newHeaderWriter(w http.ResponseWriter, edit func(http.Header)) *headerWriter {
	return &headerWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, edit: edit}
}

// finish edits the headers, once.
func (w *headerWriter) finish() {
	if !w.edited {
		w.edited = true
		w.edit(w.Header())
	}
}

func (w *headerWriter) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.finish()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *headerWriter) Write(p []byte) (int, error) {
	w.finish()
	return w.ResponseWriter.Write(p)
}

func (w *headerWriter) ReadFrom(r io.Reader) (int64, error) {
	w.finish()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController looks for.
func (w *headerWriter) FlushError() error {
	w.finish()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// makePrivate adds private to Cache-Control, and takes out what would
// contradict it.
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
