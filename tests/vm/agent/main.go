// Agent is the one program of ours in the guest. As the init of the initrd it loads
// what it takes to reach the disk, mounts the host's directories and hands over to
// systemd; as a service it runs the commands that come in over the virtio-serial
// ports (package wire).
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"berth/tests/vm/wire"
)

// configFile is written into the initrd by the host.
const configFile = "/config.json"

func main() {
	if os.Getpid() != 1 {
		serve()
		return
	}
	if err := boot(); err != nil {
		// The host shows the console when a guest does not come up. That process 1 ends
		// is a panic, with which qemu ends.
		fmt.Fprintln(os.Stderr, "the guest's init:", err)
		os.Exit(1)
	}
}

func readConfig() (wire.Config, error) {
	var c wire.Config
	text, err := os.ReadFile(configFile)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}
