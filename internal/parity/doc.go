// Package parity holds what a real MediaWiki with its OAuth extension, of
// several releases, answered to recorded requests, and holds the gateway to it.
// It exports the recorded requests, as seeds for the fuzz targets of
// other packages.
package parity
