package authserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// consentRequest is what a user is asked.
type consentRequest struct {
	endpoint   Endpoint
	client     *Consumer
	user       *User
	grants     []string
	fields     []Field     // of the request, to be sent again
	acceptance *Acceptance // what the user allowed before; nil: nothing
	callback   string
}

// decision is what a user has decided. The zero value is nothing yet.
type decision uint8

const (
	decisionNone decision = iota
	decisionAccept
	decisionDeny
	decisionSkip // there is nothing to ask
)

// Names of our own form.
const (
	csrfField     = "csrf"
	approveButton = "approve"
	cancelButton  = "cancel"
)

// csrfLife is how long a form may be sent after it was shown.
const csrfLife = time.Hour

// decision reads what the user has decided. Only a POST of our own form decides:
// its token binds it to the user, the request and the callback.
func (s *Server) decision(r Request, p params, c *consentRequest) decision {
	if r.HTTP.Method != http.MethodPost {
		if s.nothingToAsk(c) {
			return decisionSkip
		}
		return decisionNone
	}
	_, approved := p.get(approveButton)
	_, cancelled := p.get(cancelButton)
	switch {
	case !s.sameOrigin(r.HTTP), !s.validCSRF(p[csrfField], c), approved == cancelled:
		return decisionNone
	case approved:
		return decisionAccept
	default:
		return decisionDeny
	}
}

// nothingToAsk reports whether the user has allowed exactly this before, and the
// app only learns who they are. A public client is never let through without the
// user, because anybody can claim to be it.
func (s *Server) nothingToAsk(c *consentRequest) bool {
	if c.acceptance == nil || c.endpoint == Authorize || c.client.Version == 2 && !c.client.Confidential {
		return false
	}
	authOnly := !slices.ContainsFunc(c.client.Grants.Names, func(name string) bool {
		return name != "mwoauth-authonly" && name != "mwoauth-authonlyprivate"
	})
	return authOnly && c.acceptance.Wiki == c.client.Wiki && c.acceptance.Grants.Equal(c.client.Grants)
}

// sameOrigin reports whether a POST comes from a page of ours.
func (s *Server) sameOrigin(r *http.Request) bool { return s.crossOrigin.Check(r) == nil }

// csrfToken returns the token of a form: when it ends, and a MAC over that, the
// wiki, the user, the request, the callback and the grants that are shown.
func (s *Server) csrfToken(c *consentRequest) string {
	ends := strconv.FormatInt(s.now().Add(csrfLife).Unix(), 10)
	return ends + "." + s.csrfMAC(s.csrf[0], ends, c)
}

func (s *Server) validCSRF(token string, c *consentRequest) bool {
	ends, mac, _ := strings.Cut(token, ".")
	until, err := strconv.ParseInt(ends, 10, 64)
	ours := slices.ContainsFunc(s.csrf, func(key []byte) bool { return hmac.Equal([]byte(mac), []byte(s.csrfMAC(key, ends, c))) })
	return err == nil && ours && s.now().Unix() < until
}

