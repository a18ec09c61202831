package issuing_test

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"errors"
	"html/template"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/cache/nonces"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// scaffold drives authserver directly, until the directive is there.

type sqlTables struct{ db *sql.DB }

const consumerCols = "oarc_id,oarc_consumer_key,oarc_name,oarc_user_id,oarc_version,oarc_callback_url,oarc_callback_is_prefix,oarc_description,oarc_owner_only,oarc_wiki,oarc_grants,oarc_secret_key,oarc_rsa_key,oarc_restrictions,oarc_stage,oarc_deleted,oarc_oauth_version,oarc_oauth2_allowed_grants,oarc_oauth2_is_confidential"

func (s *sqlTables) consumer(ctx context.Context, where string, arg any) (*authserver.Consumer, error) {
	var c authserver.Consumer
	var prefix, secret, rsaKey, grantTypes sql.NullString
	var grants, restrictions []byte
	var stage int
	err := s.db.QueryRowContext(ctx, "SELECT "+consumerCols+" FROM oauth_registered_consumer WHERE "+where+"=?", arg).Scan(
		&c.ID, &c.Key, &c.Name, &c.OwnerID, &c.AppVersion, &c.CallbackURL, &prefix, &c.Description, &c.OwnerOnly, &c.Wiki, &grants, &secret, &rsaKey,
		&restrictions, &stage, &c.Deleted, &c.Version, &grantTypes, &c.Confidential)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.Stage = validator.Stage(stage)
	c.Secret = secret.String
	c.CallbackIsPrefix = prefix.String == "1"
	c.Restrictions = validator.ParseRestrictions(restrictions, validator.Release139)
	c.HasRSAKey = rsaKey.String != ""
	c.RSAKey = validator.ParseConsumerKey([]byte(rsaKey.String))
	var ok bool
	c.Grants, ok = authserver.ParseGrantList(grants)
	c.Broken = !ok
	if g, ok := validator.ParseGrants([]byte(grantTypes.String)); ok {
		c.GrantTypes = g
	}
	return &c, nil
}

func (s *sqlTables) Consumer(ctx context.Context, key string) (*authserver.Consumer, error) {
	return s.consumer(ctx, "oarc_consumer_key", key)
}

func (s *sqlTables) ConsumerByID(ctx context.Context, id uint64) (*authserver.Consumer, error) {
	return s.consumer(ctx, "oarc_id", id)
}

func (s *sqlTables) user(ctx context.Context, where string, arg any) (*authserver.User, error) {
	var u authserver.User
	var auth, reg sql.NullString
	err := s.db.QueryRowContext(ctx, "SELECT user_id,user_name,user_real_name,user_email,user_email_authenticated,user_registration,user_editcount FROM user WHERE "+where+"=?", arg).Scan(
		&u.CentralID, &u.Name, &u.Profile.RealName, &u.Profile.Email, &auth, &reg, &u.Profile.EditCount)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u.Local, u.Attached, u.Profile.HasPrivate, u.Profile.EmailConfirmed, u.Profile.Registered = true, true, true, auth.Valid, reg.String
	rows, err := s.db.QueryContext(ctx, "SELECT ipb_expiry,ipb_sitewide,ipb_deleted FROM ipblocks WHERE ipb_user=?", u.CentralID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e []byte
		var site, del bool
		if err := rows.Scan(&e, &site, &del); err != nil {
			return nil, err
		}
		exp, _ := validator.ParseExpiry(e)
		if string(e) == "infinity" {
			exp = math.MaxInt64
		}
		if site {
			u.Blocked = max(u.Blocked, exp)
		} else {
			u.PartlyBlocked = max(u.PartlyBlocked, exp)
		}
		if del {
			u.Hidden = max(u.Hidden, exp)
		}
	}
	return &u, rows.Err()
}

func (s *sqlTables) UserByID(ctx context.Context, id uint64) (*authserver.User, error) {
	return s.user(ctx, "user_id", id)
}

func (s *sqlTables) UserByName(ctx context.Context, name string) (*authserver.User, error) {
	return s.user(ctx, "user_name", name)
}

