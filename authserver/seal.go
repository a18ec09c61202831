package authserver

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// sealKeySize is the size of a state key, in bytes.
const sealKeySize = 32

// Sizes of the parts in front of a sealed text, in bytes. Each text has a key of
// its own, derived from a random salt, so that any number may be sealed.
const (
	sealIDSize    = 4
	sealSaltSize  = 16
	sealNonceSize = 12
	sealPrefix    = sealIDSize + sealSaltSize + sealNonceSize
	// maxSealed bounds what is opened: the longest code or refresh token.
	maxSealed = 16 << 10
)

// sealPurpose keeps what was sealed as one thing from being opened as another.
type sealPurpose string

// The purposes.
const (
	sealCode    sealPurpose = "authorization code"
	sealRefresh sealPurpose = "refresh token"
)

// errSealed means that a text was not sealed by one of the keys, or for
// something else.
var errSealed = errors.New("cannot be opened")

// sealer encrypts and authenticates what clients carry for the server: AES-256-GCM
// with a key id, a random salt and a random nonce in front.
type sealer struct {
	keys []sealKey
	// scope is authenticated with every text: what was sealed for one issuer and
	// wiki cannot be opened for another.
	scope string
}

type sealKey struct {
	id     [sealIDSize]byte
	secret []byte
}

func newSealer(keys [][]byte, scope string) (*sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no state key")
	}
	s := &sealer{scope: scope}
	for i, key := range keys {
		if len(key) != sealKeySize {
			return nil, fmt.Errorf("state key %d has %d bytes: use %d", i+1, len(key), sealKeySize)
		}
		id := hmac.New(sha256.New, key)
		id.Write([]byte("key id"))
		s.keys = append(s.keys, sealKey{[sealIDSize]byte(id.Sum(nil)), key})
	}
	return s, nil
}

// seal returns the JSON of a value, sealed by the first key, in base64url.
func (s *sealer) seal(purpose sealPurpose, value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	out := make([]byte, sealPrefix, sealPrefix+len(text)+16)
	copy(out, s.keys[0].id[:])
	_, _ = rand.Read(out[sealIDSize:]) // never fails
	aead, err := s.keys[0].aead(out[sealIDSize : sealIDSize+sealSaltSize])
	if err != nil {
		return "", err
	}
	out = aead.Seal(out, out[sealIDSize+sealSaltSize:sealPrefix], text, s.additional(purpose))
	return base64.RawURLEncoding.EncodeToString(out), nil
}

// open reads a sealed text into the value. Any failure is errSealed.
func (s *sealer) open(purpose sealPurpose, sealed string, value any) error {
	if len(sealed) > maxSealed || strings.ContainsAny(sealed, "\r\n") {
		return errSealed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(raw) < sealPrefix {
		return errSealed
	}
	for i := range s.keys {
		if s.keys[i].id != [sealIDSize]byte(raw) {
			continue
		}
		aead, err := s.keys[i].aead(raw[sealIDSize : sealIDSize+sealSaltSize])
		if err != nil {
			return errSealed
		}
		text, err := aead.Open(nil, raw[sealIDSize+sealSaltSize:sealPrefix], raw[sealPrefix:], s.additional(purpose))
		if err != nil || json.Unmarshal(text, value) != nil {
			continue
		}
		return nil
	}
	return errSealed
}

func (s *sealer) additional(purpose sealPurpose) []byte {
	return []byte(string(purpose) + "\x00" + s.scope)
}

func (k *sealKey) aead(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.secret, salt, "caddy-mwoauth seal", sealKeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// DeriveStateKey returns the state key that stands for a site key
// ($wgOAuthSecretKey) where the operator names none.
func DeriveStateKey(siteKey string) ([]byte, error) {
	if siteKey == "" {
		return nil, errors.New("no site key to derive the state key from: set state_key")
	}
	return hkdf.Key(sha256.New, []byte(siteKey), nil, "caddy-mwoauth state key", sealKeySize)
}
