// Package wikidb makes the tables of a wiki that the gateway reads, and fills
// them: for tests and for the demonstration. Table and column names, types and
// indexes are MediaWiki's; the definitions are ours, and leave out what the
// gateway has no use for, such as passwords.
package wikidb
