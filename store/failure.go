package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// connectError is an error of the making of a connection. Whatever it is, it is
// not a statement's.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }

func (e *connectError) Unwrap() error { return e.err }

func isConnect(err error) bool {
	_, ok := errors.AsType[*connectError](err)
	return ok
}

// classify returns what an error of a query means, and whose failure it is.
func (p *Pool) classify(ctx context.Context, err error, after time.Duration) error {
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v: %w", after.Round(time.Millisecond), ctx.Err())
		return &validator.StoreError{Failure: validator.ServerFailure, Err: err}
	}
	return &validator.StoreError{Failure: p.failureOf(err), Err: p.driver.Explain(err)}
}

// failureOf returns whose failure it is: the connection's when the error surely
// is one of it, else what the driver knows it to be.
func (p *Pool) failureOf(err error) validator.Failure {
	failure := p.driver.Failure(err)
	switch {
	case isConnect(err) && failure != validator.LimitFailure, isLost(err), p.closed.Load():
		return validator.ServerFailure
	}
	return failure
}

// isLost reports whether an error is one of the network.
func isLost(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// failures are those of the servers that were asked, one after the other.
type failures []error

func (f *failures) add(err error) { *f = append(*f, err) }

// err returns all as one. It is the servers' failure only where every server
// failed in this way, because one that failed otherwise may answer the next
// lookup. The first other failure counts then.
func (f failures) err() error {
	if len(f) == 0 {
		return errors.New("no server was asked")
	}
	failure := validator.ServerFailure
	for _, err := range f {
		if of := validator.FailureOf(err); of != validator.ServerFailure {
			failure = of
			break
		}
	}
	return &validator.StoreError{Failure: failure, Err: errors.Join(f...)}
}
