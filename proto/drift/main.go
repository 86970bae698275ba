// Holds proto/ against the official descriptors, which go-control-plane's Go module carries.
//
//	drift fields NARROWING   writes known_fields.txt to standard output
//	drift check SUBSET       compares a FileDescriptorSet of the .proto files here with the official
//	                         ones; prints each difference, exits 1 if there is any
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: drift fields NARROWING | drift check SUBSET")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "fields":
		out := bufio.NewWriter(os.Stdout)
		if err = writeKnownFields(out, os.Args[2]); err == nil {
			err = out.Flush()
		}
	case "check":
		err = checkSubset(os.Args[2])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "drift:", err)
		os.Exit(1)
	}
}
