package validator

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
)

// keyBounds bounds an RSA key. The cost of a check grows with the square of the
// bits, and with the bits of the exponent. A row of 64 KiB could hold a key of
// 400,000 bits.
type keyBounds struct{ minBits, maxBits, maxExponent int }

var (
	// Any user can register an app. A check with the most expensive key that is
	// allowed takes at most eight times as long as one with 2048 bits and the
	// exponent 65537.
	consumerKeyBounds = keyBounds{1024, 4096, 65537}
	// The operator configures these. crypto/x509 refuses exponents over 31 bits.
	issuerKeyBounds = keyBounds{2048, 8192, math.MaxInt32}
)

// ParseConsumerKey reads the RSA key of a consumer (oarc_rsa_key): a public key
// or a certificate in PEM. It returns nil if no key may be used: if the text is
// not an RSA key, has under 1024 or over 4096 bits, or has an exponent over
// 65537.
func ParseConsumerKey(text []byte) *rsa.PublicKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	key, err := publicKey(block, consumerKeyBounds)
	if err != nil {
		return nil
	}
	return key
}

// ParseIssuerKeys reads the RSA keys that sign bearer tokens
// ($wgOAuth2PublicKey): one or more public keys or certificates in PEM, of 2048
// to 8192 bits each.
func ParseIssuerKeys(text []byte) ([]*rsa.PublicKey, error) {
	var keys []*rsa.PublicKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		key, err := publicKey(block, issuerKeyBounds)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block found")
	}
	return keys, nil
}

func publicKey(block *pem.Block, bounds keyBounds) (*rsa.PublicKey, error) {
	var parsed any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			parsed = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("PEM block %q: use a public key or a certificate", block.Type)
	}
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	if bits := key.N.BitLen(); bits < bounds.minBits || bits > bounds.maxBits {
		return nil, fmt.Errorf("RSA key of %d bits: use %d to %d", bits, bounds.minBits, bounds.maxBits)
	}
	if key.E > bounds.maxExponent {
		return nil, fmt.Errorf("RSA key with the exponent %d: use at most %d", key.E, bounds.maxExponent)
	}
	return key, nil
}
