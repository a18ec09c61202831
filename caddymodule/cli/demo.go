package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"
)

const demoListen = "127.0.0.1:9080"

func newDemoCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "demo [--listen <address>]",
		Short: "Runs both directives in front of an echo backend, with a wiki of its own",
		Long: `Runs Caddy with the directives oauth_server and oauth on a loopback port, in front of a backend that answers with the
request headers that reached it. Prints curl lines to try: one that passes per protocol, and one per common refusal.
Then come a link that opens the consent page as one of the wiki's users, and lines that get tokens by each protocol.

The wiki is an SQLite file in a new temporary directory, with two users and six apps. All secrets are made at each
start, and are gone, with the directory, when the command ends (Ctrl-C). What is issued or refused is logged here.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			address, err := demoAddress(ctx, listen)
			if err != nil {
				return err
			}
			return runDemo(ctx, address, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "loopback address to listen on; port 0 is any free one (default "+demoListen+", or any free port there)")
	return cmd
}

// demoAddress chooses the address. Others on the network have no business with
// a demonstration.
func demoAddress(ctx context.Context, listen string) (string, error) {
	host, _, err := net.SplitHostPort(cmp.Or(listen, demoListen))
	if err != nil {
		return "", fmt.Errorf("--listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("--listen %s: want a loopback address, such as %s", listen, demoListen)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", cmp.Or(listen, demoListen))
	if err != nil && listen == "" {
		l, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("--listen: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// runDemo serves until the context ends.
func runDemo(ctx context.Context, address string, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "caddy-oauth-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	wiki, err := newDemoWiki(ctx, dir, address, time.Now())
	if err != nil {
		return err
	}

	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	backend := &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 10 * time.Second}
	backendDone := make(chan error, 1)
	go func() { backendDone <- backend.Serve(l) }()
	defer func() { err = errors.Join(err, backend.Close()) }()

	caddyfile := wiki.caddyfile(address, l.Addr().String())
	if err := wiki.writeFile("Caddyfile", caddyfile); err != nil {
		return err
	}
	document, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	if err := caddy.Load(document, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, caddy.Stop()) }()

	lines, err := wiki.lines()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, lines); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-backendDone:
		return err
	}
}

// echo is a backend that answers what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	headers := map[string]string{}
	for name, values := range r.Header {
		if name == "Authorization" || name == "Cookie" { // they may be used again
			values = []string{"(not shown)"}
		}
		headers[name] = strings.Join(values, ", ")
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(struct { // the client may be gone
		Method  string            `json:"method"`
		Target  string            `json:"target"`
		Headers map[string]string `json:"headers"`
	}{r.Method, r.RequestURI, headers})
}
