// Command adsserver is the management server of the integration tests: the servers and caches of go-control-plane,
// driven over a small HTTP API so that a test decides what is sent, when, and in which order.
//
// It prints one JSON line with the address of the control API, and runs until its standard input ends.
// control.go has the API, state.go what is served, stream.go the wrappers that record and disturb streams.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	control := flag.String("control", "127.0.0.1:0", "address of the control API")
	host := flag.String("host", "127.0.0.1", "address that xDS is served on")
	flag.Parse()

	state := newState(*host)
	if err := state.reset(modeLinear); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *control)
	if err != nil {
		log.Fatal(err)
	}
	line, _ := json.Marshal(map[string]string{"control": listener.Addr().String()})
	fmt.Println(string(line))

	go func() {
		// The test process holds the other end: when it is gone, so are we.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, newControl(state)))
}
