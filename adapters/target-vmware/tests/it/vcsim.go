// A vCenter to talk to: govmomi's simulator, on a port of its choice. It ends when its standard input does.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

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
	if *encrypted {
		model.Service.TLS = new(tls.Config)
	}
	server := model.Service.NewServer()
	fmt.Println(server.URL.Scheme + "://" + server.URL.Host)
	io.Copy(io.Discard, os.Stdin)
	server.Close()
	model.Remove()
}
