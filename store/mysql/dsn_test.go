package mysql

import (
	"strings"
	"testing"
)

var dsns = []struct {
	dsn  string
	want string // in the error; empty: it is taken
}{
	{"gateway:s3cr3t@tcp(db.example:3306)/enwiki", ""},
	{"gateway:s3cr3t@tcp(db.example)/enwiki?tls=true&timeout=1s", ""},
	{"gateway:s3cr3t@unix(/run/mysqld/mysqld.sock)/enwiki", ""},
	{"gateway:s3cr3t@/enwiki?parseTime=true&loc=UTC&interpolateParams=true", ""},
	{"gateway:s3/cr?3t@tcp([::1]:3306)/enwiki?allowNativePasswords=false", ""},
	{"gateway:s3cr3t@tcp(db)/enwiki?multiStatements=false&allowAllFiles=0", ""},
	{"", "names no database"},
	{"s3cr3t", "malformed"},
	{"gateway:s3cr3t@tcp(db.example:3306)", "malformed"},
	{"gateway:s3cr3t@tcp(db.example:3306", "malformed"},
	{"gateway:s3cr3t@tcp(db.example:3306/enwiki", "malformed"},
	{"gateway:s3cr3t@tcp(db)/", "names no database"},
	{"gateway:s3cr3t@tcp(db)/%zz", "malformed"},
	{"gateway:s3cr3t@udp(db)/enwiki", "malformed"},
	{"gateway:s3cr3t@s3cr3t(db)/enwiki", "malformed"},
	{"gateway:ab/s3cr3t?s3cr3t=1@tcp(db)", "malformed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?multiStatements=true", "option multiStatements is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?allowCleartextPasswords=1", "option allowCleartextPasswords is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?allowAllFiles=TRUE", "option allowAllFiles is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?allowOldPasswords=true", "option allowOldPasswords is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?allowFallbackToPlaintext=true", "option allowFallbackToPlaintext is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?tls=preferred", "option tls=preferred is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?tls=true&tls=Preferred", "option tls=preferred is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?tls=preferred&tls=true", "option tls=preferred is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?tls=skip-verify", "option tls=skip-verify is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?tls=custom", "option tls: want true or false"},
	{"gateway:s3cr3t@tcp(db)/enwiki?charset=utf8mb4", "option charset is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?maxAllowedPacket=0", "option maxAllowedPacket is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?strict=true", "option strict is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?strict=false", "option strict is not allowed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?sql_mode=%27s3cr3t%27", "an option that is not known here"},
	{"gateway:s3cr3t@tcp(db)/enwiki?init=s3cr3t;DROP", "an option that is not known here"},
	{"gateway:s3cr3t@tcp(db)/enwiki?timeout=s3cr3t", "malformed"},
	{"gateway:s3cr3t@tcp(db)/enwiki?compress=s3cr3t", "malformed"},
}

func TestParseDSN(t *testing.T) {
	for _, test := range dsns {
		c, err := parseDSN(test.dsn)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.dsn, err)
		case test.want == "" && c.DBName != "enwiki":
			t.Errorf("%s: database %q", test.dsn, c.DBName)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", test.dsn, err, test.want)
		case err != nil && strings.Contains(err.Error(), "s3cr3t"):
			t.Errorf("%s: the error quotes it: %v", test.dsn, err)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, test := range dsns {
		f.Add(test.dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		c, err := parseDSN(dsn)
		if err != nil {
			return
		}
		if c.AllowAllFiles || c.AllowCleartextPasswords || c.AllowFallbackToPlaintext || c.AllowOldPasswords || c.MultiStatements ||
			len(c.Params) > 0 || c.Collation != "" || c.DBName == "" || c.TLS != nil && c.TLS.InsecureSkipVerify {
			t.Errorf("%q was taken: %+v", dsn, c)
		}
	})
}
