package gateway

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/golden"
)

// secretValues are DSNs, keys and URLs that an operator could put where they
// do not belong. Each holds the text hunter.
var secretValues = []string{
	"gw:hunter2@tcp(127.0.0.1:1)/enwiki", "https://u:hunter2@wiki.example", "rediss://user:hunter2@127.0.0.1", "//u:hunter2@h/p",
	"hunter2+/0123456789abcdef==", "hunter20123456789abcdef0123456789abcdef", "/hunter2/x", "hunter2 x", "p{hunter2.x}y", "{hunter2", "hünter-hunter2",
	"{file./run/hunter2!}", "user:p{env.HUNTER_hunter2 x}@/", "-----BEGIN hunter2", "hunter2\n",
}

// plainSecrets are quoted where one word of a few belongs, but not where a word
// of any kind could stand by mistake.
var plainSecrets = []string{"Hunter2hunter", "hunter20123456789abcdef01234567", "hunter-2"}

// blocks are the subdirectives that open a block, with what it may hold.
var blocks = map[string][]string{
	"store mysql u@/w":        {"replica", "table_prefix", "oauth_database", "tls", "query_timeout", "max_open_conns", "conn_max_lifetime"},
	"store mysql u@/w {\ntls": {"ca", "cert", "key", "server_name"},
	"users centralauth ca":    {"dsn"},
	"cache":                   {"size", "ttl", "negative_ttl", "max_stale"},
	"cors_preflight answer":   {"origins", "methods", "headers", "max_age"},
	"handshake pass":          {"script_path", "article_path", "special_page"},
	"wiki {host} {\nenwiki":   {"database", "table_prefix", "base_url", "mediawiki", "dsn"},
	"consumer 0123456789abcdef0123456789abcdef": {
		"id", "name", "version", "owner", "oauth_version", "grants", "secret_key", "rsa_key", "wiki", "restrictions", "owner_only",
	},
}

