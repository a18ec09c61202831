package validator

import "errors"

// Failure tells what failed if a Store could not find out. It decides how far a
// failed lookup reaches. The zero value is the narrowest.
type Failure uint8

// The failures.
const (
	// KeyFailure is the statement's or a row's: it says nothing of other keys.
	// Errors that are not a StoreError count as this one.
	KeyFailure Failure = iota
	// TableFailure is a table's or column's that is missing or not granted. It
	// concerns one wiki and one protocol.
	TableFailure
	// ServerFailure means that the server does not answer: a connection was
	// refused or lost, or an answer took too long.
	ServerFailure
	// LimitFailure means that the server accepts no more connections. Those
	// that are open still work.
	LimitFailure
	// QueueFailure means that the lookup waited too long in this process, for
	// one of its own connections, or over one while the server answered others.
	QueueFailure
	numFailures
)

// String returns the name that logs and metrics use.
func (f Failure) String() string {
	return [numFailures]string{"key", "table", "server", "limit", "queue"}[f]
}

// StoreError is an error of a Store with its Failure.
type StoreError struct {
	Failure Failure
	Err     error
}

func (e *StoreError) Error() string { return e.Err.Error() }

func (e *StoreError) Unwrap() error { return e.Err }

// FailureOf returns the Failure of a Store's error: KeyFailure for an error that
// is not a StoreError, because an unknown error must not stop other lookups.
func FailureOf(err error) Failure {
	if e, ok := errors.AsType[*StoreError](err); ok {
		return e.Failure
	}
	return KeyFailure
}
