// Package recording holds the database of a real MediaWiki 1.39, whose answers
// internal/issuing replays. It was recorded on MariaDB: Translate writes its
// statements, and those of the recorded flows, for SQLite and PostgreSQL. Only
// tests import the package.
package recording
