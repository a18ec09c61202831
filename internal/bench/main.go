// Command bench measures what the gateway costs over the wire: wrk sends the
// same bytes to one Caddy at two ports, to a reverse_proxy behind oauth and to
// a bare one, in turn, and the ratio of their rates is printed. Every signed
// request is sent once. Nothing is looked up in a database after the first
// request of a token.
//
//	go run ./internal/bench            # needs wrk (apt-get install wrk) and three minutes
//	go run ./internal/bench -apart     # also what verifying and what more headers cost each; six minutes
//	go run ./internal/bench -profile cpu.prof -protocols oauth1
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
)

var (
	rounds   = flag.Int("rounds", 8, "pairs of runs per protocol")
	duration = flag.Duration("duration", 4*time.Second, "of one run")
	conns    = flag.Int("connections", 32, "that wrk holds open")
	// Signing 100,000 requests with RSA takes longer than all else.
	protocols = flag.String("protocols", "bearer,oauth1", "what to measure: bearer, oauth1, oauth1-rsa")
	profile   = flag.String("profile", "", "write a CPU profile of Caddy under load to this file")
	apart     = flag.Bool("apart", false, "measure oauth with headers off, and a bare proxy that sets the same headers, too")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	wiki, err := newWiki(dir)
	if err != nil {
		return err
	}
	site, stop, err := startCaddy(ctx, dir, wiki)
	if err != nil {
		return err
	}
	defer stop()
	for name := range strings.SplitSeq(*protocols, ",") {
		if err := measure(ctx, dir, wiki, site, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// arm is one of the sites that are compared.
type arm struct {
	name string
	file string // of its requests: a signed one passes once
	body string // of the site
	addr string
}

func arms() []*arm {
	const oauth, headersOff = "\toauth {\n\t\timport settings\n\t}\n", "\toauth {\n\t\timport settings\n\t\theaders off\n\t}\n"
	all := []*arm{{name: "behind oauth", file: "requests", body: oauth}, {name: "bare", file: "requests"}}
	if *apart {
		all = append(all, &arm{name: "headers off", file: "others", body: headersOff}, &arm{name: "same headers", file: "requests", body: sameHeaders})
	}
	return all
}

// sameHeaders are as many and as long as those of a request that passes.
const sameHeaders = `	request_header X-OAuth-User-Id 12
	request_header X-OAuth-User-Name "User 12"
	request_header X-OAuth-Groups sysop
	request_header X-OAuth-Grants basic,editpage,createeditmovepage,highvolume
	request_header X-OAuth-Consumer-Key 0123456789abcdef0123456789abcdef
	request_header X-OAuth-Consumer-Name "App 1"
	request_header X-OAuth-Version 1.0a
	request_header X-OAuth-Wiki enwiki
`

// measure runs all arms in turn, forwards and backwards, and prints the ratios
// of their rates to the bare one's.
func measure(ctx context.Context, dir string, wiki *wiki, site *site, name string) error {
	ratios := map[string][]float64{}
	rate := 20_000.0 // requests a second that a run may need: known after the first
	for round := range *rounds + 1 {
		for _, file := range []string{"requests", "others"} {
			if err := wiki.write(filepath.Join(dir, file), site, name, int(rate*1.5*duration.Seconds())); err != nil {
				return err
			}
		}
		if *profile != "" && round == 1 {
			done := make(chan error, 1)
			go func() { done <- saveProfile(site.admin) }()
			defer func() { fmt.Println("profile:", <-done) }()
		}
		order := slices.Clone(site.arms)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		rates := map[string]float64{}
		for _, arm := range order {
			var err error
			if rates[arm.name], err = wrk(ctx, dir, arm.addr, filepath.Join(dir, arm.file)); err != nil {
				return fmt.Errorf("%s: %w", arm.name, err)
			}
		}
		if round == 0 { // warms the arms, and tells how many requests a run needs
			rate = slices.Max(slices.Collect(maps.Values(rates)))
			continue
		}
		fmt.Printf("%-8s", name)
		for _, arm := range site.arms {
			ratio := rates[arm.name] / rates["bare"]
			ratios[arm.name] = append(ratios[arm.name], ratio)
			fmt.Printf("  %s %.0f/s %.3f", arm.name, rates[arm.name], ratio)
		}
		fmt.Println()
	}
	for _, arm := range site.arms {
		of := ratios[arm.name]
		slices.Sort(of)
		fmt.Printf("%-8s  %s: median ratio %.3f, from %.3f to %.3f\n", name, arm.name, of[len(of)/2], of[0], of[len(of)-1])
	}
	return nil
}

var (
	rateLine   = regexp.MustCompile(`Requests/sec:\s*([0-9.]+)`)
	failedLine = regexp.MustCompile(`(Non-2xx|Socket errors|error).*`)
)

const script = `
local requests, i = {}, nil
init = function(args)
  for line in io.lines(args[1]) do
    requests[#requests + 1] = line:gsub("\\n", "\r\n")
  end
  i = 0
end
request = function()
  i = i + 1
  return requests[i] or error("more requests were sent than were signed")
end
`

// wrk sends the requests of the file to addr, each once, and returns how many
// were answered in a second.
func wrk(ctx context.Context, dir, addr, file string) (float64, error) {
	lua := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return 0, err
	}
	//nolint:gosec // our own arguments
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(*conns), "-d"+strconv.Itoa(int(duration.Seconds()))+"s",
		"-s", lua, "http://"+addr, "--", file).CombinedOutput()
	if failed := failedLine.Find(out); failed != nil || err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	found := rateLine.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("wrk said: %s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// site is a running Caddy.
type site struct {
	admin string
	host  string // that requests are signed for
	arms  []*arm
}

const caddyfile = `{
	admin %s
	auto_https off
	persist_config off
	log {
		level ERROR
	}
}
(settings) {
	store sqlite %s
	wiki enwiki
	mediawiki 1.47
	secret_key %s
	public_key %s
	cache {
		ttl 1h
	}
}
`

// startCaddy builds and starts Caddy, and a backend in this process.
func startCaddy(ctx context.Context, dir string, wiki *wiki) (s *site, stop func(), err error) {
	binary := filepath.Join(dir, "caddy")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/caddy").CombinedOutput(); err != nil { //nolint:gosec // our own path
		return s, nil, fmt.Errorf("%w: %s", err, out)
	}
	backend, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return s, nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
	})}
	go func() { _ = server.Serve(backend) }()

	s = &site{arms: arms()}
	if s.admin, err = loopback.FreeAddr(); err != nil {
		return nil, nil, err
	}
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, caddyfile, s.admin, wiki.database, wiki.siteKey, wiki.publicKeyFile)
	for _, arm := range s.arms {
		if arm.addr, err = loopback.FreeAddr(); err != nil {
			return nil, nil, err
		}
		_, _ = fmt.Fprintf(&text, "http://%s {\n%s\treverse_proxy %s\n}\n", arm.addr, arm.body, backend.Addr())
	}
	s.host = s.arms[0].addr
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return s, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	caddy := exec.CommandContext(ctx, binary, "run", "--config", config, "--adapter", "caddyfile") //nolint:gosec // our own path
	caddy.Stderr = os.Stderr
	caddy.Cancel = func() error { return caddy.Process.Signal(os.Interrupt) }
	if err := caddy.Start(); err != nil {
		cancel()
		return s, nil, err
	}
	stop = func() {
		cancel()
		_ = caddy.Wait()
		_ = server.Close()
	}
	for range 100 {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.host); err == nil {
			_ = conn.Close()
			return s, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return s, nil, fmt.Errorf("caddy does not listen at %s", s.host)
}

func saveProfile(admin string) error {
	seconds := int(2 * duration.Seconds())
	r, err := http.Get("http://" + admin + "/debug/pprof/profile?seconds=" + strconv.Itoa(seconds)) //nolint:noctx // it ends by itself
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	out, err := os.Create(*profile)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	_, err = io.Copy(out, r.Body)
	return err
}

// line makes a raw request one line of the file that wrk's script reads.
func line(target, host, auth string) string {
	return strings.Join([]string{"GET " + target + " HTTP/1.1", "Host: " + host, "Authorization: " + auth, "", ""}, `\n`)
}
