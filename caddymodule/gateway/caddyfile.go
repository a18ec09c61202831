package gateway

import (
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

// UnmarshalCaddyfile reads one directive, or the global option of the same name, and reports all its mistakes
// at once. Syntax:
//
//	oauth [<matcher>] {
//	    store mysql|sqlite <dsn> {
//	        replica           <dsn...>
//	        table_prefix      <prefix>
//	        oauth_database    <name>
//	        tls {
//	            ca          <file>
//	            cert        <file>
//	            key         <file>
//	            server_name <name>
//	        }
//	        query_timeout     <duration>
//	        max_open_conns    <number>
//	        conn_max_lifetime <duration>
//	    }
//	    wiki                 <wiki id>
//	    wiki                 {placeholder of the request} {
//	        <wiki id> {
//	            database     <name>
//	            table_prefix <prefix>
//	            base_url     <scheme://host[:port][/path]>|<//host[:port][/path]>
//	            mediawiki    1.35|...|1.47
//	            dsn          <dsn>
//	        }
//	    }
//	    users                local {
//	        shared_ids
//	    }
//	    users                centralauth [<database>] {
//	        dsn <dsn>
//	    }
//	    mediawiki            1.35|...|1.47
//	    rules                standard|mediawiki
//	    secret_key           <key>|none
//	    public_key           <PEM or path...>
//	    base_url             <scheme://host[:port][/path]>|<//host[:port][/path]>
//	    mode                 required|optional|strip
//	    consumer <key> {
//	        id            <number>
//	        name          <text>
//	        version       <text>
//	        owner         <central user id>
//	        oauth_version 1|2
//	        grants        <grant...>
//	        secret_key    <raw secret>
//	        rsa_key       <PEM or path>
//	        wiki          <wiki id>|*
//	        restrictions  <JSON>
//	        owner_only
//	    }
//	    require              grant|group|consumer <value...>
//	    block_disables_login on|sitewide|off
//	    timestamp_window     <duration>
//	    clock_skew           <duration>
//	    max_form_size        <size>
//	    max_body_size        <size>
//	    handshake            verify
//	    handshake            pass {
//	        script_path  <path>
//	        article_path <path>
//	        special_page <name...>
//	    }
//	    trusted_peer         proxy|client
//	    cors_preflight       check|pass
//	    cors_preflight       answer {
//	        origins <scheme://host[:port]...>
//	        methods <method...>
//	        headers <name...>
//	        max_age <duration>
//	    }
//	    credentials          keep|strip
//	    cache {
//	        size         <size>
//	        ttl          <duration>
//	        negative_ttl <duration>
//	        max_stale    <duration>
//	    }
//	    nonces               memory [size <size>]
//	    headers              <prefix>|off
//	    errors               problem|mediawiki|caddy
//	    realm                <text>
//	}
//
// store, wiki, mediawiki and secret_key are required, but for `mode strip`. A subdirective that the site leaves
// out is taken, whole, from the global option; require lines of both hold. Only require and consumer may be
// repeated. A size is a number of bytes, or one with a unit: B, kB, KiB, MB, MiB, GB or GiB.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	var mistakes []error
	if d.NextArg() {
		mistakes = append(mistakes, d.Errf("oauth takes no argument but a matcher: unexpected %s", grammar.Named(d.Val())))
		d.RemainingArgs()
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(d, h.subdirectives(), "require", "consumer"))...)
}

func (h *Handler) subdirectives() map[string]grammar.Subdirective {
	return map[string]grammar.Subdirective{
		"store":                h.readStore,
		"wiki":                 h.readWiki,
		"users":                h.readUsers,
		"mediawiki":            grammar.Text(&h.MediaWiki, checkRelease),
		"rules":                grammar.Choice(&h.Rules, rulesChoice),
		"secret_key":           grammar.Secret(&h.SecretKey),
		"public_key":           grammar.Texts(&h.PublicKey),
		"base_url":             grammar.Text(&h.BaseURL, checkBaseURL),
		"mode":                 grammar.Choice(&h.Mode, modeChoice),
		"consumer":             h.readConsumer,
		"require":              h.readRequire,
		"block_disables_login": grammar.Choice((*string)(&h.BlockDisablesLogin), blocksChoice),
		"timestamp_window":     grammar.Duration(&h.TimestampWindow),
		"clock_skew":           grammar.DurationOrZero(&h.ClockSkew),
		"max_form_size":        grammar.Size(&h.MaxFormSize),
		"max_body_size":        grammar.Size(&h.MaxBodySize),
		"handshake":            h.readHandshake,
		"trusted_peer":         grammar.Choice(&h.TrustedPeer, peerChoice),
		"cors_preflight":       h.readPreflight,
		"credentials":          grammar.Choice(&h.Credentials, credentialsChoice),
		"cache":                h.readCache,
		"nonces":               h.readNonces,
		"headers":              grammar.Text(&h.Headers, checkPrefix),
		"errors":               grammar.Choice(&h.Errors, errorsChoice),
		"realm":                grammar.Text(&h.Realm, checkRealm),
	}
}

