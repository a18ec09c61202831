// Package apianswers holds how a real MediaWiki 1.39 wrote API errors, in each
// format that a request can ask for. The program in record makes the recording.
package apianswers

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

//go:embed testdata/mediawiki-1.39.json
var recorded []byte

// Recording is what MediaWiki answered.
type Recording struct {
	MediaWiki string // version
	Answers   []Answer
}

// Answer is one answer, with every request that got it.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
	// Page says that the body was an HTML page. Body is then the text of its
	// pre element.
	Page bool `json:",omitempty"`
	// Error is the key of the message of the error that MediaWiki met, and its
	// parameters. It is empty for an error of MediaWiki itself.
	Error    []string
	Requests []Request
}

// Request is a request to api.php.
type Request struct {
	Method      string
	Query       string `json:",omitempty"`
	ContentType string `json:",omitempty"`
	Body        string `json:",omitempty"`
}

// HTTP returns the request for the API at an address.
func (r Request) HTTP(ctx context.Context, api string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, api+"?"+r.Query, strings.NewReader(r.Body))
	if err == nil && r.ContentType != "" {
		request.Header.Set("Content-Type", r.ContentType)
	}
	return request, err
}

// Load returns the recording.
func Load(tb testing.TB) Recording {
	tb.Helper()
	var r Recording
	if err := json.Unmarshal(recorded, &r); err != nil {
		tb.Fatal(err)
	}
	return r
}
