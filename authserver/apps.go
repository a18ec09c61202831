package authserver

import (
	"context"
	"net/http"
	"strconv"
)

// maxApps bounds the rows of the page of apps.
const maxApps = 500

// acceptanceField names the acceptance that a form withdraws.
const acceptanceField = "acceptance"

// withdrawButton is the button of the page of apps.
const withdrawButton = "withdraw"

// apps answers the page of apps: GET shows what each app may do for the user, POST
// is the page's own form, which withdraws one.
func (s *Server) apps(ctx context.Context, r Request) Answer {
	p, refusal := s.pageParams(r)
	if refusal != nil {
		return s.refusePage(r, refusal, "", 0)
	}
	user, refusal := s.visitor(ctx, r)
	if refusal != nil {
		return s.refuseVisitor(r, refusal, nil)
	}
	accepted, err := s.tables.AcceptancesOf(ctx, user.CentralID, maxApps)
	if err != nil {
		return s.refusePage(r, unavailable(err), "", user.CentralID)
	}
	if r.HTTP.Method == http.MethodPost {
		for i := range accepted {
			c := withdrawal(user, &accepted[i])
			if p[acceptanceField] == c.fields[0].Value && s.withdraws(r, p, c) {
				return s.withdraw(ctx, r, user, &accepted[i])
			}
		}
	}
	return s.appsPage(ctx, r, user, accepted)
}

// withdrawal is the form that withdraws an acceptance.
func withdrawal(user *User, a *Accepted) *consentRequest {
	return &consentRequest{
		endpoint: Apps, client: &a.Consumer, user: user,
		fields: []Field{{acceptanceField, strconv.FormatUint(a.ID, 10)}},
	}
}

func (s *Server) withdraws(r Request, p params, c *consentRequest) bool {
	_, pressed := p.get(withdrawButton)
	return pressed && s.sameOrigin(r.HTTP) && s.validCSRF(p[csrfField], c)
}

// withdraw takes back what an app may do. Whoever keeps answers hears of it before
// the page says so.
func (s *Server) withdraw(ctx context.Context, r Request, user *User, a *Accepted) Answer {
	if s.cfg.ReadOnly {
		return s.refusePage(r, refuse(ReadOnly), a.Consumer.Key, user.CentralID)
	}
	gone, found, err := s.tables.Withdraw(ctx, user.CentralID, a.ID)
	if found || err != nil { // after an error it may be written
		changes := []Change{{ConsumerKey: a.Consumer.Key, Token: a.Token}}
		for _, jti := range gone.JTIs {
			changes = append(changes, Change{ConsumerKey: a.Consumer.Key, Token: jti})
		}
		s.mark(changes...)
	}
	if err != nil {
		return s.refusePage(r, unavailable(err), a.Consumer.Key, user.CentralID)
	}
	return Answer{
		Status: http.StatusOK, Headers: noStore(),
		Page:  &Page{Kind: WithdrawnPage, Visitor: user.Name, App: &PageApp{Name: a.Consumer.ShownName()}},
		Event: Event{Kind: Withdrew, Endpoint: r.Endpoint, ConsumerKey: a.Consumer.Key, UserID: user.CentralID},
	}
}

func (s *Server) appsPage(ctx context.Context, r Request, user *User, accepted []Accepted) Answer {
	page := &Page{Kind: AppsPage, Visitor: user.Name}
	for i := range accepted {
		a := &accepted[i]
		app, err := s.pageApp(ctx, &a.Consumer)
		if err != nil {
			return s.refusePage(r, unavailable(err), "", user.CentralID)
		}
		c := withdrawal(user, a)
		page.Apps = append(page.Apps, PageAccepted{
			App: *app, Grants: s.pageGrants(a.Grants.Names), Since: a.Accepted, Wiki: a.Wiki,
			Fields: append(c.fields, Field{csrfField, s.csrfToken(c)}),
		})
	}
	status := http.StatusOK
	if r.HTTP.Method == http.MethodPost {
		status, page.Again = http.StatusForbidden, true // the form that was sent does not count
	}
	return Answer{
		Status: status, Page: page, Headers: noStore(),
		Event: Event{Kind: Shown, Endpoint: r.Endpoint, UserID: user.CentralID},
	}
}
