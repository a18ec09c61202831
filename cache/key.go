package cache

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// digest is the key of an entry: SHA-256 over everything that its value was
// computed from.
type digest [sha256.Size]byte

// hash is what ristretto knows of a digest.
func (d *digest) hash() uint64 { return binary.LittleEndian.Uint64(d[:8]) }

// The first part of every hashed text, so that an entry of one kind is never
// taken for another.
const (
	kindFacts = "facts"
	kindToken = "token"
)

// appendPart appends one part with its length, so that different lists of parts
// never give the same bytes.
func appendPart(b []byte, part string) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

// factsDigest returns the key of one lookup; prefix is kind and identity.
func factsDigest(prefix []byte, key *validator.Key) digest {
	var stack [512]byte
	b := append(stack[:0], prefix...)
	b = appendPart(b, key.Wiki)
	b = append(b, byte(key.Protocol))
	b = appendPart(b, key.Consumer)
	b = appendPart(b, key.Token)
	b = binary.BigEndian.AppendUint64(b, key.Subject)
	return sha256.Sum256(b)
}

// tokenDigest returns the key of one verification; prefix is kind and identity.
func tokenDigest(prefix []byte, raw string) digest {
	var stack [2048]byte // MediaWiki's tokens have about 1,000 bytes
	b := append(stack[:0], prefix...)
	b = appendPart(b, raw)
	return sha256.Sum256(b)
}
