// Probe makes a call that any process may make, and that the engines' seccomp profiles
// refuse for its argument: personality(ADDR_NO_RANDOMIZE). It prints how that went.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const addrNoRandomize = 0x0040000

func main() {
	if _, _, errno := unix.Syscall(unix.SYS_PERSONALITY, addrNoRandomize, 0, 0); errno != 0 {
		fmt.Println(errno)
		os.Exit(1)
	}
	fmt.Println("made")
}
