package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

const (
	wikiTimeout   = 2 * time.Second
	wikiMaxAnswer = 64 << 10
	wikiKept      = time.Minute
	wikiMaxKept   = 10_000 // users
)

// wikiAPI asks the wiki for public data of users. It implements
// [authserver.PublicUsers].
type wikiAPI struct {
	url    string
	host   string // of the request, if it is not the URL's
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	known map[string]knownUser
}

type knownUser struct {
	authserver.PublicUser
	until time.Time
}

// newWikiAPI returns what asks an address that checkAPI accepts. Roots are the
// authorities that the server's certificate may be of, or nil for the system's.
func newWikiAPI(address, host string, roots *x509.CertPool, timeout time.Duration) *wikiAPI {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]") // without a port
	}
	t := &http.Transport{
		MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: wikiMaxAnswer,
		TLSClientConfig: &tls.Config{ServerName: name, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return &wikiAPI{
		url: address, host: host, now: time.Now, known: map[string]knownUser{},
		client: &http.Client{
			Transport:     t,
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// close lets go of the connections.
func (a *wikiAPI) close() { a.client.CloseIdleConnections() }

// PublicUser implements [authserver.PublicUsers].
func (a *wikiAPI) PublicUser(ctx context.Context, name string) (authserver.PublicUser, error) {
	a.mu.Lock()
	u, cached := a.known[name]
	a.mu.Unlock()
	if cached && a.now().Before(u.until) {
		return u.PublicUser, nil
	}
	fresh, err := a.ask(ctx, name)
	if err != nil {
		return authserver.PublicUser{}, fmt.Errorf("wiki_api: %w", err)
	}
	a.keep(name, fresh)
	return fresh, nil
}

// keep remembers a user for a while. When there is no room, what has ended goes,
// or else everything.
func (a *wikiAPI) keep(name string, u authserver.PublicUser) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if len(a.known) >= wikiMaxKept {
		for name, u := range a.known {
			if !now.Before(u.until) {
				delete(a.known, name)
			}
		}
		if len(a.known) >= wikiMaxKept {
			clear(a.known)
		}
	}
	a.known[name] = knownUser{u, now.Add(wikiKept)}
}

// apiAnswer is the answer of list=users or meta=userinfo, in format version 2.
type apiAnswer struct {
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
	Query struct {
		Users    []apiUser `json:"users"`
		UserInfo *struct {
			ID     uint64   `json:"id"`
			Anon   bool     `json:"anon"`
			Rights []string `json:"rights"`
		} `json:"userinfo"`
	} `json:"query"`
}

type apiUser struct {
	UserID         uint64   `json:"userid"`
	Name           string   `json:"name"`
	EditCount      int64    `json:"editcount"`
	Groups         []string `json:"groups"`
	ImplicitGroups []string `json:"implicitgroups"`
	Rights         []string `json:"rights"`
}

func (a *wikiAPI) ask(ctx context.Context, name string) (authserver.PublicUser, error) {
	none := authserver.PublicUser{}
	query := url.Values{"action": {"query"}, "format": {"json"}, "formatversion": {"2"}}
	switch {
	case strings.ContainsAny(name, "|\x1f"):
		return none, errors.New("no name that a user can have")
	case name == "":
		query.Set("meta", "userinfo")
		query.Set("uiprop", "rights")
	default:
		query.Set("list", "users")
		query.Set("usprop", "groups|rights|implicitgroups|editcount")
		query.Set("ususers", name)
	}
	body, err := a.get(ctx, query, http.Header{"User-Agent": {"caddy-mwoauth"}})
	switch {
	case err != nil:
		return none, err
	case name == "":
		return readNobody(body)
	}
	return readUser(body, name)
}

// get asks the API and returns its answer.
func (a *wikiAPI) get(ctx context.Context, query url.Values, header http.Header) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"?"+query.Encode(), nil)
	if err != nil {
		return nil, errors.New("the address is not a URL")
	}
	r.Host, r.Header = a.host, header
	response, err := a.client.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing was written
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, wikiMaxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > wikiMaxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d bytes", wikiMaxAnswer)
	}
	return body, nil
}

// withoutURL leaves the URL out of an error, because it holds the user's name.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// readNobody reads the answer about somebody who is not signed in.
func readNobody(body []byte) (authserver.PublicUser, error) {
	var answer apiAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return authserver.PublicUser{}, errors.New("the answer is not JSON of meta=userinfo")
	}
	u := answer.Query.UserInfo
	switch {
	case answer.Error != nil:
		return authserver.PublicUser{}, errors.New("the wiki answers with an error")
	case u == nil || u.ID != 0 || !u.Anon:
		return authserver.PublicUser{}, errors.New("the wiki takes the gateway for a user")
	}
	return authserver.PublicUser{Groups: []string{"*"}, Rights: u.Rights}, nil
}

// readUser reads the answer about one user. Groups are in the order of MediaWiki's
// /identify: explicit ones first.
func readUser(body []byte, name string) (authserver.PublicUser, error) {
	var answer apiAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return authserver.PublicUser{}, errors.New("the answer is not JSON of list=users")
	}
	users := answer.Query.Users
	switch {
	case answer.Error != nil:
		return authserver.PublicUser{}, errors.New("the wiki answers with an error")
	case len(users) != 1 || users[0].Name != name || users[0].UserID == 0:
		return authserver.PublicUser{}, errors.New("the wiki does not know the user")
	}
	u := users[0]
	implicit := func(group string) bool { return slices.Contains(u.ImplicitGroups, group) }
	groups := slices.DeleteFunc(slices.Clone(u.Groups), implicit)
	for _, group := range u.Groups {
		if implicit(group) {
			groups = append(groups, group)
		}
	}
	return authserver.PublicUser{Groups: append([]string{}, groups...), Rights: u.Rights, EditCount: u.EditCount}, nil
}

// checkAPI reports what is wrong with the address of an API: it must be https, or
// http on loopback, with nothing but a host and a path.
func checkAPI(setting string) func(string) error {
	return func(address string) error {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
			return fmt.Errorf("%s: not the address of an API: write one like https://wiki.example/w/api.php", setting)
		case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
			return nil
		default:
			return fmt.Errorf("%s: not safe on the way: use https, or http on loopback", setting)
		}
	}
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
