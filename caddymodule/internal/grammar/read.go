package grammar

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Subdirective reads the rest of one line and of the block that it opens.
type Subdirective func(line *caddyfile.Dispenser) error

// ReadBlock reads a block, line by line, and collects what is wrong with each.
// A subdirective may be repeated only if it is listed.
func ReadBlock(d *caddyfile.Dispenser, known map[string]Subdirective, repeated ...string) error {
	seen := make(map[string]bool)
	return ReadLines(d, func(line *caddyfile.Dispenser) error {
		name := line.Val()
		read, found := known[name]
		twice := seen[name]
		seen[name] = true
		switch {
		case !found:
			return line.Errf("unknown subdirective%s", After(" ", Named(name)))
		case twice && !slices.Contains(repeated, name):
			return line.Errf("%s is given more than once", name)
		}
		return read(line)
	})
}

// ReadLines reads a block, line by line, each with the block that it opens.
func ReadLines(d *caddyfile.Dispenser, read Subdirective) error {
	var mistakes []error
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		line := d.NewFromNextSegment()
		line.Next()
		mistakes = append(mistakes, read(line))
	}
	return errors.Join(mistakes...)
}

// Text reads one value. A value with placeholders is checked later, when they
// are known.
func Text(to *string, check func(string) error) Subdirective {
	return func(line *caddyfile.Dispenser) error {
		if err := oneValue(line, to, true); err != nil {
			return err
		}
		if check == nil || strings.Contains(*to, "{") {
			return nil
		}
		return Wrap(line, check(*to))
	}
}

// Secret reads one value that no message quotes.
func Secret(to *string) Subdirective {
	return func(line *caddyfile.Dispenser) error { return oneValue(line, to, false) }
}

func oneValue(line *caddyfile.Dispenser, to *string, quote bool) error {
	name := line.Val()
	args := line.RemainingArgs()
	switch {
	case len(args) == 0 || args[0] == "":
		return line.Errf("%s: value missing", name)
	case len(args) > 1 && quote:
		return line.Errf("%s takes one value: unexpected %s", name, Named(args[1]))
	case len(args) > 1:
		return line.Errf("%s takes one value", name)
	}
	*to = args[0]
	return NoBlock(line)
}

// Texts reads one or more values, which no message quotes.
func Texts(to *[]string) Subdirective {
	return func(line *caddyfile.Dispenser) error {
		name := line.Val()
		if *to = line.RemainingArgs(); len(*to) == 0 || slices.Contains(*to, "") {
			return line.Errf("%s: value missing", name)
		}
		return NoBlock(line)
	}
}

// Choice reads one of the words.
func Choice(to *string, of Words) Subdirective {
	return func(line *caddyfile.Dispenser) error {
		if err := oneValue(line, to, true); err != nil {
			return err
		}
		return Wrap(line, of.Check(*to))
	}
}

// Flag reads a subdirective without a value.
func Flag(to *bool) Subdirective {
	return func(line *caddyfile.Dispenser) error {
		*to = true
		return NoMore(line)
	}
}

// parsed reads one value that parse accepts. None accepts 0, because JSON takes
// it for a setting that is left out.
func parsed[T any](to *T, kind string, parse func(string) (T, bool)) Subdirective {
	return func(line *caddyfile.Dispenser) error {
		name, value := line.Val(), ""
		if err := oneValue(line, &value, true); err != nil {
			return err
		}
		v, ok := parse(value)
		if !ok {
			return line.Errf("%s: %s is not a %s", name, Quoted(value), kind)
		}
		*to = v
		return nil
	}
}

// Duration reads a positive duration.
func Duration(to *caddy.Duration) Subdirective {
	return parsed(to, "duration: use one like 5m", func(s string) (caddy.Duration, bool) {
		d, err := caddy.ParseDuration(s)
		return caddy.Duration(d), err == nil && d > 0
	})
}

// Number reads a positive number.
func Number(to *int) Subdirective {
	return parsed(to, "positive number", func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && n > 0
	})
}

// Size reads a number of bytes.
func Size(to *int64) Subdirective { return parsed(to, "size: use one like 64MiB", parseSize) }

// NoMore refuses what is left on the line, and a block.
func NoMore(line *caddyfile.Dispenser) error {
	return errors.Join(NoMoreArgs(line), NoBlock(line))
}

// NoMoreArgs refuses what is left on the line.
func NoMoreArgs(line *caddyfile.Dispenser) error {
	name := line.Val()
	if args := line.RemainingArgs(); len(args) > 0 {
		return line.Errf("unexpected %s%s", Named(args[0]), After(" after ", Named(name)))
	}
	return nil
}

// NoBlock refuses a block.
func NoBlock(line *caddyfile.Dispenser) error {
	if line.Next() {
		return line.Errf("unexpected %s", Named(line.Val()))
	}
	return nil
}

// Wrap adds file and line to an error, if it is one.
func Wrap(line *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return line.WrapErr(err)
}

// DurationOrZero reads a duration for a setting whose zero is not its default.
func DurationOrZero(to **caddy.Duration) Subdirective {
	return func(line *caddyfile.Dispenser) error {
		name, value := line.Val(), ""
		if err := oneValue(line, &value, true); err != nil {
			return err
		}
		d, err := caddy.ParseDuration(value)
		if err != nil || d < 0 {
			return line.Errf("%s: %s is not a duration: use one like 1s, or 0s", name, Quoted(value))
		}
		v := caddy.Duration(d)
		*to = &v
		return nil
	}
}
