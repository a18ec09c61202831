package harness

import (
	"cmp"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what Caddy is built with

	_ "github.com/caddy-mwoauth/caddy-mwoauth" // registers with Caddy
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Options say what a test wants otherwise.
type Options struct {
	Wiki     *Wiki        // default: a new one of release 1.39
	Backend  http.Handler // default: answers with what it was sent
	Settings []string     // lines of the directive, in place of those of the wiki or in addition

	// Site is the body of the site. Within it, `import settings` stands for the
	// lines of the directive, and `import backend` for the reverse_proxy.
	// Default: DefaultSite.
	Site string
	// Sites are further sites, whole. They import the same, and may have
	// {$HTTP2}, a port, in their address, and {$BACKEND}, an address.
	Sites   string
	Servers string // further lines of the global option servers

	// OwnProcess runs Caddy in a process of its own, which a test may kill. There
	// may be several of them at a time.
	OwnProcess bool

	// Recipe is a whole Caddyfile of the documentation, in place of all that
	// the options above say of the configuration.
	Recipe string

	LogFormat string // what follows format in the global option log; default: json
	LogLevel  string // default: DEBUG
}

// DefaultSite has the directive in front of the backend.
const DefaultSite = "oauth {\n\timport settings\n}\nimport backend\n"

// Gateway is a running Caddy, with its wiki and its backend.
type Gateway struct {
	Wiki    *Wiki
	Backend *Backend
	HTTP    string // host:port of the site
	HTTPS   string // the same site over TLS, by HTTP/1.1, HTTP/2 and HTTP/3
	HTTP2   string // for Options.Sites
	Client  *http.Client

	options Options
	ports   portNumbers
	dir     string // of files
	log     string
	process *process.Process // of OwnProcess
}

// New starts a gateway, which is stopped with the test.
func New(tb testing.TB, o Options) *Gateway {
	tb.Helper()
	if o.Wiki == nil {
		o.Wiki = NewWiki(tb, validator.Release139)
	}
	if o.Site == "" {
		o.Site = DefaultSite
	}
	p := ports()
	if o.OwnProcess {
		p = newPorts()
	}
	dir := tb.TempDir()
	g := &Gateway{
		Wiki: o.Wiki, Backend: newBackend(tb, o.Backend), options: o, ports: p, dir: dir,
		HTTP: "127.0.0.1:" + p.http, HTTPS: "127.0.0.1:" + p.https, HTTP2: "127.0.0.1:" + p.second,
		Client: newClient(), log: filepath.Join(dir, "log"),
	}
	if err := g.Load(tb, o.Settings...); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		g.Client.CloseIdleConnections()
		if g.process != nil {
			g.process.Kill()
		} else if err := caddy.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return g
}

// Load loads the configuration with other lines of the directive, as a reload
// does. A configuration that does not load leaves the old one running. A process
// of its own is killed and started again.
func (g *Gateway) Load(tb testing.TB, settings ...string) error {
	tb.Helper()
	g.Client.CloseIdleConnections() // Caddy closes those itself, perhaps just when one is used again
	if g.options.OwnProcess {
		g.run(tb, g.caddyfile(tb, settings...))
		return nil
	}
	return load(g.caddyfile(tb, settings...))
}

func load(caddyfile string) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	// The listeners of the configuration before close in the background, and
	// what is in their queues with them.
	time.Sleep(50 * time.Millisecond)
	return nil
}

// caddyfile is the whole configuration, with other lines of the directive.
func (g *Gateway) caddyfile(tb testing.TB, settings ...string) string {
	tb.Helper()
	if g.options.Recipe != "" {
		return g.recipe(tb)
	}
	p, c := g.ports, siteCertificate()
	return strings.NewReplacer(
		"{$HTTP}", p.http, "{$HTTPS}", p.https, "{$HTTP2}", p.second, "{$METRICS}", p.metrics,
		"{$BACKEND}", g.Backend.Addr, "{$LOG}", g.log, "{$CERT}", c.certFile, "{$KEY}", c.keyFile,
		"{$SERVERS}", g.options.Servers, "{$LOGFORMAT}", cmp.Or(g.options.LogFormat, "json"),
		"{$LOGLEVEL}", cmp.Or(g.options.LogLevel, "DEBUG"),
		"{$SETTINGS}", g.Wiki.Settings(tb, settings...),
		"{$SITE}", g.replaceAddress(g.options.Site), "{$SITES}", g.replaceAddress(g.options.Sites),
	).Replace(frame)
}

// replaceAddress replaces what a test's own sites may hold: a Replacer does not
// look into what it has put in.
func (g *Gateway) replaceAddress(text string) string {
	return strings.NewReplacer("{$HTTP2}", g.ports.second, "{$BACKEND}", g.Backend.Addr).Replace(text)
}

const frame = `{
	admin off
	persist_config off
	grace_period 1s
	default_bind 127.0.0.1
	auto_https off
	metrics
	log default {
		output file {$LOG} {
			roll_disabled
		}
		format {$LOGFORMAT}
		level {$LOGLEVEL}
	}
	servers {
		{$SERVERS}
	}
}
(settings) {
{$SETTINGS}
}
(backend) {
	reverse_proxy {$BACKEND}
}
(site) {
	log
{$SITE}
}
http://:{$HTTP} {
	import site
}
https://:{$HTTPS} {
	tls {$CERT} {$KEY}
	import site
}
http://:{$METRICS} {
	metrics
}
{$SITES}
`

// Log is everything that Caddy has logged, as JSON lines. It holds the access
// log too.
func (g *Gateway) Log(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(g.log)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// Metrics are Caddy's metrics in Prometheus' text format.
func (g *Gateway) Metrics(tb testing.TB) string {
	tb.Helper()
	return string(g.Do(tb, g.Request(tb, "GET", "http://127.0.0.1:"+g.ports.metrics+"/metrics", "")).Body)
}

type portNumbers struct{ http, https, second, metrics string }

// ports are free ones, chosen once: Caddy hands its sockets over from one
// configuration to the next.
var ports = sync.OnceValue(newPorts)

func newPorts() portNumbers {
	return portNumbers{freePort(), freePort(), freePort(), freePort()}
}

func freePort() string {
	addr, err := loopback.FreeAddr()
	if err != nil {
		panic(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	return port
}
