// Package systemd has systemd make and change the scopes of containers: transient units
// of processes that somebody else has started. It speaks D-Bus with the system's manager, or with
// that of an ordinary user, and only when asked to; what is linked for it costs 0.1 ms at every start
// of the binary.
//
// What properties mean, and since when they are there: systemd.resource-control(5),
// org.freedesktop.systemd1(5).
package systemd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"

	"berth/libcontainer/fault"
)

const (
	destination = "org.freedesktop.systemd1"
	managerPath = dbus.ObjectPath("/org/freedesktop/systemd1")
	manager     = "org.freedesktop.systemd1.Manager."
	properties  = "org.freedesktop.DBus.Properties."
)

// answer bounds how long systemd may take for what it is asked. Under load it may be slow:
// 25 seconds have been seen.
const answer = 60 * time.Second

// said is after how long the caller hears of the waiting.
const said = 2 * time.Second

// Bus is a connection to a manager of units.
type Bus struct {
	conn *dbus.Conn
	// User is true for the manager of an ordinary user.
	User bool
	// ctx ends what waits.
	ctx context.Context
	// say tells whoever waits with us what for; nil for nobody.
	say func(what string)
}

// Connect connects to the manager of the system, or, with user, to that of the caller.
func Connect(ctx context.Context, user bool, say func(what string)) (*Bus, error) {
	b := &Bus{User: user, ctx: ctx, say: say}
	address, err := b.address()
	if err != nil {
		return nil, err
	}
	if err := b.connect(address); err != nil {
		e := fault.Wrap("cannot connect to systemd", err)
		e.Call = "D-Bus at " + address
		e.Hint = "is dbus running? " + address
		if user {
			e.Hint = "a user needs a session of systemd's: XDG_RUNTIME_DIR and the package dbus-user-session"
		}
		return nil, e
	}
	return b, nil
}

// connect waits for the bus's first words, and no longer than for any other.
func (b *Bus) connect(address string) error {
	type result struct {
		conn *dbus.Conn
		err  error
	}
	ctx, cancel := context.WithTimeout(b.ctx, answer)
	defer cancel()
	ready := make(chan result, 1)
	go func() {
		conn, err := dbus.Connect(address, dbus.WithAuth(dbus.AuthExternal(OuterUID())))
		ready <- result{conn, err}
	}()
	var got result
	err := b.await(ctx, "D-Bus to answer", func(again <-chan time.Time) bool {
		select {
		case got = <-ready:
			return true
		case <-again:
		case <-ctx.Done():
		}
		return false
	})
	if err != nil {
		// Nobody takes it any more.
		go func() {
			if late := <-ready; late.conn != nil {
				late.conn.Close()
			}
		}()
		return err
	}
	b.conn = got.conn
	return got.err
}

// address is where the bus is: what the environment says, or the usual place.
func (b *Bus) address() (string, error) {
	if !b.User {
		if a := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		return "unix:path=/run/dbus/system_bus_socket", nil
	}
	if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" {
		return a, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return "unix:path=" + dbus.EscapeBusAddressValue(dir+"/bus"), nil
	}
	return "", &fault.Error{
		Msg:  "cannot find the user's systemd: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set",
		Hint: "log in as that user, or use --cgroup-manager cgroupfs",
	}
}

// OuterUID is the caller's user as the bus sees it, from outside the caller's user
// namespace.
func OuterUID() string {
	uid := os.Getuid()
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return strconv.Itoa(uid)
	}
	for line := range bytes.Lines(text) {
		var n [3]int
		f := bytes.Fields(line)
		if len(f) != len(n) {
			continue
		}
		for i := range n {
			n[i], _ = strconv.Atoi(string(f[i]))
		}
		if uid >= n[0] && uid-n[0] < n[2] {
			return strconv.Itoa(n[1] + uid - n[0])
		}
	}
	return strconv.Itoa(uid)
}

// Close ends the connection.
func (b *Bus) Close() { b.conn.Close() }

// call makes a call and waits for its answer.
func (b *Bus) call(path dbus.ObjectPath, method string, args ...any) (*dbus.Call, error) {
	ctx, cancel := context.WithTimeout(b.ctx, answer)
	defer cancel()
	c := b.conn.Object(destination, path).GoWithContext(ctx, method, 0, make(chan *dbus.Call, 1), args...)
	err := b.await(ctx, "systemd to answer to "+method[len(manager)*b2i(path == managerPath):], func(again <-chan time.Time) bool {
		select {
		case <-c.Done:
			return true
		case <-again:
			return false
		}
	})
	if err == nil {
		err = c.Err
	}
	return c, err
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// await calls wait until that is done, and says so when it takes long.
func (b *Bus) await(ctx context.Context, what string, wait func(again <-chan time.Time) bool) error {
	again := time.NewTimer(said)
	defer again.Stop()
	for !wait(again.C) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if b.say != nil {
			b.say(what)
		}
		again.Reset(answer)
	}
	return nil
}

// is says whether an error is the D-Bus error of systemd's of a name.
func is(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == destination+"."+name
}
