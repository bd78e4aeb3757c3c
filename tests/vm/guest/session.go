package guest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"berth/tests/vm/wire"
)

// bootTime bounds the time that a guest takes until it runs commands.
const bootTime = 3 * time.Minute

// Command is one to run in a guest.
type Command struct {
	Args []string
	Env  []string
	Dir  string
	// User has the ordinary user run it, in his own systemd session.
	User           bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// TTY gives it a terminal; Resize tells of its size, which changes.
	TTY    bool
	Size   wire.Size
	Resize <-chan wire.Size
}

// Run runs a command in the guest and returns its exit code, 128 and the signal's
// number where one ended it. When ctx is done the command is killed.
func (g *Guest) Run(ctx context.Context, c Command) (int, error) {
	conn, release, err := g.connect()
	if err != nil {
		return 0, err
	}
	defer release()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	req := wire.Request{Nonce: make([]byte, 16), Args: c.Args, Env: c.Env, Dir: c.Dir, User: c.User, Stdin: c.Stdin != nil, TTY: c.TTY, Size: c.Size}
	_, _ = rand.Read(req.Nonce)
	_ = conn.SetReadDeadline(time.Now().Add(bootTime))
	r, err := wire.Open(conn, req)
	if err != nil {
		return 0, g.lost(ctx, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	w := wire.NewWriter(conn)
	if c.Stdin != nil {
		go func() {
			_, _ = io.Copy(w.Stream(wire.Stdin), c.Stdin)
			_ = w.Frame(wire.Stdin, nil)
		}()
	}
	if c.Resize != nil {
		go func() {
			for size := range c.Resize {
				_ = w.JSON(wire.Resize, size)
			}
		}()
	}
	for {
		kind, data, err := wire.Read(r)
		if err != nil {
			return 0, g.lost(ctx, err)
		}
		switch kind {
		case wire.Stdout:
			_, err = c.Stdout.Write(data)
		case wire.Stderr:
			_, err = c.Stderr.Write(data)
		case wire.Exit:
			var res wire.Result
			if err := json.Unmarshal(data, &res); err != nil {
				return 0, err
			}
			if res.Error != "" {
				return res.Code, fmt.Errorf("in the guest: %s", res.Error)
			}
			return res.Code, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (g *Guest) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return g.trouble(err)
}
