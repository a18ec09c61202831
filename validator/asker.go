package validator

import (
	"context"
	"errors"
	"net/netip"
)

// ErrCrowded means that too many clients wait which have proven nothing. It says
// nothing about what they would have been answered.
var ErrCrowded = errors.New("too many clients wait that have proven nothing")

// Asker is the client that a store is asked for. Lookups that wait take turns by
// client.
type Asker struct {
	Client netip.Addr
	// Unproven is true while the client only says which app it is: anybody can,
	// because consumer keys are public. Such lookups have few places.
	Unproven bool
}

type askerKey struct{}

// WithAsker returns a context that tells a store who asks.
func WithAsker(ctx context.Context, a Asker) context.Context {
	return context.WithValue(ctx, askerKey{}, a)
}

// AskerOf returns who asks, or the zero value.
func AskerOf(ctx context.Context) Asker {
	a, _ := ctx.Value(askerKey{}).(Asker)
	return a
}