func (s *Server) csrfMAC(key []byte, ends string, c *consentRequest) string {
	mac := hmac.New(sha256.New, key)
	part := func(text string) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		mac.Write([]byte(text))
	}
	part(ends)
	part(s.cfg.Issuer)
	part(s.cfg.Policy.Wiki)
	part(strconv.Itoa(int(c.endpoint)))
	part(strconv.FormatUint(c.user.CentralID, 10))
	part(c.callback)
	part(c.client.Key)
	part(strings.Join(c.grants, " "))
	for _, f := range c.fields {
		part(f.Name)
		part(f.Value)
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// consentPage is the page that asks the user.
func (s *Server) consentPage(ctx context.Context, r Request, c *consentRequest) Answer {
	app, err := s.pageApp(ctx, c.client)
	if err != nil {
		return s.refusePage(r, unavailable(err), c.client.Key, c.user.CentralID)
	}
	app.CallbackHost = callbackHost(c.callback)
	form := &ConsentForm{
		Fields: append(formFields(c.fields), Field{csrfField, s.csrfToken(c)}),
		Grants: s.pageGrants(c.grants),
		Update: c.acceptance != nil,
	}
	status, again := http.StatusOK, r.HTTP.Method == http.MethodPost
	if again {
		status = http.StatusForbidden // the form that was sent does not count
	}
	return Answer{
		Status:  status,
		Page:    &Page{Kind: ConsentPage, Visitor: c.user.Name, App: app, Consent: form, Again: again},
		Headers: noStore(),
		Event:   Event{Kind: Shown, Endpoint: r.Endpoint, ConsumerKey: c.client.Key, UserID: c.user.CentralID},
	}
}

// pageApp is an app as a page shows it.
func (s *Server) pageApp(ctx context.Context, c *Consumer) (*PageApp, error) {
	app := &PageApp{Name: c.ShownName(), Wiki: c.Wiki}
	if c.Deleted {
		return app, nil
	}
	app.Version, app.Description = plainText(c.AppVersion), plainText(c.Description)
	owner, err := s.tables.UserByID(ctx, c.OwnerID)
	if err != nil {
		return nil, err
	}
	if owner != nil && !owner.Hidden.After(s.now()) {
		app.Owner = plainText(owner.Name)
	}
	return app, nil
}

// pageGrants are grants as a page shows them: hidden ones are left out.
func (s *Server) pageGrants(names []string) []PageGrant {
	var out []PageGrant
	for _, name := range distinct(names) {
		g, known := s.cfg.Grants[name]
		if !g.Hidden {
			out = append(out, PageGrant{Name: name, Describe: g.Describe, Unknown: !known})
		}
	}
	return out
}

// callbackHost is what a page says of where the browser goes afterwards. It is
// empty where the browser stays. It is what stands in the Location, so that no host
// looks like another one.
func callbackHost(callback string) string {
	if !redirectable(callback) {
		return ""
	}
	scheme, rest, _ := strings.Cut(location(callback), ":")
	host, found := strings.CutPrefix(rest, "//")
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	if !found || host == "" {
		return scheme + ":"
	}
	return scheme + "://" + host
}

// accept writes the user's consent, and marks what may have been written. Token and
// secret count for a new row alone.
func (s *Server) accept(ctx context.Context, c *consentRequest, grants GrantList) (Acceptance, error) {
	row, err := s.tables.Accept(ctx, Approval{
		UserID: c.user.CentralID, ConsumerID: c.client.ID, Wiki: c.client.Wiki, ThisWiki: s.cfg.Policy.Wiki,
		Version: c.client.Version, Grants: grants, Token: randomHex(16), Secret: randomHex(16), Accepted: s.now(),
	})
	switch {
	case err == nil:
		s.mark(Change{ConsumerKey: c.client.Key, Token: row.Token})
	case c.acceptance != nil:
		s.mark(Change{ConsumerKey: c.client.Key, Token: c.acceptance.Token})
	}
	return row, err
}

// visitor finds who is at the browser. A request with an OAuth or Bearer
// credential is never a session. Name and id of the session must both be those of
// a user in the tables.
func (s *Server) visitor(ctx context.Context, r Request) (*User, *Refusal) {
	for _, line := range r.HTTP.Header["Authorization"] {
		scheme := strings.TrimSpace(line)
		if end := strings.IndexFunc(scheme, func(r rune) bool { return !isAlphanumeric(r) }); end >= 0 {
			scheme = scheme[:end]
		}
		if strings.EqualFold(scheme, "OAuth") || strings.EqualFold(scheme, "Bearer") {
			return nil, refuse(NotSignedIn)
		}
	}
	v, err := s.sessions.Visitor(r.HTTP)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case v == nil || v.Name == "":
		return nil, refuse(NotSignedIn)
	}
	user, err := s.tables.UserByName(ctx, v.Name)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case user == nil || user.CentralID == 0:
		return nil, refuse(VisitorUnknown)
	case v.ID != 0 && v.ID != user.CentralID:
		return nil, refuse(VisitorMismatch)
	case !s.mayLogIn(user):
		return nil, refuse(VisitorMayNotLogIn)
	}
	return user, nil
}

// pageParams reads the parameters of a page: of the query of a GET, and of the
// form of a POST.
func (s *Server) pageParams(r Request) (params, *Refusal) {
	switch r.HTTP.Method {
	case http.MethodGet, http.MethodHead:
		return paramsOf(r.HTTP.URL.RawQuery)
	case http.MethodPost:
		p, refusal := s.readForm(r)
		if refusal != nil {
			return nil, refusal
		}
		return p, p.unescape()
	default:
		return nil, refuse(PageMethod)
	}
}

// refusePage answers a refusal with a page for a person.
func (s *Server) refusePage(r Request, refusal *Refusal, consumerKey string, userID uint64) Answer {
	_, status, _ := s.oauth2(refusal)
	if status == http.StatusUnauthorized && refusal.Reason != NotSignedIn {
		status = http.StatusForbidden // signing in would change nothing
	}
	a := Answer{
		Status: status, Page: &Page{Kind: ErrorPage, Refusal: refusal}, Headers: noStore(),
		Event: refusal.event(r.Endpoint, consumerKey, userID),
	}
	a.retryLater()
	if status == http.StatusMethodNotAllowed {
		a.Headers.Set("Allow", "GET, HEAD, POST")
	}
	return a
}

// refuseVisitor answers a browser whose user is not known. One that is not signed
// in may do so, and come back to a page of ours that is made from what was read.
func (s *Server) refuseVisitor(r Request, refusal *Refusal, fields []Field) Answer {
	a := s.refusePage(r, refusal, "", 0)
	if refusal.Reason == NotSignedIn {
		a.Login = &Login{Endpoint: r.Endpoint, Fields: fields}
	}
	return a
}
