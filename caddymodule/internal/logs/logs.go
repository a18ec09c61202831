// Package logs bounds what requests make the directives write into a log.
package logs

import (
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Sampled returns a logger that writes the first ten lines of each message within
// a second, and then one in a thousand: a flood of bad requests neither fills the
// disk nor hides another message.
func Sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 10, 1000)
	}))
}

// maxText bounds a text of a client in a log, in bytes. Consumer keys have 32.
const maxText = 64

// Bounded makes a text that a client has sent fit for a log.
func Bounded(s string) string { return BoundedTo(s, maxText) }

// BoundedTo is Bounded with another size, in bytes.
func BoundedTo(s string, size int) string {
	if len(s) > size {
		s = s[:size]
	}
	return strings.ToValidUTF8(s, "?")
}