func (s *sqlTables) Acceptances(ctx context.Context, userID, consumerID uint64) (out []authserver.Acceptance, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT oaac_id,oaac_wiki,oaac_user_id,oaac_consumer_id,oaac_access_token,oaac_access_secret,oaac_grants,oaac_oauth_version FROM oauth_accepted_consumer WHERE oaac_user_id=? AND oaac_consumer_id=? ORDER BY oaac_id", userID, consumerID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a authserver.Acceptance
		var grants []byte
		if err := rows.Scan(&a.ID, &a.Wiki, &a.UserID, &a.ConsumerID, &a.Token, &a.Secret, &grants, &a.Version); err != nil {
			return nil, err
		}
		a.Grants, _ = authserver.ParseGrantList(grants)
		out = append(out, a)
	}
	return out, rows.Err()
}

func (s *sqlTables) AcceptancesOf(context.Context, uint64, int) ([]authserver.Accepted, error) {
	return nil, errors.New("not yet")
}

func (s *sqlTables) Accept(ctx context.Context, a authserver.Approval) (authserver.Acceptance, error) {
	all, err := s.Acceptances(ctx, a.UserID, a.ConsumerID)
	if err != nil {
		return authserver.Acceptance{}, err
	}
	var have *authserver.Acceptance
	for i := range all {
		if all[i].Wiki == a.ThisWiki {
			have = &all[i]
		}
	}
	for i := range all {
		if have == nil && all[i].Wiki == a.Wiki {
			have = &all[i]
		}
	}
	if have != nil {
		if _, err := s.db.ExecContext(ctx, "UPDATE oauth_accepted_consumer SET oaac_grants=?, oaac_wiki=? WHERE oaac_id=?", a.Grants.Stored(), a.Wiki, have.ID); err != nil {
			return authserver.Acceptance{}, err
		}
		have.Grants, have.Wiki = a.Grants, a.Wiki
		return *have, nil
	}
	r, err := s.db.ExecContext(ctx, "INSERT INTO oauth_accepted_consumer (oaac_wiki,oaac_user_id,oaac_consumer_id,oaac_access_token,oaac_access_secret,oaac_grants,oaac_accepted,oaac_oauth_version) VALUES (?,?,?,?,?,?,?,?)",
		a.Wiki, a.UserID, a.ConsumerID, a.Token, a.Secret, a.Grants.Stored(), a.Accepted.UTC().Format("20060102150405"), a.Version)
	if err != nil {
		return authserver.Acceptance{}, err
	}
	id, _ := r.LastInsertId()
	return authserver.Acceptance{ID: uint64(id), Wiki: a.Wiki, UserID: a.UserID, ConsumerID: a.ConsumerID, Token: a.Token, Secret: a.Secret, Grants: a.Grants, Accepted: a.Accepted, Version: a.Version}, nil
}

func (s *sqlTables) Withdraw(context.Context, uint64, uint64) (authserver.Withdrawn, bool, error) {
	return authserver.Withdrawn{}, false, errors.New("not yet")
}

func (s *sqlTables) Token(ctx context.Context, jti string) (*authserver.Token, error) {
	var t authserver.Token
	err := s.db.QueryRowContext(ctx, "SELECT oaat_identifier,oaat_acceptance_id,oaat_revoked FROM oauth2_access_tokens WHERE oaat_identifier=?", jti).Scan(&t.JTI, &t.AcceptanceID, &t.Revoked)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &t, err
}

type execer interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
}

func (s *sqlTables) issue(ctx context.Context, x execer, t authserver.Token, a *authserver.Acceptance) error {
	if a != nil {
		var grants []byte
		err := x.QueryRowContext(ctx, "SELECT oaac_grants FROM oauth_accepted_consumer WHERE oaac_id=?", a.ID).Scan(&grants)
		if errors.Is(err, sql.ErrNoRows) {
			return authserver.ErrNoAcceptance
		}
		if err != nil {
			return err
		}
		if have, ok := authserver.ParseGrantList(grants); !ok || !have.Covers(a.Grants.Names) {
			return authserver.ErrNoAcceptance
		}
	}
	_, err := x.ExecContext(ctx, "INSERT INTO oauth2_access_tokens (oaat_identifier,oaat_expires,oaat_acceptance_id,oaat_revoked) VALUES (?,?,?,0)", t.JTI, t.Expires.UTC().Format("20060102150405"), t.AcceptanceID)
	var m *mysql.MySQLError
	if errors.As(err, &m) && m.Number == 1062 {
		return authserver.ErrTokenExists
	}
	return err
}

