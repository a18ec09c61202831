package parity

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	minSeeds = 100     // fewer would mean that the recording was lost or misread
	maxSeed  = 8 << 10 // bytes: a fuzzer that mutates a 200 kB body does little else
)

//go:embed testdata/requests.txt
var requestsText string

//go:embed testdata/1.43/fixtures.json
var fixturesText []byte

// RawRequest is one recorded request as it went over the wire. Its timestamp
// and nonce are those of the recording.
type RawRequest struct {
	ID  string // of the case; "#1" and so on are the requests that go before it
	Raw []byte
}

// Requests returns every request of every recorded case, of all variants of the
// site.
func Requests(tb testing.TB) []RawRequest {
	tb.Helper()
	var all []RawRequest
	for line := range strings.Lines(requestsText) {
		id, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		raw, err := strconv.Unquote(quoted)
		if err != nil {
			tb.Fatalf("requests.txt: %s: %v", id, err)
		}
		all = append(all, RawRequest{id, []byte(raw)})
	}
	if len(all) < minSeeds {
		tb.Fatalf("requests.txt: %d requests, want at least %d", len(all), minSeeds)
	}
	return all
}

// AuthorizationValues returns the distinct values of the Authorization lines.
func AuthorizationValues(tb testing.TB) []string {
	tb.Helper()
	return enough(tb, "Authorization", collect(tb, func(r RawRequest) []string { return r.header("Authorization") }))
}

// Forms returns the distinct queries and bodies, and each of their parameters
// alone.
func Forms(tb testing.TB) []string {
	tb.Helper()
	return enough(tb, "form", collect(tb, func(r RawRequest) []string {
		_, query, _ := strings.Cut(r.target(), "?")
		_, body, _ := strings.Cut(string(r.Raw), "\r\n\r\n")
		return slices.Concat([]string{query, body}, strings.Split(query, "&"), strings.Split(body, "&"))
	}))
}

// JWTs returns the distinct bearer tokens, well-formed or not.
func JWTs(tb testing.TB) []string {
	tb.Helper()
	return enough(tb, "JWT", collect(tb, RawRequest.bearers))
}

// Restrictions returns the distinct texts of the consumers' restrictions, then
// the other JSON of the recording: grants, and the headers and claims of bearer
// tokens.
func Restrictions(tb testing.TB) []string {
	tb.Helper()
	var fixtures struct {
		Consumers, Tokens map[string]struct {
			Restrictions string `json:"db_restrictions"`
			Grants       string `json:"db_grants"`
		}
	}
	if err := json.Unmarshal(fixturesText, &fixtures); err != nil {
		tb.Fatalf("fixtures.json: %v", err)
	}
	var restrictions, grants []string
	for _, c := range fixtures.Consumers {
		restrictions, grants = append(restrictions, c.Restrictions), append(grants, c.Grants)
	}
	for _, t := range fixtures.Tokens {
		grants = append(grants, t.Grants)
	}
	slices.Sort(restrictions)
	slices.Sort(grants)
	return enough(tb, "JSON", slices.Concat(restrictions, grants, collect(tb, RawRequest.tokenParts)))
}

// enough returns the distinct seeds, or fails the test.
func enough(tb testing.TB, what string, seeds []string) []string {
	tb.Helper()
	seeds = distinct(seeds)
	if len(seeds) < minSeeds {
		tb.Fatalf("%d distinct %s seeds, want at least %d", len(seeds), what, minSeeds)
	}
	return seeds
}

func collect(tb testing.TB, extract func(RawRequest) []string) (seeds []string) {
	tb.Helper()
	for _, r := range Requests(tb) {
		seeds = append(seeds, extract(r)...)
	}
	return seeds
}

func distinct(all []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(s string) bool {
		drop := seen[s] || len(s) > maxSeed
		seen[s] = true
		return drop
	})
}

// These read what was sent without net/http, which refuses some of it.

func (r RawRequest) target() string {
	line, _, _ := strings.Cut(string(r.Raw), "\r\n")
	_, rest, _ := strings.Cut(line, " ")
	return rest[:max(0, strings.LastIndexByte(rest, ' '))]
}

func (r RawRequest) header(name string) (values []string) {
	head, _, _ := strings.Cut(string(r.Raw), "\r\n\r\n")
	for _, line := range strings.Split(head, "\r\n")[1:] {
		if n, value, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			values = append(values, strings.TrimPrefix(value, " "))
		}
	}
	return values
}

func (r RawRequest) bearers() (tokens []string) {
	for _, value := range r.header("Authorization") {
		if token, found := strings.CutPrefix(value, "Bearer "); found {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// tokenParts returns the headers and claims of bearer tokens.
func (r RawRequest) tokenParts() (texts []string) {
	for _, token := range r.bearers() {
		for part := range strings.SplitSeq(token, ".") {
			if text, err := base64.RawURLEncoding.DecodeString(part); err == nil && strings.HasPrefix(string(text), "{") {
				texts = append(texts, string(text))
			}
		}
	}
	return texts
}
