// Calls makes system calls, each given as NAME,NUMBER,ARG..., and prints with which errno
// each ends.
package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	for _, word := range os.Args[1:] {
		parts := strings.Split(word, ",")
		var n [7]uintptr
		for i, p := range parts[1:] {
			v, err := strconv.ParseUint(p, 0, 64)
			if err != nil {
				os.Stderr.WriteString(err.Error() + "\n")
				os.Exit(1)
			}
			n[i] = uintptr(v)
		}
		_, _, errno := unix.RawSyscall6(n[0], n[1], n[2], n[3], n[4], n[5], n[6])
		result := unix.ErrnoName(errno)
		if errno == 0 {
			result = "done"
		}
		os.Stdout.WriteString(parts[0] + " " + result + "\n")
	}
}
