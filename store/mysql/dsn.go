package mysql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// options are the options that a DSN may have. Any other is refused: some are
// unsafe, some would cost a round trip for each connection, and the driver
// takes a word that it does not know for a variable of the server to set.
var options = map[string]bool{
	"allowNativePasswords": true, "checkConnLiveness": true, "compress": true, "connectionAttributes": true,
	"interpolateParams": true, "loc": true, "parseTime": true, // without effect here, and common
	"readTimeout": true, "timeout": true, "tls": true, "writeTimeout": true,
}

// unsafe says of options that can be switched off what is wrong with them when
// they are on.
var unsafe = map[string]string{
	"allowAllFiles":            "a server could read this host's files",
	"allowCleartextPasswords":  "it would show the password to whoever answers",
	"allowFallbackToPlaintext": "it would go on without TLS when somebody in between asks for that",
	"allowOldPasswords":        "that authentication was broken long ago",
	"multiStatements":          "a lookup is one statement",
}

// useless are the driver's other options. It panics at the sight of strict.
var useless = map[string]bool{
	"charset": true, "clientFoundRows": true, "collation": true, "columnsWithAlias": true, "maxAllowedPacket": true,
	"rejectReadOnly": true, "serverPubKey": true, "strict": true, "timeTruncate": true,
}

// parseDSN reads a DSN of go-sql-driver/mysql. Errors name an option, and never
// quote the DSN: what a mistake makes of one may be a part of the password.
func parseDSN(dsn string) (*mysql.Config, error) {
	const form = "want user:password@tcp(host:port)/database, or unix(path) in place of tcp(host:port)"
	_, query, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?") // the driver's own way to find them
	for option := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(option, "=")
		why, isUnsafe := unsafe[name]
		switch {
		case !ok: // the driver passes over it
		case isUnsafe && value != "false" && value != "0":
			return nil, fmt.Errorf("option %s is not allowed: %s", name, why)
		case useless[name]:
			return nil, fmt.Errorf("option %s is not allowed: the store reads bytes, and has no use for it", name)
		case !isUnsafe && !options[name]: // perhaps no option, but the rest of a password that was not escaped
			return nil, errors.New("malformed, or it has an option that is not known here: " + form)
		case name == "tls":
			if err := checkTLS(value); err != nil {
				return nil, err
			}
		}
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

func checkTLS(value string) error {
	switch strings.ToLower(value) {
	case "true", "false", "1", "0":
		return nil
	case "preferred":
		return errors.New("option tls=preferred is not allowed: " + unsafe["allowFallbackToPlaintext"])
	case "skip-verify":
		return errors.New("option tls=skip-verify is not allowed: anybody could answer; name the server's authority with tls { ca <file> }")
	}
	return errors.New("option tls: want true or false; files are named with tls { }")
}
