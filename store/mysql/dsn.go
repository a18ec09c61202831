package mysql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// options are the options that a DSN may have. Any other is refused: some are unsafe, some would cost a round
// trip for each connection, and the driver takes a word that it does not know for a variable of the server to
// set.
var options = map[string]bool{
	"allowNativePasswords": true, "checkConnLiveness": true, "compress": true, "connectionAttributes": true,
	"interpolateParams": true, "loc": true, "parseTime": true, // without effect here, and common
	"readTimeout": true, "timeout": true, "tls": true, "writeTimeout": true,
}

// refused says of other options of the driver what is wrong with them.
var refused = map[string]string{
	"allowAllFiles":            "a server could read this host's files",
	"allowCleartextPasswords":  "it would show the password to whoever answers",
	"allowFallbackToPlaintext": "it would go on without TLS when somebody in between asks for that",
	"allowOldPasswords":        "that authentication was broken long ago",
	"multiStatements":          "a lookup is one statement",
	"charset":                  "the store reads bytes: leave it out",
	"collation":                "the store reads bytes: leave it out",
	"clientFoundRows":          useless,
	"columnsWithAlias":         useless,
	"maxAllowedPacket":         useless,
	"rejectReadOnly":           useless,
	"serverPubKey":             useless,
	"strict":                   useless,
	"timeTruncate":             useless,
}

const useless = "it has no use here: leave it out"

// parseDSN reads a DSN of go-sql-driver/mysql. Errors name an option, and never quote the DSN: what a mistake
// makes of one may be a part of the password.
func parseDSN(dsn string) (*mysql.Config, error) {
	const form = "want user:password@tcp(host:port)/database, or unix(path) in place of tcp(host:port)"
	_, after, _ := cutLast(dsn, '/')
	_, query, _ := strings.Cut(after, "?")
	given := map[string]string{}
	for option := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(option, "=")
		if !ok {
			continue // the driver passes over it
		}
		why, known := refused[name]
		switch {
		case options[name]:
		case known && value != "false" && value != "0":
			return nil, fmt.Errorf("option %s is not allowed: %s", name, why)
		case !known: // perhaps no option, but the rest of a password that was not escaped
			return nil, errors.New("malformed, or it has an option that is not known here: " + form)
		}
		given[name] = value
	}
	switch tls := given["tls"]; strings.ToLower(tls) {
	case "", "true", "false", "1", "0":
	case "preferred":
		return nil, errors.New("option tls=preferred is not allowed: it would go on without TLS when somebody in between asks for that")
	case "skip-verify":
		return nil, errors.New("option tls=skip-verify is not allowed: anybody could answer; name the server's authority with tls { ca <file> }")
	default:
		return nil, errors.New("option tls: want true or false; files are named with tls { }")
	}
	c, err := mysql.ParseDSN(dsn)
	switch {
	case err != nil:
		return nil, errors.New("malformed: " + form) // the driver's error may quote it
	case c.DBName == "":
		return nil, errors.New("it names no database: " + form)
	case c.Net != "tcp" && c.Net != "unix":
		return nil, errors.New("malformed: " + form)
	case c.AllowAllFiles, c.AllowCleartextPasswords, c.AllowFallbackToPlaintext, c.AllowOldPasswords, c.MultiStatements, len(c.Params) > 0:
		return nil, errors.New("it asks for something unsafe") // the list above knows them all by name
	}
	return c, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
