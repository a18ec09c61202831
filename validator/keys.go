package validator

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	minConsumerKeyBits = 1024
	minIssuerKeyBits   = 2048
	maxKeyBits         = 8192 // verifying costs the square: a 64 KiB row could name a key of 400,000 bits
)

// ParseConsumerKey reads the RSA key of a consumer (oarc_rsa_key): a public key or a certificate in PEM. Nil
// means that there is none that may be used: not RSA, or under 1024 or over 8192 bits.
func ParseConsumerKey(text []byte) *rsa.PublicKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	key, err := publicKey(block, minConsumerKeyBits)
	if err != nil {
		return nil
	}
	return key
}

// ParseIssuerKeys reads the RSA keys that sign bearer tokens ($wgOAuth2PublicKey): one or more public keys or
// certificates in PEM, of 2048 to 8192 bits each.
func ParseIssuerKeys(text []byte) ([]*rsa.PublicKey, error) {
	var keys []*rsa.PublicKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		key, err := publicKey(block, minIssuerKeyBits)
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

func publicKey(block *pem.Block, minBits int) (*rsa.PublicKey, error) {
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
		return nil, fmt.Errorf("PEM block %q: want a public key or a certificate", block.Type)
	}
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	// crypto/x509 refuses exponents that do not fit 31 bits.
	if bits := key.N.BitLen(); bits < minBits || bits > maxKeyBits {
		return nil, fmt.Errorf("RSA key of %d bits: want %d to %d", bits, minBits, maxKeyBits)
	}
	return key, nil
}
