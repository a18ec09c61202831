package gateway

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

// readBlock reads a block, line by line, and collects what is wrong with each.
func readBlock(d *caddyfile.Dispenser, known map[string]subdirective) error {
	seen := make(map[string]bool)
	return readLines(d, func(line *caddyfile.Dispenser) error {
		name := line.Val()
		read, found := known[name]
		twice := seen[name]
		seen[name] = true
		switch {
		case !found:
			return line.Errf("unknown subdirective%s", grammar.After(" ", grammar.Named(name)))
		case twice && name != "require" && name != "consumer":
			return line.Errf("%s is given more than once", name)
		}
		return read(line)
	})
}

// readLines reads a block, line by line, each with the block that it opens.
func readLines(d *caddyfile.Dispenser, read subdirective) error {
	var mistakes []error
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		line := d.NewFromNextSegment()
		line.Next()
		mistakes = append(mistakes, read(line))
	}
	return errors.Join(mistakes...)
}

// text reads one value. A value with placeholders can only be checked once they are known.
func text(to *string, check func(string) error) subdirective {
	return func(line *caddyfile.Dispenser) error {
		if err := oneValue(line, to, true); err != nil {
			return err
		}
		if check == nil || strings.Contains(*to, "{") {
			return nil
		}
		return wrap(line, check(*to))
	}
}

// secret reads one value that no message quotes.
func secret(to *string) subdirective {
	return func(line *caddyfile.Dispenser) error { return oneValue(line, to, false) }
}

func oneValue(line *caddyfile.Dispenser, to *string, quote bool) error {
	name := line.Val()
	args := line.RemainingArgs()
	switch {
	case len(args) == 0 || args[0] == "":
		return line.Errf("%s: value missing", name)
	case len(args) > 1 && quote:
		return line.Errf("%s takes one value: unexpected %s", name, grammar.Named(args[1]))
	case len(args) > 1:
		return line.Errf("%s takes one value", name)
	}
	*to = args[0]
	return noBlock(line)
}

// texts reads one or more values, which no message quotes.
func texts(to *[]string) subdirective {
	return func(line *caddyfile.Dispenser) error {
		name := line.Val()
		if *to = line.RemainingArgs(); len(*to) == 0 || slices.Contains(*to, "") {
			return line.Errf("%s: value missing", name)
		}
		return noBlock(line)
	}
}

func choice(to *string, of choices) subdirective {
	return func(line *caddyfile.Dispenser) error {
		if err := oneValue(line, to, true); err != nil {
			return err
		}
		return wrap(line, of.check(*to))
	}
}

// parsed reads one value that parse accepts. None accepts 0: left out means the default in JSON, and no setting has a
// use for it.
func parsed[T any](to *T, kind string, parse func(string) (T, bool)) subdirective {
	return func(line *caddyfile.Dispenser) error {
		name, value := line.Val(), ""
		if err := oneValue(line, &value, true); err != nil {
			return err
		}
		v, ok := parse(value)
		if !ok {
			return line.Errf("%s: %s is not a %s", name, grammar.Quoted(value), kind)
		}
		*to = v
		return nil
	}
}

func duration(to *caddy.Duration) subdirective {
	return parsed(to, "duration: use one like 5m", func(s string) (caddy.Duration, bool) {
		d, err := caddy.ParseDuration(s)
		return caddy.Duration(d), err == nil && d > 0
	})
}

func number(to *int) subdirective {
	return parsed(to, "positive number", func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && n > 0
	})
}

func size(to *int64) subdirective { return parsed(to, "size: use one like 64MiB", parseSize) }

func noMore(line *caddyfile.Dispenser) error {
	return errors.Join(noMoreArgs(line), noBlock(line))
}

func noMoreArgs(line *caddyfile.Dispenser) error {
	name := line.Val()
	if args := line.RemainingArgs(); len(args) > 0 {
		return line.Errf("unexpected %s%s", grammar.Named(args[0]), grammar.After(" after ", grammar.Named(name)))
	}
	return nil
}

func noBlock(line *caddyfile.Dispenser) error {
	if line.Next() {
		return line.Errf("unexpected %s", grammar.Named(line.Val()))
	}
	return nil
}

// wrap adds file and line to an error, if it is one.
func wrap(line *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return line.WrapErr(err)
}

// durationOrZero reads a duration for a setting whose zero is not its default.
func durationOrZero(to **caddy.Duration) subdirective {
	return func(line *caddyfile.Dispenser) error {
		name, value := line.Val(), ""
		if err := oneValue(line, &value, true); err != nil {
			return err
		}
		d, err := caddy.ParseDuration(value)
		if err != nil || d < 0 {
			return line.Errf("%s: %s is not a duration: use one like 1s, or 0s", name, grammar.Quoted(value))
		}
		v := caddy.Duration(d)
		*to = &v
		return nil
	}
}
