package process

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// ServerName is the name in the server's certificate, besides 127.0.0.1.
const ServerName = "db.test"

// Certificates is a directory with the certificates of an authority, a server
// and a client, each x.crt with its key x.key.
type Certificates string

// CAFile returns the certificate of the authority, which signed the others.
func (d Certificates) CAFile() string { return d.file("ca.crt") }

// ServerFiles returns the server's certificate and key.
func (d Certificates) ServerFiles() (cert, key string) {
	return d.file("server.crt"), d.file("server.key")
}

// ClientFiles returns the client's certificate and key.
func (d Certificates) ClientFiles() (cert, key string) {
	return d.file("client.crt"), d.file("client.key")
}

func (d Certificates) file(name string) string { return filepath.Join(string(d), name) }

// Make writes the files.
func (d Certificates) Make() error {
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, err := d.certificate("ca", ca, ca, nil)
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if _, err := d.certificate("server", server, ca, caKey); err != nil {
		return err
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "client"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	_, err = d.certificate("client", client, ca, caKey)
	return err
}

// certificate makes a key and its certificate, signed by the parent, or by itself
// without a signer.
func (d Certificates) certificate(name string, c, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if signer == nil {
		signer = key
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return key, os.WriteFile(d.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
}
