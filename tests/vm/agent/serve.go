package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"berth/tests/vm/wire"
)

// serve runs commands, one at a time from each port.
func serve() {
	ports, err := filepath.Glob("/dev/vport*")
	if err != nil || len(ports) == 0 {
		log.Fatal("there is no virtio-serial port: ", err)
	}
	var all sync.WaitGroup
	for _, path := range ports {
		all.Go(func() { servePort(path) })
	}
	all.Wait()
}

func servePort(path string) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGIO)
	port, err := openPort(path)
	if err != nil {
		log.Fatal(err)
	}
	r := bufio.NewReader(port)
	for n := 1; ; {
		req, err := wire.Accept(r, port)
		if errors.Is(err, io.EOF) {
			// Nobody is at the other end.
			<-changed
			continue
		}
		if err != nil {
			log.Print(path, ": ", err)
			continue
		}
		unit := fmt.Sprintf("berth-%s-%d.scope", filepath.Base(path), n)
		n++
		serveOne(r, wire.NewWriter(port), req, unit)
	}
}

// openPort opens a port so that a signal tells when somebody comes at the other end:
// until then reads return nothing at once.
func openPort(path string) (*os.File, error) {
	port, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	raw, err := port.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var flags int
		if flags, failed = unix.FcntlInt(fd, unix.F_GETFL, 0); failed != nil {
			return
		}
		if _, failed = unix.FcntlInt(fd, unix.F_SETOWN, os.Getpid()); failed != nil {
			return
		}
		_, failed = unix.FcntlInt(fd, unix.F_SETFL, flags|unix.O_ASYNC)
	})
	return port, errors.Join(err, failed)
}

// serveOne runs a command and stays until its client goes away, which is when the
// port has no more frames. A command that has not ended by then is killed.
func serveOne(r *bufio.Reader, w *wire.Writer, req wire.Request, unit string) {
	c, err := start(req, unit, w)
	if err != nil {
		_ = w.JSON(wire.Exit, wire.Result{Code: 127, Error: err.Error()})
		drain(r, func(wire.Kind, []byte) {})
		return
	}
	ended := make(chan struct{})
	go func() {
		_ = w.JSON(wire.Exit, c.wait())
		close(ended)
	}()
	drain(r, c.take)
	// What is still to be written would reach the next client, after its answer.
	w.Close()
	select {
	case <-ended:
	default:
		c.kill()
		<-ended
	}
}

func drain(r *bufio.Reader, take func(wire.Kind, []byte)) {
	for {
		kind, data, err := wire.Read(r)
		if err != nil {
			return
		}
		take(kind, data)
	}
}
