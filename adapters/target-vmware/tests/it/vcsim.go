// A vCenter to talk to: govmomi's simulator, on a port of its choice. It ends when its standard input does.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/vmware/govmomi/simulator"
)

// A certificate of its own: that of Go's tests has a key of 1024 bits, which others do not take.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	bytes, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key}
}

func main() {
	encrypted := flag.Bool("tls", false, "")
	host := flag.Bool("host", false, "a host by itself, without a vCenter")
	flag.Parse()
	model := simulator.VPX()
	if *host {
		model = simulator.ESX()
	}
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("an <odd> user", "pass & word")}
	fingerprint := ""
	if *encrypted {
		pair := certificate()
		model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		fingerprint = fmt.Sprintf("%x", sha256.Sum256(pair.Certificate[0]))
	}
	server := model.Service.NewServer()
	fmt.Println(server.URL.Scheme+"://"+server.URL.Host, fingerprint)
	io.Copy(io.Discard, os.Stdin)
	server.Close()
	model.Remove()
}