// Errors of the configuration end up in journals and in the logs of builds. The
// test puts secrets in every wrong place.
func TestSecretsOutOfPlace(t *testing.T) {
	tried := 0
	try := func(t *testing.T, secret, body string) {
		t.Helper()
		tried++
		for _, input := range []string{
			":8080 {\n\toauth {\n" + body + "\n\t}\n}\n",
			"{\n\toauth {\n" + body + "\n\t}\n}\n:8080 {\n\toauth\n}\n",
		} {
			_, text := golden.Adapt(input)
			if strings.Contains(text, `"apps"`) {
				continue // a Caddyfile that can be read as it is
			}
			if strings.Contains(strings.ToLower(text), "hunter") {
				t.Errorf("%q in %s: %s", secret, body, text)
			}
		}
	}
	quote := func(s string) string { return "`" + s + "`" }
	lines := slices.Sorted(maps.Keys(new(Handler).subdirectives()))
	for _, secret := range slices.Concat(secretValues, plainSecrets) {
		s := quote(secret)
		isPlain := slices.Contains(plainSecrets, secret)
		for _, name := range lines {
			try(t, secret, name+"\n"+s)           // the value on the next line
			try(t, secret, name+" x "+s)          // one argument too many
			try(t, secret, name+" x y z "+s)      // likewise
			try(t, secret, name+" x {\n"+s+"\n}") // a block
			try(t, secret, name+" x {\n"+s+" y\n}")
			if !isPlain {
				try(t, secret, name+" "+s)
				try(t, secret, name+" "+s+" x")
				try(t, secret, name+" "+s+" {\n}\n")
			}
		}
		for opening, names := range blocks {
			for _, name := range names {
				end := strings.Repeat("\n}", strings.Count(opening, "{\n")+1)
				try(t, secret, opening+" {\n"+s+end)
				try(t, secret, opening+" {\n"+name+"\n"+s+end)
				isList := slices.Contains([]string{"origins", "methods", "headers", "special_page"}, name)
				if !isPlain || !isList {
					try(t, secret, opening+" {\n"+name+" x "+s+end)
				}
				if !isPlain {
					try(t, secret, opening+" {\n"+name+" "+s+end)
				}
			}
			try(t, secret, opening+" "+s+" {\n}")
		}
		for _, input := range []string{":8080 {\n\toauth " + s + " {\n\t}\n}\n", ":8080 {\n\toauth /x " + s + "\n}\n", "{\n\toauth " + s + "\n}\n:8080 {\n\toauth\n}\n"} {
			if _, text := golden.Adapt(input); strings.Contains(strings.ToLower(text), "hunter") {
				t.Errorf("%q: %s", input, text)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d places tried", tried)
	}
}

// TestSecretsInEveryField does so with the fields of the JSON configuration.
func TestSecretsInEveryField(t *testing.T) {
	tried := 0
	for _, secret := range secretValues {
		for _, change := range fieldChanges(reflect.TypeFor[Handler](), secret) {
			h := complete(t, &Handler{
				Store: &config.Store{Driver: "mysql", DSN: "u@tcp(db)/w", TLS: new(config.TLS)}, Users: &config.Users{Source: "centralauth", Database: "ca"},
				MediaWiki: "1.47", Cache: new(config.Cache), Nonces: new(config.Nonces),
			})
			name := change(reflect.ValueOf(h).Elem())
			_, err := h.resolve()
			if err == nil {
				continue
			}
			tried++
			if strings.Contains(strings.ToLower(err.Error()), "hunter") {
				t.Errorf("%q in %s: %v", secret, name, err)
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d fields tried", tried)
	}
}

// fieldChanges returns functions that put the text in one field each, of a
// struct of the configuration and of the structs in it, and return its name.
func fieldChanges(of reflect.Type, text string) (all []func(reflect.Value) string) {
	for i := range of.NumField() {
		f := of.Field(i)
		if !f.IsExported() {
			continue
		}
		add := func(set func(reflect.Value)) {
			all = append(all, func(v reflect.Value) string { set(v.Field(i)); return of.Name() + "." + f.Name })
		}
		nested := func(of reflect.Type, put func(field, made reflect.Value)) {
			for _, change := range fieldChanges(of, text) {
				all = append(all, func(v reflect.Value) string {
					made := reflect.New(of)
					if f.Type.Kind() == reflect.Pointer && !v.Field(i).IsNil() {
						made.Elem().Set(v.Field(i).Elem())
					}
					name := change(made.Elem())
					put(v.Field(i), made)
					return name
				})
			}
		}
		switch f.Type.Kind() {
		case reflect.String:
			add(func(v reflect.Value) { v.SetString(text) })
		case reflect.Pointer:
			if f.Type.Elem().Kind() == reflect.Struct {
				nested(f.Type.Elem(), func(field, made reflect.Value) { field.Set(made) })
			}
		case reflect.Slice:
			if f.Type.Elem().Kind() == reflect.String {
				add(func(v reflect.Value) { v.Set(reflect.ValueOf([]string{text})) })
			} else {
				nested(f.Type.Elem(), func(field, made reflect.Value) { field.Set(reflect.Append(field, made.Elem())) })
			}
		case reflect.Map:
			add(func(v reflect.Value) {
				m := reflect.MakeMap(f.Type)
				m.SetMapIndex(reflect.ValueOf(text), reflect.Zero(f.Type.Elem()))
				v.Set(m)
			})
			nested(f.Type.Elem(), func(field, made reflect.Value) {
				m := reflect.MakeMap(f.Type)
				m.SetMapIndex(reflect.ValueOf("enwiki"), made.Elem())
				field.Set(m)
			})
		}
	}
	return all
}

func TestQuoted(t *testing.T) {
	for value, want := range map[string]string{
		"1.2": `"1.2"`, "a_b-C.9": `"a_b-C.9"`, strings.Repeat("a", 32): `"` + strings.Repeat("a", 32) + `"`,
		strings.Repeat("a", 33): "the value given", "": "the value given", "a b": "the value given", "ä": "the value given", "a/b": "the value given", "a:b": "the value given",
	} {
		if got := grammar.Quoted(value); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
	for word, want := range map[string]string{
		"medaiwiki": `"medaiwiki"`, "S3CR3T": "argument", "secret1": "argument", "Key": "argument", "a-b": "argument", "": "argument",
		strings.Repeat("a", 33): "argument", "\"{": "argument",
	} {
		if got := grammar.Named(word); got != want {
			t.Errorf("%q: %s", word, got)
		}
	}
}
