package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
)

// maxCookies bounds the cookies that are sent on to the wiki, in bytes.
const maxCookies = 16 << 10

// Anybody can send cookies, so a wiki is asked about few browsers at once. Few wait
// for that, and fewer of one client.
const maxAsked, maxWaiting, maxWaitingOfOne = 16, 256, 16

// mediaWikiSessions asks the wiki who is at the browser. It sends the browser's
// cookies, user agent and address, and nothing else that the browser sent. Answers
// are not kept, because a user who signs out is out at once.
type mediaWikiSessions struct {
	api    *wikiAPI
	places *store.Places
	// source names the ids of users in MediaWiki's answer: "local" or
	// "CentralAuth".
	source string
}

func newMediaWikiSessions(api *wikiAPI, source string) mediaWikiSessions {
	return mediaWikiSessions{api, store.NewPlaces(maxAsked, maxWaiting, maxWaitingOfOne, 0), source}
}

// sessionAnswer is the answer of meta=userinfo, in format version 2.
type sessionAnswer struct {
	Error *json.RawMessage `json:"error"`
	Query *struct {
		User *sessionUser `json:"userinfo"`
	} `json:"query"`
}

type sessionUser struct {
	ID         *uint64           `json:"id"`
	Name       string            `json:"name"`
	Anonymous  bool              `json:"anon"`
	Temporary  bool              `json:"temp"`
	Groups     []string          `json:"groups"`
	CentralIDs map[string]uint64 `json:"centralids"`
}

// Visitor implements [authserver.Sessions]. A browser without cookies has no
// session, and is not asked about.
func (s mediaWikiSessions) Visitor(r *http.Request) (*authserver.Visitor, error) {
	cookies := strings.Join(r.Header["Cookie"], "; ")
	switch {
	case cookies == "":
		return nil, nil
	case len(cookies) > maxCookies:
		return nil, fmt.Errorf("session mediawiki: the browser's cookies are larger than %d bytes", maxCookies)
	}
	leave, err := s.places.Enter(r.Context(), sent.Client(r), s.api.client.Timeout)
	if err != nil {
		return nil, fmt.Errorf("session mediawiki: too many browsers wait for the wiki to say who they are: %w", err)
	}
	defer leave()
	header := http.Header{"Cookie": {cookies}}
	if agent := r.Header.Get("User-Agent"); agent != "" {
		header.Set("User-Agent", agent)
	}
	if address, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok && address != "" {
		header.Set("X-Forwarded-For", address)
	}
	body, err := s.api.get(r.Context(), map[string][]string{
		"action": {"query"}, "format": {"json"}, "formatversion": {"2"}, "meta": {"userinfo"}, "uiprop": {"centralids|groups"},
	}, header)
	if err != nil {
		return nil, fmt.Errorf("session mediawiki: %w", err)
	}
	v, err := s.read(body)
	if err != nil {
		return nil, fmt.Errorf("session mediawiki: %w", err)
	}
	return v, nil
}

// read reads the answer. Anonymous and temporary users are not signed in.
// Whatever is not clearly one or the other is an error.
func (s mediaWikiSessions) read(body []byte) (*authserver.Visitor, error) {
	var answer sessionAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("the answer is not JSON of meta=userinfo")
	}
	if answer.Error != nil || answer.Query == nil || answer.Query.User == nil || answer.Query.User.ID == nil {
		return nil, errors.New("the wiki does not say who is signed in")
	}
	u := answer.Query.User
	if u.Anonymous || u.Temporary || slices.Contains(u.Groups, "temp") {
		return nil, nil
	}
	id, told := u.CentralIDs[s.source]
	switch {
	case *u.ID == 0 || u.Name == "":
		return nil, errors.New("the wiki names a user without an id or a name")
	case id == 0 && told: // an account that is not attached, which asking again does not change
		id = math.MaxUint64
	case id == 0:
		return nil, fmt.Errorf("the wiki gives no id of %s for the user who is signed in", s.source)
	}
	return &authserver.Visitor{Name: u.Name, ID: id}, nil
}
