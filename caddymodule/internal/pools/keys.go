package pools

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func databaseKey(c store.Config, files []string) string {
	parts := append([]string{
		c.Driver, c.DSN, c.OAuthDatabase, c.QueryTimeout.String(), c.ConnMaxLifetime.String(),
		strconv.Itoa(c.MaxOpenConns), strconv.FormatBool(c.Writes), strconv.Itoa(len(c.Replicas)),
	}, c.Replicas...)
	if c.TLS != nil {
		parts = append(parts, c.TLS.CA, c.TLS.Cert, c.TLS.Key, c.TLS.ServerName)
	}
	return Key("database", append(parts, files...)...)
}

func cacheKey(c cache.Config) string {
	return Key("cache", strconv.FormatInt(c.Size, 10), c.TTL.String(), c.NegativeTTL.String(), c.MaxStale.String())
}

// consumersKey is a digest of everything that is known of the configured
// consumers, because facts depend on it.
func consumersKey(all []validator.Consumer) string {
	var parts []string
	for _, consumer := range all {
		if consumer.RSAKey != nil {
			parts = append(parts, consumer.RSAKey.N.String(), strconv.Itoa(consumer.RSAKey.E))
			consumer.RSAKey = nil // it would be printed as an address
		}
		parts = append(parts, fmt.Sprintf("%+v", consumer))
	}
	return Key("consumers", parts...)
}

// processKey keeps passwords from being guessed from pool keys, which can be
// read.
var processKey = func() []byte {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return random
}()

// Key returns the key of a pooled value: a digest of everything that it is
// made from, each part after its length.
func Key(kind string, parts ...string) string {
	mac := hmac.New(sha256.New, processKey)
	for _, part := range append([]string{kind}, parts...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return string(mac.Sum(nil))
}
