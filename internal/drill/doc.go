// Package drill attacks a gateway and takes its database away, and prints what
// cached users, users who are not cached, and strangers are answered. A real
// MariaDB, a real Caddy, and a proxy between them run on loopback:
//
//	go test ./internal/drill -run '^$' -bench . -benchtime 1x
package drill
