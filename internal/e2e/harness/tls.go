package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// siteCert is the certificate of the site, signed by itself, for 127.0.0.1 and
// wiki.example.org.
type siteCert struct {
	certFile, keyFile string
	roots             *x509.CertPool
}

var siteCertificate = sync.OnceValue(func() siteCert {
	c, err := makeCertificate(os.Getenv("XDG_DATA_HOME"))
	if err != nil {
		panic(err)
	}
	return c
})

func makeCertificate(dir string) (c siteCert, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"wiki.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return c, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c = siteCert{filepath.Join(dir, "site.crt"), filepath.Join(dir, "site.key"), x509.NewCertPool()}
	c.roots.AppendCertsFromPEM(certPEM)
	if err := os.WriteFile(c.certFile, certPEM, 0o600); err != nil {
		return c, err
	}
	return c, os.WriteFile(c.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
}

// TLS is a client's configuration that trusts the site.
func TLS() *tls.Config { return &tls.Config{RootCAs: siteCertificate().roots} }
