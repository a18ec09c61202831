// Package conformance runs the suite of every store on the caches around them,
// which may not know each other.
package conformance