func (h *Handler) readStore(line *caddyfile.Dispenser) error {
	s := new(Store)
	h.Store = s
	var mistakes []error
	switch args := line.RemainingArgs(); {
	case len(args) != 2 || args[1] == "":
		// The arguments are not quoted: one of them may be a DSN with its password.
		mistakes = append(mistakes, line.Err("store takes a driver and a DSN"))
	default:
		s.Driver, s.DSN = args[0], args[1]
		if err := driverChoice.Check(s.Driver); err != nil {
			mistakes = append(mistakes, line.WrapErr(err))
		}
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"replica":           grammar.Texts(&s.Replicas),
		"table_prefix":      grammar.Text(&s.TablePrefix, checkDatabase("table_prefix")),
		"oauth_database":    grammar.Text(&s.OAuthDatabase, checkDatabase("oauth_database")),
		"tls":               s.readTLS,
		"query_timeout":     grammar.Duration(&s.QueryTimeout),
		"max_open_conns":    grammar.Number(&s.MaxOpenConns),
		"conn_max_lifetime": grammar.Duration(&s.ConnMaxLifetime),
	}))...)
}

func (s *Store) readTLS(line *caddyfile.Dispenser) error {
	s.TLS = new(TLS)
	return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"ca":          grammar.Text(&s.TLS.CA, nil),
		"cert":        grammar.Text(&s.TLS.Cert, nil),
		"key":         grammar.Text(&s.TLS.Key, nil),
		"server_name": grammar.Text(&s.TLS.ServerName, nil),
	}))
}

func (h *Handler) readWiki(line *caddyfile.Dispenser) error {
	args := line.RemainingArgs()
	if len(args) != 1 {
		return line.Err("wiki takes one wiki id, or a placeholder and a block of wikis")
	}
	h.Wiki = args[0]
	var wrong error
	if !strings.Contains(h.Wiki, "{") {
		wrong = grammar.Wrap(line, checkWiki(h.Wiki))
	}
	err := grammar.ReadLines(line, func(line *caddyfile.Dispenser) error {
		id := line.Val()
		if _, twice := h.Wikis[id]; twice {
			return line.Errf("wiki %s is given more than once", grammar.Shown(id))
		}
		w, err := readFarmWiki(line)
		if h.Wikis == nil {
			h.Wikis = make(map[string]Wiki)
		}
		h.Wikis[id] = w
		return errors.Join(grammar.Wrap(line, checkWiki(id)), err)
	})
	if wrong == nil && err == nil {
		wrong = grammar.Wrap(line, checkFarm(h.Wiki, h.Wikis))
	}
	return errors.Join(wrong, err)
}

func readFarmWiki(line *caddyfile.Dispenser) (w Wiki, err error) {
	err = errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"database":     grammar.Text(&w.Database, checkDatabase("database")),
		"table_prefix": grammar.Text(&w.TablePrefix, checkDatabase("table_prefix")),
		"base_url":     grammar.Text(&w.BaseURL, checkBaseURL),
		"mediawiki":    grammar.Text(&w.MediaWiki, checkRelease),
		"dsn":          grammar.Secret(&w.DSN),
	}))
	return w, err
}

func (h *Handler) readUsers(line *caddyfile.Dispenser) error {
	u := new(Users)
	h.Users = u
	if !line.NextArg() {
		return line.Err("users takes local or centralauth")
	}
	u.Source = line.Val()
	if err := usersChoice.Check(u.Source); err != nil {
		return line.WrapErr(err)
	}
	if u.Source == usersLocal {
		return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
			"shared_ids": grammar.Flag(&u.SharedIDs),
		}))
	}
	if line.NextArg() {
		u.Database = line.Val()
	}
	return errors.Join(grammar.Wrap(line, u.check()), grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"dsn":        grammar.Secret(&u.DSN),
		"shared_ids": func(line *caddyfile.Dispenser) error { return line.WrapErr(errSharedCentralAuth) },
	}))
}

func (h *Handler) readRequire(line *caddyfile.Dispenser) error {
	args := line.RemainingArgs()
	if len(args) < 2 {
		return line.Errf("require takes %s, and at least one value", grammar.OneOf(kindChoice.Built))
	}
	r := Requirement{Kind: args[0], Values: args[1:]}
	h.Require = append(h.Require, r)
	return errors.Join(grammar.Wrap(line, r.check()), grammar.NoBlock(line))
}

func (h *Handler) readCache(line *caddyfile.Dispenser) error {
	c := new(Cache)
	h.Cache = c
	return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"size":         grammar.Size(&c.Size),
		"ttl":          grammar.Duration(&c.TTL),
		"negative_ttl": grammar.Duration(&c.NegativeTTL),
		"max_stale":    grammar.Duration(&c.MaxStale),
	}))
}

func (h *Handler) readNonces(line *caddyfile.Dispenser) error {
	n := new(Nonces)
	h.Nonces = n
	if !line.NextArg() {
		return line.Err("nonces takes memory")
	}
	n.Backend = line.Val()
	if err := noncesChoice.Check(n.Backend); err != nil {
		return line.WrapErr(err)
	}
	if !line.NextArg() {
		return grammar.NoBlock(line)
	}
	if line.Val() != "size" {
		return line.Err("nonces memory: unknown argument: want size")
	}
	return grammar.Size(&n.Size)(line)
}