func (s *sqlTables) IssueToken(ctx context.Context, t authserver.Token, a *authserver.Acceptance) error {
	return s.issue(ctx, s.db, t, a)
}

func (s *sqlTables) RefreshToken(ctx context.Context, old string, next authserver.Token, a *authserver.Acceptance) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	r, err := tx.ExecContext(ctx, "UPDATE oauth2_access_tokens SET oaat_revoked=1 WHERE oaat_identifier=? AND oaat_revoked=0", old)
	if err != nil {
		return err
	}
	if n, _ := r.RowsAffected(); n != 1 {
		return authserver.ErrTokenGone
	}
	if err := s.issue(ctx, tx, next, a); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlTables) RevokeFamily(ctx context.Context, prefix string) (int64, error) {
	r, err := s.db.ExecContext(ctx, "UPDATE oauth2_access_tokens SET oaat_revoked=1 WHERE oaat_identifier LIKE ?", prefix+"%")
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

type basicSessions struct{ users map[string]fixtureUser }

func (b basicSessions) Visitor(r *http.Request) (*authserver.Visitor, error) {
	name, password, ok := r.BasicAuth()
	if u, known := b.users[name]; ok && known && u.Password == password {
		return &authserver.Visitor{Name: name, ID: u.ID}, nil
	}
	return nil, nil
}

type fixturePublic struct{ users map[string]fixtureUser }

func (f fixturePublic) PublicUser(_ context.Context, name string) (authserver.PublicUser, error) {
	p := f.users[name].public(name)
	return authserver.PublicUser{Groups: p.Groups, Rights: p.Rights, EditCount: p.EditCount}, nil
}

var scaffoldPage = template.Must(template.New("").Parse(`<!DOCTYPE html><title>x</title>{{.Kind}} {{with .Refusal}}{{.Reason}}{{end}} {{with .Consent}}<form method=post action="{{$.Action}}">{{range .Fields}}<input type=hidden name="{{.Name}}" value="{{.Value}}">{{end}}<button name=approve value=1>a</button><button name=cancel value=1>c</button></form>{{end}}`))

func scaffoldServe(t *testing.T, s *authserver.Server, basic basicSessions) http.Handler {
	endpoints := map[string]authserver.Endpoint{
		"/oauth/initiate": authserver.Initiate, "/oauth/authorize": authserver.Authorize, "/oauth/authenticate": authserver.Authenticate,
		"/oauth/verified": authserver.Verified, "/oauth/token": authserver.TokenExchange, "/oauth/identify": authserver.Identify,
		"/oauth/nonsense": authserver.UnknownPage, "/oauth2/authorize": authserver.Authorize2, "/oauth2/access_token": authserver.AccessToken,
		"/oauth2/resource/profile": authserver.ResourceProfile, "/oauth2/resource/scopes": authserver.ResourceScopes,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, ok := endpoints[r.URL.Path]
		var a authserver.Answer
		switch {
		case ok:
			a = s.Serve(r.Context(), authserver.Request{Endpoint: e, HTTP: r, Sent: validator.FromHTTP(w, r)})
		case strings.HasPrefix(r.URL.Path, "/oauth2/resource/"):
			a = authserver.UnknownResource(strings.TrimPrefix(r.URL.Path, "/oauth2/resource/"))
		default:
			a = authserver.NotFound(r.URL.Path)
		}
		for k, v := range a.Headers {
			w.Header()[k] = v
		}
		if a.Event.Err != nil {
			t.Logf("%s: %v", r.URL.Path, a.Event.Err)
		}
		switch {
		case a.Login != nil:
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(401)
		case a.Location != "":
			w.Header()["Location"] = []string{a.Location}
			w.WriteHeader(a.Status)
		case a.Page != nil:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(a.Status)
			if err := scaffoldPage.Execute(w, struct {
				*authserver.Page
				Action string
			}{a.Page, r.URL.Path}); err != nil {
				t.Error(err)
			}
		default:
			if a.ContentType != "" {
				w.Header().Set("Content-Type", a.ContentType)
			}
			w.WriteHeader(a.Status)
			w.Write(a.Body)
		}
	})
}

