// Command bench measures what the gateway costs over the wire: wrk sends the same bytes to one Caddy at two
// ports, to a reverse_proxy behind oauth and to a bare one, in turn, and the ratio of their rates is printed. Every
// signed request is sent once. Nothing is looked up in a database after the first request of a token.
//
//	go run ./internal/bench            # needs wrk (apt-get install wrk) and five minutes
//	go run ./internal/bench -profile cpu.prof -protocols oauth1
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
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
)

var (
	rounds   = flag.Int("rounds", 8, "pairs of runs per protocol")
	duration = flag.Duration("duration", 4*time.Second, "of one run")
	conns    = flag.Int("connections", 32, "that wrk holds open")
	// Signing 100,000 requests with RSA takes longer than all else.
	protocols = flag.String("protocols", "bearer,oauth1", "what to measure: bearer, oauth1, oauth1-rsa")
	profile   = flag.String("profile", "", "write a CPU profile of Caddy under load to this file")
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

// measure runs both arms in turn, the one first and then the other, and prints the ratios.
func measure(ctx context.Context, dir string, wiki *wiki, site site, name string) error {
	var ratios []float64
	rate := 20_000.0 // requests a second that a run may need: known after the first
	for round := range *rounds + 1 {
		file := filepath.Join(dir, "requests")
		if err := wiki.write(file, site, name, int(rate*1.5*duration.Seconds())); err != nil {
			return err
		}
		arms := []string{site.gated, site.bare}
		if round%2 == 1 {
			slices.Reverse(arms)
		}
		if *profile != "" && round == 1 {
			done := make(chan error, 1)
			go func() { done <- saveProfile(site.admin) }()
			defer func() { fmt.Println("profile:", <-done) }()
		}
		rates := map[string]float64{}
		for _, arm := range arms {
			r, err := wrk(ctx, dir, arm, file)
			if err != nil {
				return err
			}
			rates[arm] = r
		}
		if round == 0 { // warms both arms, and tells how many requests a run needs
			rate = max(rates[site.gated], rates[site.bare])
			continue
		}
		ratio := rates[site.gated] / rates[site.bare]
		ratios = append(ratios, ratio)
		fmt.Printf("%-10s  behind oauth %6.0f/s  bare %6.0f/s  ratio %.3f\n", name, rates[site.gated], rates[site.bare], ratio)
	}
	slices.Sort(ratios)
	fmt.Printf("%-10s  median ratio %.3f, from %.3f to %.3f\n\n", name, ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
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

// wrk sends the requests of the file to addr, each once, and returns how many were answered in a second.
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

// site is the addresses of a running Caddy.
type site struct{ gated, bare, admin string }

const caddyfile = `{
	admin %[1]s
	auto_https off
	persist_config off
	log {
		level ERROR
	}
}
http://%[2]s {
	oauth {
		store sqlite %[4]s
		wiki enwiki
		mediawiki 1.47
		secret_key %[5]s
		public_key %[6]s
		cache {
			ttl 1h
		}
	}
	reverse_proxy %[7]s
}
http://%[3]s {
	reverse_proxy %[7]s
}
`

// startCaddy builds and starts Caddy, and a backend in this process.
func startCaddy(ctx context.Context, dir string, wiki *wiki) (s site, stop func(), err error) {
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

	ports, err := freePorts(ctx, 3)
	if err != nil {
		return s, nil, err
	}
	s = site{admin: ports[0], gated: ports[1], bare: ports[2]}
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf(caddyfile, s.admin, s.gated, s.bare, wiki.database, wiki.siteKey, wiki.publicKeyFile, backend.Addr())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
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
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.bare); err == nil {
			_ = conn.Close()
			return s, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return s, nil, fmt.Errorf("caddy does not listen at %s", s.bare)
}

func freePorts(ctx context.Context, n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
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