// startScaffold returns the URL of each variant.
func startScaffold(t *testing.T, f fixtures, dsn string) map[string]string {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	pool, err := store.Open(store.Config{Driver: "mysql", DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	wiki := pool.Wiki(store.Wiki{ID: "enwiki", Release: validator.Release139})
	der, err := base64.StdEncoding.DecodeString(f.Keys["oauth2_private"])
	if err != nil {
		t.Fatal(err)
	}
	var key *rsa.PrivateKey
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		key = k.(*rsa.PrivateKey)
	} else if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
		t.Fatal(err)
	}
	stateKey, _ := authserver.DeriveStateKey(f.Site.OAuthSecretKey)
	urls := map[string]string{}
	memory := nonces.New(nonces.Config{Size: 64 << 20})
	tables := &sqlTables{db}
	sessions := basicSessions{f.Users}
	state := authserver.NewMemory(64<<20, nil)
	for variant := range f.Variants {
		if variant == "nomanage" {
			continue
		}
		srv := httptest.NewUnstartedServer(nil)
		base := "http://" + srv.Listener.Addr().String()
		p := validator.Policy{
			Wiki: "enwiki", Release: validator.Release139, Rules: validator.MediaWiki, SiteKey: f.Site.OAuthSecretKey,
			TimestampWindow: 5 * time.Minute, MaxFormSize: 8 << 20, MaxBodySize: 32 << 20,
		}
		u, _ := url.Parse(base)
		p.BaseScheme, p.BaseHost = "http", u.Host
		c := authserver.Config{
			Issuer: base, OAuth1: true, OAuth2: true, PrivateKey: key, StateKeys: [][]byte{stateKey},
			Lifetimes: authserver.Lifetimes{RequestToken: 10 * time.Minute, Code: 10 * time.Minute, AccessToken: time.Hour, RefreshToken: time.Minute},
			Grants:    authserver.CoreGrants(validator.Release139),
		}
		switch variant {
		case "secure":
			c.SecureTokenTransfer = true
		case "secure_rel":
			c.SecureTokenTransfer = true
			p.BaseScheme = ""
		case "blockdisables":
			p.BlockDisablesLogin = true
		case "readonly":
			c.ReadOnly = true
		case "short":
			c.Lifetimes.AccessToken, c.Lifetimes.RefreshToken = 3*time.Second, 3*time.Second
		case "loose":
			c.RequirePKCE = authserver.PKCEOff
			c.Lifetimes.AccessToken, c.Lifetimes.RefreshToken = authserver.Infinite, authserver.Infinite
		}
		c.Policy = p
		server, err := authserver.New(c, authserver.Parts{
			Tables: tables, State: state, Nonces: memory, Sessions: sessions, Public: fixturePublic{f.Users},
			Verifier: validator.New(p, wiki, memory, validator.NewJWT([]*rsa.PublicKey{&key.PublicKey}, p)),
		})
		if err != nil {
			t.Fatal(err)
		}
		srv.Config.Handler = scaffoldServe(t, server, sessions)
		srv.Start()
		t.Cleanup(srv.Close)
		urls[variant] = base
	}
	return urls
}

func startSite(t *testing.T, f fixtures) site {
	server := mariadb.Start(t)
	name := server.CreateDatabase(t)
	server.CreateUser(t, "iss", "iss", "GRANT ALL ON "+name+".*")
	urls := startScaffold(t, f, server.DSN("iss", "iss", name))
	loadRows(t, server, name, urls["main"])
	dsn := server.RootDSN(name)
	return site{urls, "mariadb --no-defaults -N -B -r -S " + dsn[strings.Index(dsn, "(")+1:strings.Index(dsn, ")")] + " -uroot " + name}
}
